#include "option.h"

#include "mem.h"
#include "os.h"

#include <errno.h>
#include <stdlib.h>

enum { SECRET_FILE_MAX_BYTES = 64 * 1024 };

struct unit {
    const char *name;
    int64_t factor;
};

static const struct unit duration_units[] = {
        {"ms", 1},       {"s", 1000},     {"sec", 1000},   {"m", 60000},
        {"min", 60000},  {"h", 3600000},  {"d", 86400000}, {"", 1000},
};

static const struct unit size_units[] = {
        {"", 1},           {"B", 1},           {"k", 1 << 10},   {"kB", 1 << 10}, {"KiB", 1 << 10},
        {"M", 1 << 20},    {"MB", 1 << 20},    {"MiB", 1 << 20}, {"G", 1 << 30},  {"GB", 1 << 30},
        {"GiB", 1 << 30},
};

static bool
parse_with_unit(struct bytes text, const struct unit *units, size_t count, int64_t *out)
{
    size_t digits = 0;
    while (digits < text.size && text.data[digits] >= '0' && text.data[digits] <= '9') {
        digits++;
    }
    int64_t number;
    if (!bytes_to_int64(bytes_slice(text, 0, digits), &number)) {
        return false;
    }
    struct bytes unit = bytes_trim(bytes_slice(text, digits, text.size));
    for (size_t i = 0; i < count; i++) {
        if (bytes_equal_nocase(unit, bytes_of_string(units[i].name))) {
            return !__builtin_mul_overflow(number, units[i].factor, out);
        }
    }
    return false;
}

bool
option_parse_duration(struct bytes text, int64_t *out_ms)
{
    return parse_with_unit(text, duration_units, sizeof duration_units / sizeof *duration_units,
                           out_ms);
}

bool
option_parse_size(struct bytes text, int64_t *out_bytes)
{
    return parse_with_unit(text, size_units, sizeof size_units / sizeof *size_units, out_bytes);
}

static bool
parse_bool(struct bytes text, bool *out)
{
    static const struct {
        const char *word;
        bool value;
    } words[] = {{"true", true},   {"yes", true}, {"on", true},   {"1", true},
                 {"false", false}, {"no", false}, {"off", false}, {"0", false}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (bytes_equal_nocase(text, bytes_of_string(words[i].word))) {
            *out = words[i].value;
            return true;
        }
    }
    return false;
}

static bool
parse_choice(struct bytes text, const char *choices, int *out)
{
    struct bytes rest = bytes_of_string(choices), word;
    for (int i = 0; bytes_split(&rest, '|', &word); i++) {
        if (bytes_equal(word, text)) {
            *out = i;
            return true;
        }
    }
    return false;
}

static void *
member(const struct option *option, void *target)
{
    return (char *)target + option->offset;
}

static void
set_string(const struct option *option, void *target, struct bytes value)
{
    char **string = member(option, target);
    free(*string);
    *string = bytes_to_string(value);
}

/* A secret may be named by where it lies, so that it is not in the rule or configuration file. */
static bool
set_secret(const struct option *option, void *target, struct bytes value,
           const struct diag_place *place, struct diag_list *diags)
{
    if (bytes_starts_with(value, BYTES("env:"))) {
        char *name = bytes_to_string(bytes_slice(value, 4, value.size));
        const char *found = getenv(name);
        if (found == NULL) {
            diag_at(diags, DIAG_ERROR, place, "environment variable '%s' of option '%s' is not set",
                    name, option->name);
        } else {
            set_string(option, target, bytes_of_string(found));
        }
        free(name);
        return found != NULL;
    }
    if (!bytes_starts_with(value, BYTES("file:"))) {
        set_string(option, target, value);
        return true;
    }
    char *path = bytes_to_string(bytes_slice(value, 5, value.size));
    struct buf content = {0};
    int result = os_read_file(&os_posix, path, SECRET_FILE_MAX_BYTES, &content);
    if (result < 0) {
        diag_at(diags, DIAG_ERROR, place, "cannot read the secret of option '%s' from '%s': %s",
                option->name, path, strerror(-result));
    } else {
        set_string(option, target, bytes_trim(buf_bytes(&content)));
    }
    buf_fini(&content);
    free(path);
    return result == 0;
}

