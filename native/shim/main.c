// SPDX-License-Identifier: Apache-2.0
// podfast-shim: started by an engine with its descriptors in place (podfast.h), in the launcher's mount namespace; embedded, it is PID 1 of the pid
// namespace that all of the pod's processes live in, so its death is theirs. It has no signal handlers: everything it waits for is a descriptor.
#include "shim.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>

// What cannot be watched would hang somebody one day, so there is no going on: an embedded pod is undone, a served one gets a new shim.
static void add(struct shim *shim, int fd, enum kind kind, uint32_t number, uint32_t events) {
    struct epoll_event event = {.events = events, .data = {.u64 = (uint64_t)kind << 32 | number}};
    pf_word failed = PF_CALL(__NR_epoll_ctl, shim->epoll, EPOLL_CTL_ADD, fd, PF_P(&event), 0);
    if (failed >= 0) return;
    const struct pf_report report = {PF_STAGE_STATE, (int32_t)-failed, 0};
    tell_failure(shim, -1, &report, "podfast-shim cannot watch a descriptor");
    if (shim->plan->flags & PF_POD_SERVED) sys_exit(1);
    sandbox_remove(shim);
}

void watch(struct shim *shim, int fd, enum kind kind, uint32_t number) { add(shim, fd, kind, number, EPOLLIN); }

void watch_hangup(struct shim *shim, int fd, enum kind kind, uint32_t number) { add(shim, fd, kind, number, 0); }

// In a second: what waits for room on a disk, or for another process.
void retry_later(struct shim *shim) {
    const uint64_t second[4] = {0, 0, 1, 0};
    PF_CALL(__NR_timerfd_settime, shim->retry_fd, 0, PF_P(second), 0, 0);
}

void unwatch(struct shim *shim, int fd) {
    struct epoll_event event = {0};
    PF_CALL(__NR_epoll_ctl, shim->epoll, EPOLL_CTL_DEL, fd, PF_P(&event), 0);
}

static void engine_lost(struct shim *shim) {
    if (shim->engine >= 0) {
        unwatch(shim, shim->engine);
        sys_close(shim->engine);
        shim->engine = -1;
    }
}

// A pidfd says that the engine died; a closed connection does not, since a forked child of it may hold the other end.
static void engine_died(struct shim *shim) {
    if (sys_poll1(PF_FD_ENGINE, 1 /* POLLIN */, 0, NULL) == 0) return; // a new engine has taken over within this round of events
    unwatch(shim, PF_FD_ENGINE);
    engine_lost(shim);
    if (!(shim->plan->flags & PF_POD_SERVED)) sandbox_remove(shim);
}

static void engine_message(struct shim *shim) {
    static char payload[4096];
    struct pf_msg message;
    int fds[4] = {-1, -1, -1, -1}, n_fds = 4;
    pf_word n = receive_message(shim->engine, &message, payload, sizeof payload, fds, &n_fds, MSG_DONTWAIT);
    for (int i = 0; i < n_fds; i++) sys_close(fds[i]);
    if (n == -EAGAIN) return;
    if (n < 0 || !message.type) return engine_lost(shim);
    const int known = message.index >= 0 && (uint32_t)message.index < shim->plan->n_containers;
    switch (message.type) {
    case PF_MSG_START:
        if (!known) break;
        const uint64_t one = 1;
        sys_write(shim->pause_ready, &one, sizeof one);
        container_start(shim, (uint32_t)message.index, message.attempt);
        break;
    case PF_MSG_SIGNAL:
        if (known && shim->containers[message.index].pidfd >= 0) sys_pidfd_signal(shim->containers[message.index].pidfd, message.value);
        else if (message.index == -1 && shim->pause_pidfd >= 0) sys_pidfd_signal(shim->pause_pidfd, message.value);
        break;
    case PF_MSG_REMOVE:
        sandbox_remove(shim);
    default:
        break;
    }
}

static void pause_report(struct shim *shim) {
    struct pf_report report;
    pf_word n = sys_read(shim->pause_report, &report, sizeof report);
    unwatch(shim, shim->pause_report);
    sys_close(shim->pause_report);
    shim->pause_report = -1;
    if (n == (pf_word)sizeof report) return tell_failure(shim, -1, &report, NULL);
    shim->ready = 1;
    tell(shim, PF_MSG_READY, -1, 0, shim->pause_pidfd);
}

static void pause_ended(struct shim *shim) {
    siginfo_t info;
    if (shim->pause_report >= 0) pause_report(shim);
    sys_waitid(P_PIDFD, shim->pause_pidfd, &info, WEXITED | WNOHANG);
    unwatch(shim, shim->pause_pidfd);
    sys_close(shim->pause_pidfd);
    shim->pause_pidfd = -1;
    pause_dies(shim);
}

static void end_cleaner(struct shim *shim, int pidfd) {
    siginfo_t info;
    sys_waitid(P_PIDFD, pidfd, &info, WEXITED | WNOHANG);
    unwatch(shim, pidfd);
    sys_close(pidfd);
}

