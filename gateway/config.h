/*
 * The daemon's configuration: one table (options.def), mosquitto.conf-like lines, `--set` on top.
 *
 *   # a comment
 *   broker mqtt://localhost:1883
 *   data_dir /var/lib/headgate
 *
 * Works without a file. Errors name file, line and column, and the nearest option.
 */
#ifndef HEADGATE_CONFIG_H
#define HEADGATE_CONFIG_H

#include "base/option.h"

struct config {
#define OPTION(name, type, c_type, fallback, min, max, choices, doc) c_type name;
#include "options.def"
#undef OPTION
};

extern const struct option_table config_options;

/* Defaults; config_fini() frees. */
void config_init(struct config *config);
void config_fini(struct config *config);

/* Applies the lines of a file's text. On false every error has been reported. */
bool config_parse(struct config *config, struct bytes file, struct bytes text,
                  struct diag_list *diags) MUST_CHECK;

/* Reads and applies a file; a missing file is an error only when `required`. */
bool config_load(struct config *config, const char *path, bool required, struct diag_list *diags)
        MUST_CHECK;

/* Applies "name=value". */
bool config_set(struct config *config, struct bytes assignment, struct diag_list *diags)
        MUST_CHECK;

/*
 * Every option as a line that config_parse() takes, so that a child process gets the same
 * configuration over a pipe. Secrets are included: the text never goes to a file, a log, or argv.
 */
void config_print(const struct config *config, struct buf *out);

#endif
