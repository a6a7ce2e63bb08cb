/*
 * The verbs of the command line: one row in commands.def, one cmd_<name>.c, one option table.
 *
 * Every verb takes -c FILE, --set name=value, --json and --help; a verb's own flags come from its
 * table, from which its help is made too. Exit codes: 0 done, 1 the work failed or found errors,
 * 2 the command line was wrong.
 */
#ifndef HEADGATE_COMMAND_H
#define HEADGATE_COMMAND_H

#include "config.h"

enum exit_code { EXIT_CODE_DONE = 0, EXIT_CODE_FAILED = 1, EXIT_CODE_USAGE = 2 };

/* A flag of one verb: with a value (`text` is set), or a switch (`on` is set). */
struct flag {
    const char *name; /* "--topic" */
    const char *value_name; /* "T"; NULL for a switch */
    const char *doc;
    const char **text;
    bool *on;
};

/* What the command line of a verb said. */
struct command_line {
    struct config config; /* file and --set applied */
    const char *config_path; /* of that file, which need not exist */
    bool json;
    const char **operands;
    size_t operand_count;
};

struct command {
    const char *name;
    const char *summary;  /* for `headgate --help` */
    const char *operands; /* for the usage line: "[RULES_DIR | FILE]" */
    const char *text;     /* what it does, for --help */
    int (*run)(int argc, char **argv);
};

extern const struct command commands[];
extern const size_t command_count;

/*
 * Reads argv[1..] of a verb. False when the program should end now with `*code`: --help was
 * printed, or an error was. On true the caller frees with command_line_fini().
 */
bool command_line_parse(struct command_line *out, const struct command *command, int argc,
                        char **argv, const struct flag *flags, size_t flag_count,
                        size_t operands_max, int *code) MUST_CHECK;
void command_line_fini(struct command_line *line);

/* Prints all entries to stderr. */
void command_print_diags(const struct diag_list *diags);

/* Appends all entries as an array of {"level","file","line","column","message","hint"}. */
void command_diags_write_json(const struct diag_list *diags, struct buf *out);

const struct command *command_find(const char *name);

#define COMMAND(name, operands, summary, text) int cmd_##name(int argc, char **argv);
#include "commands.def"
#undef COMMAND

#endif
