/*
 * Places in a text that stands as a string in a JSON document: SQL and templates of AWS rule JSON.
 * The text is read with its escapes undone; what people see is the place in the document.
 */
#ifndef HEADGATE_RULES_ORIGIN_H
#define HEADGATE_RULES_ORIGIN_H

#include "base/diag.h"

struct text_origin {
    struct bytes file;
    struct bytes document;
    uint32_t start; /* of the string's content in the document, behind the quote */
    uint32_t end;   /* of it, at the closing quote */
};

/* The place in the document of bytes [start, end) of the text. */
struct diag_place origin_place(const struct text_origin *origin, size_t start, size_t end);

#endif
