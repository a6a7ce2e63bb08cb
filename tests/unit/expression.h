/* The value of one expression of topic SQL, as text: for tables of expressions and values. */
#ifndef HEADGATE_TESTS_EXPRESSION_H
#define HEADGATE_TESTS_EXPRESSION_H

#include "rules/rule.h"

/*
 * The JSON text of `SELECT VALUE expression` on the payload, or "Undefined". `host` may be NULL. An
 * expression that does not compile fails the test. The caller frees the text.
 */
char *expression_value(const char *expression, const char *payload, const struct rule_host *host);

/* The text as a string of SQL, in quotes. The caller frees it. */
char *expression_literal(const char *text);

/* Fails the test with the expression, unless its value on the payload {} is `expected`. */
void assert_value(const char *expression, const char *expected);

#endif