static void
append_range(const struct option *option, int64_t value, struct buf *out)
{
    static const struct unit durations[] = {
            {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
    static const struct unit sizes[] = {{"G", 1 << 30}, {"M", 1 << 20}, {"k", 1 << 10}, {"", 1}};
    bool duration = option->type == OPTION_DURATION;
    bool scaled = duration || option->type == OPTION_SIZE;
    const struct unit *units = duration ? durations : sizes;
    size_t last = duration ? 4 : 3;
    size_t i = scaled ? 0 : last;
    while (scaled && i < last && (value == 0 || value % units[i].factor != 0)) {
        i++;
    }
    buf_append_int64(out, scaled ? value / units[i].factor : value);
    buf_append_string(out, scaled ? units[i].name : "");
}

static bool
set_number(const struct option *option, void *target, struct bytes value,
           const struct diag_place *place, struct diag_list *diags)
{
    static const char *const forms[] = {
            [OPTION_INT] = "a whole number",
            [OPTION_SIZE] = "a size such as 512k, 16M or 2G",
            [OPTION_DURATION] = "a duration such as 500ms, 2s, 5m, 1h or 7d"};
    int64_t number;
    bool parsed = option->type == OPTION_INT    ? bytes_to_int64(value, &number)
                  : option->type == OPTION_SIZE ? option_parse_size(value, &number)
                                                : option_parse_duration(value, &number);
    if (!parsed) {
        diag_at(diags, DIAG_ERROR, place, "option '%s' is '%.*s', expected %s", option->name,
                BYTES_ARG(value), forms[option->type]);
        return false;
    }
    bool ranged = option->min != 0 || option->max != 0;
    if (ranged && (number < option->min || number > option->max)) {
        struct buf range = {0};
        append_range(option, option->min, &range);
        buf_append_string(&range, " to ");
        append_range(option, option->max, &range);
        diag_at(diags, DIAG_ERROR, place, "option '%s' is '%.*s', expected %s", option->name,
                BYTES_ARG(value), buf_string(&range));
        buf_fini(&range);
        return false;
    }
    *(int64_t *)member(option, target) = number;
    return true;
}

static bool
set_word(const struct option *option, void *target, struct bytes value,
         const struct diag_place *place, struct diag_list *diags)
{
    bool parsed = option->type == OPTION_BOOL
                          ? parse_bool(value, member(option, target))
                          : parse_choice(value, option->choices, member(option, target));
    if (!parsed) {
        diag_at(diags, DIAG_ERROR, place, "option '%s' is '%.*s', expected one of %s", option->name,
                BYTES_ARG(value), option->type == OPTION_BOOL ? "true|false" : option->choices);
    }
    return parsed;
}

static bool
set_value(const struct option *option, void *target, struct bytes value,
          const struct diag_place *place, struct diag_list *diags)
{
    switch (option->type) {
    case OPTION_STRING:
        set_string(option, target, value);
        return true;
    case OPTION_SECRET:
        return set_secret(option, target, value, place, diags);
    case OPTION_INT:
    case OPTION_SIZE:
    case OPTION_DURATION:
        return set_number(option, target, value, place, diags);
    case OPTION_BOOL:
    case OPTION_CHOICE:
        return set_word(option, target, value, place, diags);
    }
    never("option type");
}

void
option_defaults(const struct option_table *table, void *target)
{
    struct diag_list diags = {0};
    for (size_t i = 0; i < table->count; i++) {
        const struct option *option = &table->options[i];
        if (option->type == OPTION_STRING || option->type == OPTION_SECRET) {
            *(char **)member(option, target) = NULL;
        }
        if (option->fallback != NULL) {
            bool valid = set_value(option, target, bytes_of_string(option->fallback),
                                   &(struct diag_place){0}, &diags);
            check(valid && "an option's default must be valid");
        }
    }
    diag_list_fini(&diags);
}

void
option_fini(const struct option_table *table, void *target)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct option *option = &table->options[i];
        if (option->type == OPTION_STRING || option->type == OPTION_SECRET) {
            char **string = member(option, target);
            if (*string != NULL && option->type == OPTION_SECRET) {
                explicit_bzero(*string, strlen(*string));
            }
            free(*string);
            *string = NULL;
        }
    }
}

