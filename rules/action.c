/*
 * The tables of actions as data, and what a text of theirs may be.
 */
#include "action.h"

#include "base/base64.h"
#include "topic.h"

enum {
    REQUIRED = PARAMETER_REQUIRED,
    TEMPLATE = PARAMETER_TEMPLATE,
    ELEMENT = PARAMETER_ELEMENT,
    TARGET = PARAMETER_TARGET,
    INTERNAL = PARAMETER_INTERNAL,
    EMPTY = PARAMETER_EMPTY,
};

/* ---- what each takes ---- */

#define GROUP(group_) static const struct action_parameter group_##_parameters[] = {
#define TEXT(group_, name_, flags_, form_, max_, choices_) \
    {.name = #name_, .kind = PARAMETER_TEXT, .flags = (flags_), .form = FORM_##form_, \
     .max = (max_), .choices = (choices_)},
#define WHOLE(group_, name_, flags_, min_, max_) \
    {.name = #name_, .kind = PARAMETER_WHOLE, .flags = (flags_), .min = (min_), .max = (max_)},
#define FLAG(group_, name_, flags_) \
    {.name = #name_, .kind = PARAMETER_FLAG, .flags = (flags_)},
#define OBJECT(group_, name_, flags_, inner_) \
    {.name = #name_, .kind = PARAMETER_OBJECT, .flags = (flags_), .group = &inner_##_group},
#define LIST(group_, name_, flags_, inner_, min_, max_) \
    {.name = #name_, .kind = PARAMETER_LIST, .flags = (flags_), .group = &inner_##_group, \
     .min = (min_), .max = (max_)},
#define MAP(group_, name_, flags_, max_, choices_) \
    {.name = #name_, .kind = PARAMETER_MAP, .flags = (flags_), .max = (max_), \
     .choices = (choices_)},
#define IGNORED(group_, name_) {.name = #name_, .kind = PARAMETER_IGNORED},
#define REFUSED(group_, name_, hint_) \
    {.name = #name_, .kind = PARAMETER_REFUSED, .hint = (hint_)},
#define END(group_) \
    }; \
    static const struct action_group group_##_group = {group_##_parameters, \
                                                       group_##_parameter_count};
#include "action_parameters.def"
#undef GROUP
#undef TEXT
#undef WHOLE
#undef FLAG
#undef OBJECT
#undef LIST
#undef MAP
#undef IGNORED
#undef REFUSED
#undef END

/* ---- which there are ---- */

const struct action_kind action_kinds[ACTION_KINDS] = {
#define ACTION(key_, group_, failed_, connector_, naming_, form_, encoder_, sentence_) \
    {.key = #key_, \
     .failed = (failed_), \
     .connector = (connector_), \
     .naming = NAMING_##naming_, \
     .form = ROW_##form_, \
     .encode = action_encode_##encoder_, \
     .sentence = (sentence_), \
     .group = &group_##_group},
#include "actions.def"
#undef ACTION
};

const struct action_kind *
action_kind_find(struct bytes key)
{
    for (size_t i = 0; i < ACTION_KINDS; i++) {
        if (bytes_equal_string(key, action_kinds[i].key)) {
            return &action_kinds[i];
        }
    }
    return NULL;
}

/* Of several the one that hands the row on as it is, and the first of those. */
const struct action_kind *
action_kind_of_connector(struct bytes connector)
{
    static const char *const aliases[][2] = {{"timeseries", "timestream"}, {"table", "dynamodb"}};
    const struct action_kind *found = NULL;
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++) {
        if (bytes_equal_string(connector, aliases[i][0])) {
            connector = bytes_of_string(aliases[i][1]);
        }
    }
    for (size_t i = 0; i < ACTION_KINDS && connector.size > 0; i++) {
        const struct action_kind *kind = &action_kinds[i];
        bool is_better = found == NULL || (found->encode != action_encode_plain &&
                                           kind->encode == action_encode_plain);
        if (bytes_equal_string(connector, kind->connector) && is_better) {
            found = kind;
        }
    }
    return found;
}

/* ---- texts ---- */

static bool
is_choice(const char *choices, struct bytes text)
{
    struct bytes rest = bytes_of_string(choices), choice;
    while (bytes_split(&rest, '|', &choice)) {
        if (bytes_equal(choice, text)) {
            return true;
        }
    }
    return false;
}

static size_t
character_count(struct bytes text)
{
    size_t count = 0;
    for (size_t i = 0; i < text.size; i++) {
        count += ((unsigned char)text.data[i] & 0xc0) != 0x80;
    }
    return count;
}

static bool
is_digits(struct bytes text)
{
    size_t i = text.size > 0 && text.data[0] == '-' ? 1 : 0;
    bool valid = i < text.size;
    for (; i < text.size && valid; i++) {
        valid = text.data[i] >= '0' && text.data[i] <= '9';
    }
    return valid;
}

static const char *
reason_against(enum text_form form, struct bytes text, struct arena *arena)
{
    struct value value = value_string(text);
    struct decimal number;
    struct buf bytes = {.arena = arena};
    int64_t whole;
    switch (form) {
    case FORM_ANY:
        return NULL;
    case FORM_TOPIC:
        return topic_is_valid(text) ? NULL : "is no topic that can be published to";
    case FORM_NUMBER:
        return value_to_number(&value, &number, arena) ? NULL : "is not a number";
    case FORM_INTEGER:
        return is_digits(text) && bytes_to_int64(text, &whole) ? NULL : "is not a whole number";
    case FORM_UINT32:
        return is_digits(text) && bytes_to_int64(text, &whole) && whole >= 0 &&
                               whole <= UINT32_MAX
                       ? NULL
                       : "is not a whole number from 0 to 4294967295";
    case FORM_BASE64:
        return base64_decode(&bytes, text) ? NULL : "is not base64";
    }
    never("all forms are listed");
}

bool
action_text_is_valid(const struct action_parameter *parameter, struct bytes text,
                     struct arena *arena, const char **reason)
{
    *reason = NULL;
    if (text.size == 0) {
        bool may_be_empty = !(parameter->flags & PARAMETER_REQUIRED) ||
                            (parameter->flags & PARAMETER_EMPTY);
        *reason = may_be_empty ? NULL : "is empty";
        return *reason == NULL;
    }
    if (!bytes_is_utf8(text)) {
        *reason = "is not UTF-8";
    } else if (parameter->kind == PARAMETER_TEXT && parameter->choices != NULL &&
               !is_choice(parameter->choices, text)) {
        *reason = "is none of the values that AWS takes";
    } else if (parameter->max > 0 && character_count(text) > (size_t)parameter->max) {
        *reason = "is longer than AWS takes";
    } else {
        *reason = reason_against(parameter->form, text, arena);
    }
    return *reason == NULL;
}
