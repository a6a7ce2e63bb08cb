/*
 * filesystem: a CSV file as a reference table, for joins (FOR SYSTEM_TIME AS OF) and queries. It is
 * never written.
 *
 * The file is read when the table is opened, and again when it has changed: a thread looks once a
 * second. A new version takes the place of the old one as a whole; one that cannot be read leaves
 * the old one in place, is told in the log once, and shows in `health` until it is mended. As with
 * rule files, write a new file and rename it: a half-written one may be read, and mended a second
 * later.
 *
 * Threads: `lock` guards the file that is current, its indexes, and what health tells.
 */
#define _GNU_SOURCE
#include "driver.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/os.h"
#include "drivers/csv/csv_file.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

enum { LOOK_EVERY_S = 1 };

struct filesystem_options {
    char *path;
    int format;
    char *separator;
    int64_t bytes_max;
};

/* What a file that has not changed has in common with itself. */
struct version {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed;
};

struct reference {
    const struct driver_env *env;
    const struct filesystem_options *options;
    const struct driver_declaration *declaration;
    struct csv_format format;
    struct version version; /* that was read last, well or not; the thread's */

    pthread_mutex_t lock;
    pthread_cond_t ending;
    pthread_t thread;
    bool has_thread;
    bool is_ending;
    struct csv_file *file;
    struct health health;
};

/* ---- reading ---- */

static bool
get_version(const struct reference *reference, struct version *out)
{
    struct stat status;
    char *path = bytes_to_string(reference->format.path);
    bool is_there = stat(path, &status) == 0;
    free(path);
    *out = (struct version){0};
    if (is_there) {
        *out = (struct version){status.st_dev, status.st_ino, status.st_size, status.st_ctim};
    }
    return is_there;
}

