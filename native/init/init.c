/* SPDX-License-Identifier: Apache-2.0 */
/* podfast-init: PID 1 for a program that was not written to be one.
 *
 *     podfast-init [--] PROGRAM [ARGUMENT]...
 *
 * It starts the program, passes every signal on to it, reaps all orphans, and ends as the program ends: with its exit
 * code, or 128 + n if signal n killed it; 127 if the program was not found and 126 if it could not be run.
 *
 * It has no signal handlers: all signals are blocked, from before the program exists, and then waited for. So none is
 * lost between two waits, and there is no code that runs at an unexpected moment. (A fault of its own still kills it: the
 * kernel does not let those be blocked.) Once the program runs, nothing but its end ends podfast-init.
 *
 * Signals go to the program alone, not to its process group: without podfast-init the program would be PID 1, and what
 * stops a container signals PID 1. Programs that pass signals on to their children would have them twice. What a
 * terminal sends goes from the kernel to the foreground process group, which the program is made to lead.
 */
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EXIT_USAGE = 2, EXIT_CANNOT_RUN = 126, EXIT_NOT_FOUND = 127, EXIT_SIGNAL = 128 };

/* The kernel's signal set, bit n-1 for signal n. Not the C library's, which leaves out the signals it uses itself: in musl
 * that is 34 too, which everybody else calls SIGRTMIN. */
typedef uint64_t signals;
#define ALL_SIGNALS (~(signals)0)

static void set_mask(int how, signals set, signals *before) {
    (void)syscall(SYS_rt_sigprocmask, how, &set, before, sizeof set);
}

static int wait_for_signal(void) {
    const signals set = ALL_SIGNALS;
    return (int)syscall(SYS_rt_sigtimedwait, &set, NULL, NULL, sizeof set);
}

static void complain(const char *what, const char *object, const char *why) {
    const char *parts[] = {"podfast-init: ", what, object, ": ", why, "\n"};
    struct iovec line[sizeof parts / sizeof parts[0]];
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        line[i] = (struct iovec){.iov_base = (void *)(size_t)parts[i], .iov_len = strlen(parts[i])};
    /* If standard error is gone there is nobody to tell. */
    ssize_t written = writev(STDERR_FILENO, line, (int)(sizeof parts / sizeof parts[0]));
    (void)written;
}

/* The program's process group gets the terminal, if it is ours to give: then Ctrl-C reaches the program and not us. Only
 * with signals blocked, because a background group that does this is sent SIGTTOU. */
static void take_terminal(void) {
    pid_t session_group = getpgrp();
    if (setpgid(0, 0) == 0 && tcgetpgrp(STDIN_FILENO) == session_group)
        (void)tcsetpgrp(STDIN_FILENO, getpid());
}

static _Noreturn void become(char **argv, signals mask) {
    take_terminal();
    set_mask(SIG_SETMASK, mask, NULL);
    (void)execvp(argv[0], argv);
    int error = errno;
    complain("cannot run ", argv[0], strerror(error));
    _exit(error == ENOENT || error == ENOTDIR ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN);
}

/* Reaps all that have ended. True if the program is among them; then its end is in *status. */
static int reap(pid_t program, int *status) {
    int ended = 0;
    for (;;) {
        int one;
        pid_t pid = waitpid(-1, &one, WNOHANG);
        if (pid == program) {
            *status = one;
            ended = 1;
        } else if (pid <= 0) {
            return ended;
        }
    }
}

static int supervise(pid_t program) {
    int status = 0;
    /* One SIGCHLD may stand for many children, so whatever wakes us, all that have ended are reaped. Until the program
     * has been, its number cannot go to another process, so the kill below can only reach the program. */
    while (!reap(program, &status)) {
        int signal = wait_for_signal();
        if (signal > 0 && signal != SIGCHLD)
            (void)kill(program, signal);
    }
    return WIFSIGNALED(status) ? EXIT_SIGNAL + WTERMSIG(status) : WEXITSTATUS(status);
}

int main(int argc, char **argv) {
    char **program_argv = argv + 1;
    if (argc > 1 && strcmp(argv[1], "--") == 0)
        program_argv++;
    if (argc < 1 || program_argv[0] == NULL) {
        complain("usage", "", "podfast-init [--] PROGRAM [ARGUMENT]...");
        return EXIT_USAGE;
    }

    /* What runs beside the program, with the same rights, is to see and reach as little of us as can be. */
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    (void)syscall(SYS_close_range, 3, ~0U, 0);
    /* Where another process is PID 1 (a shared pid namespace), the program's orphans come to us all the same. */
    if (getpid() != 1)
        (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);

    signals before = 0;
    set_mask(SIG_BLOCK, ALL_SIGNALS, &before);

    pid_t program = fork();
    if (program < 0) {
        complain("cannot start ", program_argv[0], strerror(errno));
        return EXIT_CANNOT_RUN;
    }
    if (program == 0)
        become(program_argv, before);
    return supervise(program);
}
