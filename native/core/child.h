/* SPDX-License-Identifier: Apache-2.0 */
/* What a child needs between clone and exec: one const struct, built completely by the parent. Nothing in child.c allocates, locks or
 * formats; it reports by number on a close-on-exec pipe, where end of file means that exec happened. */
#ifndef PF_CHILD_H
#define PF_CHILD_H

#include "core.h"

struct pf_report {
    int32_t stage, error, index;
};

/* Shared by the shim and the children it prepares, never by container code: exec replaces the mapping. */
struct pf_board {
    struct pf_ns_set pause;
    struct pf_ns_set container[];
};

struct pf_child {
    const char *base; /* the plan; offsets become pointers by adding it */
    const struct pf_plan *plan;
    const struct pf_container *container;
    uint32_t index;
    int report_fd, pause_ready_fd;
    int pause_pidfd;
    int has_upper;
    const char *overlay;      /* the overlay's options; layers relative to /tree */
    const char *out, *err;    /* names of the FIFOs in the run directory */
    const char *const *argv, *const *envp, *const *paths;
    struct pf_board *board;
};

struct pf_pause_job {
    const char *base;
    const struct pf_plan *plan;
    int report_fd, ready_fd;
    uint32_t waiters; /* how many children wait on ready_fd */
    struct pf_board *board;
};

struct pf_exec_job { /* a process beside a running container; the shim has already chosen its pid namespace */
    const char *base;
    const struct pf_container *container;
    uint32_t index;
    uint32_t flags; /* PF_EXEC_* */
    int report_fd, target_pidfd, stdio[3];
    int tty_socket; /* the pty master is sent here */
    uint16_t rows, columns;
    const struct pf_plan *plan;
    const char *cgroup_procs; /* v1: path of the cgroup.procs of its own group below hierarchy `cgroup_fd` */
    int cgroup_fd;
    const char *workdir;
    const char *const *argv, *const *envp, *const *paths;
    const struct pf_board *board;
};

void pf_container_main(void *child) __attribute__((noreturn));
void pf_pause_main(void *job) __attribute__((noreturn));
void pf_exec_main(void *job) __attribute__((noreturn));

/* Shared by the three (child_*.c). */
void pf_child_fail(int report_fd, int stage, pf_word error, uint32_t index) __attribute__((noreturn));
void pf_become(const char *base, const struct pf_container *container, const char *workdir, int report_fd); /* keyring … seccomp */
void pf_execute(int report_fd, const char *const *argv, const char *const *envp, const char *const *paths) __attribute__((noreturn));
int pf_join_cgroups(const char *base, const struct pf_plan *plan, int32_t container, uint32_t *index);
void pf_root_main_tree(const struct pf_child *child); /* child_root.c: assembles /root */
void pf_make_dev(const struct pf_child *child);       /* child_dev.c */

#define PF_TRY(fd, stage, index, call)                                          \
    do {                                                                        \
        pf_word result_ = (call);                                               \
        if (result_ < 0) pf_child_fail((fd), (stage), result_, (uint32_t)(index)); \
    } while (0)

static inline const char *pf_text(const char *base, uint32_t at) { return base + at; }
static inline const uint32_t *pf_list(const char *base, struct pf_vec vec) { return (const uint32_t *)(const void *)(base + vec.at); }

#endif
