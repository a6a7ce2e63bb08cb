/*
 * Secrets, the inventory, descriptors: files that an operator puts there.
 *
 * A secret is never logged and never kept: its file is read for each answer, so that a new one
 * counts at once. Its folder must be the gateway's or root's alone. Names come out of rules and
 * messages, so none may lead out of its folder.
 */
#include "host_files.h"

#include "base/base64.h"
#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    SECRET_MAX_BYTES = 64 * 1024,
    REGISTRY_MAX_BYTES = 16 * 1024 * 1024,
    REGISTRY_DEPTH_MAX = 64,
    DESCRIPTOR_MAX_BYTES = 32 * 1024,
    DESCRIPTORS_KEPT_MAX = 64,
    NAME_MAX_BYTES = 255,
};

static const int64_t DESCRIPTOR_KEPT_US = INT64_C(15) * 60 * 1000000;

struct host_descriptor {
    struct host_descriptor *next;
    char *path;
    struct buf content;
    int64_t read_us; /* monotonic */
};

/* ---- names and folders ---- */

/* One name in a folder: no way out of it, and no hidden file. */
static bool
is_plain_name(struct bytes name)
{
    return name.size > 0 && name.size <= NAME_MAX_BYTES && name.data[0] != '.' &&
           bytes_find(name, '/') == name.size && bytes_find(name, '\0') == name.size;
}

/* A path downward: plain names with '/' between. */
static bool
is_plain_path(struct bytes path)
{
    struct bytes name;
    while (bytes_split(&path, '/', &name)) {
        if (!is_plain_name(name)) {
            return false;
        }
    }
    return true;
}

static bool
is_set(const char *text)
{
    return text != NULL && text[0] != '\0';
}

/* ---- secrets ---- */

/* What systemd hands over is its business; any other folder must be closed to others. */
static bool
check_secrets_dir(const char *dir, struct diag_list *diags)
{
    struct stat status;
    if (stat(dir, &status) < 0) {
        diag_io_error(diags, errno, "the folder of secrets '%s' cannot be used", dir);
        return false;
    }
    bool is_own = status.st_uid == 0 || status.st_uid == geteuid();
    if (!S_ISDIR(status.st_mode) || !is_own || (status.st_mode & 077) != 0) {
        diag_error(diags, DIAG_INVALID,
                   "the folder of secrets '%s' is open to others (chmod 700, owned by root or the "
                   "gateway's user)", dir);
        return false;
    }
    return true;
}

static bool
secrets_dir(const struct host *host, const char **out, struct diag_list *diags)
{
    if (is_set(host->sources.secrets_dir)) {
        *out = host->sources.secrets_dir;
        return check_secrets_dir(*out, diags);
    }
    *out = getenv("CREDENTIALS_DIRECTORY");
    if (!is_set(*out)) {
        diag_error(diags, DIAG_MISSING, "there is no folder of secrets: set secrets_dir");
        return false;
    }
    return true;
}

static bool
read_secret(const struct host *host, struct bytes id, struct buf *out, struct diag_list *diags)
{
    const char *dir;
    struct buf path = {.arena = out->arena};
    if (!secrets_dir(host, &dir, diags)) {
        return false;
    }
    buf_printf(&path, "%s/%.*s", dir, BYTES_ARG(id));
    int result = is_plain_name(id)
                         ? os_read_file(host->os, buf_string(&path), SECRET_MAX_BYTES, out)
                         : -ENOENT;
    if (result < 0) {
        diag_io_error(diags, -result, "there is no secret '%.*s'", BYTES_ARG(id));
    }
    return result >= 0;
}

/* A member of a secret that is a JSON object. */
static bool
take_member(struct rule_ask *ask, struct bytes secret, struct diag_list *diags)
{
    struct json json;
    struct json_error error;
    uint32_t node = 0;
    bool is_object = json_parse(&json, secret, JSON_DEPTH_MAX_DEFAULT, ask->arena, &error) &&
                     json.nodes[0].kind == JSON_OBJECT;
    if (is_object) {
        node = json_member(&json, 0, ask->args[2]);
    }
    if (node == 0) {
        diag_error(diags, DIAG_INVALID, "secret '%.*s' %s '%.*s'", BYTES_ARG(ask->args[0]),
                   is_object ? "has no member" : "is no JSON object, so it has no member",
                   BYTES_ARG(ask->args[2]));
        return false;
    }
    ask->answer = json.nodes[node].kind == JSON_STRING ? json_string(&json, node, ask->arena)
                                                       : json_raw(&json, node);
    return true;
}

