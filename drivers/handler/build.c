/*
 * Finding, checking, compiling and keeping handler objects.
 *
 * Invariants. The checks are made on the open file, not on its path. An object appears under its
 * final name only when it is whole (rename). After a success the data folder holds one object of
 * the source: older ones are unlinked, which a process that has them loaded does not notice.
 */
#define _GNU_SOURCE
#include "build.h"

#include "base/child.h"
#include "base/wire.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    SOURCE_MAX_BYTES = 64 * 1024 * 1024,
    CC_OUTPUT_MAX_BYTES = 64 * 1024,
    CC_TIMEOUT_MS = 60000,
    CC_ARGUMENTS_MAX = 48,
};

static const char header_text[] = {
#include "handler_header_text.h"
};

/* ---- the file ---- */

static bool
check_name(struct bytes name, struct diag_list *diags)
{
    bool plain = name.size > 0 && name.size < NAME_MAX - 40 && name.data[0] != '.';
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        plain = plain && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                          (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-');
    }
    if (!plain || !(bytes_ends_with(name, BYTES(".c")) || bytes_ends_with(name, BYTES(".so")))) {
        diag_error(diags, DIAG_INVALID, "'%.*s' is not the name of a handler", BYTES_ARG(name));
        diag_hint(diags, "name a .c or .so file that lies in the handlers folder, without a path");
        return false;
    }
    return true;
}

/* Whether only root or this user can change what `fd` is. */
static bool
check_owner(int fd, const char *path, mode_t type, struct stat *info, struct diag_list *diags)
{
    if (fstat(fd, info) < 0) {
        diag_io_error(diags, errno, "cannot examine '%s'", path);
    } else if ((info->st_mode & S_IFMT) != type) {
        diag_error(diags, DIAG_INVALID, "'%s' is not a %s", path,
                   type == S_IFDIR ? "folder" : "regular file");
    } else if (info->st_uid != 0 && info->st_uid != geteuid()) {
        diag_error(diags, DIAG_INVALID, "'%s' belongs to another user", path);
        diag_hint(diags, "it must belong to root or to the user that the gateway runs as");
    } else if ((info->st_mode & 022) != 0) {
        diag_error(diags, DIAG_INVALID, "'%s' can be written by others (mode %03o)", path,
                   (unsigned)(info->st_mode & 0777));
        diag_hint(diags, "chmod go-w '%s'", path);
    } else {
        return true;
    }
    return false;
}

static int
open_dir(const struct handler_source *source, struct diag_list *diags)
{
    struct stat info;
    int dir = open(source->handlers_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) {
        diag_io_error(diags, errno, "cannot open the handlers folder '%s'", source->handlers_dir);
        return -1;
    }
    if (!check_owner(dir, source->handlers_dir, S_IFDIR, &info, diags)) {
        close(dir);
        return -1;
    }
    return dir;
}

static bool
read_all(int fd, size_t size, struct buf *out)
{
    char *data = buf_reserve(out, size);
    size_t done = 0;
    while (done < size) {
        ssize_t n = pread(fd, data + done, size - done, (off_t)done);
        if (n <= 0) {
            return false;
        }
        done += (size_t)n;
    }
    out->size += size;
    return true;
}

static bool
read_source(const struct handler_source *source, int dir, const char *path, struct buf *out,
            struct diag_list *diags)
{
    char *name = bytes_to_string(source->name);
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    int open_error = errno;
    free(name);
    struct stat info;
    bool good = false;
    if (fd < 0 && open_error == ELOOP) {
        diag_error(diags, DIAG_INVALID, "'%s' is a symbolic link", path);
    } else if (fd < 0 && open_error == ENOENT) {
        diag_error(diags, DIAG_MISSING, "there is no handler '%s'", path);
    } else if (fd < 0) {
        diag_io_error(diags, open_error, "cannot open '%s'", path);
    } else if (check_owner(fd, path, S_IFREG, &info, diags)) {
        if (info.st_size > SOURCE_MAX_BYTES) {
            diag_error(diags, DIAG_INVALID, "'%s' is larger than 64 MiB", path);
        } else if (!read_all(fd, (size_t)info.st_size, out)) {
            diag_error(diags, DIAG_IO, "cannot read '%s'", path);
        } else {
            good = true;
        }
    }
    if (fd >= 0) {
        close(fd);
    }
    return good;
}

/* ---- stamp and checksum ---- */

