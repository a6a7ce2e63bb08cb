#define _GNU_SOURCE
#include "child.h"

#include "os.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Between fork and exec: only async-signal-safe calls. Descriptors may overlap, so move up first. */
static _Noreturn void
become(const char *executable, const char *const *argv, int socket_fd, int inherit, pid_t parent)
{
    int high_socket = fcntl(socket_fd, F_DUPFD, CHILD_SOCKET_FD + 2);
    int high_inherit = inherit < 0 ? -1 : fcntl(inherit, F_DUPFD, CHILD_SOCKET_FD + 2);
    int nothing = open("/dev/null", O_RDONLY);
    bool ready = dup2(nothing, STDIN_FILENO) >= 0 && dup2(high_socket, CHILD_SOCKET_FD) >= 0;
    unsigned first_unused = CHILD_SOCKET_FD + 1;
    if (inherit >= 0) {
        ready = ready && dup2(high_inherit, CHILD_SOCKET_FD + 1) >= 0;
        first_unused++;
    }
    ready = ready && close_range(first_unused, ~0U, 0) == 0;
    ready = ready && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0;
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (ready && getppid() == parent) { /* the parent may have died before prctl */
        execv(executable, (char *const *)(uintptr_t)argv);
    }
    _exit(127);
}

bool
child_spawn(struct child *out, const char *executable, const char *const *argv, int inherit,
            struct diag_list *diags)
{
    int sockets[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) < 0) {
        diag_io_error(diags, errno, "socketpair");
        return false;
    }
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        become(executable, argv, sockets[1], inherit, parent);
    }
    int fork_error = errno;
    close(sockets[1]);
    if (pid < 0) {
        close(sockets[0]);
        diag_io_error(diags, fork_error, "cannot start '%s'", executable);
        return false;
    }
    *out = (struct child){pid, sockets[0]};
    return true;
}

static bool
reap(struct child *child, int *status, int options)
{
    pid_t ended;
    do {
        ended = waitpid(child->pid, status, options);
    } while (ended < 0 && errno == EINTR);
    if (ended == child->pid) {
        child->pid = 0;
        return true;
    }
    return false;
}

bool
child_has_ended(struct child *child, int *status)
{
    return child->pid == 0 || reap(child, status, WNOHANG);
}

void
child_stop(struct child *child, int grace_ms)
{
    if (child->fd >= 0) {
        close(child->fd);
        child->fd = -1;
    }
    int status;
    for (int waited = 0; waited < grace_ms && !child_has_ended(child, &status); waited += 5) {
        usleep(5000);
    }
    if (child->pid != 0) {
        kill(child->pid, SIGKILL);
        reap(child, &status, 0);
    }
}

struct bytes
child_describe_status(int status, struct arena *arena)
{
    if (WIFSIGNALED(status)) {
        return arena_printf(arena, "signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    }
    return arena_printf(arena, "exit code %d", WEXITSTATUS(status));
}