static bool
take_secret(struct rule_ask *ask, struct bytes secret, struct diag_list *diags)
{
    bool is_binary = bytes_equal(ask->args[1], BYTES("SecretBinary"));
    if (is_binary && ask->count == 3) {
        diag_error(diags, DIAG_INVALID, "a SecretBinary has no members");
        return false;
    }
    if (is_binary) {
        struct buf text = {.arena = ask->arena};
        base64_encode(&text, secret);
        ask->answer = buf_bytes(&text);
        return true;
    }
    if (!bytes_is_utf8(secret)) {
        diag_error(diags, DIAG_INVALID, "secret '%.*s' is not text", BYTES_ARG(ask->args[0]));
        return false;
    }
    if (ask->count == 3) {
        return take_member(ask, secret, diags);
    }
    ask->answer = bytes_ends_with(secret, BYTES("\n")) ? bytes_slice(secret, 0, secret.size - 1)
                                                       : secret;
    return true;
}

bool
host_answer_secret(const struct host *host, struct rule_ask *ask, struct diag_list *diags)
{
    struct buf secret = {.arena = ask->arena};
    if (host->sources.hides_secrets) {
        ask->answer = BYTES("(secret)");
        return true;
    }
    return read_secret(host, ask->args[0], &secret, diags) &&
           take_secret(ask, buf_bytes(&secret), diags);
}

/* ---- the inventory ---- */

static bool
parse_registry(struct host_registry *registry, const char *path, struct bytes text,
               struct diag_list *diags)
{
    struct json_error error;
    struct diag_place place = {.file = bytes_of_string(path)};
    if (!json_parse(&registry->json, text, REGISTRY_DEPTH_MAX, &registry->arena, &error)) {
        place = diag_place_of(bytes_of_string(path), text, error.offset, 1);
        diag_at(diags, DIAG_ERROR, &place, "the inventory '%s' cannot be read: %s", path,
                error.message);
        return false;
    }
    if (registry->json.nodes[0].kind != JSON_OBJECT) {
        diag_at(diags, DIAG_ERROR, &place, "the inventory '%s' is no JSON object", path);
        return false;
    }
    return true;
}

/* Reads the file when it is another one than before. */
static bool
refresh_registry(struct host *host, struct diag_list *diags)
{
    struct host_registry *registry = &host->registry;
    const char *path = host->sources.registry_file;
    struct stat status;
    if (!is_set(path)) {
        diag_error(diags, DIAG_MISSING, "there is no inventory of devices: set registry_file");
        return false;
    }
    if (stat(path, &status) < 0) {
        diag_io_error(diags, errno, "the inventory '%s' cannot be read", path);
        return false;
    }
    int64_t stamp = status.st_mtim.tv_sec * INT64_C(1000000000) + status.st_mtim.tv_nsec +
                    status.st_size;
    if (registry->stamp == stamp) {
        return true;
    }
    arena_fini(&registry->arena);
    registry->stamp = 0;
    struct buf text = {.arena = &registry->arena};
    int result = os_read_file(host->os, path, REGISTRY_MAX_BYTES, &text);
    if (result < 0) {
        diag_io_error(diags, -result, "the inventory '%s' cannot be read", path);
        return false;
    }
    if (!parse_registry(registry, path, buf_bytes(&text), diags)) {
        return false;
    }
    registry->stamp = stamp;
    return true;
}

/* The node of a device, or 0. */
static uint32_t
find_thing(struct host *host, struct bytes thing, struct diag_list *diags)
{
    const struct json *json = &host->registry.json;
    if (!refresh_registry(host, diags)) {
        return 0;
    }
    uint32_t node = json_member(json, 0, thing);
    if (node != 0 && json->nodes[node].kind == JSON_OBJECT) {
        return node;
    }
    diag_error(diags, DIAG_MISSING, "there is no device '%.*s' in the inventory", BYTES_ARG(thing));
    return 0;
}

static void
write_name(struct buf *out, const char *key, struct bytes name)
{
    buf_append_string(out, key);
    json_write_string(out, name);
}

bool
host_answer_thing(struct host *host, struct rule_ask *ask, struct diag_list *diags)
{
    uint32_t thing = find_thing(host, ask->args[0], diags);
    const struct json *json = &host->registry.json;
    if (thing == 0) {
        return false;
    }
    uint32_t type = json_member(json, thing, BYTES("thingTypeName"));
    uint32_t attributes = json_member(json, thing, BYTES("attributes"));
    uint32_t version = json_member(json, thing, BYTES("version"));
    struct buf out = {.arena = ask->arena};
    write_name(&out, "{\"defaultClientId\":", ask->args[0]);
    write_name(&out, ",\"thingName\":", ask->args[0]);
    if (type != 0) {
        buf_append_string(&out, ",\"thingTypeName\":");
        buf_append(&out, json_raw(json, type));
    }
    buf_append_string(&out, ",\"attributes\":");
    buf_append(&out, attributes == 0 ? BYTES("{}") : json_raw(json, attributes));
    buf_append_string(&out, ",\"version\":");
    buf_append(&out, version == 0 ? BYTES("1") : json_raw(json, version));
    buf_append_char(&out, '}');
    ask->answer = buf_bytes(&out);
    return true;
}

