/*
 * Files are numbered nodes; the table of names is a list of {path, node}. There are two such
 * tables: as seen now, and as on the medium. Changes of names between two syncs are kept in order,
 * because a journalling file system brings them to the medium in order.
 */
#define _GNU_SOURCE
#include "crash_disk.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

enum { SECTOR_BYTES = 512, FD_COUNT = 256, FD_FIRST = 1000 };

/* Allocated space costs nothing here: what was not written is a number of zeros. */
struct content {
    struct buf data;
    size_t zeros; /* behind `data` */
};

struct node {
    struct content seen;
    struct content medium;
    bool is_locked;
};

struct name {
    char *path;
    size_t node;
};

struct names {
    struct name *items;
    size_t count;
    size_t capacity;
};

/* `from` now names `node`; SIZE_MAX: it names nothing any more. */
struct change {
    char *path;
    size_t node;
};

struct crash_disk {
    struct os os;
    struct node *nodes;
    size_t node_count;
    size_t node_capacity;
    struct names seen;
    struct names medium;
    struct change *changes; /* of names, not on the medium yet */
    size_t change_count;
    size_t change_capacity;
    struct {
        size_t node;
        bool is_open;
        bool has_lock;
    } fds[FD_COUNT];
    uint64_t random;
    int64_t now_us;
    int64_t ahead_us; /* of the wall clock */
    bool is_synchronised;
    unsigned boot;
    uint64_t made;
    uint64_t left; /* changing calls before all fail */
    enum crash_lie lie;
    uint64_t space;
};

static struct crash_disk *
self(const struct os *os)
{
    return (struct crash_disk *)(uintptr_t)os; /* `os` is the first member */
}

static uint64_t
next_random(struct crash_disk *disk)
{
    disk->random += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */
    uint64_t z = disk->random;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static bool
may_change(struct crash_disk *disk)
{
    if (disk->left == 0) {
        return false;
    }
    disk->left--;
    disk->made++;
    return true;
}

/* ---- names ---- */

static struct name *
name_find(const struct names *names, const char *path)
{
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->items[i].path, path) == 0) {
            return &names->items[i];
        }
    }
    return NULL;
}

static void
name_set(struct names *names, const char *path, size_t node)
{
    struct name *found = name_find(names, path);
    if (node == SIZE_MAX) {
        if (found != NULL) {
            free(found->path);
            *found = names->items[--names->count];
        }
        return;
    }
    if (found == NULL) {
        names->items = mem_grow(names->items, names->count, &names->capacity,
                                sizeof *names->items);
        found = &names->items[names->count++];
        found->path = bytes_to_string(bytes_of_string(path));
    }
    found->node = node;
}

static void
names_clear(struct names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        free(names->items[i].path);
    }
    names->count = 0;
}

static void
change_name(struct crash_disk *disk, const char *path, size_t node)
{
    name_set(&disk->seen, path, node);
    disk->changes = mem_grow(disk->changes, disk->change_count, &disk->change_capacity,
                             sizeof *disk->changes);
    disk->changes[disk->change_count++] =
            (struct change){bytes_to_string(bytes_of_string(path)), node};
}

static bool
is_in(const char *path, const char *dir)
{
    size_t size = strlen(dir);
    return strncmp(path, dir, size) == 0 && path[size] == '/' &&
           strchr(path + size + 1, '/') == NULL;
}

/* ---- contents ---- */

static size_t
size_of(const struct content *content)
{
    return content->data.size + content->zeros;
}

static void
resize(struct content *content, size_t size)
{
    content->data.size = content->data.size < size ? content->data.size : size;
    content->zeros = size - content->data.size;
}

/* Makes bytes of the zeros before `end`. */
static void
fill(struct content *content, size_t end)
{
    size_t size = size_of(content);
    if (end > content->data.size) {
        size_t more = end - content->data.size;
        memset(buf_reserve(&content->data, more), 0, more);
        content->data.size = end;
    }
    resize(content, size > end ? size : end);
}

static void
copy_content(struct content *to, const struct content *from)
{
    buf_clear(&to->data);
    buf_append(&to->data, buf_bytes(&from->data));
    to->zeros = from->zeros;
}

/* ---- struct os ---- */

static int64_t
disk_clock(const struct os *os)
{
    return self(os)->now_us++;
}

static int64_t
disk_wall_us(const struct os *os)
{
    return disk_clock(os) + self(os)->ahead_us;
}

