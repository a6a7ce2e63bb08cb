/* The verb's end: starts the process, hears until the time is up, ends the process. */
#include "listen.h"

#include "base/child.h"
#include "base/frame.h"
#include "base/os.h"
#include "base/wire.h"

#include <string.h>

enum { CONNECT_MS = 10000, GRACE_MS = 1000, SEND_MS = 1000 };

struct listening {
    struct child child;
    struct buf buffer;
    int64_t until_us; /* of connecting, then of hearing */
    bool is_ready;
    void (*heard)(void *context, struct bytes topic, struct bytes payload);
    void *context;
};

static int64_t
now_us(void)
{
    return os_posix.mono_us(&os_posix);
}

static bool
start(struct listening *listening, const struct config *config, struct diag_list *diags)
{
    static const char *const argv[] = {"headgate", "listener", NULL};
    struct buf text = {0};
    if (!child_spawn(&listening->child, "/proc/self/exe", argv, NULL, 0, diags)) {
        return false;
    }
    config_print(config, &text);
    bool sent = frame_send(listening->child.fd, LISTEN_CONFIG, buf_bytes(&text), SEND_MS, diags);
    explicit_bzero(text.data, text.size);
    buf_fini(&text);
    return sent;
}

static void
take_message(struct listening *listening, struct bytes body)
{
    struct wire_reader reader = wire_reader(body);
    struct bytes topic = wire_get_bytes(&reader);
    if (!reader.failed) {
        listening->heard(listening->context, topic, reader.rest);
    }
}

/* One frame, or none until the time is up; false after an error. */
static bool
hear(struct listening *listening, int64_t listen_ms, struct diag_list *diags)
{
    struct frame frame;
    struct diag_list trouble = {0};
    int64_t left_ms = (listening->until_us - now_us()) / 1000 + 1;
    bool received = frame_receive(listening->child.fd, &listening->buffer, &frame, (int)left_ms,
                                  &trouble);
    bool good = received || trouble.items[0].class == DIAG_TIMEOUT;
    if (!good) {
        diag_error(diags, DIAG_REMOTE, "the process that listens has ended: %.*s",
                   BYTES_ARG(diag_first_error(&trouble)));
    } else if (received && frame.type == LISTEN_READY && !listening->is_ready) {
        listening->is_ready = true;
        listening->until_us = now_us() + listen_ms * 1000;
    } else if (received && frame.type == LISTEN_MESSAGE) {
        take_message(listening, frame.body);
    } else if (received && frame.type == LISTEN_FAILED) {
        diag_error(diags, DIAG_REMOTE, "cannot listen: %.*s", BYTES_ARG(frame.body));
        good = false;
    }
    diag_list_fini(&trouble);
    return good;
}

bool
listen_to_all(const struct config *config, int64_t listen_ms,
              void (*heard)(void *context, struct bytes topic, struct bytes payload),
              void *context, struct diag_list *diags)
{
    struct listening listening = {
            .until_us = now_us() + (int64_t)CONNECT_MS * 1000, .heard = heard, .context = context};
    if (!start(&listening, config, diags)) {
        if (listening.child.pid != 0) {
            child_stop(&listening.child, 0);
        }
        return false;
    }
    bool good = true;
    while (good && now_us() < listening.until_us) {
        good = hear(&listening, listen_ms, diags);
    }
    if (good && !listening.is_ready) {
        diag_error(diags, DIAG_TIMEOUT, "cannot listen: the broker did not answer in %d s",
                   CONNECT_MS / 1000);
        good = false;
    }
    child_stop(&listening.child, GRACE_MS);
    buf_fini(&listening.buffer);
    return good;
}
