/*
 * Command lines: parsing, help, and the errors that a person gets for a typing mistake.
 */
#include "command.h"

#include "base/json.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char DEFAULT_CONFIG_PATH[] = "/etc/headgate/headgate.conf";

const struct command commands[] = {
#define COMMAND(name, operands, summary, text) {#name, summary, operands, text, cmd_##name},
#include "commands.def"
#undef COMMAND
};

const size_t command_count = sizeof commands / sizeof *commands;

const struct command *
command_find(const char *name)
{
    for (size_t i = 0; i < command_count; i++) {
        if (strcmp(commands[i].name, name) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

void
command_print_diags(const struct diag_list *diags)
{
    struct buf text = {0};
    diag_list_print(diags, &text);
    fwrite(text.data == NULL ? "" : text.data, 1, text.size, stderr);
    buf_fini(&text);
}

void
command_diags_write_json(const struct diag_list *diags, struct buf *out)
{
    buf_append_char(out, '[');
    for (size_t i = 0; i < diags->count; i++) {
        const struct diag *diag = &diags->items[i];
        buf_append_string(out, i == 0 ? "{\"level\":" : ",{\"level\":");
        json_write_string(out, diag->level == DIAG_ERROR ? BYTES("error") : BYTES("warning"));
        buf_append_string(out, ",\"file\":");
        json_write_string(out, diag->place.file);
        buf_printf(out, ",\"line\":%u,\"column\":%u,\"length\":%u,\"message\":", diag->place.line,
                   diag->place.column, diag->place.length);
        json_write_string(out, diag->message);
        buf_append_string(out, ",\"hint\":");
        json_write_string(out, diag->hint);
        buf_append_char(out, '}');
    }
    buf_append_char(out, ']');
}

struct parser {
    const struct command *command;
    const struct flag *flags; /* the verb's own, then the common ones */
    size_t flag_count;
    struct command_line *line;
    struct diag_list diags;
    const char *config_path;
    const char **settings;
    size_t setting_count;
    bool help;
};

static const struct flag *
find_flag(const struct flag *flags, size_t count, struct bytes name)
{
    for (size_t i = 0; i < count; i++) {
        if (bytes_equal_string(name, flags[i].name)) {
            return &flags[i];
        }
    }
    return NULL;
}

static const char *
flag_name_at(const void *context, size_t i)
{
    return ((const struct flag *)context)[i].name;
}

static void
unknown_flag(struct parser *parser, struct bytes name)
{
    diag_error(&parser->diags, DIAG_INVALID, "unknown option '%.*s'", BYTES_ARG(name));
    const char *nearest = diag_nearest(name, parser->flag_count, flag_name_at, parser->flags);
    if (nearest != NULL) {
        diag_hint(&parser->diags, "did you mean '%s'?", nearest);
    } else {
        diag_hint(&parser->diags, "'headgate %s --help' lists the options",
                  parser->command->name);
    }
}

/* One flag with its value, which may be the next argument; returns how many arguments it took. */
static int
parse_flag(struct parser *parser, int left, char **argv)
{
    struct bytes whole = bytes_of_string(argv[0]);
    struct bytes name = bytes_slice(whole, 0, bytes_find(whole, '='));
    const struct flag *flag = find_flag(parser->flags, parser->flag_count, name);
    if (flag == NULL) {
        unknown_flag(parser, name);
        return 1;
    }
    bool attached = name.size < whole.size;
    if (flag->value_name == NULL) {
        if (attached) {
            diag_error(&parser->diags, DIAG_INVALID, "option '%s' takes no value", flag->name);
        }
        *flag->on = true;
        return 1;
    }
    if (!attached && left < 2) {
        diag_error(&parser->diags, DIAG_INVALID, "option '%s' needs a value: %s %s", flag->name,
                   flag->name, flag->value_name);
        return 1;
    }
    const char *value = attached ? argv[0] + name.size + 1 : argv[1];
    if (strcmp(flag->name, "--set") == 0) {
        parser->settings[parser->setting_count++] = value;
    } else {
        *flag->text = value;
    }
    return attached ? 1 : 2;
}

static void
parse_arguments(struct parser *parser, int argc, char **argv, size_t operands_max)
{
    for (int i = 1; i < argc;) {
        bool is_flag = argv[i][0] == '-' && argv[i][1] != '\0';
        if (is_flag) {
            i += parse_flag(parser, argc - i, argv + i);
        } else if (parser->line->operand_count < operands_max) {
            parser->line->operands[parser->line->operand_count++] = argv[i++];
        } else {
            diag_error(&parser->diags, DIAG_INVALID, "unexpected argument '%s'", argv[i++]);
            diag_hint(&parser->diags, "usage: headgate %s [OPTIONS] %s", parser->command->name,
                      parser->command->operands);
        }
    }
}

static void
load_config(struct parser *parser)
{
    struct config *config = &parser->line->config;
    bool named = parser->config_path != NULL;
    const char *path = named ? parser->config_path : DEFAULT_CONFIG_PATH;
    parser->line->config_path = path;
    bool loaded = config_load(config, path, named, &parser->diags);
    for (size_t i = 0; i < parser->setting_count; i++) {
        loaded &= config_set(config, bytes_of_string(parser->settings[i]), &parser->diags);
    }
    check(loaded == (parser->diags.errors == 0));
}

static void
print_help(const struct parser *parser)
{
    const struct command *command = parser->command;
    printf("Usage: headgate %s [OPTIONS]%s%s\n\n%s\n\nOptions:\n", command->name,
           command->operands[0] == '\0' ? "" : " ", command->operands, command->text);
    for (size_t i = 0; i < parser->flag_count; i++) {
        const struct flag *flag = &parser->flags[i];
        struct buf left = {0};
        buf_printf(&left, "%s%s%s", flag->name, flag->value_name == NULL ? "" : " ",
                   flag->value_name == NULL ? "" : flag->value_name);
        printf("  %-22s %s\n", buf_string(&left), flag->doc);
        buf_fini(&left);
    }
}

bool
command_line_parse(struct command_line *out, const struct command *command, int argc, char **argv,
                   const struct flag *flags, size_t flag_count, size_t operands_max, int *code)
{
    struct parser parser = {.command = command, .line = out};
    const struct flag common[] = {
            {"--json", NULL, "answer in JSON", NULL, &out->json},
            {"-c", "FILE", "read this configuration instead of /etc/headgate/headgate.conf",
             &parser.config_path, NULL},
            {"--set", "NAME=VALUE", "set one option of the configuration; may be repeated", NULL,
             NULL},
            {"--help", NULL, "show this help", NULL, &parser.help},
            {"-h", NULL, "the same", NULL, &parser.help},
    };
    size_t common_count = sizeof common / sizeof *common;
    struct flag *all = mem_new_array(struct flag, flag_count + common_count);
    if (flag_count > 0) {
        memcpy(all, flags, flag_count * sizeof *flags);
    }
    memcpy(all + flag_count, common, sizeof common);
    parser.flags = all;
    parser.flag_count = flag_count + common_count;
    parser.settings = mem_new_array(const char *, (size_t)argc);

    *out = (struct command_line){.operands = mem_new_array(const char *, (size_t)argc)};
    config_init(&out->config);
    parse_arguments(&parser, argc, argv, operands_max);
    bool go_on = false;
    if (parser.help) {
        print_help(&parser);
        *code = EXIT_CODE_DONE;
    } else {
        if (parser.diags.errors == 0) {
            load_config(&parser);
        }
        go_on = parser.diags.errors == 0;
        *code = EXIT_CODE_USAGE;
        command_print_diags(&parser.diags);
    }
    diag_list_fini(&parser.diags);
    free(parser.settings);
    free(all);
    if (!go_on) {
        command_line_fini(out);
    }
    return go_on;
}

void
command_line_fini(struct command_line *line)
{
    config_fini(&line->config);
    free(line->operands);
    *line = (struct command_line){0};
}