static bool
disk_is_synchronised(const struct os *os)
{
    return self(os)->is_synchronised;
}

static void
disk_random(const struct os *os, void *out, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        ((char *)out)[i] = (char)next_random(self(os));
    }
}

static size_t
node_new(struct crash_disk *disk)
{
    disk->nodes = mem_grow(disk->nodes, disk->node_count, &disk->node_capacity,
                           sizeof *disk->nodes);
    disk->nodes[disk->node_count] = (struct node){0};
    return disk->node_count++;
}

static int
fd_new(struct crash_disk *disk, size_t node)
{
    for (int i = 0; i < FD_COUNT; i++) {
        if (!disk->fds[i].is_open) {
            disk->fds[i].is_open = true;
            disk->fds[i].has_lock = false;
            disk->fds[i].node = node;
            return FD_FIRST + i;
        }
    }
    return -EMFILE;
}

static struct node *
node_of(const struct os *os, int fd)
{
    check(fd >= FD_FIRST && fd < FD_FIRST + FD_COUNT && self(os)->fds[fd - FD_FIRST].is_open);
    return &self(os)->nodes[self(os)->fds[fd - FD_FIRST].node];
}

static int
disk_open(const struct os *os, const char *path, int flags, mode_t mode)
{
    struct crash_disk *disk = self(os);
    if (strcmp(path, "/proc/sys/kernel/random/boot_id") == 0) {
        size_t node = node_new(disk);
        buf_printf(&disk->nodes[node].seen.data, "boot %u", disk->boot);
        return fd_new(disk, node);
    }
    struct name *name = name_find(&disk->seen, path);
    if (name == NULL && (flags & O_CREAT) == 0) {
        return -ENOENT;
    }
    bool changes = name == NULL || (flags & O_TRUNC) != 0;
    if (changes && !may_change(disk)) {
        return -EIO;
    }
    if (name == NULL) {
        change_name(disk, path, node_new(disk));
        name = name_find(&disk->seen, path);
    } else if ((flags & O_TRUNC) != 0) {
        resize(&disk->nodes[name->node].seen, 0);
    }
    return fd_new(disk, name->node);
}

static int
disk_close(const struct os *os, int fd)
{
    if (node_of(os, fd)->is_locked && self(os)->fds[fd - FD_FIRST].has_lock) {
        node_of(os, fd)->is_locked = false;
    }
    self(os)->fds[fd - FD_FIRST].is_open = false;
    return 0;
}

static ssize_t
disk_pread(const struct os *os, int fd, void *out, size_t size, int64_t offset)
{
    const struct content *content = &node_of(os, fd)->seen;
    size_t from = (size_t)offset;
    size_t end = size_of(content);
    size_t count = from >= end ? 0 : end - from < size ? end - from : size;
    struct bytes part = bytes_slice(buf_bytes(&content->data), from, from + count);
    if (part.size > 0) {
        memcpy(out, part.data, part.size);
    }
    if (count > part.size) {
        memset((char *)out + part.size, 0, count - part.size);
    }
    return (ssize_t)count;
}

static bool
has_space(const struct crash_disk *disk, size_t more)
{
    uint64_t used = 0;
    for (size_t i = 0; i < disk->seen.count; i++) {
        used += size_of(&disk->nodes[disk->seen.items[i].node].seen);
    }
    return disk->space == 0 || used + more <= disk->space;
}

static ssize_t
disk_pwrite(const struct os *os, int fd, const void *data, size_t size, int64_t offset)
{
    struct content *content = &node_of(os, fd)->seen;
    if (!may_change(self(os))) {
        return -EIO;
    }
    size_t end = (size_t)offset + size;
    if (end > size_of(content) && !has_space(self(os), end - size_of(content))) {
        return -ENOSPC;
    }
    fill(content, end);
    memcpy(content->data.data + offset, data, size);
    return (ssize_t)size;
}

static int
disk_sync(const struct os *os, int fd)
{
    struct node *node = node_of(os, fd);
    if (!may_change(self(os))) {
        return -EIO;
    }
    if (self(os)->lie != CRASH_LIE_SYNC) {
        copy_content(&node->medium, &node->seen);
    }
    return 0;
}

static int
disk_truncate(const struct os *os, int fd, int64_t size)
{
    if (!may_change(self(os))) {
        return -EIO;
    }
    resize(&node_of(os, fd)->seen, (size_t)size);
    return 0;
}

