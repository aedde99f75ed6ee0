/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The floor of an exec: `exec PID PROGRAM ARGUMENT…` answers each line `exec` on standard input with the nanoseconds from fork to the exit
 * status of the program, run in all namespaces of process PID. That is fork, setns, fork (a pid namespace is joined by children only), exec.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ALL = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWPID };

static void fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

static int wait_for(int pid)
{
    int status;

    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return 1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int run(int target, char **command)
{
    char *const environment[] = {(char *)"PATH=/usr/bin:/bin", NULL};
    const int child = fork();

    if (child < 0)
        fail("fork");
    if (child > 0)
        return wait_for(child);
    if (setns(target, ALL) != 0)
        fail("setns");
    const int grandchild = fork();

    if (grandchild < 0)
        fail("fork in the container");
    if (grandchild > 0)
        _exit(wait_for(grandchild));
    execve(command[0], command, environment);
    _exit(127);
}

int main(int argc, char **argv)
{
    char line[32];

    if (argc < 3) {
        fprintf(stderr, "usage: %s PID PROGRAM ARGUMENT…\n", argv[0]);
        return 2;
    }
    const int target = (int)syscall(SYS_pidfd_open, atoi(argv[1]), 0);

    if (target < 0)
        fail("pidfd_open");
    while (fgets(line, sizeof(line), stdin) != NULL) {
        struct timespec begin, end;

        clock_gettime(CLOCK_MONOTONIC, &begin);
        const int status = run(target, argv + 2);
        clock_gettime(CLOCK_MONOTONIC, &end);
        if (status != 0)
            printf("error: the program ended with %d\n", status);
        else
            printf("%lld\n", (end.tv_sec - begin.tv_sec) * 1000000000LL + (end.tv_nsec - begin.tv_nsec));
        fflush(stdout);
    }
    return 0;
}
