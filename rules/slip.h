/*
 * Hints for slips that come from other dialects and from habit: what the parser found tells what
 * was meant.
 */
#ifndef HEADGATE_RULES_SLIP_H
#define HEADGATE_RULES_SLIP_H

#include "parse.h"

/* For the error "found <current token>, expected <what>" in a rule; NULL: nothing is known. */
const char *slip_hint(const struct parser *parser, const char *what);

/* For a character that begins no token; NULL: nothing is known. */
const char *slip_character(char c);

#endif
