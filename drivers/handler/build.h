/*
 * From the source named in CREATE FUNCTION to a shared object that a worker can load.
 *
 * Sources lie directly in the handlers folder: the name has no path. Folder and file must belong
 * to root or to the gateway's user and be writable for nobody else, and the file is no symbolic
 * link: what lies there runs on this machine. A `.c` file is compiled by `cc`, a `.so` file is
 * copied; either way the object is named after a checksum of everything that went into it
 * (<source>-<checksum>.so in the data folder), so a restart compiles nothing, and an object is
 * never changed while a process has it loaded.
 */
#ifndef HEADGATE_DRIVERS_HANDLER_BUILD_H
#define HEADGATE_DRIVERS_HANDLER_BUILD_H

#include "base/diag.h"
#include "base/os.h"

struct handler_source {
    const struct os *os;
    const char *handlers_dir;
    struct bytes name;     /* "enrich.c", "enrich.so" */
    const char *libraries; /* "cjson,m", or NULL */
    const char *data_dir;  /* made when missing */
};

/*
 * Appends the object's path to `out_path`. Blocks while `cc` runs (at most 60 s). What `cc` says
 * becomes diags with file, line and column: errors on false, warnings on true.
 */
bool handler_build(const struct handler_source *source, struct buf *out_path,
                   struct diag_list *diags) MUST_CHECK;

/*
 * A number that changes when the source, or a header in its folder, may have changed. Looks at
 * times and sizes only; cheap enough for once a second.
 */
uint64_t handler_stamp(const struct handler_source *source);

#endif
