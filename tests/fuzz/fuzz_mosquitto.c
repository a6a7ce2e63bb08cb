/* mosquitto.conf: any text is read, and every question about it has an answer. */
#include "base/check.h"
#include "fuzz.h"
#include "gateway/doctor/mosquitto.h"

static void
ask(const struct mosquitto_config *config)
{
    static const char *const names[] = {"max_queued_messages", "autosave_interval", "persistence"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        int64_t number = mosquitto_number(config, names[i], 7);
        check(number >= 0 && number <= INT32_MAX);
        check(mosquitto_find(config, names[i]) != NULL || number == 7);
        mosquitto_flag(config, names[i], false);
    }
    check(mosquitto_expiration_s(config) >= 0);
    check(config->listener_count >= 1);
    for (size_t i = 0; i < config->line_count; i++) {
        check(config->lines[i].listener < config->listener_count);
        check(config->lines[i].name.size > 0 && config->lines[i].number > 0);
    }
    for (size_t i = 0; i < config->listener_count; i++) {
        check(config->listeners[i].port <= 65535);
        mosquitto_is_loopback(&config->listeners[i]);
        mosquitto_is_anonymous(config, i);
        mosquitto_listens(config, i);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mosquitto_config config = {0};
    struct bytes text = bytes_of(data, size);
    mosquitto_config_parse(&config, BYTES("main.conf"), text);
    ask(&config);
    mosquitto_config_parse(&config, BYTES("conf.d/again.conf"), text);
    ask(&config);
    check(config.files == 2);
    mosquitto_config_fini(&config);
    return 0;
}
