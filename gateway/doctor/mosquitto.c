/*
 * Reads mosquitto.conf into a flat list of lines: what is asked of it is the last line of a name,
 * and a few rules about listeners. The text comes from outside: any bytes will do (tests/fuzz).
 */
#include "mosquitto.h"

#include "base/mem.h"
#include "base/os.h"

#include <errno.h>
#include <stdlib.h>

enum { DEFAULT_PORT = 1883, PORT_MAX = 65535 };

void
mosquitto_config_fini(struct mosquitto_config *config)
{
    arena_fini(&config->arena);
    free(config->lines);
    free(config->listeners);
    *config = (struct mosquitto_config){0};
}

/* As atoi(), but saturating: white space, a sign, digits; 0 when there are none. */
static int64_t
leading_number(struct bytes text)
{
    struct bytes rest = bytes_trim(text);
    bool is_negative = rest.size > 0 && rest.data[0] == '-';
    size_t i = rest.size > 0 && (is_negative || rest.data[0] == '+') ? 1 : 0;
    int64_t number = 0;
    for (; i < rest.size && rest.data[i] >= '0' && rest.data[i] <= '9'; i++) {
        number = number > INT32_MAX ? number : number * 10 + (rest.data[i] - '0');
    }
    number = number > INT32_MAX ? INT32_MAX : number;
    return is_negative ? -number : number;
}

static struct bytes
first_word(struct bytes text)
{
    return bytes_slice(text, 0, bytes_find(text, ' '));
}

static struct mosquitto_listener *
add_listener(struct mosquitto_config *config)
{
    config->listeners = mem_grow(config->listeners, config->listener_count,
                                 &config->listener_capacity, sizeof *config->listeners);
    config->listeners[config->listener_count] = (struct mosquitto_listener){0};
    return &config->listeners[config->listener_count++];
}

/* "1883", "1883 localhost", "0 /run/mosquitto.sock" */
static void
begin_listener(struct mosquitto_config *config, struct bytes value)
{
    struct bytes port = first_word(value);
    struct bytes host = first_word(bytes_trim(bytes_slice(value, port.size, value.size)));
    int64_t number = leading_number(port);
    struct mosquitto_listener *listener = add_listener(config);
    listener->port = number < 0 || number > PORT_MAX ? 0 : (unsigned)number;
    listener->host = host.size > 0 && host.data[0] == '#' ? (struct bytes){0} : host;
}

/* What a line does to the listener of its section. */
static void
apply_to_listener(struct mosquitto_config *config, const struct mosquitto_line *line)
{
    int64_t number = leading_number(line->value);
    if (bytes_equal_string(line->name, "port") && number > 0 && number <= PORT_MAX) {
        config->listeners[0].port = (unsigned)number;
    } else if (bytes_equal_string(line->name, "bind_address")) {
        config->listeners[0].host = line->value;
    } else if (bytes_equal_string(line->name, "bind_interface")) {
        config->listeners[line->listener].host = line->value;
    }
}

static struct bytes
without_line_end(struct bytes line)
{
    while (line.size > 0 && line.data[line.size - 1] == '\r') {
        line.size--;
    }
    return line;
}

static void
add_line(struct mosquitto_config *config, struct mosquitto_line line)
{
    if (bytes_equal_string(line.name, "listener")) {
        begin_listener(config, line.value);
        line.listener = (unsigned)config->listener_count - 1;
    }
    apply_to_listener(config, &line);
    config->lines = mem_grow(config->lines, config->line_count, &config->line_capacity,
                             sizeof *config->lines);
    config->lines[config->line_count++] = line;
}

