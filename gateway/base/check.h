/*
 * Programmer's errors: a broken invariant stops the process, in release builds too.
 *
 * Every process of the gateway may die at any instant (kill -9, power cut) without losing an
 * acknowledged message; stopping is therefore always safer than going on with a broken state.
 * Operating errors are not handled here: they are returned with a `struct diag` (diag.h).
 */
#ifndef HEADGATE_BASE_CHECK_H
#define HEADGATE_BASE_CHECK_H

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(text, first) __attribute__((format(printf, text, first), nonnull(text)))

/* Stops the process with the place and the condition on stderr. Stays on in release. */
#define check(condition) \
    ((condition) ? (void)0 : check_failed(__FILE__, __LINE__, __func__, #condition))

/* For a place that cannot be reached. */
#define never(reason) check_failed(__FILE__, __LINE__, __func__, reason)

_Noreturn void check_failed(const char *file, int line, const char *function, const char *what);

#endif
