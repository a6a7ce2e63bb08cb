/*
 * headgate doctor: what can lose messages on this machine, with the fix.
 *
 * Here the case is made: what the configuration and the rule files name, and what a running gateway
 * says. What is looked at, and how, is in doctor/.
 */
#include "base/json.h"
#include "base/mem.h"
#include "command.h"
#include "control.h"
#include "doctor/doctor.h"
#include "drivers/mqtt.h"
#include "ruleset.h"

#include <stdio.h>
#include <stdlib.h>

struct patient {
    struct arena arena;
    struct ruleset *ruleset; /* NULL: nothing could be read */
    struct doctor_credential *credentials;
    size_t credential_count;
    size_t credential_capacity;
    struct doctor_secret *secrets;
    size_t secret_count;
    size_t secret_capacity;
    struct doctor_case subject;
};

/* ---- a running gateway ---- */

static int64_t
number_in(const struct json *json, uint32_t object, const char *name)
{
    uint32_t node = json_member(json, object, bytes_of_string(name));
    int64_t number = 0;
    return node != 0 && json_int64(json, node, &number) ? number : 0;
}

/* Leaves it all zeros when no gateway answers: that is no error here. */
static void
ask_gateway(struct patient *patient, const char *data_dir)
{
    struct diag_list diags = {0};
    struct buf answer = {0};
    struct json json;
    struct json_error error;
    if (control_ask(data_dir, BYTES("status"), &answer, &diags) &&
        json_parse(&json, buf_bytes(&answer), JSON_DEPTH_MAX_DEFAULT, &patient->arena, &error)) {
        uint32_t ingest = json_member(&json, 0, BYTES("ingest"));
        patient->subject.gateway = (struct doctor_gateway){
                .runs = true,
                .pid = (pid_t)number_in(&json, 0, "pid"),
                .uptime_s = number_in(&json, 0, "uptime_s"),
                .received = number_in(&json, ingest, "received"),
                .received_bytes = number_in(&json, ingest, "received_bytes"),
                .journal_bytes = number_in(&json, json_member(&json, 0, BYTES("journal")),
                                           "bytes"),
        };
    }
    buf_fini(&answer);
    diag_list_fini(&diags);
}

/* ---- what is named ---- */

static void
add_credential(struct patient *patient, struct doctor_credential credential)
{
    if (credential.ca != NULL || credential.certificate != NULL || credential.key != NULL) {
        patient->credentials =
                mem_grow(patient->credentials, patient->credential_count,
                         &patient->credential_capacity, sizeof *patient->credentials);
        patient->credentials[patient->credential_count++] = credential;
    }
}

/* A driver's option of that name, as it was filled; NULL: it has none, or it is not set. */
static const char *
text_option(const struct relation *relation, const char *name)
{
    const struct option_table *table = &relation->driver->options;
    for (size_t i = 0; i < table->count; i++) {
        const struct option *option = &table->options[i];
        if (option->type == OPTION_STRING && strcmp(option->name, name) == 0) {
            char *text;
            memcpy(&text, (const char *)relation->options + option->offset, sizeof text);
            return text;
        }
    }
    return NULL;
}

/* Whether a declaration gives a secret itself, not the name of a file or variable. */
static bool
holds_secret(const struct ruleset_relation *relation)
{
    const struct option_table *table = &relation->relation.driver->options;
    for (size_t i = 0; i < table->count; i++) {
        struct bytes value = relation_option(relation->declared, table->options[i].name);
        if (table->options[i].type == OPTION_SECRET && value.size > 0 &&
            !bytes_starts_with(value, BYTES("file:")) && !bytes_starts_with(value, BYTES("env:"))) {
            return true;
        }
    }
    return false;
}