static bool
is_header(const char *name)
{
    return bytes_ends_with(bytes_of_string(name), BYTES(".h"));
}

/* Calls `each` for the source and every header beside it, in no order. */
static void
each_input(const struct handler_source *source, int dir,
           void (*each)(void *context, int dir, const char *name), void *context)
{
    DIR *listing = fdopendir(dup(dir));
    if (listing == NULL) {
        return;
    }
    rewinddir(listing);
    for (struct dirent *entry = readdir(listing); entry != NULL; entry = readdir(listing)) {
        if (bytes_equal_string(source->name, entry->d_name) || is_header(entry->d_name)) {
            each(context, dir, entry->d_name);
        }
    }
    closedir(listing);
}

static void
add_stamp(void *context, int dir, const char *name)
{
    uint64_t *sum = context;
    struct stat info;
    if (fstatat(dir, name, &info, AT_SYMLINK_NOFOLLOW) == 0) {
        int64_t facts[] = {(int64_t)info.st_mtim.tv_sec, (int64_t)info.st_mtim.tv_nsec,
                           (int64_t)info.st_ctim.tv_sec, (int64_t)info.st_ctim.tv_nsec,
                           (int64_t)info.st_size,        (int64_t)info.st_ino};
        uint64_t part = wire_crc32c(0, bytes_of(facts, sizeof facts));
        *sum += (part << 20) + part + 1; /* order does not matter */
    }
}

uint64_t
handler_stamp(const struct handler_source *source)
{
    uint64_t sum = 0;
    int dir = open(source->handlers_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir >= 0) {
        each_input(source, dir, add_stamp, &sum);
        close(dir);
    }
    return sum;
}

static void
add_header_content(void *context, int dir, const char *name)
{
    uint32_t *sum = context;
    struct buf content = {0};
    struct stat info;
    int fd = is_header(name) ? openat(dir, name, O_RDONLY | O_NONBLOCK | O_CLOEXEC) : -1;
    if (fd >= 0 && fstat(fd, &info) == 0 && S_ISREG(info.st_mode) &&
        info.st_size <= SOURCE_MAX_BYTES && read_all(fd, (size_t)info.st_size, &content)) {
        uint32_t named = wire_crc32c(0, bytes_of(name, strlen(name) + 1));
        *sum += wire_crc32c(named, buf_bytes(&content));
    }
    if (fd >= 0) {
        close(fd);
    }
    buf_fini(&content);
}

static uint32_t
checksum(const struct handler_source *source, int dir, struct bytes content)
{
    uint32_t sum = wire_crc32c(0, content);
    if (bytes_ends_with(source->name, BYTES(".c"))) {
        sum = wire_crc32c(sum, bytes_of(header_text, sizeof header_text));
        sum = wire_crc32c(sum, bytes_of_string(source->libraries));
        each_input(source, dir, add_header_content, &sum);
    }
    return sum;
}

/* ---- what cc says ---- */

struct cc_run {
    const struct handler_source *source;
    const char *path; /* of the source */
    struct bytes content;
    struct diag_list *diags;
    size_t errors;
};

static struct bytes
source_line(struct bytes text, int64_t number)
{
    struct bytes rest = text, line = {0};
    for (int64_t i = 0; i < number; i++) {
        if (!bytes_split(&rest, '\n', &line)) {
            return BYTES("");
        }
    }
    return line;
}

/* "path:line:column: error: message" as a diag with a place; false for other lines. */
static bool
take_message(struct cc_run *run, struct bytes line, bool succeeded)
{
    static const struct {
        const char *word;
        enum diag_level level;
    } kinds[] = {{": fatal error: ", DIAG_ERROR}, {": error: ", DIAG_ERROR},
                 {": warning: ", DIAG_WARNING}};
    for (size_t i = 0; i < 3; i++) {
        const char *found = memmem(line.data, line.size, kinds[i].word, strlen(kinds[i].word));
        struct bytes where = bytes_of(line.data, found == NULL ? 0 : (size_t)(found - line.data));
        struct bytes file, number, column;
        int64_t line_number = 0, column_number = 0;
        if (found == NULL || !bytes_split(&where, ':', &file) ||
            !bytes_split(&where, ':', &number) || !bytes_split(&where, ':', &column) ||
            !bytes_to_int64(number, &line_number) || !bytes_to_int64(column, &column_number)) {
            continue;
        }
        struct diag_place place = {.file = file, .line = (unsigned)line_number,
                                   .column = (unsigned)column_number};
        if (bytes_equal_string(file, run->path)) {
            place.source_line = source_line(run->content, line_number);
        }
        size_t start = (size_t)(found - line.data) + strlen(kinds[i].word);
        struct bytes message = bytes_slice(line, start, line.size);
        if (!succeeded || kinds[i].level == DIAG_WARNING) {
            diag_at(run->diags, kinds[i].level, &place, "%.*s", BYTES_ARG(message));
            run->errors += kinds[i].level == DIAG_ERROR;
        }
        return true;
    }
    return false;
}

