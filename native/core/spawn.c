// SPDX-License-Identifier: Apache-2.0
// The parent's side of starting processes. Children that only set descriptors and namespaces run in the parent's memory while it is
// suspended (vfork semantics, on a stack of their own): a fork would copy the page tables of a Python process of any size.
#include "core.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define STACK (64u * 1024u)
#define FIRST_FD 3

struct shim_job {
    const struct pf_launcher *launcher;
    int mount_ns;
    const int *fds;
    uint32_t n_fds, flags;
    int null_fd;
    void *second_stack;
    int pidfd;     /* the shim's */
    int code;      /* errno of what failed */
    const char *what;
};

static void give_up(struct shim_job *job, pf_word code, const char *what) {
    job->code = (int)-code;
    job->what = what;
    sys_exit(1);
}

// The grandchild: numbers its descriptors and becomes the shim. First away from the numbers that are wanted, then onto them.
static void become_shim(void *argument) {
    struct shim_job *job = argument;
    static const char *const argv[] = {"podfast-shim", NULL}, *const envp[] = {NULL};
    int lifted[512];
    int base = FIRST_FD + (int)job->n_fds, shim = sys_fcntl(job->launcher->shim, F_DUPFD_CLOEXEC, base);
    if (shim < 0) give_up(job, shim, "duplicate a descriptor");
    for (uint32_t i = 0; i < job->n_fds; i++) {
        lifted[i] = job->fds[i] < 0 ? -1 : sys_fcntl(job->fds[i], F_DUPFD_CLOEXEC, base);
        if (lifted[i] < -1) give_up(job, lifted[i], "duplicate a descriptor");
    }
    for (int i = 0; i < FIRST_FD; i++) sys_dup3(job->null_fd, i, 0);
    sys_close_range(FIRST_FD, (unsigned)base - 1, 4 /* CLOSE_RANGE_CLOEXEC */);
    for (uint32_t i = 0; i < job->n_fds; i++) {
        int target = FIRST_FD + (int)i;
        int failed = lifted[i] < 0 ? sys_close(target) : (int)PF_CALL(__NR_dup3, lifted[i], target, 0, 0, 0);
        if (failed < 0 && lifted[i] >= 0) give_up(job, failed, "place a descriptor");
    }
    sys_close_range((unsigned)base, ~0u, 4);
    give_up(job, sys_execveat(shim, "", argv, envp, AT_EMPTY_PATH), "execute podfast-shim");
}

// The child: enters the launcher, forks once more and goes, so that the shim is nobody's child here.
static void between(void *argument) {
    struct shim_job *job = argument;
    int failed = job->launcher->user_ns >= 0 ? sys_setns(job->launcher->user_ns, CLONE_NEWUSER) : 0;
    if (failed < 0) give_up(job, failed, "enter the user namespace");
    failed = sys_setns(job->mount_ns, CLONE_NEWNS);
    if (failed < 0) give_up(job, failed, "enter the launcher");
    sys_setsid();
    struct clone_args args = {
        .flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | (job->flags & PF_SHIM_NEW_PID ? CLONE_NEWPID : 0),
        .pidfd = (uint64_t)(uintptr_t)&job->pidfd,
        .exit_signal = SIGCHLD,
        .stack = (uint64_t)(uintptr_t)job->second_stack,
        .stack_size = STACK,
    };
    pf_word pid = sys_clone3_call(&args, become_shim, job);
    if (pid < 0) give_up(job, pid, "clone");
    sys_exit(0);
}

int pf_shim_spawn(const struct pf_launcher *launcher, int mount_ns, const int *fds, uint32_t n_fds, uint32_t flags, struct pf_err *err) {
    if (n_fds > 500) return pf_fail(err, E2BIG, "start", "a shim with so many descriptors");
    PF_FD null_fd = sys_openat(AT_FDCWD, "/dev/null", O_RDWR, 0);
    if (null_fd < 0) return pf_fail(err, null_fd, "open", "/dev/null");
    char *stack = mmap(NULL, 2 * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stack == MAP_FAILED) return pf_fail(err, errno, "mmap", "a stack");
    struct shim_job job = {launcher, mount_ns, fds, n_fds, flags, null_fd, stack + STACK, -1, 0, NULL};
    // CLONE_FILES: the pidfd that the child makes is ours.
    struct clone_args args = {.flags = CLONE_VM | CLONE_VFORK | CLONE_FILES, .stack = (uint64_t)(uintptr_t)stack, .stack_size = STACK};
    const uint64_t all = ~0ull;
    uint64_t old;
    sys_sigmask(SIG_BLOCK, &all, &old);
    pf_word pid = sys_clone3_call(&args, between, &job);
    if (pid > 0) sys_wait4((int)pid, NULL, PF_WALL);
    sys_sigmask(SIG_SETMASK, &old, NULL);
    munmap(stack, 2 * STACK);
    if (pid < 0) return pf_fail(err, pid, "clone", "for a shim");
    if (job.code) {
        if (job.pidfd >= 0) sys_close(job.pidfd);
        return pf_fail(err, job.code, job.what, "for a shim");
    }
    return job.pidfd;
}

/* ---- for builders of other tools ---- */

struct clone_job {
    const struct pf_clone_spec *spec;
    uint64_t mask;
    void *second_stack;
    int pid, pidfd;
    int code;
    const char *what;
};

static void report(struct clone_job *job, pf_word code, const char *what) {
    job->code = (int)-code;
    job->what = what;
    sys_exit(127);
}

