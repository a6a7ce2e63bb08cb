#include "rules_kept.h"

#include "base/os.h"
#include "ruleset_build.h"

#include <stdlib.h>
#include <string.h>

enum { RULE_FILE_MAX_BYTES = 1024 * 1024 };

/* "DATA/rules/hot.sql" + ending */
static char *
path_of(const char *data_dir, const char *path, const char *ending)
{
    const char *slash = strrchr(path, '/');
    struct buf out = {0};
    buf_printf(&out, "%s/rules/%s%s", data_dir, slash == NULL ? path : slash + 1, ending);
    return buf_take_string(&out);
}

/* 0, or a negative errno. */
static int
keep(const struct os *os, const char *data_dir, const char *path, struct bytes text)
{
    char *loaded = path_of(data_dir, path, ""), *before = path_of(data_dir, path, ".before");
    struct buf kept = {0};
    bool is_there = os_read_file(os, loaded, RULE_FILE_MAX_BYTES, &kept) == 0;
    int result = 0;
    if (is_there && !bytes_equal(buf_bytes(&kept), text)) {
        result = os_replace_file(os, before, buf_bytes(&kept), 0600); /* as it may hold secrets */
    }
    if (result == 0 && (!is_there || !bytes_equal(buf_bytes(&kept), text))) {
        result = os_replace_file(os, loaded, text, 0600);
    }
    buf_fini(&kept);
    free(loaded);
    free(before);
    return result;
}

int
rules_keep(const struct os *os, const char *data_dir, const struct ruleset *ruleset)
{
    struct buf dir = {0};
    buf_printf(&dir, "%s/rules", data_dir);
    int result = os_make_dirs(os, buf_string(&dir), 0700);
    for (size_t i = 0; i < ruleset->file_count && result >= 0; i++) {
        result = keep(os, data_dir, ruleset->files[i]->path, ruleset->files[i]->compiled->text);
    }
    buf_fini(&dir);
    return result < 0 ? result : 0;
}

bool
rules_kept_other(const struct os *os, const char *data_dir, const char *path, struct bytes text,
                 struct buf *out)
{
    static const char *const endings[] = {"", ".before"};
    bool is_found = false;
    for (size_t i = 0; i < 2 && !is_found; i++) {
        char *kept = path_of(data_dir, path, endings[i]);
        buf_clear(out);
        is_found = os_read_file(os, kept, RULE_FILE_MAX_BYTES, out) == 0 &&
                   !bytes_equal(buf_bytes(out), text);
        free(kept);
    }
    return is_found;
}