static int
disk_allocate(const struct os *os, int fd, int64_t size)
{
    struct content *content = &node_of(os, fd)->seen;
    if (!may_change(self(os))) {
        return -EIO;
    }
    if ((size_t)size > size_of(content)) {
        if (!has_space(self(os), (size_t)size - size_of(content))) {
            return -ENOSPC;
        }
        resize(content, (size_t)size);
    }
    return 0;
}

static int64_t
disk_size(const struct os *os, int fd)
{
    return (int64_t)size_of(&node_of(os, fd)->seen);
}

static int
disk_rename(const struct os *os, const char *from, const char *to)
{
    struct name *name = name_find(&self(os)->seen, from);
    if (name == NULL) {
        return -ENOENT;
    }
    if (!may_change(self(os))) {
        return -EIO;
    }
    size_t node = name->node;
    change_name(self(os), to, node);
    change_name(self(os), from, SIZE_MAX);
    return 0;
}

static int
disk_unlink(const struct os *os, const char *path)
{
    if (name_find(&self(os)->seen, path) == NULL) {
        return -ENOENT;
    }
    if (!may_change(self(os))) {
        return -EIO;
    }
    change_name(self(os), path, SIZE_MAX);
    return 0;
}

static int
disk_mkdir(const struct os *os, const char *path, mode_t mode)
{
    return 0;
}

/* Brings the first `count` changes of names to the medium; with `dir` only those in it. */
static void
commit_names(struct crash_disk *disk, size_t count, const char *dir)
{
    size_t kept = 0;
    for (size_t i = 0; i < disk->change_count; i++) {
        struct change change = disk->changes[i];
        if (i < count && (dir == NULL || is_in(change.path, dir))) {
            name_set(&disk->medium, change.path, change.node);
            free(change.path);
        } else {
            disk->changes[kept++] = change;
        }
    }
    disk->change_count = kept;
}

static int
disk_sync_dir(const struct os *os, const char *path)
{
    if (!may_change(self(os))) {
        return -EIO;
    }
    if (self(os)->lie != CRASH_LIE_SYNC_DIR) {
        commit_names(self(os), SIZE_MAX, path);
    }
    return 0;
}

static int
disk_list(const struct os *os, const char *path, void (*each)(void *context, const char *name),
          void *context)
{
    const struct names *names = &self(os)->seen;
    for (size_t i = 0; i < names->count; i++) {
        if (is_in(names->items[i].path, path)) {
            each(context, names->items[i].path + strlen(path) + 1);
        }
    }
    return 0;
}

static int64_t
disk_free_bytes(const struct os *os, const char *path)
{
    struct crash_disk *disk = self(os);
    uint64_t used = 0;
    for (size_t i = 0; i < disk->seen.count; i++) {
        used += size_of(&disk->nodes[disk->seen.items[i].node].seen);
    }
    return disk->space == 0 ? INT64_MAX : used < disk->space ? (int64_t)(disk->space - used) : 0;
}

static int
disk_lock(const struct os *os, int fd)
{
    if (node_of(os, fd)->is_locked) {
        return -EWOULDBLOCK;
    }
    node_of(os, fd)->is_locked = true;
    self(os)->fds[fd - FD_FIRST].has_lock = true;
    return 0;
}

/* ---- the test's side ---- */

struct crash_disk *
crash_disk_new(uint64_t seed)
{
    struct crash_disk *disk = mem_new(struct crash_disk);
    disk->random = seed;
    disk->now_us = 1740000000000000;
    disk->is_synchronised = true;
    disk->left = UINT64_MAX;
    disk->os = (struct os){
            .wall_us = disk_wall_us,
            .mono_us = disk_clock,
            .is_synchronised = disk_is_synchronised,
            .random = disk_random,
            .open = disk_open,
            .close = disk_close,
            .pread = disk_pread,
            .pwrite = disk_pwrite,
            .sync = disk_sync,
            .truncate = disk_truncate,
            .allocate = disk_allocate,
            .size = disk_size,
            .rename = disk_rename,
            .unlink = disk_unlink,
            .mkdir = disk_mkdir,
            .sync_dir = disk_sync_dir,
            .list = disk_list,
            .free_bytes = disk_free_bytes,
            .lock = disk_lock,
    };
    return disk;
}

