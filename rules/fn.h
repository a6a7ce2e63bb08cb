/* The C functions that functions.def names. */
#ifndef HEADGATE_RULES_FN_H
#define HEADGATE_RULES_FN_H

#include "function.h"

#define FUNCTION(name, min, max, flags, run, prepare, doc, example, result) function_fn run;
#include "functions.def"
#undef FUNCTION

function_fn decode_protobuf; /* fn_external.c: decode() with six arguments */

function_prepare_fn prepare_parse_time, prepare_regexp, prepare_time_to_epoch;

#endif
