/*
 * The files behind a host's answers. Each function answers one question of rules (rules/rule.h) in
 * ask->arena; on false there is an error in `diags`. Thread of the host.
 */
#ifndef HEADGATE_HOST_FILES_H
#define HEADGATE_HOST_FILES_H

#include "host.h"

/* args: id, SecretString or SecretBinary[, key]. The file secrets_dir/id, see etc/README.md. */
bool host_answer_secret(const struct host *host, struct rule_ask *ask, struct diag_list *diags)
        MUST_CHECK;

/* args: thing. From registry_file, see etc/README.md. */
bool host_answer_thing(struct host *host, struct rule_ask *ask, struct diag_list *diags)
        MUST_CHECK;
bool host_answer_groups(struct host *host, struct rule_ask *ask, struct diag_list *diags)
        MUST_CHECK;

/* args: bucket, key. The file descriptors_dir/bucket/key; kept for 15 minutes, as AWS does. */
bool host_answer_descriptor(struct host *host, struct rule_ask *ask, struct diag_list *diags)
        MUST_CHECK;

/* Forgets what was kept. */
void host_files_fini(struct host *host);

#endif
