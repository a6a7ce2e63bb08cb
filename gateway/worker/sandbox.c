/*
 * rlimits and seccomp for worker processes; the only file that includes libseccomp.
 *
 * Why these: Raspberry Pi kernels have no Landlock and no memory cgroup by default, so what holds
 * everywhere is resource limits for memory and a filter for system calls. There is no CPU limit:
 * the worker cannot have a second thread or process, so the driver's clock, which ends it with
 * SIGKILL, bounds its CPU time too.
 *
 * Two filters stack and the stricter verdict wins, so the second only takes away: opening files,
 * mapping code, and loading a further filter.
 */
#define _GNU_SOURCE
#include "worker/sandbox.h"

#include "base/check.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define HAS_ASAN true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN true
#endif
#endif
#ifndef HAS_ASAN
#define HAS_ASAN false
#endif

enum { MAPPED_SLACK_BYTES = 32 * 1024 * 1024 };

bool
sandbox_under_asan(void)
{
    return HAS_ASAN;
}

static void
limit(int resource, rlim_t value)
{
    struct rlimit old;
    if (getrlimit((__rlimit_resource_t)resource, &old) == 0 && old.rlim_max < value) {
        value = old.rlim_max;
    }
    struct rlimit new = {value, value};
    setrlimit((__rlimit_resource_t)resource, &new);
}

/* The parent's variables hold its secrets; the strings lie on this process's stack. */
static void
wipe_environment(void)
{
    for (char **entry = environ; entry != NULL && *entry != NULL; entry++) {
        explicit_bzero(*entry, strlen(*entry));
    }
    clearenv();
}

void
sandbox_begin(void)
{
    wipe_environment();
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_FSIZE, 0);
    limit(RLIMIT_MEMLOCK, 0);
    limit(RLIMIT_NOFILE, 16);
    limit(RLIMIT_NPROC, 0);
}

/* In kB, of /proc/self/status; 0 when it is not there. */
static uint64_t
status_kb(const char *field)
{
    FILE *file = fopen("/proc/self/status", "re");
    unsigned long long value = 0;
    char line[200];
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, field, strlen(field)) == 0) {
            value = strtoull(line + strlen(field), NULL, 10);
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return value;
}

bool
sandbox_limit_memory(uint64_t bytes)
{
    if (sandbox_under_asan()) {
        return false;
    }
    /* DATA counts what malloc takes; AS also shared mappings, which DATA does not. */
    limit(RLIMIT_DATA, status_kb("VmData:") * 1024 + bytes);
    limit(RLIMIT_AS, status_kb("VmSize:") * 1024 + bytes + MAPPED_SLACK_BYTES);
    return true;
}

#if HEADGATE_SECCOMP
#include <seccomp.h>

/* Needed by code that computes: fails never because of where it runs. */
static const int plain_calls[] = {
        SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev), SCMP_SYS(pread64),
        SCMP_SYS(recv), SCMP_SYS(recvfrom), SCMP_SYS(send), SCMP_SYS(sendto), SCMP_SYS(poll),
        SCMP_SYS(ppoll), SCMP_SYS(ppoll_time64), SCMP_SYS(lseek), SCMP_SYS(_llseek),
        SCMP_SYS(close), SCMP_SYS(fstat), SCMP_SYS(fstat64), SCMP_SYS(newfstatat),
        SCMP_SYS(fstatat64), SCMP_SYS(statx), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(brk),
        SCMP_SYS(madvise), SCMP_SYS(futex), SCMP_SYS(futex_time64), SCMP_SYS(sched_yield),
        SCMP_SYS(clock_gettime), SCMP_SYS(clock_gettime64), SCMP_SYS(clock_getres),
        SCMP_SYS(clock_getres_time64), SCMP_SYS(clock_nanosleep), SCMP_SYS(clock_nanosleep_time64),
        SCMP_SYS(nanosleep), SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(getrandom),
        SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(getrusage), SCMP_SYS(sysinfo),
        SCMP_SYS(uname), SCMP_SYS(sched_getaffinity), SCMP_SYS(rt_sigaction),
        SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(sigaltstack),
        SCMP_SYS(restart_syscall), SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(rseq),
        SCMP_SYS(set_robust_list), SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid),
        SCMP_SYS(getegid),
};

