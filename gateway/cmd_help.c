/* headgate help: the reference that comes from the tables. */
#include "command.h"
#include "metrics_text.h"
#include "relation.h"

#include <stdio.h>
#include <string.h>

static void
print_options(void)
{
    struct buf out = {0};
    option_table_help(&config_options, &out);
    printf("Options of headgate.conf, one a line as `name value`; also as --set name=value.\n\n%s",
           buf_string(&out));
    buf_fini(&out);
}

static void
print_drivers(void)
{
    struct buf out = {0};
    for (size_t i = 0; driver_catalogue[i] != NULL; i++) {
        const struct driver *driver = driver_catalogue[i];
        buf_printf(&out, "%s: %s\n", driver->name, driver->summary);
        option_table_help(&driver->options, &out);
        buf_append_char(&out, '\n');
    }
    buf_append_string(&out, "Options of every connector:\n");
    option_table_help(&sink_option_table, &out);
    printf("Connectors, for CREATE TABLE name WITH ('connector' = '...', 'option' = '...').\n\n%s",
           buf_string(&out));
    buf_fini(&out);
}

static void
print_metrics(void)
{
    struct buf out = {0};
    metric_help(&out);
    printf("Metrics, with their labels: GET /metrics where the option 'http' says, and\n"
           "'headgate status --metrics'.\n\n%s", buf_string(&out));
    buf_fini(&out);
}

int
cmd_help(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "options") == 0) {
        print_options();
        return EXIT_CODE_DONE;
    }
    if (argc == 2 && strcmp(argv[1], "drivers") == 0) {
        print_drivers();
        return EXIT_CODE_DONE;
    }
    if (argc == 2 && strcmp(argv[1], "metrics") == 0) {
        print_metrics();
        return EXIT_CODE_DONE;
    }
    const struct command *command = command_find(argc == 2 ? argv[1] : "help");
    if (command == NULL) {
        fprintf(stderr, "headgate: there is no help on '%s'\n"
                        "  hint: 'headgate help options', 'headgate help drivers', 'headgate help "
                        "metrics' or a verb\n",
                argv[1]);
        return EXIT_CODE_USAGE;
    }
    if (strcmp(command->name, "help") == 0) {
        printf("Usage: headgate help %s\n\n%s\n", command->operands, command->text);
        return EXIT_CODE_DONE;
    }
    char *help_argv[] = {argv[1], (char[]){"--help"}, NULL};
    return command->run(2, help_argv);
}
