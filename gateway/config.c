#include "config.h"

#include "base/os.h"

#include <errno.h>

enum { CONFIG_FILE_MAX_BYTES = 1024 * 1024 };

static const struct option options[] = {
#define OPTION(name_, type_, c_type, fallback_, min_, max_, choices_, doc_) \
    {.name = #name_,                                                        \
     .type = OPTION_##type_,                                                \
     .offset = offsetof(struct config, name_),                              \
     .fallback = fallback_,                                                 \
     .min = min_,                                                           \
     .max = max_,                                                           \
     .choices = choices_,                                                   \
     .doc = doc_},
#include "options.def"
#undef OPTION
};

const struct option_table config_options = {options, sizeof options / sizeof *options};

void
config_init(struct config *config)
{
    option_defaults(&config_options, config);
}

void
config_fini(struct config *config)
{
    option_fini(&config_options, config);
}

static bool
apply_line(struct config *config, struct bytes file, struct bytes text, struct bytes line,
           struct diag_list *diags)
{
    struct bytes content = bytes_trim(line);
    if (content.size == 0 || content.data[0] == '#') {
        return true;
    }
    size_t name_size = 0;
    while (name_size < content.size && content.data[name_size] != ' ' &&
           content.data[name_size] != '\t') {
        name_size++;
    }
    struct bytes name = bytes_slice(content, 0, name_size);
    struct bytes value = bytes_trim(bytes_slice(content, name_size, content.size));
    size_t offset = (size_t)(content.data - text.data);
    struct diag_place place = diag_place_of(file, text, offset, name.size);
    if (value.size == 0) {
        diag_at(diags, DIAG_ERROR, &place, "option '%.*s' has no value", BYTES_ARG(name));
        diag_hint(diags, "write: %.*s VALUE", BYTES_ARG(name));
        return false;
    }
    return option_set(&config_options, config, name, value, &place, diags);
}

bool
config_parse(struct config *config, struct bytes file, struct bytes text, struct diag_list *diags)
{
    bool valid = true;
    struct bytes rest = text, line;
    while (bytes_split(&rest, '\n', &line)) {
        valid &= apply_line(config, file, text, line, diags);
    }
    return valid;
}

bool
config_load(struct config *config, const char *path, bool required, struct diag_list *diags)
{
    struct buf text = {0};
    int result = os_read_file(&os_posix, path, CONFIG_FILE_MAX_BYTES, &text);
    bool valid = true;
    if (result == 0) {
        valid = config_parse(config, bytes_of_string(path), buf_bytes(&text), diags);
    } else if (required || result != -ENOENT) {
        diag_io_error(diags, -result, "cannot read the configuration '%s'", path);
        valid = false;
    }
    buf_fini(&text);
    return valid;
}

bool
config_set(struct config *config, struct bytes assignment, struct diag_list *diags)
{
    size_t equals = bytes_find(assignment, '=');
    if (equals == assignment.size) {
        diag_error(diags, DIAG_INVALID, "'--set %.*s' has no '=', expected --set name=value",
                   BYTES_ARG(assignment));
        return false;
    }
    struct diag_place place = {.file = BYTES("--set")};
    return option_set(&config_options, config, bytes_slice(assignment, 0, equals),
                      bytes_slice(assignment, equals + 1, assignment.size), &place, diags);
}

void
config_print(const struct config *config, struct buf *out)
{
    for (size_t i = 0; i < config_options.count; i++) {
        const struct option *option = &config_options.options[i];
        struct buf value = {0};
        if (option->type == OPTION_SECRET) {
            char *secret = *(char *const *)((const char *)config + option->offset);
            buf_append_string(&value, secret == NULL ? "" : secret);
        } else {
            option_print(option, config, &value);
        }
        if (value.size > 0) {
            buf_printf(out, "%s %s\n", option->name, buf_string(&value));
        }
        if (option->type == OPTION_SECRET && value.data != NULL) {
            explicit_bzero(value.data, value.size);
        }
        buf_fini(&value);
    }
}
