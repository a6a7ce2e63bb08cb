/* The value of one expression of topic SQL, as text: for tables of expressions and values. */
#ifndef HEADGATE_TESTS_EXPRESSION_H
#define HEADGATE_TESTS_EXPRESSION_H

#include "rules/rule.h"

/*
 * The JSON text of `SELECT VALUE expression` on the payload, or "Undefined". An expression that
 * does not compile, or warns, fails the test. The caller frees the text.
 */
char *expression_value(const char *expression, const char *payload);

/* Fails the test with the expression, unless its value on the payload {} is `expected`. */
void assert_value(const char *expression, const char *expected);

#endif