void
mosquitto_config_parse(struct mosquitto_config *config, struct bytes file, struct bytes text)
{
    struct bytes rest = arena_copy(&config->arena, text), part;
    struct mosquitto_line line = {.file = arena_copy(&config->arena, file)};
    if (config->listener_count == 0) {
        add_listener(config)->port = DEFAULT_PORT;
    }
    config->files++;
    while (bytes_split(&rest, '\n', &part)) {
        line.number++;
        part = without_line_end(part);
        if (part.size == 0 || part.data[0] == '#') {
            continue;
        }
        size_t start = 0;
        while (start < part.size && part.data[start] == ' ') {
            start++;
        }
        line.name = first_word(bytes_slice(part, start, part.size));
        line.value = bytes_trim(bytes_slice(part, start + line.name.size, part.size));
        if (line.name.size > 0) {
            add_line(config, line);
            line.listener = config->lines[config->line_count - 1].listener;
        }
    }
}

/* ---- files ---- */

/* 0, or a negative errno. */
static int
read_one(struct mosquitto_config *config, const char *root, const char *path)
{
    struct buf place = {0}, text = {0};
    buf_printf(&place, "%s%s", root, path);
    int result = os_read_file(&os_posix, buf_string(&place), MOSQUITTO_FILE_MAX_BYTES, &text);
    if (result == 0) {
        mosquitto_config_parse(config, bytes_of_string(path), buf_bytes(&text));
    }
    buf_fini(&place);
    buf_fini(&text);
    return result;
}

struct names {
    char **items;
    size_t count;
    size_t capacity;
};

static void
collect_conf(void *context, const char *name)
{
    struct names *names = context;
    if (bytes_ends_with(bytes_of_string(name), BYTES(".conf")) &&
        names->count < MOSQUITTO_FILES_MAX) {
        names->items = mem_grow(names->items, names->count, &names->capacity,
                                sizeof *names->items);
        names->items[names->count++] = bytes_to_string(bytes_of_string(name));
    }
}

/* A, a, B, b: without case first, then upper case before lower case. */
static int
compare_names(const void *a, const void *b)
{
    const char *x = *(char *const *)a, *y = *(char *const *)b;
    int order = strcasecmp(x, y);
    return order != 0 ? order : strcmp(x, y);
}

static void
warn(struct diag_list *diags, int os_error, const char *path)
{
    struct diag_place place = {.file = bytes_of_string(path)};
    diag_at(diags, DIAG_WARNING, &place, "cannot be read: %s", strerror(os_error));
}

static void
read_folder(struct mosquitto_config *config, const char *root, const char *folder,
            struct diag_list *diags)
{
    struct names names = {0};
    struct buf place = {0};
    buf_printf(&place, "%s%s", root, folder);
    int result = os_posix.list(&os_posix, buf_string(&place), collect_conf, &names);
    if (result != 0) {
        warn(diags, -result, folder);
    }
    if (names.count > 0) {
        qsort(names.items, names.count, sizeof *names.items, compare_names);
    }
    for (size_t i = 0; i < names.count; i++) {
        struct buf path = {0};
        buf_printf(&path, "%s/%s", folder, names.items[i]);
        result = config->files < MOSQUITTO_FILES_MAX ? read_one(config, root, buf_string(&path))
                                                     : -EMFILE;
        if (result != 0) {
            warn(diags, -result, buf_string(&path));
        }
        buf_fini(&path);
        free(names.items[i]);
    }
    free(names.items);
    buf_fini(&place);
}

/*
 * Included files come where the main file names them: the lines behind include_dir are moved behind
 * theirs. No included file includes others, so nothing can go in circles.
 */
static void
follow_includes(struct mosquitto_config *config, const char *root, struct diag_list *diags)
{
    size_t main_count = config->line_count;
    struct mosquitto_line *lines = mem_new_array(struct mosquitto_line, main_count + 1);
    memcpy(lines, config->lines, main_count * sizeof *lines);
    config->line_count = 0;
    for (size_t i = 0; i < main_count; i++) {
        config->lines = mem_grow(config->lines, config->line_count, &config->line_capacity,
                                 sizeof *config->lines);
        config->lines[config->line_count++] = lines[i];
        if (bytes_equal_string(lines[i].name, "include_dir") && lines[i].value.size > 0) {
            char *folder = bytes_to_string(lines[i].value);
            read_folder(config, root, folder, diags);
            free(folder);
        }
    }
    free(lines);
}

