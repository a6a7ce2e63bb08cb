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
    if (!command_line_parse(&line, command_find("status"), argc, argv, NULL, 0, 0, &code)) {
        return code;
    }
    struct buf answer = {0}, text = {0};
    struct diag_list diags = {0};
    bool answered = control_ask(line.config.data_dir, BYTES("status"), &answer, &diags);
    if (answered && line.json) {
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
