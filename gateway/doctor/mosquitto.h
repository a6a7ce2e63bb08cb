/*
 * mosquitto.conf as mosquitto 2.0 reads it, or as much of it as says what becomes of messages.
 *
 * A line is a name, blanks (no tabs), a value. A '#' makes a comment only as the first character of
 * a line. Later lines win. `include_dir` is followed from the main file only, to its *.conf, in the
 * order of their names; `listener` begins a section that ends with the file. Numbers are read as
 * atoi() does.
 * Source: src/conf.c of mosquitto 2.0.11, mosquitto.conf(5).
 *
 * Lines that doctor does not know are kept and mean nothing. The reading never fails on content.
 */
#ifndef HEADGATE_DOCTOR_MOSQUITTO_H
#define HEADGATE_DOCTOR_MOSQUITTO_H

#include "base/diag.h"

enum { MOSQUITTO_FILE_MAX_BYTES = 1024 * 1024, MOSQUITTO_FILES_MAX = 1000 };

struct mosquitto_line {
    struct bytes name;
    struct bytes value; /* trimmed; may be empty */
    struct bytes file;
    unsigned number;
    unsigned listener; /* index of the section; 0: before any `listener` of its file */
};

struct mosquitto_listener {
    unsigned port;     /* 0: a Unix socket */
    struct bytes host; /* address, interface or path of the socket; empty: every address */
};

struct mosquitto_config {
    struct arena arena; /* owns every text */
    struct mosquitto_line *lines;
    size_t line_count;
    size_t line_capacity;
    struct mosquitto_listener *listeners; /* [0] is the default one */
    size_t listener_count;
    size_t listener_capacity;
    size_t files;
};

/* `struct mosquitto_config c = {0};` is an empty one, to which files are added. */
void mosquitto_config_fini(struct mosquitto_config *config);

/* Adds the lines of one file's text, without following include_dir. */
void mosquitto_config_parse(struct mosquitto_config *config, struct bytes file, struct bytes text);

/*
 * Reads a main file and what it includes. `root` stands before every path that is opened. Fails
 * when the main file cannot be read (os_error of the diag says why); an included file or folder
 * that cannot be read is a warning.
 */
bool mosquitto_config_read(struct mosquitto_config *config, const char *root, const char *path,
                           struct diag_list *diags) MUST_CHECK;

/* The line that counts, or NULL. */
const struct mosquitto_line *mosquitto_find(const struct mosquitto_config *config,
                                            const char *name);

/* The line that counts in one section, or NULL. */
const struct mosquitto_line *mosquitto_find_of(const struct mosquitto_config *config,
                                               size_t listener, const char *name);

/* Its value; `fallback` when there is no such line. */
int64_t mosquitto_number(const struct mosquitto_config *config, const char *name,
                         int64_t fallback);
bool mosquitto_flag(const struct mosquitto_config *config, const char *name, bool fallback);

/* "2w" of persistent_client_expiration, in seconds; 0: never, or not a time. */
int64_t mosquitto_expiration_s(const struct mosquitto_config *config);

/* Whether it has no listener of its own: then it is reached from this machine only, by anybody. */
bool mosquitto_is_local_only(const struct mosquitto_config *config);

/* Whether clients of that listener may come without a name. */
bool mosquitto_is_anonymous(const struct mosquitto_config *config, size_t listener);

/* Whether only this machine reaches it. */
bool mosquitto_is_loopback(const struct mosquitto_listener *listener);

/* Whether it is there: the default one is where no other is, or when it has a port or address. */
bool mosquitto_listens(const struct mosquitto_config *config, size_t listener);

#endif
