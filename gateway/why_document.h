/* The document of why.h as why_*.c read and write it. Nobody else includes this. */
#ifndef HEADGATE_WHY_DOCUMENT_H
#define HEADGATE_WHY_DOCUMENT_H

#include "why.h"

#include "base/json.h"

/* ---- writing ---- */

/* Begins a member of the object that is being written: a comma if needed, and its name. */
void why_key(struct buf *out, const char *name);
void why_put_text(struct buf *out, const char *name, struct bytes text);
void why_put_count(struct buf *out, const char *name, uint64_t count);
void why_put_bool(struct buf *out, const char *name, bool value);

/* The topics that nearly match, most messages first, as an array. */
void why_put_near(struct buf *out, struct bytes filter, const struct recent_topic *topics,
                  size_t count, int64_t now_us, struct arena *arena);

/* ---- reading ---- */

struct why_document {
    struct json json;
    struct arena arena;
};

bool why_parse(struct why_document *document, struct bytes text, struct diag_list *diags)
        MUST_CHECK;
void why_document_fini(struct why_document *document);

/* Of a member of `object`: empty, 0, false when there is none. */
struct bytes why_text(struct why_document *document, uint32_t object, const char *name);
uint64_t why_count(const struct why_document *document, uint32_t object, const char *name);
bool why_bool(const struct why_document *document, uint32_t object, const char *name);

/* The elements of an array that is a member: the first, and the next; 0 behind the last. */
uint32_t why_first(const struct why_document *document, uint32_t object, const char *name,
                   uint32_t *array);
uint32_t why_next(const struct why_document *document, uint32_t array, uint32_t element);

/* An object that is a member; 0: none (which is the document itself for other functions). */
uint32_t why_object(const struct why_document *document, uint32_t object, const char *name);

/* ---- why_print.c ---- */

/* Replaces control characters behind `start`: they could move the cursor or forge lines. */
void why_disarm(struct buf *out, size_t start);

/* ---- why_reason.c ---- */

/* Appends the most likely reason: one plain sentence. */
void why_reason(struct why_document *document, struct buf *out);

#endif
