#define _GNU_SOURCE
#include "conform/rig.h"

#include "base/check.h"
#include "base/mem.h"

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static bool
emit(const struct driver_env *env, unsigned hops, struct bytes topic, struct bytes payload,
     struct diag_list *diags)
{
    struct rig *rig = env->emit_context;
    if (rig->emit_fails) {
        diag_error(diags, DIAG_IO, "the stream is full");
        return false;
    }
    buf_append(&rig->emitted, topic);
    buf_append_char(&rig->emitted, ' ');
    buf_append(&rig->emitted, payload);
    buf_append_char(&rig->emitted, '\n');
    return true;
}

static bool
set_options(struct rig *rig, const char *const *options)
{
    const struct option_table *table = &rig->driver->options;
    bool good = true;
    for (; options != NULL && *options != NULL; options += 2) {
        good = option_set(table, rig->options, bytes_of_string(options[0]),
                          bytes_of_string(options[1]), NULL, &rig->diags) &&
               good;
    }
    return good && option_check_required(table, rig->options, &(struct diag_place){0}, &rig->diags);
}

bool
rig_open(struct rig *rig, const struct rig_setup *setup)
{
    *rig = (struct rig){.next_position = 1};
    rig->driver = driver_find(bytes_of_string(setup->driver));
    check(rig->driver != NULL);
    snprintf(rig->dir, sizeof rig->dir, "/tmp/headgate-rig-XXXXXX");
    check(mkdtemp(rig->dir) != NULL);
    check(asprintf(&rig->data_dir, "%s/data", rig->dir) > 0);
    rig->paths = (struct gateway_paths){.executable = setup->executable,
                                        .handlers_dir = setup->handlers_dir};
    rig->env = (struct driver_env){.os = &os_posix,
                                   .name = setup->name == NULL ? "rig" : setup->name,
                                   .data_dir = rig->data_dir, .paths = &rig->paths, .emit = emit,
                                   .emit_context = rig};
    rig->declaration.source = bytes_of_string(setup->source);
    rig->options = mem_alloc_zeroed(1, rig->driver->options_size + 1);
    option_defaults(&rig->driver->options, rig->options);
    return set_options(rig, setup->options) &&
           rig->driver->open(&rig->instance, &rig->env, rig->options, &rig->declaration,
                             &rig->diags);
}

static int
remove_entry(const char *path, const struct stat *info, int type, struct FTW *ftw)
{
    return remove(path);
}

void
rig_remove_tree(const char *path)
{
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

void
rig_close(struct rig *rig)
{
    if (rig->instance != NULL) {
        rig->driver->close(rig->instance);
    }
    option_fini(&rig->driver->options, rig->options);
    free(rig->options);
    rig_remove_tree(rig->dir);
    free(rig->data_dir);
    free(rig->outcomes);
    buf_fini(&rig->emitted);
    arena_fini(&rig->arena);
    diag_list_fini(&rig->diags);
}

/* Appends to a block that was reserved large enough, so that the view stays valid. */
static struct bytes
place(struct buf *block, struct bytes text)
{
    size_t start = block->size;
    buf_append(block, text);
    return bytes_of(block->data + start, text.size);
}

void
rig_write(struct rig *rig, const struct bytes *payloads, size_t count, int64_t timeout_ms)
{
    size_t bytes = count * 64;
    for (size_t i = 0; i < count; i++) {
        bytes += payloads[i].size;
    }
    struct buf block = {0};
    buf_reserve(&block, bytes);
    struct sink_record *records = mem_new_array(struct sink_record, count);
    for (size_t i = 0; i < count; i++) {
        records[i] = (struct sink_record){
                .id = {.position = rig->next_position++}, .time_us = 1700000000000000 + (int64_t)i,
                .stream = place(&block, BYTES("mqtt")), .rule = place(&block, BYTES("hot")),
                .target = place(&block, BYTES("alerts/7")),
                .source = place(&block, BYTES("sensors/7/data")),
                .params = rig->params == NULL ? BYTES("") : bytes_of_string(rig->params),
                .payload = place(&block, payloads[i])};
    }
    free(rig->outcomes);
    rig->outcomes = mem_new_array(struct outcome, count);
    rig->count = count;
    arena_reset(&rig->arena);
    struct batch batch = {.records = records, .outcomes = rig->outcomes, .count = count,
                          .deadline_us = os_posix.mono_us(&os_posix) + timeout_ms * 1000,
                          .arena = &rig->arena};
    rig->driver->write(rig->instance, &batch);
    memset(block.data, 0xdb, block.capacity);
    memset(records, 0xdb, count * sizeof *records);
    buf_fini(&block);
    free(records);
}

void
rig_write_strings(struct rig *rig, const char *const *payloads, size_t count, int64_t timeout_ms)
{
    struct bytes *views = mem_new_array(struct bytes, count);
    for (size_t i = 0; i < count; i++) {
        views[i] = bytes_of_string(payloads[i]);
    }
    rig_write(rig, views, count, timeout_ms);
    free(views);
}

size_t
rig_count(const struct rig *rig, enum verdict verdict)
{
    size_t found = 0;
    for (size_t i = 0; i < rig->count; i++) {
        found += rig->outcomes[i].verdict == verdict;
    }
    return found;
}

size_t
rig_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    check(dir != NULL);
    size_t count = 0;
    while (readdir(dir) != NULL) {
        count++;
    }
    closedir(dir);
    return count - 3; /* ".", ".." and the folder itself */
}
