/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every floor program shares: the loop that times it, and the few helpers that stop it at the first failure.
 *
 * A floor is measured in one of two ways. `PROGRAM --rounds N` prints one line "START_NS STOP_NS" per round. `PROGRAM --serve`
 * is a coprocess: it answers each line `start` or `stop` on its standard input with the nanoseconds that it took, so that a
 * benchmark can alternate its rounds with those of the subject.
 */
#ifndef FLOOR_ROUNDS_H
#define FLOOR_ROUNDS_H

#include <stddef.h>

struct floor_ops {
    const char *name;      /* of the process, as ps shows it */
    void (*setup)(void);   /* once, not timed: what a node makes once */
    void (*start)(void);   /* timed: from nothing to every program having been exec'd */
    void (*stop)(void);    /* timed: back to nothing */
    void (*between)(void); /* after every stop, not timed: what is put off on purpose */
    void (*finish)(void);  /* once, not timed: leaves nothing behind */
};

/* What the command line says; paths are absolute. */
struct floor_args {
    const char *state;   /* a directory on the state disk */
    const char *program; /* a static program that waits, to be the infra process and the containers' */
    int rounds;          /* 0: serve */
    int pid;             /* of this program, outside its pid namespace */
};

extern struct floor_args floor_args;

int floor_main(int argc, char **argv, const struct floor_ops *ops);

/* In a child: the pipe on which a failure is told before the process ends. */
extern int floor_report_fd;

/* Ends the process with the operation, its object and errno when `result` is negative; hands it on otherwise. */
long need(long result, const char *operation, const char *object);

/* Ends the process when the text does not fit. */
char *format(char *buffer, size_t size, const char *pattern, ...) __attribute__((format(printf, 3, 4)));

/* open without the second call that musl adds for O_CLOEXEC. */
int floor_open(const char *path, int flags);
void write_file(const char *path, const char *text);

/* clone3 with fork's memory; 0 in the child. `cgroup_fd` < 0: none. */
int floor_clone(unsigned long long flags, int *pidfd, int cgroup_fd);

/* Waits for the end of file that a close-on-exec pipe gives when exec has happened; what comes before it is a failure's errno. */
void await_exec(int pipe_fd, const char *who);

/* What every root file system is made from, below the state directory: `lower` with its mount points and the program, and `root`. */
void floor_skeleton(int state_fd);

/* Deletes a directory tree below `dir_fd` entry by entry. */
void remove_tree(int dir_fd, const char *name);

#endif