static void
report(struct cc_run *run, struct bytes output, int status)
{
    struct bytes rest = output, line, first = BYTES("");
    bool succeeded = status == 0;
    while (bytes_split(&rest, '\n', &line)) {
        if (!take_message(run, line, succeeded) && first.size == 0 &&
            memmem(line.data, line.size, ": ", 2) != NULL &&
            memmem(line.data, line.size, ": In ", 5) == NULL) {
            first = line; /* of the linker, or of the shell */
        }
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
        diag_error(run->diags, DIAG_INVALID, "cannot compile '%s': there is no C compiler",
                   run->path);
        diag_hint(run->diags, "install one (apt install gcc libc6-dev), or give a .so file that "
                              "was compiled elsewhere");
    } else if (!succeeded && run->errors == 0) {
        diag_error(run->diags, DIAG_INVALID, "cc cannot compile '%s': %.*s", run->path,
                   BYTES_ARG(first));
    }
}

/* ---- running cc ---- */

/* Reads until the other end closes; false on timeout. Keeps the first 64 KiB. */
static bool
read_output(int fd, struct buf *out)
{
    int64_t deadline_us = os_posix.mono_us(&os_posix) + (int64_t)CC_TIMEOUT_MS * 1000;
    for (;;) {
        int64_t left_ms = (deadline_us - os_posix.mono_us(&os_posix)) / 1000;
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        if (left_ms <= 0 || poll(&poll_fd, 1, (int)left_ms) == 0) {
            return false;
        }
        char piece[4096];
        ssize_t n = read(fd, piece, sizeof piece);
        if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN)) {
            return true;
        }
        if (n > 0 && out->size < CC_OUTPUT_MAX_BYTES) {
            buf_append(out, bytes_of(piece, (size_t)n));
        }
    }
}

/* Runs argv through the shell, which joins its output into the socket. The exit status, or -1. */
static int
run_command(const char *const *argv, struct buf *output, struct diag_list *diags)
{
    struct child child;
    if (!child_spawn(&child, "/bin/sh", argv, NULL, 0, diags)) {
        return -1;
    }
    int status = -1;
    bool ended = read_output(child.fd, output);
    for (int waited_ms = 0; ended && waited_ms < 1000; waited_ms++) {
        if (child_has_ended(&child, &status)) {
            break;
        }
        usleep(1000);
    }
    child_stop(&child, 0);
    if (!ended) {
        diag_error(diags, DIAG_TIMEOUT, "cc did not end within %d s", CC_TIMEOUT_MS / 1000);
    }
    return ended ? status : -1;
}

/* "-lcjson" for each name; false on a name that could be anything but a library's. */
static bool
add_libraries(const char *libraries, const char **argv, size_t *count, struct arena *arena,
              struct diag_list *diags)
{
    struct bytes rest = bytes_of_string(libraries), part;
    while (libraries != NULL && bytes_split(&rest, ',', &part)) {
        struct bytes name = bytes_trim(part);
        bool plain = name.size > 0 && *count < CC_ARGUMENTS_MAX - 2;
        for (size_t i = 0; i < name.size; i++) {
            char c = name.data[i];
            plain = plain && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                              (c >= '0' && c <= '9') || c == '_' || c == '+' ||
                              (i > 0 && (c == '-' || c == '.')));
        }
        if (!plain) {
            diag_error(diags, DIAG_INVALID, "'%.*s' in 'libraries' is not the name of a library",
                       BYTES_ARG(name));
            return false;
        }
        argv[(*count)++] = arena_printf(arena, "-l%.*s", BYTES_ARG(name)).data;
    }
    return true;
}

