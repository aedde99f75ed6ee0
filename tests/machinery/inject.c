// SPDX-License-Identifier: Apache-2.0
// inject: runs a program with all its descendants under ptrace, counts the system calls of each role, and at the K-th call of one role kills that
// process or lets the call fail.
//
//   inject REPORT LINGER_MS LIMIT_MS START ROLE K FAULT CALLS -- PROGRAM ARGUMENT...
//
//   REPORT   descriptor for the report, one line an event:
//              call ROLE NUMBER | fired ROLE PID NUMBER | exit WAIT_STATUS | left ROLE PID | timeout
//   START    "start": count from the first instruction; "marked": between two signals that the program sends itself, SIGURG and SIGWINCH
//            (both are ignored by default, so that it also runs without us)
//   ROLE K   the call to hit; K 0: none, every call is reported
//   FAULT    0: SIGKILL, before the call is made; else an errno: the call is not made and fails with it (close and munmap are made first,
//            as the kernel does: a closed descriptor is gone whatever close says)
//   CALLS    numbers of the calls that count, with commas; "all"
//
// Roles follow descent and programs. The program itself is `engine`; what it forks, until it executes something, is `launch`; a program called
// podfast-x is `x`; what the shim forks is `child` until it executes; other programs are `app` below the shim and `helper` elsewhere.
// All processes are seen with the tracer's own pids, whatever namespaces they are in. When the program has ended, what it left runs on for
// LINGER_MS and is then let go alive: whoever looks for leaks must find it.
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <linux/audit.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef __x86_64__
#error "the fault injector edits x86-64 registers"
#endif

enum { MAX_TASKS = 16384, MAX_CALLS = 1024, ROLE_NAME = 32, TICK_MS = 20 };
enum { BEGIN = SIGURG, END = SIGWINCH };

struct task {
    pid_t tid, tgid;
    char role[ROLE_NAME]; // empty: its birth is not reported yet
    long forced;          // what the call that is being made shall return; 0: what it returns
};

static struct task tasks[MAX_TASKS];
static int n_tasks;
static char counted[MAX_CALLS]; // by number
static FILE *report;
static const char *wanted_role;
static long wanted_at, fault, seen; // seen: counted calls of the wanted role
static int active, letting_go;
static pid_t root;

static void die(const char *what) __attribute__((noreturn));
static void die(const char *what) {
    perror(what);
    exit(125);
}

static long now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static struct task *find(pid_t tid) {
    for (int i = 0; i < n_tasks; i++)
        if (tasks[i].tid == tid) return &tasks[i];
    return NULL;
}

static pid_t thread_group(pid_t tid) {
    char path[64], line[256];
    int tgid = tid;
    snprintf(path, sizeof path, "/proc/%d/status", tid);
    FILE *file = fopen(path, "re");
    if (!file) return tid;
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "Tgid: %d", &tgid) == 1) break;
    fclose(file);
    return tgid;
}

static struct task *add(pid_t tid) {
    if (n_tasks == MAX_TASKS) die("too many tasks");
    struct task *task = &tasks[n_tasks++];
    *task = (struct task){.tid = tid, .tgid = thread_group(tid)};
    return task;
}

static void drop(pid_t tid) {
    struct task *task = find(tid);
    if (task) *task = tasks[--n_tasks];
}

static void set_role(struct task *task, const char *role) { snprintf(task->role, sizeof task->role, "%s", role); }

static int is(const struct task *task, const char *role) { return strcmp(task->role, role) == 0; }

static void resume(const struct task *task, int signo) {
    const int request = letting_go ? PTRACE_DETACH : active ? PTRACE_SYSCALL : PTRACE_CONT;
    ptrace(request, task->tid, NULL, (void *)(intptr_t)signo);
}

// A forked process, or a thread of the same one.
static void inherit(struct task *child, const struct task *parent) {
    if (child->tgid == parent->tgid) set_role(child, parent->role);
    else if (is(parent, "engine")) set_role(child, "launch");
    else if (is(parent, "shim")) set_role(child, "child");
    else set_role(child, parent->role);
}

static void born(const struct task *parent) {
    unsigned long tid = 0;
    if (ptrace(PTRACE_GETEVENTMSG, parent->tid, NULL, &tid) < 0 || !tid) return;
    struct task *child = find((pid_t)tid);
    const int held = child != NULL; // it stopped before its parent told of it
    if (!child) child = add((pid_t)tid);
    if (child->role[0]) return;
    inherit(child, parent);
    if (held) resume(child, 0);
}

