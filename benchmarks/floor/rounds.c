/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "rounds.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct floor_args floor_args;
int floor_report_fd = -1;

long need(long result, const char *operation, const char *object)
{
    if (result >= 0)
        return result;
    const int error = errno;

    if (floor_report_fd >= 0 && write(floor_report_fd, &error, sizeof(error)) < 0)
        _exit(2);
    dprintf(STDERR_FILENO, "%s %s: %s\n", operation, object, strerror(error));
    _exit(1);
}

char *format(char *buffer, size_t size, const char *pattern, ...)
{
    va_list arguments;

    va_start(arguments, pattern);
    const int length = vsnprintf(buffer, size, pattern, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= size) {
        errno = ENAMETOOLONG;
        need(-1, "format", pattern);
    }
    return buffer;
}

int floor_open(const char *path, int flags)
{
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, 0);
}

void write_file(const char *path, const char *text)
{
    const int fd = (int)need(floor_open(path, O_WRONLY | O_CLOEXEC), "open", path);

    need(write(fd, text, strlen(text)), "write", path);
    close(fd);
}

int floor_clone(unsigned long long flags, int *pidfd, int cgroup_fd)
{
    struct clone_args args = {
        .flags = flags | (pidfd != NULL ? CLONE_PIDFD : 0) | (cgroup_fd >= 0 ? CLONE_INTO_CGROUP : 0),
        .pidfd = (uint64_t)(uintptr_t)pidfd,
        .exit_signal = SIGCHLD,
        .cgroup = cgroup_fd >= 0 ? (unsigned)cgroup_fd : 0,
    };

    return (int)need(syscall(SYS_clone3, &args, sizeof(args)), "clone3", "child");
}

void await_exec(int pipe_fd, const char *who)
{
    int error;

    if (need(read(pipe_fd, &error, sizeof(error)), "read", who) != 0) {
        errno = error;
        need(-1, "start", who);
    }
    close(pipe_fd);
}

struct kernel_dirent {
    uint64_t inode;
    int64_t offset;
    uint16_t length;
    uint8_t type;
    char name[];
};

void remove_tree(int dir_fd, const char *name)
{
    _Alignas(struct kernel_dirent) char buffer[2048];
    const int fd = (int)need(syscall(SYS_openat, dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), "open", name);
    long size;

    while ((size = need(syscall(SYS_getdents64, fd, buffer, sizeof(buffer)), "getdents64", name)) > 0) {
        for (long at = 0; at < size;) {
            const struct kernel_dirent *entry = (const struct kernel_dirent *)(const void *)(buffer + at);

            at += entry->length;
            if (strcmp(entry->name, ".") == 0 || strcmp(entry->name, "..") == 0)
                continue;
            if (entry->type == DT_DIR)
                remove_tree(fd, entry->name);
            else
                need(unlinkat(fd, entry->name, 0), "unlink", entry->name);
        }
    }
    close(fd);
    need(unlinkat(dir_fd, name, AT_REMOVEDIR), "rmdir", name);
}

void floor_skeleton(int state_fd)
{
    static const char *const directories[] = {"root",       "lower",     "lower/usr", "lower/proc", "lower/sys",
                          "lower/dev", "lower/etc", "lower/tmp", "lower/run",  "lower/var"};
    char buffer[4096];
    long size;

    for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]); i++)
        need(mkdirat(state_fd, directories[i], 0755), "mkdir", directories[i]);
    const int from = (int)need(floor_open(floor_args.program, O_RDONLY | O_CLOEXEC), "open", floor_args.program);
    const int to = (int)need(openat(state_fd, "lower/stay", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755), "create", "stay");

    while ((size = need(read(from, buffer, sizeof(buffer)), "read", floor_args.program)) > 0)
        need(write(to, buffer, (size_t)size), "write", "stay");
    close(from);
    close(to);
}

static int64_t timed(void (*act)(void))
{
    struct timespec begin, end;

    clock_gettime(CLOCK_MONOTONIC, &begin);
    act();
    clock_gettime(CLOCK_MONOTONIC, &end);
    return (end.tv_sec - begin.tv_sec) * INT64_C(1000000000) + (end.tv_nsec - begin.tv_nsec);
}

static void serve(const struct floor_ops *ops)
{
    char line[32];
    bool running = false;

    while (fgets(line, sizeof(line), stdin) != NULL) {
        if (!running && strcmp(line, "start\n") == 0) {
            printf("%lld\n", (long long)timed(ops->start));
            running = true;
        } else if (running && strcmp(line, "stop\n") == 0) {
            printf("%lld\n", (long long)timed(ops->stop));
            running = false;
            ops->between();
        } else {
            printf("error: a line is `start` or `stop`, in turns\n");
        }
        fflush(stdout);
    }
    if (running) {
        ops->stop();
        ops->between();
    }
}

/* The rounds run in a pid and a mount namespace of their own: whatever ends this program ends its pods with it. */
static int work(const struct floor_ops *ops)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NAME, ops->name);
    umask(0);
    need(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "mount private", "/");
    need(mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL), "mount", "/proc");
    ops->setup();
    if (floor_args.rounds == 0)
        serve(ops);
    for (int round = 0; round < floor_args.rounds; round++) {
        const int64_t start = timed(ops->start);
        const int64_t stop = timed(ops->stop);

        ops->between();
        printf("%lld %lld\n", (long long)start, (long long)stop);
    }
    ops->finish();
    fflush(stdout);
    return 0;
}

static void parse(int argc, char **argv)
{
    bool mode = false;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--serve") == 0) {
            mode = true;
        } else if (strcmp(argv[i], "--rounds") == 0 && i + 1 < argc) {
            floor_args.rounds = atoi(argv[++i]);
            mode = floor_args.rounds > 0;
        } else if (strcmp(argv[i], "--state") == 0 && i + 1 < argc) {
            floor_args.state = argv[++i];
        } else if (strcmp(argv[i], "--program") == 0 && i + 1 < argc) {
            floor_args.program = argv[++i];
        }
    }
    if (!mode || floor_args.state == NULL || floor_args.program == NULL) {
        dprintf(STDERR_FILENO, "usage: %s (--serve | --rounds N) --state DIRECTORY --program FILE\n", argv[0]);
        _exit(2);
    }
}

int floor_main(int argc, char **argv, const struct floor_ops *ops)
{
    int status = 0;

    parse(argc, argv);
    floor_args.pid = getpid();
    /* Whoever wants the end closes standard input: then all is undone, which a signal to the whole group must not prevent. */
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    const int child = floor_clone(CLONE_NEWPID | CLONE_NEWNS, NULL, -1);
    if (child == 0)
        _exit(work(ops));
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
