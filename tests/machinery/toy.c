// SPDX-License-Identifier: Apache-2.0
// A toy runtime with podfast's cast, to try the crash-point harness on: an engine starts a shim in a pid namespace, the shim starts a pause and stops it.
// Its objects are directories, and an undo record precedes each:  toy DIRECTORY MODE PROGRAMS
//   clean     as it should be
//   late      the record is written after the object is made
//   orphan    the shim has no pid namespace and does not watch its engine
//   sloppy    after an error what was made is forgotten: the record goes, the objects stay
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *mode, *programs;
static int records;

static int has_mode(const char *name) { return strcmp(mode, name) == 0; }

static int note(const char *name) {
    char line[64];
    const int length = snprintf(line, sizeof line, "%s\n", name);
    return write(records, line, (size_t)length) == length ? 0 : -1;
}

static int make(const char *name) {
    if (has_mode("late")) return mkdir(name, 0700) < 0 || note(name) < 0 ? -1 : 0;
    return note(name) < 0 || mkdir(name, 0700) < 0 ? -1 : 0;
}

// The record outlives what it tells of.
static int undo(void) {
    if (rmdir("b") < 0 && errno != ENOENT) return -1;
    if (rmdir("a") < 0 && errno != ENOENT) return -1;
    return unlink("record");
}

// A filter that kills for a number no system call has: the injector must not put one there.
static int confine(void) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, 1000, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {sizeof code / sizeof code[0], code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) < 0 ? -1 : 0;
}

static void execute(const char *name, const char *argument) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", programs, name);
    execl(path, path, mode, programs, argument, NULL);
    _exit(1);
}

static int shim(int control) {
    char go;
    int executed[2]; // ends when pause runs
    if (pipe2(executed, O_CLOEXEC) < 0) return 1;
    pid_t pause_pid = fork();
    if (pause_pid < 0) return 1;
    if (pause_pid == 0) {
        if (confine() < 0) _exit(1);
        if (syscall(SYS_getppid) < 0) mkdir("survived", 0700); // a call under the filter that never fails by itself
        execute("podfast-pause", NULL);
    }
    close(executed[1]);
    if (read(executed[0], &go, 1) != 0) return 1;
    if (make("b") < 0) return 1;
    if (write(control, "r", 1) != 1) return 1;
    const ssize_t told = read(control, &go, 1); // end of file: the engine has died
    if (told == 0 && has_mode("orphan")) pause();
    kill(pause_pid, SIGKILL);
    while (waitpid(pause_pid, NULL, 0) < 0 && errno == EINTR) continue;
    if (told <= 0) undo();
    return told < 0;
}

static pid_t spawn(const int ends[2]) {
    char number[16];
    snprintf(number, sizeof number, "%d", ends[1]);
    pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD | (has_mode("orphan") ? 0 : CLONE_NEWPID), 0, 0, 0, 0);
    if (pid == 0) {
        close(ends[0]);
        execute("podfast-shim", number);
    }
    return pid;
}

static int start_and_stop(const int ends[2], pid_t *pid) {
    char ready;
    int status = 0;
    if (make("a") < 0) return -1;
    *pid = spawn(ends);
    if (*pid < 0) return -1;
    close(ends[1]);
    if (read(ends[0], &ready, 1) != 1 || write(ends[0], "s", 1) != 1) return -1;
    pid_t ended;
    do ended = waitpid(*pid, &status, 0);
    while (ended < 0 && errno == EINTR);
    if (ended < 0) return -1;
    *pid = 0;
    return status ? -1 : 0;
}

static int engine(void) {
    int ends[2];
    pid_t pid = 0;
    raise(SIGURG);
    records = open("record", O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (records < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
        perror("error");
        unlink("record");
        return 3;
    }
    fcntl(ends[1], F_SETFD, 0);
    int result = start_and_stop(ends, &pid);
    if (pid > 0) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    if (result < 0) perror("error");
    if (result < 0 && has_mode("sloppy")) {
        unlink("record");
        return 3;
    }
    if (undo() < 0) {
        perror("error");
        result = -1;
    }
    raise(SIGWINCH);
    return result < 0 ? 3 : 0;
}

int main(int argc, char **argv) {
    const char *name = strrchr(argv[0], '/');
    name = name ? name + 1 : argv[0];
    if (strcmp(name, "podfast-pause") == 0) {
        pause();
        return 0;
    }
    if (argc < 4) return 2;
    if (strcmp(name, "podfast-shim") == 0) {
        mode = argv[1];
        programs = argv[2];
        records = open("record", O_WRONLY | O_APPEND);
        return records < 0 ? 1 : shim((int)strtol(argv[3], NULL, 10));
    }
    mode = argv[2];
    programs = argv[3];
    return chdir(argv[1]) < 0 ? 2 : engine();
}
