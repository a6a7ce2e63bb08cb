/* headgate run: the daemon, in the foreground. */
#include "command.h"
#include "gateway.h"

#include "base/log.h"

int
cmd_run(int argc, char **argv)
{
    struct command_line line;
    int code;
    if (!command_line_parse(&line, command_find("run"), argc, argv, NULL, 0, 0, &code)) {
        return code;
    }
    log_setup((enum log_level)line.config.log_level, "gateway");
    code = gateway_run(&line.config);
    command_line_fini(&line);
    return code;
}
