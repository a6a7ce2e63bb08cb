/* headgate status: what a running gateway says of itself. */
#include "command.h"
#include "control.h"
#include "status.h"

#include <stdio.h>

int
cmd_status(int argc, char **argv)
{
    struct command_line line;
    int code;
    bool wants_metrics = false;
    const struct flag flags[] = {
            {.name = "--metrics",
             .doc = "print the metrics as Prometheus reads them; see 'headgate help metrics'",
             .on = &wants_metrics}};
    if (!command_line_parse(&line, command_find("status"), argc, argv, flags, 1, 0, &code)) {
        return code;
    }
    struct buf answer = {0}, text = {0};
    struct diag_list diags = {0};
    struct bytes request = wants_metrics ? BYTES("metrics") : BYTES("status");
    bool answered = control_ask(line.config.data_dir, request, &answer, &diags);
    if (answered && wants_metrics) {
        fputs(buf_string(&answer), stdout);
    } else if (answered && line.json) {
        puts(buf_string(&answer));
    } else if (answered && status_print(buf_bytes(&answer), &text, &diags)) {
        fputs(buf_string(&text), stdout);
    } else {
        answered = false;
        command_print_diags(&diags);
    }
    buf_fini(&answer);
    buf_fini(&text);
    diag_list_fini(&diags);
    command_line_fini(&line);
    return answered ? EXIT_CODE_DONE : EXIT_CODE_FAILED;
}
