/*
 * headgate why: says why a rule is silent.
 *
 *   a gateway runs                    it is asked; with --listen, what is heard is added
 *   --input FILE                      the rule of rules_dir runs on given messages
 *   no gateway, --listen              the same on the messages heard
 *   no gateway                        what the files say
 */
#include "command.h"
#include "control.h"
#include "host.h"
#include "listen.h"
#include "ruleset.h"
#include "trial_input.h"
#include "why_rules.h"
#include "why_trial.h"

#include "base/mem.h"
#include "base/option.h"
#include "base/os.h"

#include <stdio.h>

struct why {
    const struct config *config;
    struct bytes name;
    bool json;
    struct diag_list diags;

    struct recent *recent; /* topics heard */
    struct why_heard heard;
    bool has_heard;

    /* Without a gateway. */
    const struct ruleset_rule *rule;
    struct trial *trial;
    struct why_trial *observed;
    struct arena arena; /* of one message */
    struct trial_input input;
};

/* ---- messages through the rule ---- */

static void
take_outcome(void *context, struct trial_outcome *outcome)
{
    struct why *why = context;
    why_trial_outcome(why->observed, outcome);
}

static void
take_message(void *context, const struct trial_message *message)
{
    struct why *why = context;
    why_trial_message(why->observed, message);
    trial_run(why->trial, message, &why->arena, take_outcome, why);
}

/* ---- listening ---- */

static void
take_heard(void *context, struct bytes topic, struct bytes payload)
{
    struct why *why = context;
    int64_t now_us = os_posix.wall_us(&os_posix);
    why->heard.messages++;
    recent_note(why->recent, topic, now_us);
    if (why->trial != NULL) {
        struct trial_message message = {.topic = topic,
                                        .payload = payload,
                                        .has_time = true,
                                        .time_us = now_us,
                                        .origin = {.account_id = why->input.account_id}};
        trial_run(why->trial, &message, &why->arena, take_outcome, why);
        arena_reset(&why->arena);
    }
}

static bool
hear(struct why *why, int64_t listen_ms)
{
    fprintf(stderr, "listening on all topics for %lld s\n", (long long)(listen_ms + 999) / 1000);
    why->has_heard = listen_to_all(why->config, listen_ms, take_heard, why, &why->diags);
    why->heard.seconds = (listen_ms + 999) / 1000;
    return why->has_heard;
}

/* ---- the document ---- */

/* Completes and prints it; whether it is of a rule. */
static bool
show(struct why *why, struct bytes document)
{
    struct buf complete = {0}, text = {0};
    struct arena arena = {0};
    if (why->has_heard) {
        why->heard.topics = recent_list(why->recent, &arena, &why->heard.topic_count);
        why->heard.now_us = os_posix.wall_us(&os_posix);
    }
    bool shown = why_complete(document, why->has_heard ? &why->heard : NULL, &complete,
                              &why->diags) &&
                 (why->json || why_print(buf_bytes(&complete), &text, &why->diags));
    if (shown) {
        buf_append_char(&complete, '\n');
        fputs(buf_string(why->json ? &complete : &text), stdout);
    }
    buf_fini(&complete);
    buf_fini(&text);
    arena_fini(&arena);
    return shown && why_is_known(document);
}

/* ---- without a gateway ---- */

struct offline {
    const char *input;  /* NULL: none */
    int64_t listen_ms;  /* 0: do not */
};

static bool
run_messages(struct why *why, const struct offline *offline)
{
    struct buf text = {0};
    bool done = true;
    struct host host;
    const struct host_sources sources = {.hides_secrets = true,
                                         .registry_file = why->config->registry_file,
                                         .descriptors_dir = why->config->descriptors_dir};
    host_init(&host, &os_posix);
    host_set_sources(&host, &sources);
    why->trial = trial_new(&why->rule->rule, 1, &host.rule, 1);
    if (offline->input != NULL) {
        done = trial_input_read(offline->input, &text, &why->diags);
        why->input.name = bytes_of_string(offline->input);
        if (done) {
            trial_input_each(&why->input, buf_bytes(&text), &why->arena, take_message, why,
                             &why->diags);
        }
    } else if (offline->listen_ms > 0) {
        done = hear(why, offline->listen_ms);
    }
    trial_free(why->trial);
    why->trial = NULL;
    host_fini(&host);
    buf_fini(&text);
    return done;
}

