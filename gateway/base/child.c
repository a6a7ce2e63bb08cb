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

/*
 * Between fork and exec: only async-signal-safe calls. The wanted numbers may be taken by other
 * descriptors of the list, so all move up out of the way first.
 */
static _Noreturn void
become(const char *executable, const char *const *argv, const int *fds, size_t fd_count,
       pid_t parent)
{
    int moved[CHILD_INHERIT_MAX + 1];
    int nothing = open("/dev/null", O_RDONLY);
    bool ready = dup2(nothing, STDIN_FILENO) >= 0;
    for (size_t i = 0; i < fd_count; i++) {
        moved[i] = fcntl(fds[i], F_DUPFD, CHILD_SOCKET_FD + (int)fd_count);
    }
    for (size_t i = 0; i < fd_count; i++) {
        ready = ready && dup2(moved[i], CHILD_SOCKET_FD + (int)i) >= 0;
    }
    ready = ready && close_range((unsigned)(CHILD_SOCKET_FD + (int)fd_count), ~0U, 0) == 0;
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
child_spawn(struct child *out, const char *executable, const char *const *argv,
            const int *inherit, size_t inherit_count, struct diag_list *diags)
{
    int sockets[2];
    check(inherit_count <= CHILD_INHERIT_MAX);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) < 0) {
        diag_io_error(diags, errno, "socketpair");
        return false;
    }
    int fds[CHILD_INHERIT_MAX + 1] = {sockets[1]};
    for (size_t i = 0; i < inherit_count; i++) {
        fds[i + 1] = inherit[i];
    }
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        become(executable, argv, fds, inherit_count + 1, parent);
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