static bool
is_same(const struct version *a, const struct version *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

static bool
read_file(struct reference *reference, struct csv_file **out, struct diag_list *diags)
{
    struct buf text = {0};
    char *path = bytes_to_string(reference->format.path);
    int64_t most = reference->options->bytes_max;
    int result = os_read_file(&os_posix, path, (size_t)most, &text);
    bool is_read = result == 0;
    if (result == -EFBIG) {
        diag_error(diags, DIAG_IO, "'%s' is larger than %" PRId64 " bytes", path, most);
        diag_hint(diags, "raise the table's option 'max': the file is kept in memory");
    } else if (result < 0) {
        diag_io_error(diags, -result, "cannot read '%s'", path);
    }
    if (is_read && reference->declaration->column_count == 0) {
        diag_error(diags, DIAG_INVALID, "a table of a CSV file needs its columns declared");
        is_read = false;
    }
    is_read = is_read && csv_file_read(out, buf_bytes(&text), &reference->format,
                                       reference->declaration, diags);
    free(path);
    buf_fini(&text);
    return is_read;
}

/* With the lock, or before there is a thread. */
static void
tell(struct reference *reference, const struct diag_list *diags)
{
    struct health *health = &reference->health;
    health->state = diags->errors == 0 ? HEALTH_OK : HEALTH_FAILED;
    if (diags->errors == 0) {
        snprintf(health->sentence, sizeof health->sentence, "%zu rows",
                 csv_file_rows(reference->file));
    } else {
        snprintf(health->sentence, sizeof health->sentence, "%.*s; %zu rows of before are used",
                 BYTES_ARG(bytes_slice(diag_first_error(diags), 0, 150)),
                 csv_file_rows(reference->file));
    }
}

/* The file is another one than before. */
static void
read_again(struct reference *reference)
{
    struct diag_list diags = {0};
    struct csv_file *file = NULL, *before = NULL;
    bool is_read = read_file(reference, &file, &diags);
    pthread_mutex_lock(&reference->lock);
    if (is_read) {
        before = reference->file;
        reference->file = file;
    }
    tell(reference, &diags);
    pthread_mutex_unlock(&reference->lock);
    if (is_read) {
        size_t rows = csv_file_rows(file);
        log_notice("table '%s': read '%s' again: %zu row%s", reference->env->name,
                   reference->options->path, rows, rows == 1 ? "" : "s");
    } else {
        log_error("table '%s': %.*s; the rows of before are used", reference->env->name,
                  BYTES_ARG(diag_first_error(&diags)));
    }
    csv_file_free(before);
    diag_list_fini(&diags);
}

static void *
watch(void *context)
{
    struct reference *reference = context;
    pthread_mutex_lock(&reference->lock);
    while (!reference->is_ending) {
        struct timespec until;
        check(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
        until.tv_sec += LOOK_EVERY_S;
        pthread_cond_timedwait(&reference->ending, &reference->lock, &until);
        struct version version;
        if (reference->is_ending || !get_version(reference, &version) ||
            is_same(&version, &reference->version)) {
            continue; /* a file that is gone for a moment is being replaced */
        }
        reference->version = version;
        pthread_mutex_unlock(&reference->lock);
        read_again(reference);
        pthread_mutex_lock(&reference->lock);
    }
    pthread_mutex_unlock(&reference->lock);
    return NULL;
}

/* ---- life ---- */

static void
reference_close(void *instance)
{
    struct reference *reference = instance;
    if (reference->has_thread) {
        pthread_mutex_lock(&reference->lock);
        reference->is_ending = true;
        pthread_cond_signal(&reference->ending);
        pthread_mutex_unlock(&reference->lock);
        pthread_join(reference->thread, NULL);
    }
    csv_file_free(reference->file);
    pthread_cond_destroy(&reference->ending);
    pthread_mutex_destroy(&reference->lock);
    free(reference);
}

static void
init_threads(struct reference *reference)
{
    pthread_condattr_t attributes;
    check(pthread_mutex_init(&reference->lock, NULL) == 0);
    check(pthread_condattr_init(&attributes) == 0);
    check(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    check(pthread_cond_init(&reference->ending, &attributes) == 0);
    pthread_condattr_destroy(&attributes);
}

/* "file:///etc/x.csv" as well as "/etc/x.csv". */
static bool
set_format(struct reference *reference, struct diag_list *diags)
{
    struct bytes path = bytes_of_string(reference->options->path);
    const char *separator = reference->options->separator;
    if (bytes_starts_with(path, BYTES("file://"))) {
        path = bytes_slice(path, sizeof "file://" - 1, path.size);
    }
    if (!bytes_starts_with(path, BYTES("/"))) {
        diag_error(diags, DIAG_INVALID, "'path' = '%s' does not begin with '/'",
                   reference->options->path);
        return false;
    }
    if (strcmp(separator, "\\t") == 0) {
        separator = "\t";
    }
    if (strlen(separator) != 1 || strchr("\"\r\n", separator[0]) != NULL) {
        diag_error(diags, DIAG_INVALID, "'csv.field-delimiter' = '%s' is not one character",
                   separator);
        return false;
    }
    reference->format = (struct csv_format){separator[0], path};
    return true;
}

static bool
reference_open(void **out_instance, const struct driver_env *env, const void *options,
               const struct driver_declaration *declaration, struct diag_list *diags)
{
    struct reference *reference = mem_new(struct reference);
    reference->env = env;
    reference->options = options;
    reference->declaration = declaration;
    init_threads(reference);
    bool is_open = set_format(reference, diags);
    if (is_open) {
        get_version(reference, &reference->version);
        is_open = read_file(reference, &reference->file, diags);
    }
    if (!is_open) {
        if (diags->count > 0 && diags->items[0].class == DIAG_CORRUPT) {
            diags->items[0].class = DIAG_IO; /* it passes: somebody mends the file */
        }
        reference_close(reference);
        return false;
    }
    tell(reference, diags);
    reference->has_thread = !env->read_only;
    check(!reference->has_thread ||
          pthread_create(&reference->thread, NULL, watch, reference) == 0);
    *out_instance = reference;
    return true;
}

/* Linking refuses rules that write here; what an edited declaration left in the queue ends here. */
static void
reference_write(void *instance, struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        batch->outcomes[i].verdict = VERDICT_REJECT;
        batch->outcomes[i].reason = BYTES("a table of a file is only read");
    }
}

/* ---- asking ---- */

static bool
reference_lookup(void *instance, struct bytes key, struct arena *arena, struct bytes *item,
                 struct diag_list *diags)
{
    struct reference *reference = instance;
    pthread_mutex_lock(&reference->lock);
    bool is_key = csv_file_find(reference->file, key, item, diags);
    *item = is_key ? arena_copy(arena, *item) : BYTES("");
    pthread_mutex_unlock(&reference->lock);
    return is_key;
}

static bool
reference_describe(void *instance, struct arena *arena, struct table_schema *out,
                   struct diag_list *diags)
{
    const struct reference *reference = instance;
    const struct driver_declaration *declaration = reference->declaration;
    struct column *columns = arena_new_array(arena, struct column, declaration->column_count);
    for (size_t i = 0; i < declaration->column_count; i++) {
        columns[i] = (struct column){
                .name = arena_copy(arena, declaration->columns[i].name),
                .type = declaration->columns[i].type,
                .kind = BYTES("ATTRIBUTE"),
        };
    }
    *out = (struct table_schema){columns, declaration->column_count};
    return true;
}

/* Under the lock: queries of a small table are short. */
static bool
reference_scan(void *instance, const struct table_schema *schema,
               const struct scan_request *request, scan_row_fn row, void *context,
               struct diag_list *diags)
{
    struct reference *reference = instance;
    bool goes_on = true;
    pthread_mutex_lock(&reference->lock);
    for (size_t i = 0; i < csv_file_rows(reference->file) && goes_on; i++) {
        goes_on = row(context, csv_file_cells(reference->file, i));
    }
    pthread_mutex_unlock(&reference->lock);
    return true;
}

static void
reference_health(void *instance, struct health *out)
{
    struct reference *reference = instance;
    pthread_mutex_lock(&reference->lock);
    *out = reference->health;
    pthread_mutex_unlock(&reference->lock);
}

#define OPTION_AT(member) .offset = offsetof(struct filesystem_options, member)

static const struct option filesystem_options[] = {
        {.name = "path", .type = OPTION_STRING, OPTION_AT(path), .required = true,
         .doc = "The file: '/etc/headgate/sensors.csv', or as a file:// URL. It is read again when "
                "it changes."},
        {.name = "format", .type = OPTION_CHOICE, OPTION_AT(format), .fallback = "csv",
         .choices = "csv",
         .doc = "CSV by RFC 4180, UTF-8. A first line with the names of all declared columns is a "
                "header; without one the cells are the columns in their order."},
        {.name = "csv.field-delimiter", .type = OPTION_STRING, OPTION_AT(separator),
         .fallback = ",", .doc = "What separates cells: one character, or \\t."},
        {.name = "max", .type = OPTION_SIZE, OPTION_AT(bytes_max), .fallback = "16M", .min = 1,
         .max = 256 << 20, .doc = "A larger file is refused: all of it is kept in memory."},
};

const struct driver driver_filesystem = {
        .name = "filesystem",
        .summary = "a CSV file as a reference table, for joins and queries",
        .options = {filesystem_options, sizeof filesystem_options / sizeof *filesystem_options},
        .options_size = sizeof(struct filesystem_options),
        .limits = {.records_max = 1000, .bytes_max = 1 << 20, .linger_ms = 0, .timeout_ms = 10000},
        .can_scan = true,
        .is_read_only = true,
        .open = reference_open,
        .close = reference_close,
        .write = reference_write,
        .describe = reference_describe,
        .scan = reference_scan,
        .lookup = reference_lookup,
        .health = reference_health,
};
