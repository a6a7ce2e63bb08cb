/*
 * The one binary. `headgate VERB` is for people; `headgate ingest`, `publisher`, `listener`
 * and `worker` are our own processes, started by others and of no use by hand.
 */
#include "command.h"
#include "ingest.h"
#include "listen.h"
#include "worker/process.h"

#include "base/heap.h"
#include "drivers/publisher.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *name;
    int (*run)(void);
} roles[] = {
        {"ingest", ingest_process_main},
        {"publisher", publisher_process_main},
        {"listener", listen_process_main},
        {"worker", worker_process_main},
};

static void
print_usage(FILE *out)
{
    fprintf(out, "headgate " HEADGATE_VERSION
                 ": rules in SQL between an MQTT broker and what should happen\n\n"
                 "Usage: headgate VERB [OPTIONS]\n\nVerbs:\n");
    for (size_t i = 0; i < command_count; i++) {
        fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].summary);
    }
    fprintf(out, "\n'headgate VERB --help' explains a verb; 'headgate help options' the "
                 "configuration.\n");
}

static const char *
command_name_at(const void *context, size_t i)
{
    return ((const struct command *)context)[i].name;
}

static int
unknown_verb(const char *name)
{
    fprintf(stderr, "headgate: unknown verb '%s'\n", name);
    const char *nearest = diag_nearest(bytes_of_string(name), command_count, command_name_at,
                                       commands);
    if (nearest != NULL) {
        fprintf(stderr, "  hint: did you mean '%s'?\n", nearest);
    } else {
        fprintf(stderr, "  hint: 'headgate --help' lists the verbs\n");
    }
    return EXIT_CODE_USAGE;
}

/* A file that got the number of a standard stream that is closed would get our lines into it. */
static void
open_standard_streams(void)
{
    int fd;
    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    close(fd);
}

int
main(int argc, char **argv)
{
    open_standard_streams();
    signal(SIGPIPE, SIG_IGN); /* a closed pipe or socket is an error code, not a death */
    if (argc < 2) {
        print_usage(stderr);
        return EXIT_CODE_USAGE;
    }
    const char *verb = argv[1];
    if (strcmp(verb, "--help") == 0 || strcmp(verb, "-h") == 0) {
        print_usage(stdout);
        return EXIT_CODE_DONE;
    }
    if (strcmp(verb, "--version") == 0) {
        puts("headgate " HEADGATE_VERSION);
        return EXIT_CODE_DONE;
    }
    if (strcmp(verb, "worker") != 0) {
        heap_end_when_exhausted();
    }
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
        if (strcmp(verb, roles[i].name) == 0) {
            return roles[i].run();
        }
    }
    const struct command *command = command_find(verb);
    return command == NULL ? unknown_verb(verb) : command->run(argc - 1, argv + 1);
}