static void handle(struct shim *shim, enum kind kind, uint32_t number) {
    uint64_t ticks;
    switch (kind) {
    case KIND_ENGINE: engine_message(shim); break;
    case KIND_ENGINE_LIFE: engine_died(shim); break;
    case KIND_LISTEN: client_accept(shim); break;
    case KIND_REPORT: if (shim->containers[number].report_fd >= 0) container_report(shim, number); break;
    case KIND_LIFE: if (shim->containers[number].pidfd >= 0) container_ended(shim, number); break;
    case KIND_PAUSE: if (shim->pause_pidfd >= 0) pause_ended(shim); break;
    case KIND_PAUSE_REPORT: if (shim->pause_report >= 0) pause_report(shim); break;
    case KIND_LOG: log_read(shim, number / 2, (int)(number % 2)); break;
    case KIND_RETRY:
        sys_read(shim->retry_fd, &ticks, sizeof ticks);
        log_retry(shim);
        container_retry(shim);
        if (shim->behind) tell_all(shim);
        break;
    case KIND_CLEANER: end_cleaner(shim, (int)number); break;
    case KIND_CLIENT: if (shim->clients[number].fd >= 0) client_message(shim, number); break;
    case KIND_EXEC_REPORT: if (shim->clients[number].exec_report >= 0) exec_report(shim, number); break;
    case KIND_EXEC_LIFE: if (shim->clients[number].exec_pidfd >= 0) exec_ended(shim, number); break;
    }
}

static void loop(struct shim *shim) __attribute__((noreturn));
static void loop(struct shim *shim) {
    struct epoll_event events[32];
    for (;;) {
        pf_word n = PF_CALL(__NR_epoll_pwait, shim->epoll, PF_P(events), 32, -1, 0);
        for (pf_word i = 0; i < n; i++) handle(shim, (enum kind)(events[i].data.u64 >> 32), (uint32_t)events[i].data.u64);
    }
}

static void give_up(struct shim *shim, const struct pf_report *why, const char *text) __attribute__((noreturn));
static void give_up(struct shim *shim, const struct pf_report *why, const char *text) {
    tell_failure(shim, -1, why, text);
    sandbox_remove(shim);
}

static void guard(void) {
    const uint64_t all = ~0ull;
    sys_prctl(PR_SET_DUMPABLE, 0, 0);
    sys_prctl(PR_SET_NAME, PF_P("podfast-shim"), 0);
    sys_sigmask(SIG_SETMASK, &all, NULL);
    for (int signal = 1; signal < 65; signal++) sys_sigaction_default(signal); // exec kept what the engine ignored; children inherit this
    PF_CALL(__NR_umask, 0, 0, 0, 0, 0); // modes are meant as they stand; containers get 022
    sys_close_range(3, ~0u, 4 /* CLOSE_RANGE_CLOEXEC */);
}

static void make_pod(struct shim *shim) {
    struct pf_report why = {0};
    if (sandbox_make(shim, &why) < 0 || sandbox_pause(shim, &why) < 0) give_up(shim, &why, NULL);
    for (uint32_t i = 0; i < shim->plan->n_containers; i++)
        if (plan_container(shim, i)->flags & PF_C_AUTOSTART) container_start(shim, i, 0);
}

// What an older shim left. The engine is told everything as it stands; without pause there is nothing left to supervise.
static void adopt_pod(struct shim *shim) {
    struct pf_report why = {0};
    if (sandbox_adopt(shim, &why) < 0) {
        shim->pause_dead = 1;
        shim->pause_pidfd = -1;
    }
    for (uint32_t i = 0; i < shim->plan->n_containers; i++) container_adopt(shim, i);
    if (shim->pause_dead) sandbox_kill(shim);
    tell_all(shim);
}

// What the shim itself needs. Nothing of the pod exists yet, so a failure is told and the engine undoes what it made.
static int set_up(struct shim *shim, const char **text) {
    shim->engine = PF_FD_CONTROL;
    shim->pause_pidfd = shim->pause_report = shim->pause_ready = -1;
    for (int i = 0; i < MAX_CLIENTS; i++) shim->clients[i] = (struct client){.fd = -1, .exec_pidfd = -1, .exec_report = -1, .exec_tty = -1};
    if (!plan_load(shim, text)) return EINVAL;
    *text = "podfast-shim cannot be set up";
    shim->epoll = (int)PF_CALL(__NR_epoll_create1, O_CLOEXEC, 0, 0, 0, 0);
    if (shim->epoll < 0) return -shim->epoll;
    shim->retry_fd = (int)PF_CALL(__NR_timerfd_create, CLOCK_MONOTONIC, O_CLOEXEC | O_NONBLOCK, 0, 0, 0);
    if (shim->retry_fd < 0) return -shim->retry_fd;
    shim->exit_fd = sys_openat(PF_FD_RUN, "exit", O_RDWR | O_NOFOLLOW, 0);
    if (shim->exit_fd < 0) return -shim->exit_fd;
    const size_t size = sizeof(struct pf_board) + shim->plan->n_containers * sizeof(struct pf_ns_set);
    shim->board = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return shim->board == MAP_FAILED ? ENOMEM : 0;
}

int main(void) {
    static struct shim shim;
    const char *text = NULL;
    guard();
    const int failed = set_up(&shim, &text);
    if (failed) {
        const struct pf_report report = {PF_STAGE_PLAN, failed, 0};
        tell_failure(&shim, -1, &report, text);
        sys_exit(1);
    }
    // A connection's peer is whoever listened: a new engine finds this process by it.
    if (shim.plan->flags & PF_POD_SERVED) PF_CALL(__NR_listen, PF_FD_LISTEN, 16, 0, 0, 0);
    watch(&shim, PF_FD_CONTROL, KIND_ENGINE, 0);
    watch(&shim, PF_FD_ENGINE, KIND_ENGINE_LIFE, 0);
    watch(&shim, PF_FD_LISTEN, KIND_LISTEN, 0);
    watch(&shim, shim.retry_fd, KIND_RETRY, 0);
    if (shim.plan->flags & PF_POD_ADOPT) adopt_pod(&shim);
    else make_pod(&shim);
    loop(&shim);
}
