/*
 * A Unix stream socket with one thread that serves one client at a time; each has two seconds.
 *
 * A socket's path is limited to about 100 bytes, a data_dir is not: so the path is given as
 * /proc/self/fd/N/control.sock, with N the opened data_dir.
 */
#define _GNU_SOURCE
#include "control.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { CLIENT_TIMEOUT_S = 2, REQUEST_MAX_BYTES = 4096 };

struct control {
    int listen_fd;
    int stop_fd; /* eventfd */
    int dir_fd;
    pthread_t thread;
    control_answer_fn answer;
    void *context;
};

static struct sockaddr_un
address_in(int dir_fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int size = snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/control.sock",
                        dir_fd);
    check(size > 0 && (size_t)size < sizeof address.sun_path);
    return address;
}

static void
set_timeouts(int fd, time_t seconds)
{
    struct timeval timeout = {.tv_sec = seconds};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
}

static bool
send_all(int fd, struct bytes data)
{
    while (data.size > 0) {
        ssize_t n = send(fd, data.data, data.size, MSG_NOSIGNAL);
        if (n <= 0) {
            return false;
        }
        data = bytes_slice(data, (size_t)n, data.size);
    }
    return true;
}

static void
serve(struct control *control, int fd)
{
    set_timeouts(fd, CLIENT_TIMEOUT_S);
    char request[REQUEST_MAX_BYTES];
    size_t size = 0;
    while (size < sizeof request && memchr(request, '\n', size) == NULL) {
        ssize_t n = recv(fd, request + size, sizeof request - size, 0);
        if (n <= 0) {
            return;
        }
        size += (size_t)n;
    }
    struct buf answer = {0};
    struct bytes line = bytes_of(request, size);
    control->answer(control->context, bytes_slice(line, 0, bytes_find(line, '\n')), &answer);
    send_all(fd, buf_bytes(&answer));
    buf_fini(&answer);
}

static void *
control_main(void *context)
{
    struct control *control = context;
    for (;;) {
        struct pollfd fds[] = {{.fd = control->listen_fd, .events = POLLIN},
                               {.fd = control->stop_fd, .events = POLLIN}};
        if (poll(fds, 2, -1) < 0 && errno != EINTR) {
            return NULL;
        }
        if (fds[1].revents != 0) {
            return NULL;
        }
        int fd = accept4(control->listen_fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0) {
            serve(control, fd);
            close(fd);
        }
    }
}

bool
control_start(struct control **out, const char *data_dir, control_answer_fn answer, void *context,
              struct diag_list *diags)
{
    int dir_fd = open(data_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_un address = address_in(dir_fd);
    unlink(address.sun_path); /* of a gateway that was killed: data_dir is locked by now */
    if (dir_fd < 0 || listen_fd < 0 ||
        bind(listen_fd, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(listen_fd, 16) < 0) {
        diag_io_error(diags, errno, "cannot make the control socket in '%s'", data_dir);
        close(dir_fd);
        close(listen_fd);
        return false;
    }
    struct control *control = mem_new(struct control);
    *control = (struct control){
            .listen_fd = listen_fd, .dir_fd = dir_fd, .answer = answer, .context = context};
    control->stop_fd = eventfd(0, EFD_CLOEXEC);
    check(control->stop_fd >= 0);
    check(pthread_create(&control->thread, NULL, control_main, control) == 0);
    *out = control;
    return true;
}

void
control_stop(struct control *control)
{
    if (control == NULL) {
        return;
    }
    uint64_t one = 1;
    check(write(control->stop_fd, &one, sizeof one) == sizeof one);
    pthread_join(control->thread, NULL);
    unlink(address_in(control->dir_fd).sun_path);
    close(control->listen_fd);
    close(control->stop_fd);
    close(control->dir_fd);
    free(control);
}

static bool
exchange(int fd, struct bytes request, struct buf *answer)
{
    if (!send_all(fd, request) || !send_all(fd, BYTES("\n"))) {
        return false;
    }
    for (;;) {
        ssize_t n = recv(fd, buf_reserve(answer, 16384), 16384, 0);
        if (n <= 0) {
            return n == 0;
        }
        answer->size += (size_t)n;
    }
}

bool
control_ask(const char *data_dir, struct bytes request, struct buf *answer,
            struct diag_list *diags)
{
    int dir_fd = open(data_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = address_in(dir_fd);
    bool answered = false;
    if (dir_fd < 0 || fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        diag_error(diags, DIAG_MISSING, "no gateway answers in '%s': %s", data_dir,
                   strerror(errno));
        diag_hint(diags, "start one with 'headgate run', or name its folder with --set "
                         "data_dir=...");
    } else {
        set_timeouts(fd, 10);
        answered = exchange(fd, request, answer);
        if (!answered) {
            diag_io_error(diags, errno, "the gateway in '%s' did not answer", data_dir);
        }
    }
    close(fd);
    close(dir_fd);
    return answered;
}