// A parent that was killed never tells of its last child.
static void adopt_held(const struct task *dead) {
    for (int i = 0; i < n_tasks; i++) {
        if (tasks[i].role[0]) continue;
        inherit(&tasks[i], dead);
        resume(&tasks[i], 0);
    }
}

static void executed(pid_t tid) {
    char path[64], program[PATH_MAX + 1];
    unsigned long former = 0;
    ptrace(PTRACE_GETEVENTMSG, tid, NULL, &former);
    if (former && (pid_t)former != tid) drop((pid_t)former); // another thread has executed and took the first one's number
    struct task *task = find(tid);
    if (!task || tid == root) return;
    snprintf(path, sizeof path, "/proc/%d/exe", tid);
    const ssize_t length = readlink(path, program, sizeof program - 1);
    program[length < 0 ? 0 : length] = 0;
    char *name = strrchr(program, '/');
    name = name ? name + 1 : program;
    if (strncmp(name, "memfd:", 6) == 0) name += 6;
    name[strcspn(name, " ")] = 0; // " (deleted)"
    if (strncmp(name, "podfast-", 8) == 0) set_role(task, name + 8);
    else if (is(task, "launch")) set_role(task, "helper");
    else if (is(task, "child") || is(task, "shim") || is(task, "init")) set_role(task, "app");
}

static void set_result(pid_t tid, long value, int instead) {
    struct user_regs_struct regs;
    if (ptrace(PTRACE_GETREGS, tid, NULL, &regs) < 0) return;
    // A harmless call that every seccomp filter allows takes the place of the one that shall fail.
    if (instead) regs.orig_rax = SYS_getpid;
    else regs.rax = (unsigned long long)value;
    ptrace(PTRACE_SETREGS, tid, NULL, &regs);
}

static void hit(struct task *task, unsigned long number) {
    fprintf(report, "fired %s %d %lu\n", task->role, task->tgid, number);
    if (fault == 0) {
        kill(task->tgid, SIGKILL); // stopped at its entry, it never makes the call
        return;
    }
    task->forced = -fault;
    if (number != SYS_close && number != SYS_munmap) set_result(task->tid, 0, 1);
}

static void call_stop(struct task *task) {
    struct __ptrace_syscall_info info = {0};
    if (ptrace(PTRACE_GET_SYSCALL_INFO, task->tid, (void *)sizeof info, &info) < 0) return;
    if (info.op == PTRACE_SYSCALL_INFO_EXIT) {
        if (task->forced) set_result(task->tid, task->forced, 0);
        task->forced = 0;
        return;
    }
    if (info.op != PTRACE_SYSCALL_INFO_ENTRY || info.arch != AUDIT_ARCH_X86_64) return;
    const unsigned long number = info.entry.nr;
    if (!active || number >= MAX_CALLS || !counted[number]) return;
    if (!wanted_at) fprintf(report, "call %s %lu\n", task->role, number);
    else if (is(task, wanted_role) && ++seen == wanted_at) hit(task, number);
}

// Everything runs untraced until it stops next; the others are stopped so that their calls count from now on.
static void mark(const struct task *task, int signo) {
    const int was = active;
    active = signo == BEGIN;
    if (active == was) return;
    for (int i = 0; i < n_tasks; i++)
        if (tasks[i].tid != task->tid && tasks[i].role[0]) ptrace(PTRACE_INTERRUPT, tasks[i].tid, NULL, NULL);
}

static void stopped(struct task *task, int status, int marked) {
    const int signo = WSTOPSIG(status), event = status >> 16;
    const pid_t tid = task->tid;
    switch (event) {
    case PTRACE_EVENT_FORK:
    case PTRACE_EVENT_VFORK:
    case PTRACE_EVENT_CLONE: born(task); break;
    case PTRACE_EVENT_EXEC:
        executed(task->tid);
        task = find(tid); // entries may have moved
        if (!task) return;
        break;
    case PTRACE_EVENT_STOP:
        if (!task->role[0]) return; // held until its parent has told of it
        if (!letting_go && (signo == SIGSTOP || signo == SIGTSTP || signo == SIGTTIN || signo == SIGTTOU)) {
            ptrace(PTRACE_LISTEN, task->tid, NULL, NULL);
            return;
        }
        break;
    default:
        if (signo == (SIGTRAP | 0x80)) call_stop(task);
        else if (marked && is(task, "engine") && (signo == BEGIN || signo == END)) mark(task, signo);
        else return resume(task, signo);
    }
    resume(task, 0);
}

