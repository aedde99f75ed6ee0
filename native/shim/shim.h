/* SPDX-License-Identifier: Apache-2.0 */
/* podfast-shim: the pod's supervisor. One process, one thread, one epoll; it makes every object of the pod and undoes it.
 *
 *   main.c       start-up, the loop             sandbox.c   cgroups, the pod's mount namespace, pause, the end
 *   plan.c       the plan, checked              container.c start, exit, exit records
 *   protocol.c   messages and descriptors       log.c       FIFOs → CRI log files        client.c exec.c  other shells */
#ifndef PF_SHIM_H
#define PF_SHIM_H

#include "child.h"

#define MAX_CONTAINERS 128
#define MAX_CLIENTS 32

enum kind { KIND_ENGINE = 1, KIND_ENGINE_LIFE, KIND_LISTEN, KIND_REPORT, KIND_LIFE, KIND_PAUSE, KIND_PAUSE_REPORT, KIND_LOG, KIND_RETRY, KIND_CLIENT, KIND_EXEC_LIFE, KIND_EXEC_REPORT, KIND_CLEANER };

enum phase { PHASE_IDLE, PHASE_PREPARING, PHASE_RUNNING, PHASE_ENDING, PHASE_ENDED };

struct stream {
    int fd;            /* the FIFO, read-write so that it never reports a hang-up */
    char *buffer;      /* LOG_BUFFER bytes while there is something */
    uint32_t used;
    int stalled;       /* the log could not be written; the FIFO waits */
};

struct container {
    enum phase phase;
    int attempt, pid;
    int pidfd, report_fd;
    struct pf_report failure; /* stage 0: none */
    int status_known, status;
    int unreaped; /* an adopted one that ended: how often its exit code was asked for in vain */
    uint64_t oom_before, started_ns;
    struct stream out[2]; /* stdout, stderr */
    int log_fd;
    int log_attempt;
    uint64_t log_size;
    const char **argv, **envp, **paths;
    char overlay[4096];
    char *names[2];
};

struct client {
    int fd;
    /* an exec of this client */
    int exec_pidfd, exec_report, exec_tty, index;
    uint32_t tag, flags; /* PF_EXEC_* */
    int exec_group; /* number of its sub-group, 0: none */
    int failed;
};

struct shim {
    char *base;
    uint32_t size;
    const struct pf_plan *plan;
    int n_trees_first; /* descriptor of tree 0 */
    int n_hierarchies;
    int epoll, engine; /* engine: -1 when nobody is connected */
    int pause_pidfd, pause_report, pause_ready;
    int pause_dead, ready;
    int behind; /* the engine did not take a message: it is told everything again */
    int exit_fd, retry_fd;
    uint32_t next_exec;
    struct pf_board *board;
    struct container *containers;
    struct client clients[MAX_CLIENTS];
};

/* plan.c */
int plan_load(struct shim *shim, const char **why);
const struct pf_container *plan_container(const struct shim *shim, uint32_t index);
const char *plan_text(const struct shim *shim, uint32_t at);

/* protocol.c */
int send_message(int fd, const struct pf_msg *message, const void *payload, size_t size, int attached);
pf_word receive_message(int fd, struct pf_msg *message, char *payload, size_t room, int *fds, int *n_fds, int flags);
void tell_engine(struct shim *shim, const struct pf_msg *message, const char *text, int attached);
void tell(struct shim *shim, uint16_t type, int32_t index, int32_t value, int attached);
void tell_failure(struct shim *shim, int32_t index, const struct pf_report *report, const char *text);
uint64_t wall_ns(void);

/* Fills *why and returns -1. */
static inline int refuse_at(struct pf_report *why, int stage, pf_word error, uint32_t index) {
    *why = (struct pf_report){stage, (int32_t)-error, (int32_t)index};
    return -1;
}
#define MUST(stage, index, call)                                                  \
    do {                                                                          \
        pf_word result_ = (call);                                                 \
        if (result_ < 0) return refuse_at(why, (stage), result_, (uint32_t)(index)); \
    } while (0)

/* sandbox.c */
int sandbox_make(struct shim *shim, struct pf_report *why);
int sandbox_pause(struct shim *shim, struct pf_report *why);
int sandbox_adopt(struct shim *shim, struct pf_report *why);
void sandbox_kill(struct shim *shim);
void pause_dies(struct shim *shim);
void pause_check(struct shim *shim);
void sandbox_remove(struct shim *shim) __attribute__((noreturn));
pf_word start_child(struct shim *shim, uint64_t namespaces, int cgroup_fd, int *pidfd, void (*fn)(void *), void *argument);

/* container.c */
void container_start(struct shim *shim, uint32_t index, int attempt);
void container_report(struct shim *shim, uint32_t index);
void container_ended(struct shim *shim, uint32_t index);
void container_retry(struct shim *shim);
int container_adopt(struct shim *shim, uint32_t index);
int open_recorded(const struct pf_exit *record);
uint64_t start_ticks(int pid);
int containers_alive(const struct shim *shim);
const struct pf_cgroup *tracking_group(const struct shim *shim, int32_t index);
int open_group(const struct pf_cgroup *group, const struct shim *shim);

/* log.c */
int log_open(struct shim *shim, uint32_t index);
void log_read(struct shim *shim, uint32_t index, int which);
void log_finish(struct shim *shim, uint32_t index);
void log_retry(struct shim *shim);

/* client.c, exec.c */
void client_accept(struct shim *shim);
void client_message(struct shim *shim, uint32_t number);
void client_drop(struct shim *shim, uint32_t number);
void exec_start(struct shim *shim, struct client *client, uint32_t number, const struct pf_msg *message, char *payload, size_t size, int *fds, int n_fds);
void exec_report(struct shim *shim, uint32_t number);
void exec_ended(struct shim *shim, uint32_t number);
void tell_all(struct shim *shim);

/* main.c */
void watch(struct shim *shim, int fd, enum kind kind, uint32_t number);
void watch_hangup(struct shim *shim, int fd, enum kind kind, uint32_t number);
void retry_later(struct shim *shim);
void unwatch(struct shim *shim, int fd);

#endif
