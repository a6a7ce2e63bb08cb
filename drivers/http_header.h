/*
 * What may be a header of a request. Names and values come from rule files and, by templates, from
 * messages: a line end in one would begin a header, or a request, of its own. Pure.
 */
#ifndef HEADGATE_DRIVERS_HTTP_HEADER_H
#define HEADGATE_DRIVERS_HTTP_HEADER_H

#include "base/bytes.h"

/* A token (RFC 9110, 5.6.2). */
bool http_header_is_name(struct bytes name);

/* Whether a text has control characters other than the tab. */
bool http_header_has_control(struct bytes text);

/* Headers that frame the message are the client's: another value would split or cut requests. */
bool http_header_frames(struct bytes name);

/* What keeps a header from being sent (static text, to stand behind its name), or NULL. */
const char *http_header_problem(struct bytes name, struct bytes value);

#endif