bool
host_answer_groups(struct host *host, struct rule_ask *ask, struct diag_list *diags)
{
    uint32_t thing = find_thing(host, ask->args[0], diags);
    const struct json *json = &host->registry.json;
    if (thing == 0) {
        return false;
    }
    uint32_t groups = json_member(json, thing, BYTES("groups"));
    uint32_t count = groups == 0 || json->nodes[groups].kind != JSON_ARRAY
                             ? 0
                             : json->nodes[groups].count;
    struct buf out = {.arena = ask->arena};
    buf_append_string(&out, "{\"thingGroups\":[");
    for (uint32_t i = 0; i < count; i++) {
        uint32_t group = json_element(json, groups, i);
        if (json->nodes[group].kind == JSON_STRING) {
            write_name(&out, out.data[out.size - 1] == '[' ? "{\"groupName\":" : ",{\"groupName\":",
                       json_string(json, group, ask->arena));
            buf_append_char(&out, '}');
        }
    }
    buf_append_string(&out, "]}");
    ask->answer = buf_bytes(&out);
    return true;
}

/* ---- descriptors ---- */

static void
descriptor_free(struct host_descriptor *descriptor)
{
    free(descriptor->path);
    buf_fini(&descriptor->content);
    free(descriptor);
}

/* The one of that path; those that were kept long enough, or are too many, are forgotten. */
static struct host_descriptor *
find_descriptor(struct host *host, const char *path)
{
    int64_t oldest_us = host->os->mono_us(host->os) - DESCRIPTOR_KEPT_US;
    struct host_descriptor *found = NULL;
    size_t count = 0;
    for (struct host_descriptor **at = &host->descriptors; *at != NULL;) {
        struct host_descriptor *descriptor = *at;
        if (descriptor->read_us < oldest_us || ++count > DESCRIPTORS_KEPT_MAX) {
            *at = descriptor->next;
            descriptor_free(descriptor);
            continue;
        }
        found = strcmp(descriptor->path, path) == 0 ? descriptor : found;
        at = &descriptor->next;
    }
    return found;
}

static struct host_descriptor *
read_descriptor(struct host *host, const char *path, struct diag_list *diags)
{
    struct buf content = {0};
    int result = os_read_file(host->os, path, DESCRIPTOR_MAX_BYTES, &content);
    if (result < 0) {
        buf_fini(&content);
        diag_io_error(diags, -result, "the descriptor '%s' cannot be read", path);
        return NULL;
    }
    struct host_descriptor *descriptor = mem_new(struct host_descriptor);
    descriptor->path = bytes_to_string(bytes_of_string(path));
    descriptor->content = content;
    descriptor->read_us = host->os->mono_us(host->os);
    descriptor->next = host->descriptors;
    host->descriptors = descriptor;
    return descriptor;
}

bool
host_answer_descriptor(struct host *host, struct rule_ask *ask, struct diag_list *diags)
{
    struct buf path = {.arena = ask->arena};
    if (!is_set(host->sources.descriptors_dir)) {
        diag_error(diags, DIAG_MISSING, "there is no folder of descriptors: set descriptors_dir");
        return false;
    }
    if (!is_plain_name(ask->args[0]) || !is_plain_path(ask->args[1])) {
        diag_error(diags, DIAG_INVALID, "'%.*s/%.*s' cannot be the name of a descriptor",
                   BYTES_ARG(ask->args[0]), BYTES_ARG(ask->args[1]));
        return false;
    }
    buf_printf(&path, "%s/%.*s/%.*s", host->sources.descriptors_dir, BYTES_ARG(ask->args[0]),
               BYTES_ARG(ask->args[1]));
    struct host_descriptor *descriptor = find_descriptor(host, buf_string(&path));
    if (descriptor == NULL) {
        descriptor = read_descriptor(host, buf_string(&path), diags);
    }
    if (descriptor != NULL) {
        ask->answer = buf_bytes(&descriptor->content);
    }
    return descriptor != NULL;
}

void
host_files_fini(struct host *host)
{
    while (host->descriptors != NULL) {
        struct host_descriptor *next = host->descriptors->next;
        descriptor_free(host->descriptors);
        host->descriptors = next;
    }
    arena_fini(&host->registry.arena);
}