static bool
write_header(const struct handler_source *source, struct arena *arena, struct diag_list *diags)
{
    const char *dir = arena_printf(arena, "%s/include/headgate", source->data_dir).data;
    const char *path = arena_printf(arena, "%s/handler.h", dir).data;
    int result = os_make_dirs(source->os, dir, 0700);
    if (result == 0) {
        result = os_replace_file(source->os, path, bytes_of(header_text, sizeof header_text), 0600);
    }
    if (result < 0) {
        diag_io_error(diags, -result, "cannot write '%s'", path);
    }
    return result == 0;
}

static bool
compile(const struct handler_source *source, const char *path, struct bytes content,
        const char *object, struct diag_list *diags)
{
    struct arena arena = {0};
    const char *draft = arena_printf(&arena, "%s.new", object).data;
    const char *argv[CC_ARGUMENTS_MAX] = {
            "sh", "-c", "export LC_ALL=C; exec \"$@\" >&3 2>&1 3>&-", "sh", "cc", "-std=gnu17",
            "-O2", "-g", "-fPIC", "-shared", "-Wall", "-fstack-protector-strong",
            "-fdiagnostics-color=never", "-fvisibility=hidden",
            arena_printf(&arena, "-I%s/include", source->data_dir).data, "-o", draft, path};
    size_t count = 0;
    while (argv[count] != NULL) {
        count++;
    }
    struct buf output = {0};
    bool good = write_header(source, &arena, diags) &&
                add_libraries(source->libraries, argv, &count, &arena, diags);
    if (good) {
        int status = run_command(argv, &output, diags);
        struct cc_run run = {source, path, content, diags, 0};
        if (status != -1) {
            report(&run, buf_bytes(&output), status);
        }
        good = status == 0;
    }
    int result = good ? source->os->rename(source->os, draft, object) : 0;
    if (result < 0) {
        diag_io_error(diags, -result, "cannot rename '%s'", draft);
    } else if (!good) {
        source->os->unlink(source->os, draft);
    }
    buf_fini(&output);
    arena_fini(&arena);
    return good && result == 0;
}

/* ---- the object ---- */

struct sweep {
    const struct handler_source *source;
    const char *keep;
};

/* Unlinks "<source>-*.so" but the one to keep. */
static void
sweep_entry(void *context, const char *name)
{
    struct sweep *sweep = context;
    struct bytes entry = bytes_of_string(name);
    struct buf path = {0};
    buf_printf(&path, "%s/%s", sweep->source->data_dir, name);
    if (bytes_starts_with(entry, sweep->source->name) && bytes_ends_with(entry, BYTES(".so")) &&
        strcmp(buf_string(&path), sweep->keep) != 0) {
        sweep->source->os->unlink(sweep->source->os, buf_string(&path));
    }
    buf_fini(&path);
}

static bool
make_object(const struct handler_source *source, const char *path, struct bytes content,
            const char *object, struct diag_list *diags)
{
    int result = os_make_dirs(source->os, source->data_dir, 0700);
    if (result < 0) {
        diag_io_error(diags, -result, "cannot make the folder '%s'", source->data_dir);
        return false;
    }
    if (access(object, R_OK) == 0) {
        return true;
    }
    if (bytes_ends_with(source->name, BYTES(".c"))) {
        if (!compile(source, path, content, object, diags)) {
            return false;
        }
    } else if ((result = os_replace_file(source->os, object, content, 0500)) < 0) {
        diag_io_error(diags, -result, "cannot write '%s'", object);
        return false;
    }
    struct sweep sweep = {source, object};
    (void)!source->os->list(source->os, source->data_dir, sweep_entry, &sweep);
    return true;
}

bool
handler_build(const struct handler_source *source, struct buf *out_path, struct diag_list *diags)
{
    if (!check_name(source->name, diags)) {
        return false;
    }
    int dir = open_dir(source, diags);
    if (dir < 0) {
        return false;
    }
    struct buf path = {0}, content = {0}, object = {0};
    buf_printf(&path, "%s/%.*s", source->handlers_dir, BYTES_ARG(source->name));
    bool good = read_source(source, dir, buf_string(&path), &content, diags);
    if (good) {
        uint32_t sum = checksum(source, dir, buf_bytes(&content));
        buf_printf(&object, "%s/%.*s-%08" PRIx32 ".so", source->data_dir, BYTES_ARG(source->name),
                   sum);
        good = make_object(source, buf_string(&path), buf_bytes(&content), buf_string(&object),
                           diags);
    }
    if (good) {
        buf_append(out_path, buf_bytes(&object));
    }
    close(dir);
    buf_fini(&path);
    buf_fini(&content);
    buf_fini(&object);
    return good;
}
