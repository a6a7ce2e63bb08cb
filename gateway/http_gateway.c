/* Between the HTTP server, which knows no gateway, and the gateway, which knows no HTTP. */
#include "http_gateway.h"

#include "gateway.h"
#include "http_server.h"
#include "metrics.h"

#include "base/log.h"

enum { AGAIN_MS = 30000 };

static int64_t
now_ms(void)
{
    return os_posix.mono_us(&os_posix) / 1000;
}

static void
answer_metrics(void *context, struct buf *out)
{
    gateway_metrics(context, out);
}

static bool
answer_health(void *context, struct buf *out)
{
    return gateway_health(context, out);
}

bool
gateway_listen_http(struct gateway *gateway, struct diag_list *diags)
{
    const char *address = gateway->config->http;
    const struct http_pages pages = {answer_metrics, answer_health, gateway};
    if (address == NULL || gateway->http != NULL || now_ms() < gateway->http_again_ms) {
        return true;
    }
    gateway->http_again_ms = now_ms() + AGAIN_MS;
    if (http_server_start(&gateway->http, address, &pages, diags)) {
        log_notice("metrics on http://%s/metrics", address);
        if (http_server_is_public(gateway->http)) {
            log_warning("other machines can read the metrics on %s: names of rules and tables are in "
                        "them", address);
        }
        return true;
    }
    return diags->items[diags->count - 1].class != DIAG_INVALID;
}

void
gateway_retry_http(struct gateway *gateway)
{
    struct diag_list diags = {0};
    if (!gateway_listen_http(gateway, &diags) || diags.errors > 0) {
        log_diags(&diags);
    }
    diag_list_fini(&diags);
}

void
gateway_stop_http(struct gateway *gateway)
{
    http_server_stop(gateway->http);
    gateway->http = NULL;
}