static const char *
option_name_at(const void *context, size_t i)
{
    return ((const struct option_table *)context)->options[i].name;
}

/* The option that others call by this name, or NULL. */
static const char *
known_as(const struct option_table *table, struct bytes name)
{
    for (size_t i = 0; i < table->count; i++) {
        struct bytes rest = bytes_of_string(table->options[i].aliases);
        struct bytes alias;
        while (rest.size > 0 && bytes_split(&rest, '|', &alias)) {
            if (bytes_equal_nocase(alias, name)) {
                return table->options[i].name;
            }
        }
    }
    return NULL;
}

bool
option_set(const struct option_table *table, void *target, struct bytes name, struct bytes value,
           const struct diag_place *place, struct diag_list *diags)
{
    static const struct diag_place nowhere = {0};
    place = place == NULL ? &nowhere : place;
    for (size_t i = 0; i < table->count; i++) {
        if (bytes_equal_string(name, table->options[i].name)) {
            return set_value(&table->options[i], target, value, place, diags);
        }
    }
    diag_at(diags, DIAG_ERROR, place, "unknown option '%.*s'", BYTES_ARG(name));
    const char *nearest = known_as(table, name);
    if (nearest == NULL) {
        nearest = diag_nearest(name, table->count, option_name_at, table);
    }
    if (nearest != NULL) {
        diag_hint(diags, "did you mean '%s'?", nearest);
    }
    return false;
}

bool
option_check_required(const struct option_table *table, const void *target,
                      const struct diag_place *place, struct diag_list *diags)
{
    bool complete = true;
    for (size_t i = 0; i < table->count; i++) {
        const struct option *option = &table->options[i];
        bool string = option->type == OPTION_STRING || option->type == OPTION_SECRET;
        const void *value = (const char *)target + option->offset;
        if (option->required && string && *(char *const *)value == NULL) {
            diag_at(diags, DIAG_ERROR, place, "option '%s' is missing", option->name);
            diag_hint(diags, "%s", option->doc);
            complete = false;
        }
    }
    return complete;
}

static void
append_choice(const char *choices, int index, struct buf *out)
{
    struct bytes rest = bytes_of_string(choices), word = {0};
    for (int i = 0; i <= index && bytes_split(&rest, '|', &word); i++) {
    }
    buf_append(out, word);
}

void
option_print(const struct option *option, const void *target, struct buf *out)
{
    const void *value = (const char *)target + option->offset;
    switch (option->type) {
    case OPTION_STRING:
        buf_append_string(out, *(char *const *)value == NULL ? "" : *(char *const *)value);
        return;
    case OPTION_SECRET:
        buf_append_string(out, *(char *const *)value == NULL ? "" : "(secret)");
        return;
    case OPTION_BOOL:
        buf_append_string(out, *(const bool *)value ? "true" : "false");
        return;
    case OPTION_INT:
    case OPTION_SIZE:
    case OPTION_DURATION:
        append_range(option, *(const int64_t *)value, out);
        return;
    case OPTION_CHOICE:
        append_choice(option->choices, *(const int *)value, out);
        return;
    }
    never("option type");
}

void
option_table_help(const struct option_table *table, struct buf *out)
{
    static const char *const types[] = {
            [OPTION_STRING] = "text",    [OPTION_SECRET] = "secret", [OPTION_BOOL] = "true|false",
            [OPTION_INT] = "number",     [OPTION_SIZE] = "size",     [OPTION_DURATION] = "duration",
            [OPTION_CHOICE] = NULL,
    };
    for (size_t i = 0; i < table->count; i++) {
        const struct option *option = &table->options[i];
        const char *type = types[option->type] == NULL ? option->choices : types[option->type];
        buf_printf(out, "  %s <%s>", option->name, type);
        if (option->required) {
            buf_append_string(out, ", required");
        } else if (option->fallback != NULL && option->fallback[0] != '\0') {
            buf_printf(out, ", default %s", option->fallback);
        }
        if (option->min != 0 || option->max != 0) {
            buf_append_string(out, ", ");
            append_range(option, option->min, out);
            buf_append_string(out, " to ");
            append_range(option, option->max, out);
        }
        buf_printf(out, "\n      %s\n", option->doc);
    }
}