bool
mosquitto_config_read(struct mosquitto_config *config, const char *root, const char *path,
                      struct diag_list *diags)
{
    int result = read_one(config, root, path);
    if (result != 0) {
        diag_io_error(diags, -result, "cannot read '%s'", path);
        return false;
    }
    if (config->line_count > 0) {
        follow_includes(config, root, diags);
    }
    return true;
}

/* ---- questions ---- */

const struct mosquitto_line *
mosquitto_find(const struct mosquitto_config *config, const char *name)
{
    for (size_t i = config->line_count; i > 0; i--) {
        if (bytes_equal_string(config->lines[i - 1].name, name)) {
            return &config->lines[i - 1];
        }
    }
    return NULL;
}

const struct mosquitto_line *
mosquitto_find_of(const struct mosquitto_config *config, size_t listener, const char *name)
{
    for (size_t i = config->line_count; i > 0; i--) {
        const struct mosquitto_line *line = &config->lines[i - 1];
        if (line->listener == listener && bytes_equal_string(line->name, name)) {
            return line;
        }
    }
    return NULL;
}

int64_t
mosquitto_number(const struct mosquitto_config *config, const char *name, int64_t fallback)
{
    const struct mosquitto_line *line = mosquitto_find(config, name);
    int64_t number = line == NULL ? fallback : leading_number(line->value);
    return number < 0 ? 0 : number;
}

static bool
is_true(struct bytes value)
{
    struct bytes word = first_word(value);
    return bytes_equal_string(word, "true") || bytes_equal_string(word, "1");
}

bool
mosquitto_flag(const struct mosquitto_config *config, const char *name, bool fallback)
{
    const struct mosquitto_line *line = mosquitto_find(config, name);
    return line == NULL ? fallback : is_true(line->value);
}

int64_t
mosquitto_expiration_s(const struct mosquitto_config *config)
{
    static const struct {
        char unit;
        int64_t seconds;
    } units[] = {{'h', 3600}, {'d', 86400}, {'w', 604800}, {'m', 2592000}, {'y', 31536000}};
    const struct mosquitto_line *line = mosquitto_find(config, "persistent_client_expiration");
    struct bytes word = line == NULL ? (struct bytes){0} : first_word(line->value);
    for (size_t i = 0; word.size > 0 && i < sizeof units / sizeof *units; i++) {
        if (word.data[word.size - 1] == units[i].unit) {
            return mosquitto_number(config, "persistent_client_expiration", 0) * units[i].seconds;
        }
    }
    return 0;
}

bool
mosquitto_is_local_only(const struct mosquitto_config *config)
{
    return config->listener_count <= 1 && mosquitto_find(config, "port") == NULL &&
           mosquitto_find(config, "bind_address") == NULL;
}

bool
mosquitto_listens(const struct mosquitto_config *config, size_t listener)
{
    return listener > 0 || config->listener_count <= 1 ||
           mosquitto_find(config, "port") != NULL ||
           mosquitto_find(config, "bind_address") != NULL;
}

bool
mosquitto_is_anonymous(const struct mosquitto_config *config, size_t listener)
{
    bool is_each = mosquitto_flag(config, "per_listener_settings", false);
    bool allows = mosquitto_is_local_only(config);
    for (size_t i = 0; i < config->line_count; i++) {
        const struct mosquitto_line *line = &config->lines[i];
        if (bytes_equal_string(line->name, "allow_anonymous") &&
            (!is_each || line->listener == listener)) {
            allows = is_true(line->value);
        }
    }
    return allows;
}

bool
mosquitto_is_loopback(const struct mosquitto_listener *listener)
{
    return listener->port == 0 || bytes_equal_string(listener->host, "localhost") ||
           bytes_starts_with(listener->host, BYTES("127.")) ||
           bytes_equal_string(listener->host, "::1") || bytes_equal_string(listener->host, "lo");
}