void
crash_disk_free(struct crash_disk *disk)
{
    names_clear(&disk->seen);
    names_clear(&disk->medium);
    free(disk->seen.items);
    free(disk->medium.items);
    for (size_t i = 0; i < disk->change_count; i++) {
        free(disk->changes[i].path);
    }
    free(disk->changes);
    for (size_t i = 0; i < disk->node_count; i++) {
        buf_fini(&disk->nodes[i].seen.data);
        buf_fini(&disk->nodes[i].medium.data);
    }
    free(disk->nodes);
    free(disk);
}

const struct os *
crash_disk_os(struct crash_disk *disk)
{
    return &disk->os;
}

void
crash_disk_stop_after(struct crash_disk *disk, uint64_t count)
{
    disk->left = count;
}

uint64_t
crash_disk_changes(const struct crash_disk *disk)
{
    return disk->made;
}

void
crash_disk_lie(struct crash_disk *disk, enum crash_lie lie)
{
    disk->lie = lie;
}

void
crash_disk_advance(struct crash_disk *disk, int64_t us)
{
    disk->now_us += us;
}

void
crash_disk_set_clock(struct crash_disk *disk, int64_t ahead_us, bool is_synchronised)
{
    disk->ahead_us = ahead_us;
    disk->is_synchronised = is_synchronised;
}

/* Each sector as written or as on the medium, by chance; the size likewise. */
static void
tear(struct crash_disk *disk, struct node *node)
{
    struct content *seen = &node->seen, *medium = &node->medium;
    size_t size = size_of(next_random(disk) % 2 == 0 ? seen : medium);
    size_t written =
            seen->data.size > medium->data.size ? seen->data.size : medium->data.size;
    size_t end = written < size ? written : size;
    resize(medium, size > size_of(medium) ? size : size_of(medium));
    fill(medium, end);
    fill(seen, end < size_of(seen) ? end : size_of(seen));
    for (size_t at = 0; at < end && at < seen->data.size; at += SECTOR_BYTES) {
        if (next_random(disk) % 2 == 0) {
            size_t stop = at + SECTOR_BYTES < end ? at + SECTOR_BYTES : end;
            stop = stop < seen->data.size ? stop : seen->data.size;
            memcpy(medium->data.data + at, seen->data.data + at, stop - at);
        }
    }
    resize(medium, size);
}

static bool
is_as_on_medium(const struct node *node)
{
    return node->seen.zeros == node->medium.zeros &&
           bytes_equal(buf_bytes(&node->seen.data), buf_bytes(&node->medium.data));
}

static void
restart(struct crash_disk *disk)
{
    for (size_t i = 0; i < disk->node_count; i++) {
        disk->nodes[i].is_locked = false;
    }
    for (int i = 0; i < FD_COUNT; i++) {
        disk->fds[i].is_open = false;
    }
    disk->left = UINT64_MAX;
}

void
crash_disk_cut(struct crash_disk *disk, enum crash_mode mode)
{
    restart(disk);
    if (mode == CRASH_KILL) {
        return;
    }
    disk->boot++;
    if (mode == CRASH_TEAR) {
        commit_names(disk, next_random(disk) % (disk->change_count + 1), NULL);
    }
    for (size_t i = 0; i < disk->change_count; i++) {
        free(disk->changes[i].path);
    }
    disk->change_count = 0;
    for (size_t i = 0; i < disk->node_count; i++) {
        struct node *node = &disk->nodes[i];
        if (mode == CRASH_TEAR && !is_as_on_medium(node)) {
            tear(disk, node);
        }
        copy_content(&node->seen, &node->medium);
    }
    names_clear(&disk->seen);
    for (size_t i = 0; i < disk->medium.count; i++) {
        name_set(&disk->seen, disk->medium.items[i].path, disk->medium.items[i].node);
    }
}

void
crash_disk_set_space(struct crash_disk *disk, uint64_t bytes)
{
    disk->space = bytes;
}

struct buf *
crash_disk_file(struct crash_disk *disk, const char *path)
{
    struct name *name = name_find(&disk->seen, path);
    if (name == NULL) {
        return NULL;
    }
    struct content *content = &disk->nodes[name->node].seen;
    fill(content, size_of(content));
    return &content->data;
}

void
crash_disk_put(struct crash_disk *disk, const char *path, struct bytes content)
{
    size_t node = node_new(disk);
    buf_append(&disk->nodes[node].seen.data, content);
    buf_append(&disk->nodes[node].medium.data, content);
    name_set(&disk->seen, path, node);
    name_set(&disk->medium, path, node);
}