// Onto 0, 1, 2 by way of high numbers, so that none is overwritten before it is used.
static void place_stdio(struct clone_job *job, const int *stdio) {
    int lifted[3];
    for (int i = 0; i < 3; i++) {
        lifted[i] = sys_fcntl(stdio[i], F_DUPFD_CLOEXEC, FIRST_FD);
        if (lifted[i] < 0) report(job, lifted[i], "duplicate a descriptor for");
    }
    for (int i = 0; i < 3; i++) {
        int failed = (int)PF_CALL(__NR_dup3, lifted[i], i, 0, 0, 0);
        if (failed < 0) report(job, failed, "place a descriptor for");
    }
}

static void become_program(void *argument) {
    struct clone_job *job = argument;
    const struct pf_clone_spec *spec = job->spec;
    if (spec->stdio) place_stdio(job, spec->stdio);
    for (int signal = 1; signal < 65; signal++) sys_sigaction_default(signal);
    sys_sigmask(SIG_SETMASK, &job->mask, NULL);
    sys_close_range(FIRST_FD, ~0u, 4 /* CLOSE_RANGE_CLOEXEC */);
    report(job, sys_execveat(AT_FDCWD, spec->argv[0], spec->argv, spec->envp, 0), "execute");
}

static pf_word clone_program(struct clone_job *job, void *stack, uint64_t more, uint64_t exit_signal) {
    const struct pf_clone_spec *spec = job->spec;
    struct clone_args args = {
        .flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | more | spec->namespaces | (spec->cgroup_fd >= 0 ? CLONE_INTO_CGROUP : 0),
        .pidfd = (uint64_t)(uintptr_t)&job->pidfd,
        .exit_signal = exit_signal,
        .stack = (uint64_t)(uintptr_t)stack,
        .stack_size = STACK,
        .cgroup = spec->cgroup_fd >= 0 ? (__u64)spec->cgroup_fd : 0,
    };
    return sys_clone3_call(&args, become_program, job);
}

// Joining changes the one who joins, so a child does it and clones the program as its own sibling (CLONE_PARENT): the caller is not touched,
// and the program, as a child of the caller, is also in a joined pid namespace, which is entered by forking only.
static void join_and_clone(void *argument) {
    struct clone_job *job = argument;
    struct pf_err err = {0};
    if (pf_join(job->spec->join_pidfd, job->spec->join, &err) < 0) report(job, -err.code, "join the namespaces for");
    pf_word pid = clone_program(job, job->second_stack, CLONE_PARENT, 0);
    if (pid < 0) report(job, pid, "clone3");
    sys_exit(0);
}

int pf_clone(const struct pf_clone_spec *spec, int *pid, struct pf_err *err) {
    char *stack = mmap(NULL, 2 * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stack == MAP_FAILED) return pf_fail(err, errno, "mmap", "a stack");
    struct clone_job job = {.spec = spec, .second_stack = stack + STACK, .pidfd = -1};
    const uint64_t all = ~0ull;
    pf_word child, helper = 0;
    sys_sigmask(SIG_BLOCK, &all, &job.mask);
    if (spec->join_pidfd < 0) child = clone_program(&job, stack, 0, SIGCHLD);
    else {
        // exit_signal SIGCHLD here is what a sibling made by CLONE_PARENT inherits.
        struct clone_args args = {.flags = CLONE_VM | CLONE_VFORK | CLONE_FILES, .exit_signal = SIGCHLD, .stack = (uint64_t)(uintptr_t)stack, .stack_size = STACK};
        child = helper = sys_clone3_call(&args, join_and_clone, &job);
        if (helper > 0) sys_wait4((int)helper, NULL, PF_WALL);
    }
    siginfo_t unused;
    if (child >= 0 && job.code && job.pidfd >= 0) sys_waitid(P_PIDFD, job.pidfd, &unused, WEXITED); // it never became the program
    sys_sigmask(SIG_SETMASK, &job.mask, NULL);
    munmap(stack, 2 * STACK);
    if (child < 0) return pf_fail(err, child, "clone3", spec->argv[0]);
    if (job.code) {
        if (job.pidfd >= 0) sys_close(job.pidfd);
        return pf_fail(err, job.code, job.what, spec->argv[0]);
    }
    *pid = helper ? 0 : (int)child;
    return job.pidfd;
}

int pf_wait(int pidfd, int *status, struct pf_err *err) {
    siginfo_t info;
    memset(&info, 0, sizeof info);
    int failed = sys_waitid(P_PIDFD, pidfd, &info, WEXITED | WNOHANG);
    if (failed < 0) return pf_fail(err, failed, "waitid", "a pidfd");
    if (!info.si_pid) return 0;
    *status = info.si_code == CLD_EXITED ? (info.si_status & 0xff) << 8 : info.si_status & 0x7f;
    return 1;
}

/* struct pidfd_info as of Linux 6.15; the kernel fills as much as it knows of the size that is asked for. */
struct exit_info {
    uint64_t mask, cgroup;
    uint32_t pid, tgid, ppid, ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
    int32_t exit_code;
    uint32_t pad[4];
};
#define GET_INFO(size) (0xc000ff0bul | ((unsigned long)(size) << 16)) /* _IOWR(0xff, 11, …) */
#define WANT_EXIT 8u

int pf_exit_status(int pidfd, int *status, struct pf_err *err) {
    struct exit_info info = {.mask = WANT_EXIT};
    int failed = sys_ioctl(pidfd, GET_INFO(sizeof info), PF_P(&info));
    if (failed < 0) return pf_fail(err, failed, "ask the exit code of", "a pidfd");
    if (!(info.mask & WANT_EXIT)) return 0;
    *status = info.exit_code;
    return 1;
}
