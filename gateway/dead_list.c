/* Removals are collected, sorted and joined, so that a letter is looked up by halving. */
#define _GNU_SOURCE
#include "dead_list.h"

#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>

struct removals {
    struct dead_removal *items; /* once sorted: rising and apart from each other */
    size_t count;
    size_t capacity;
};

static void
add_removal(struct removals *removals, struct dead_removal removal)
{
    struct dead_removal *last =
            removals->count == 0 ? NULL : &removals->items[removals->count - 1];
    if (last != NULL && last->to == removal.from) {
        last->to = removal.to;
        return;
    }
    removals->items = mem_grow(removals->items, removals->count, &removals->capacity,
                               sizeof *removals->items);
    removals->items[removals->count++] = removal;
}

static int
compare_removals(const void *a, const void *b)
{
    const struct dead_removal *x = a, *y = b;
    return x->from < y->from ? -1 : x->from > y->from;
}

static void
sort_removals(struct removals *removals)
{
    size_t kept = 0;
    if (removals->count == 0) {
        return;
    }
    qsort(removals->items, removals->count, sizeof *removals->items, compare_removals);
    for (size_t i = 1; i < removals->count; i++) {
        struct dead_removal *last = &removals->items[kept];
        if (removals->items[i].from > last->to) {
            removals->items[++kept] = removals->items[i];
        } else if (removals->items[i].to > last->to) {
            last->to = removals->items[i].to;
        }
    }
    removals->count = kept + 1;
}

static bool
is_removed(const struct removals *removals, uint64_t position)
{
    size_t low = 0, high = removals->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (removals->items[middle].to <= position) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < removals->count && removals->items[low].from <= position;
}

/* Reads all records; false when the log cannot be read. `each` may end it. */
static bool
read_log(const struct os *os, const char *dir,
         bool (*each)(void *context, const struct record *record), void *context,
         struct diag_list *diags)
{
    struct journal_reader *reader = NULL;
    if (!journal_reader_open(&reader, os, dir, 0, diags)) {
        return false;
    }
    enum journal_read result = JOURNAL_RECORD;
    bool more = true;
    while (more) {
        struct record record;
        result = journal_reader_next(reader, UINT64_MAX, &record, diags);
        more = result == JOURNAL_GAP || (result == JOURNAL_RECORD && each(context, &record));
    }
    journal_reader_close(reader);
    return result != JOURNAL_ERROR;
}

static bool
collect_removal(void *context, const struct record *record)
{
    struct dead_removal removal;
    if (dead_removal_decode(record, &removal)) {
        add_removal(context, removal);
    }
    return true;
}

struct listing {
    struct removals removals;
    dead_item_fn each;
    void *context;
};

static bool
list_letter(void *context, const struct record *record)
{
    struct listing *listing = context;
    struct dead_item item = {.position = record->position, .next = record->next};
    return !dead_letter_decode(record, &item.letter) ||
           is_removed(&listing->removals, record->position) ||
           listing->each(listing->context, &item);
}

static void
ignore_name(void *context, const char *name)
{
}

bool
dead_list_each(const struct os *os, const char *dir, dead_item_fn each, void *context,
               struct diag_list *diags)
{
    struct listing listing = {.each = each, .context = context};
    if (os->list(os, dir, ignore_name, NULL) == -ENOENT) {
        return true;
    }
    bool is_read = read_log(os, dir, collect_removal, &listing.removals, diags);
    if (is_read) {
        sort_removals(&listing.removals);
        is_read = read_log(os, dir, list_letter, &listing, diags);
    }
    free(listing.removals.items);
    return is_read;
}