static void tick(int signo) { (void)signo; }

static void start_ticks(void) {
    const struct itimerval every = {{0, TICK_MS * 1000}, {0, TICK_MS * 1000}};
    struct sigaction action = {.sa_handler = tick}; // no SA_RESTART: it interrupts waitpid
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &every, NULL);
}

static void launch(char **command) {
    int gate[2];
    char go;
    if (pipe(gate) < 0) die("pipe");
    root = fork();
    if (root < 0) die("fork");
    if (root == 0) {
        close(gate[1]);
        close(fileno(report));
        if (read(gate[0], &go, 1) != 1) _exit(125);
        close(gate[0]);
        execvp(command[0], command);
        perror(command[0]);
        _exit(127);
    }
    close(gate[0]);
    const long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
    if (ptrace(PTRACE_SEIZE, root, NULL, (void *)options) < 0) die("ptrace");
    set_role(add(root), "engine");
    ptrace(PTRACE_INTERRUPT, root, NULL, NULL);
    if (write(gate[1], "", 1) != 1) die("write");
    close(gate[1]);
}

// PTRACE_DETACH works on what is stopped: everything is stopped, and let go as it stops.
static void let_go(void) {
    const long until = now_ms() + 1000;
    int status;
    letting_go = 1;
    for (int i = n_tasks; i-- > 0;) {
        const struct task task = tasks[i];
        if (task.tid == task.tgid) fprintf(report, "left %s %d\n", task.role[0] ? task.role : "unborn", task.tid);
        if (task.role[0]) {
            ptrace(PTRACE_INTERRUPT, task.tid, NULL, NULL);
        } else {
            resume(&task, 0);
            drop(task.tid);
        }
    }
    while (n_tasks && now_ms() < until) {
        const pid_t tid = waitpid(-1, &status, __WALL);
        if (tid < 0 && errno == EINTR) continue;
        if (tid < 0) break;
        struct task *task = find(tid);
        if (!task) set_role(task = add(tid), "late");
        if (WIFSTOPPED(status)) stopped(task, status, 0);
        drop(tid);
    }
}

static void follow(long linger, long limit, int marked) {
    const long started = now_ms();
    long ended = 0;
    int status, told = 0;
    while (n_tasks) {
        const long now = now_ms();
        if (ended && now >= ended + linger) return let_go();
        if (!ended && !told && now >= started + limit) {
            told = 1;
            fprintf(report, "timeout\n");
            kill(root, SIGKILL);
        }
        const pid_t tid = waitpid(-1, &status, __WALL);
        if (tid < 0 && errno == EINTR) continue;
        if (tid < 0) return;
        struct task *task = find(tid);
        if (!task) task = add(tid);
        if (WIFSTOPPED(status)) {
            stopped(task, status, marked);
            continue;
        }
        const struct task dead = *task;
        drop(tid);
        adopt_held(&dead);
        if (tid != root) continue;
        fprintf(report, "exit %d\n", status);
        ended = now_ms();
    }
}

static void parse_calls(char *text) {
    if (strcmp(text, "all") == 0) {
        memset(counted, 1, sizeof counted);
        return;
    }
    for (char *word = strtok(text, ","); word; word = strtok(NULL, ",")) {
        const long number = strtol(word, NULL, 10);
        if (number >= 0 && number < MAX_CALLS) counted[number] = 1;
    }
}

int main(int argc, char **argv) {
    if (argc < 11 || strcmp(argv[9], "--") != 0) {
        fprintf(stderr, "usage: inject REPORT LINGER_MS LIMIT_MS start|marked ROLE K FAULT CALLS -- PROGRAM ARGUMENT...\n");
        return 2;
    }
    report = fdopen((int)strtol(argv[1], NULL, 10), "w");
    if (!report) die("report");
    const int marked = strcmp(argv[4], "marked") == 0;
    active = !marked;
    wanted_role = argv[5];
    wanted_at = strtol(argv[6], NULL, 10);
    fault = strtol(argv[7], NULL, 10);
    parse_calls(argv[8]);
    launch(argv + 10);
    start_ticks();
    follow(strtol(argv[2], NULL, 10), strtol(argv[3], NULL, 10), marked);
    return fclose(report) ? 125 : 0;
}