static const int loading_calls[] = {
        SCMP_SYS(mmap), SCMP_SYS(mmap2), SCMP_SYS(mprotect), SCMP_SYS(access),
        SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(stat), SCMP_SYS(lstat),
        SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(getcwd), SCMP_SYS(getdents64),
        SCMP_SYS(prctl), SCMP_SYS(seccomp), SCMP_SYS(fcntl), SCMP_SYS(dup), SCMP_SYS(dup2),
        SCMP_SYS(dup3), SCMP_SYS(prlimit64), SCMP_SYS(set_tid_address), SCMP_SYS(membarrier),
};

/* Never what a handler that computes would do by chance: end it, so that the owner sees it. */
static const int hostile_calls[] = {
        SCMP_SYS(fork), SCMP_SYS(vfork), SCMP_SYS(clone), SCMP_SYS(execve), SCMP_SYS(execveat),
        SCMP_SYS(socket), SCMP_SYS(socketpair), SCMP_SYS(connect), SCMP_SYS(bind),
        SCMP_SYS(listen), SCMP_SYS(accept), SCMP_SYS(accept4), SCMP_SYS(sendmsg),
        SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev),
        SCMP_SYS(kill), SCMP_SYS(tkill), SCMP_SYS(rt_sigqueueinfo), SCMP_SYS(pidfd_open),
        SCMP_SYS(mount), SCMP_SYS(unshare), SCMP_SYS(setns), SCMP_SYS(bpf),
        SCMP_SYS(init_module), SCMP_SYS(finit_module), SCMP_SYS(reboot), SCMP_SYS(keyctl),
};

/* A call that this machine does not have is not an error: the tables serve every architecture. */
static bool
add_calls(scmp_filter_ctx filter, uint32_t action, const int *calls, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int result = seccomp_rule_add(filter, action, calls[i], 0);
        if (result != 0 && result != -EDOM && result != -EINVAL) {
            return false;
        }
    }
    return true;
}

static bool
add_loading(scmp_filter_ctx filter)
{
    static const uint64_t writing = O_ACCMODE | O_CREAT | O_TRUNC;
    return add_calls(filter, SCMP_ACT_ALLOW, loading_calls,
                     sizeof loading_calls / sizeof *loading_calls) &&
           seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1,
                            SCMP_A2(SCMP_CMP_MASKED_EQ, writing, O_RDONLY)) == 0;
}

static bool
add_running(scmp_filter_ctx filter)
{
    static const int mapping[] = {SCMP_SYS(mmap), SCMP_SYS(mmap2), SCMP_SYS(mprotect)};
    for (size_t i = 0; i < 3; i++) {
        int result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, mapping[i], 1,
                                      SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
        if (result != 0 && result != -EDOM && result != -EINVAL) {
            return false;
        }
    }
    return true;
}

bool
sandbox_restrict_calls(enum sandbox_stage stage)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (filter == NULL) {
        return false;
    }
    seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0); /* set by sandbox_begin */
    bool good =
            add_calls(filter, SCMP_ACT_ALLOW, plain_calls, sizeof plain_calls / sizeof(int)) &&
            add_calls(filter, SCMP_ACT_KILL_PROCESS, hostile_calls,
                      sizeof hostile_calls / sizeof(int)) &&
            /* abort() signals itself; libc tries clone3 first and understands ENOSYS */
            seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
                             SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid())) == 0 &&
            seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) == 0 &&
            (stage == SANDBOX_LOADING ? add_loading(filter) : add_running(filter)) &&
            seccomp_load(filter) == 0;
    seccomp_release(filter);
    return good;
}

#else

bool
sandbox_restrict_calls(enum sandbox_stage stage)
{
    return false;
}

#endif