/* All drivers that speak TLS name these options alike. */
static void
look_at_relation(struct patient *patient, const struct ruleset_relation *relation)
{
    const struct rule_relation *declared = relation->declared;
    const char *owner =
            arena_printf(&patient->arena, "table '%.*s'", BYTES_ARG(declared->name)).data;
    add_credential(patient, (struct doctor_credential){
            .owner = owner,
            .ca = text_option(&relation->relation, "ca"),
            .certificate = text_option(&relation->relation, "certificate"),
            .key = text_option(&relation->relation, "key"),
    });
    if (holds_secret(relation)) {
        patient->secrets = mem_grow(patient->secrets, patient->secret_count,
                                    &patient->secret_capacity, sizeof *patient->secrets);
        patient->secrets[patient->secret_count++] = (struct doctor_secret){
                .owner = owner, .path = arena_copy(&patient->arena, declared->place.file).data};
    }
}

/* Rule files with errors are left out, as by the gateway; `headgate check` has those. */
static void
read_rules(struct patient *patient, const char *rules_dir)
{
    struct ruleset_report report;
    struct diag_list diags = {0};
    patient->subject.sinks = 1;
    if (ruleset_load(&patient->ruleset, rules_dir, NULL, NULL, &report, &diags)) {
        for (size_t i = 0; i < patient->ruleset->relation_count; i++) {
            look_at_relation(patient, &patient->ruleset->relations[i]);
        }
        patient->subject.sinks += patient->ruleset->relation_count;
    }
    diag_list_fini(&diags);
}

/* ---- the verb ---- */

static void
examine(struct patient *patient, const struct command_line *line, struct report *report)
{
    const struct config *config = &line->config;
    struct doctor_world world;
    doctor_world_init(&world);
    patient->subject.world = &world;
    patient->subject.config = config;
    patient->subject.config_path = line->config_path;
    add_credential(patient, (struct doctor_credential){
            .owner = "broker", .ca = config->broker_ca, .certificate = config->broker_certificate,
            .key = config->broker_key});
    ask_gateway(patient, config->data_dir);
    read_rules(patient, config->rules_dir);
    patient->subject.credentials = patient->credentials;
    patient->subject.credential_count = patient->credential_count;
    patient->subject.secrets = patient->secrets;
    patient->subject.secret_count = patient->secret_count;
    doctor_examine(&patient->subject, report);
}

static void
print_report(const struct report *report, bool json)
{
    struct buf out = {0};
    if (json) {
        report_write_json(report, &out);
        buf_append_char(&out, '\n');
    } else {
        report_print(report, &out);
    }
    fputs(buf_string(&out), stdout);
    buf_fini(&out);
}

static void
patient_fini(struct patient *patient)
{
    ruleset_free(patient->ruleset);
    free(patient->credentials);
    free(patient->secrets);
    arena_fini(&patient->arena);
}

int
cmd_doctor(int argc, char **argv)
{
    const char *broker_config = NULL;
    const struct flag flags[] = {{.name = "--broker-config",
                                  .value_name = "FILE",
                                  .doc = "the broker's mosquitto.conf, if it is not in "
                                         "/etc/mosquitto",
                                  .text = &broker_config}};
    struct command_line line;
    int code;
    if (!command_line_parse(&line, command_find("doctor"), argc, argv, flags, 1, 0, &code)) {
        return code;
    }
    struct patient patient = {.subject = {.broker_config = broker_config}};
    struct report report = {0};
    struct diag_list diags = {0};
    struct mqtt_address address;
    code = EXIT_CODE_USAGE;
    if (mqtt_address_parse(bytes_of_string(line.config.broker), &address, &diags)) {
        patient.subject.broker_host = address.host;
        patient.subject.broker_port = address.port;
        examine(&patient, &line, &report);
        print_report(&report, line.json);
        code = report.errors > 0 ? EXIT_CODE_FAILED : EXIT_CODE_DONE;
    }
    command_print_diags(&diags);
    report_fini(&report);
    patient_fini(&patient);
    diag_list_fini(&diags);
    command_line_fini(&line);
    return code;
}