static bool
explain_from_files(struct why *why, const struct offline *offline)
{
    struct ruleset *ruleset;
    struct ruleset_report loaded;
    struct diag_list diags = {0};
    struct buf report = {0}, document = {0};
    struct arena arena = {0};
    if (!ruleset_load(&ruleset, why->config->rules_dir, NULL, NULL, &loaded, &diags)) {
        diag_list_append(&why->diags, &diags);
        diag_list_fini(&diags);
        return false;
    }
    diag_list_print(&diags, &report);
    why->rule = why_find_rule(ruleset, why->name);
    bool ready = true;
    if (why->rule == NULL) {
        why_write_no_rule(ruleset, why->name, why->config->rules_dir, buf_bytes(&report), &arena,
                          &document);
    } else {
        struct bytes path = bytes_of_string(why->rule->path);
        why->observed = why_trial_new(&why->rule->rule, 1);
        ready = run_messages(why, offline);
        why_trial_write(why->observed, 0, path, why_errors_of(buf_bytes(&report), path, &arena),
                        offline->input == NULL && offline->listen_ms == 0, &document);
    }
    bool known = ready && show(why, buf_bytes(&document));
    why_trial_free(why->observed);
    ruleset_free(ruleset);
    diag_list_fini(&diags);
    buf_fini(&report);
    buf_fini(&document);
    arena_fini(&arena);
    return known;
}

/* ---- with one ---- */

/* False: none runs, or it does not answer; then there is an error. */
static bool
ask(struct why *why, struct buf *document)
{
    struct buf request = {0};
    buf_printf(&request, "why %.*s", BYTES_ARG(why->name));
    bool answered = control_ask(why->config->data_dir, buf_bytes(&request), document, &why->diags);
    buf_fini(&request);
    return answered;
}

static bool
explain(struct why *why, const struct offline *offline)
{
    if (offline->input != NULL) {
        return explain_from_files(why, offline);
    }
    struct buf document = {0};
    bool runs = ask(why, &document);
    bool known = false;
    if (!runs) {
        known = explain_from_files(why, offline) && offline->listen_ms > 0;
        if (known) {
            diag_list_clear(&why->diags); /* the broker answered the question */
        }
    } else if (offline->listen_ms == 0 || !why_is_known(buf_bytes(&document))) {
        known = show(why, buf_bytes(&document));
    } else if (hear(why, offline->listen_ms)) {
        buf_clear(&document);
        known = ask(why, &document) && show(why, buf_bytes(&document));
    }
    buf_fini(&document);
    return known;
}

static bool
parse_listen(const char *text, int64_t *out_ms, struct diag_list *diags)
{
    enum { LISTEN_MAX_MS = 3600 * 1000 };
    *out_ms = 0;
    if (text == NULL) {
        return true;
    }
    if (option_parse_duration(bytes_of_string(text), out_ms) && *out_ms > 0 &&
        *out_ms <= LISTEN_MAX_MS) {
        return true;
    }
    diag_error(diags, DIAG_INVALID, "'--listen %s' is not a time from 1ms to 1h", text);
    diag_hint(diags, "for example --listen 10s");
    return false;
}

int
cmd_why(int argc, char **argv)
{
    const char *input = NULL, *topic = "", *now = NULL, *listen = NULL;
    const struct flag flags[] = {
            {"--input", "FILE", "explain these messages instead ('-': standard input), as try does",
             &input, NULL},
            {"--topic", "TOPIC", "the topic of every input line; the line is the payload", &topic,
             NULL},
            {"--now", "TIME", "the arrival time of messages that do not say it", &now, NULL},
            {"--listen", "TIME", "also hear all topics for so long, for example 10s", &listen,
             NULL},
    };
    struct command_line line;
    int code;
    if (!command_line_parse(&line, command_find("why"), argc, argv, flags,
                            sizeof flags / sizeof *flags, 1, &code)) {
        return code;
    }
    struct why why = {.config = &line.config,
                      .json = line.json,
                      .recent = recent_new(),
                      .input = {.topic = bytes_of_string(topic),
                                .account_id = bytes_of_string(line.config.account_id)}};
    struct offline offline = {.input = input};
    code = EXIT_CODE_USAGE;
    if (line.operand_count == 0) {
        diag_error(&why.diags, DIAG_INVALID, "which rule?");
        diag_hint(&why.diags, "headgate why RULE; 'headgate status' lists the rules");
    } else if (parse_listen(listen, &offline.listen_ms, &why.diags) &&
               trial_input_now(now, &why.input.now_us, &why.diags)) {
        why.name = bytes_of_string(line.operands[0]);
        code = explain(&why, &offline) ? EXIT_CODE_DONE : EXIT_CODE_FAILED;
    }
    command_print_diags(&why.diags);
    recent_free(why.recent);
    arena_fini(&why.arena);
    diag_list_fini(&why.diags);
    command_line_fini(&line);
    return code;
}
