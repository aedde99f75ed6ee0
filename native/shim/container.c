// SPDX-License-Identifier: Apache-2.0
// One container's life as its supervisor sees it: prepared and started, its exit read, the record of it kept where a full disk cannot lose it.
#include "shim.h"

#include <stdlib.h>
#include <string.h>

const struct pf_cgroup *tracking_group(const struct shim *shim, int32_t index) {
    const struct pf_cgroup *groups = (const void *)(shim->base + shim->plan->cgroups);
    for (uint32_t i = 0; i < shim->plan->n_cgroups; i++)
        if (groups[i].container == index && (groups[i].flags & PF_CG_TRACK)) return &groups[i];
    return NULL;
}

int open_group(const struct pf_cgroup *group, const struct shim *shim) {
    if (!group) return -1;
    return sys_openat(PF_FD_FIRST_HIERARCHY + (int)group->hierarchy, plan_text(shim, group->path), O_RDONLY | O_DIRECTORY, 0);
}

// "oom_kill N" of memory.events (v2) or memory.oom_control (v1).
static uint64_t oom_kills(const struct shim *shim, int32_t index) {
    const struct pf_cgroup *groups = (const void *)(shim->base + shim->plan->cgroups);
    for (uint32_t i = 0; i < shim->plan->n_cgroups; i++) {
        if (groups[i].container != index || !(groups[i].flags & PF_CG_MEMORY)) continue;
        char text[512];
        PF_FD dir = open_group(&groups[i], shim);
        PF_FD fd = dir < 0 ? dir : sys_openat(dir, groups[i].flags & PF_CG_V2 ? "memory.events" : "memory.oom_control", O_RDONLY, 0);
        pf_word n = fd < 0 ? -1 : sys_read(fd, text, sizeof text - 1);
        if (n <= 0) return 0;
        text[n] = 0;
        const char *found = strstr(text, "oom_kill ");
        return found ? strtoull(found + 9, NULL, 10) : 0;
    }
    return 0;
}

// The host's pid where it can be known (a served shim lives in the host's pid namespace) and its start time: what a later shim finds it by.
uint64_t start_ticks(int pid) {
    char path[PF_DIGITS + 8], text[1024];
    pf_digits(path, (uint32_t)pid);
    strcat(path, "/stat");
    PF_FD fd = sys_openat(PF_FD_PROC, path, O_RDONLY, 0);
    pf_word n = fd < 0 ? -1 : sys_read(fd, text, sizeof text - 1);
    if (n <= 0) return 0;
    text[n] = 0;
    const char *at = strrchr(text, ')');
    for (int field = 2; at && field < 22; field++) at = strchr(at + 1, ' ');
    return at ? strtoull(at + 1, NULL, 10) : 0;
}

static void keep_record(const struct shim *shim, uint32_t index, uint32_t state, uint32_t flags) {
    const struct container *container = &shim->containers[index];
    struct pf_exit record = {.state = state, .attempt = container->attempt, .pid = container->pid, .status = container->status, .flags = flags,
                             .started_ns = container->started_ns};
    if (state == PF_SLOT_RUNNING && (shim->plan->flags & PF_POD_SERVED)) record.start_ticks = start_ticks(container->pid);
    if (state >= PF_SLOT_EXITED) record.finished_ns = wall_ns();
    if (state == PF_SLOT_FAILED) {
        record.stage = container->failure.stage;
        record.error = container->failure.error;
        record.at = container->failure.index;
    }
    sys_pwrite(shim->exit_fd, &record, sizeof record, index * sizeof record); // the space was reserved when the pod was made
}

static int make_layer(const struct shim *shim, uint32_t index, struct container *container, struct pf_report *why) {
    const struct pf_container *planned = plan_container(shim, index);
    const uint32_t *layers = (const void *)(shim->base + planned->layers);
    char *at = container->overlay, *end = at + sizeof container->overlay - 128;
    char upper[64] = "/pod/state/";
    at = stpcpy(at, "lowerdir=");
    for (uint32_t i = 0; i < planned->n_layers && at < end; i++) {
        if (i) *at++ = ':';
        at += pf_digits(at, layers[i]);
    }
    if (!(planned->flags & PF_C_ROOT_UPPER)) return 0; // lower layers alone: a read-only overlay, or for a single one none
    if (planned->flags & PF_C_UPPER_MEMORY) at = stpcpy(at, ",upperdir=/host/u,workdir=/host/w");
    else {
        char *name = upper + strlen(upper);
        name += pf_digits(name, index);
        *name++ = '.';
        name += pf_digits(name, (uint32_t)container->attempt);
        strcpy(name, ".u");
        *why = (struct pf_report){PF_STAGE_STATE, 0, (int32_t)index};
        int failed = sys_mkdirat(AT_FDCWD, upper, 0755);
        if (failed < 0 && failed != -EEXIST) return why->error = -failed, -1;
        at = stpcpy(stpcpy(at, ",upperdir="), upper);
        name[1] = 'w';
        failed = sys_mkdirat(AT_FDCWD, upper, 0700);
        if (failed < 0 && failed != -EEXIST) return why->error = -failed, -1;
        at = stpcpy(stpcpy(at, ",workdir="), upper);
    }
    at = stpcpy(at, ",volatile"); // what is written here does not outlive the container: never wait for the disk
    if (shim->plan->flags & PF_POD_ROOTLESS) stpcpy(at, ",userxattr");
    return 0;
}

static void empty_trash(void *argument) {
    char (*names)[160] = argument;
    // The lock that says that the shim lives, and the socket, must not outlive it in here.
    sys_close_range(0, PF_FD_TRASH - 1, 0);
    sys_close_range(PF_FD_TRASH + 1, ~0u, 0);
    for (int i = 0; i < 2; i++)
        if (names[i][0]) pf_remove_tree(PF_FD_TRASH, names[i], NULL);
    sys_exit(0);
}

// The last attempt's writable layer goes to the trash by a rename, on the host's side (the pod's own mount of the directory would be another
// mount to rename(2)); a child of its own empties it, however large it is.
static void drop_layer(struct shim *shim, uint32_t index, int attempt) {
    static char names[2][160];
    char from[48];
    size_t n = pf_digits(from, index);
    from[n++] = '.';
    n += pf_digits(from + n, (uint32_t)attempt);
    const char *path = plan_text(shim, shim->plan->state_name);
    PF_FD state = sys_openat2(PF_FD_ROOT, path, O_RDONLY | O_DIRECTORY, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
    for (int i = 0; i < 2 && state >= 0; i++) {
        strcpy(from + n, i ? ".w" : ".u");
        const char *id = plan_text(shim, shim->plan->trash_name);
        names[i][0] = 0;
        if (strlen(id) + strlen(from) + 2 > sizeof names[i]) continue;
        strcpy(stpcpy(stpcpy(names[i], id), "-"), from);
        if (sys_renameat(state, from, PF_FD_TRASH, names[i]) < 0) names[i][0] = 0;
    }
    int pidfd;
    if (state >= 0 && (names[0][0] || names[1][0]) && start_child(shim, 0, -1, &pidfd, empty_trash, names) > 0) watch(shim, pidfd, KIND_CLEANER, (uint32_t)pidfd);
}

static void not_started(struct shim *shim, uint32_t index, const struct pf_report *why) {
    struct container *container = &shim->containers[index];
    container->phase = PHASE_ENDED;
    container->status = 127 << 8;
    container->failure = *why;
    keep_record(shim, index, PF_SLOT_FAILED, 0);
    tell_failure(shim, (int32_t)index, why, NULL);
}

void container_start(struct shim *shim, uint32_t index, int attempt) {
    static struct pf_child child; // copied by the clone; one at a time
    struct container *container = &shim->containers[index];
    struct pf_report why = {0};
    int report[2];
    // A repeated request never starts a second process: each attempt has one.
    if (container->phase != PHASE_IDLE && (container->phase != PHASE_ENDED || attempt <= container->attempt)) return;
    if (container->phase == PHASE_ENDED && (plan_container(shim, index)->flags & PF_C_ROOT_UPPER)) drop_layer(shim, index, container->attempt);
    container->attempt = attempt;
    container->status_known = container->status = 0;
    container->failure.stage = 0;
    int failed = log_open(shim, index);
    if (failed < 0) {
        why = (struct pf_report){PF_STAGE_LOG, -failed, 0};
        return not_started(shim, index, &why);
    }
    if (make_layer(shim, index, container, &why) < 0) return not_started(shim, index, &why);
    failed = sys_pipe(report, O_CLOEXEC);
    if (failed < 0) {
        why = (struct pf_report){PF_STAGE_CLONE, -failed, 0};
        return not_started(shim, index, &why);
    }
    container->report_fd = report[0];
    static char names[2][PF_DIGITS + 4];
    strcpy(names[0] + pf_digits(names[0], index), ".out");
    strcpy(names[1] + pf_digits(names[1], index), ".err");
    child = (struct pf_child){
        .base = shim->base, .plan = shim->plan, .container = plan_container(shim, index), .index = index, .report_fd = report[1],
        .pause_ready_fd = shim->pause_ready, .pause_pidfd = shim->pause_pidfd,
        .has_upper = (plan_container(shim, index)->flags & PF_C_ROOT_UPPER) != 0, .overlay = container->overlay, .out = names[0], .err = names[1],
        .argv = container->argv, .envp = container->envp, .paths = container->paths, .board = shim->board,
    };
    const struct pf_cgroup *group = tracking_group(shim, (int32_t)index);
    PF_FD group_fd = group && (group->flags & PF_CG_V2) ? open_group(group, shim) : -1; // on v1 it joins by itself
    uint64_t spaces = CLONE_NEWNS | (shim->plan->flags & PF_POD_SHARE_PID ? 0 : CLONE_NEWPID);
    container->oom_before = oom_kills(shim, (int32_t)index);
    pf_word pid = start_child(shim, spaces, group_fd, &container->pidfd, pf_container_main, &child);
    sys_close(report[1]);
    if (pid < 0) {
        why = (struct pf_report){PF_STAGE_CLONE, (int32_t)-pid, 0};
        sys_close(container->report_fd);
        container->pidfd = container->report_fd = -1;
        return not_started(shim, index, &why);
    }
    container->pid = (int)pid;
    container->phase = PHASE_PREPARING;
    watch(shim, container->report_fd, KIND_REPORT, index);
    watch(shim, container->pidfd, KIND_LIFE, index);
}

// The report pipe speaks: end of file is success, anything else says where it ended.
void container_report(struct shim *shim, uint32_t index) {
    struct container *container = &shim->containers[index];
    struct pf_report report;
    pf_word n = sys_read(container->report_fd, &report, sizeof report);
    unwatch(shim, container->report_fd);
    sys_close(container->report_fd);
    container->report_fd = -1;
    container->started_ns = wall_ns();
    if (n == (pf_word)sizeof report) {
        container->failure = report; // told when its process is gone: only then may it be started again
        return;
    }
    // End of file also comes from a death before exec (a kill, most often): told as a start and an exit, which follows.
    container->phase = PHASE_RUNNING;
    keep_record(shim, index, PF_SLOT_RUNNING, 0);
    tell(shim, PF_MSG_STARTED, (int32_t)index, container->pid, container->pidfd);
}

static void kill_group(const struct shim *shim, uint32_t index) {
    const struct pf_cgroup *group = tracking_group(shim, (int32_t)index);
    for (uint32_t i = 0; i < MAX_CLIENTS; i++) { // their sub-groups go with them
        const struct client *client = &shim->clients[i];
        if (client->exec_pidfd >= 0 && client->index == (int)index) sys_pidfd_signal(client->exec_pidfd, SIGKILL);
    }
    if (group) pf_cgroup_kill(PF_FD_FIRST_HIERARCHY + (int)group->hierarchy, plan_text(shim, group->path));
}

// 1 known, 0 not yet, -1 never. The exit code of an adopted process can be asked for once its parent has reaped it (Linux 6.15).
static int read_status(struct container *container) {
    siginfo_t info = {0};
    int failed = sys_waitid(P_PIDFD, container->pidfd, &info, WEXITED | WNOHANG);
    if (failed == 0 && info.si_pid) {
        container->status = info.si_code == CLD_EXITED ? (info.si_status & 0xff) << 8 : info.si_status & 0x7f;
        return 1;
    }
    if (failed != -ECHILD) return 0;
    return pf_exit_status(container->pidfd, &container->status, NULL);
}

#define REAP_PATIENCE 3 /* seconds that a new parent may take to reap what it inherited */

// Dead, but nobody knows how yet: the pidfd hangs up when the process is reaped, which epoll always tells.
static void await_reaper(struct shim *shim, struct container *container, uint32_t index) {
    unwatch(shim, container->pidfd);
    watch_hangup(shim, container->pidfd, KIND_LIFE, index);
    container->unreaped++;
    retry_later(shim);
}

void container_retry(struct shim *shim) {
    for (uint32_t i = 0; i < shim->plan->n_containers; i++)
        if (shim->containers[i].unreaped) container_ended(shim, i);
}

void container_ended(struct shim *shim, uint32_t index) {
    struct container *container = &shim->containers[index];
    if (container->report_fd >= 0) container_report(shim, index); // both became ready at once: the report first
    uint32_t flags = 0;
    const int known = read_status(container);
    if (known == 0 && container->unreaped < REAP_PATIENCE) return await_reaper(shim, container, index);
    container->unreaped = 0;
    container->status_known = known == 1;
    if (!container->status_known) {
        flags |= PF_EXIT_UNKNOWN;
        container->status = SIGKILL;
    }
    if (oom_kills(shim, (int32_t)index) > container->oom_before) flags |= PF_EXIT_OOM;
    if (container->status == SIGKILL) pause_check(shim);
    unwatch(shim, container->pidfd);
    sys_close(container->pidfd);
    container->pidfd = -1;
    if (shim->plan->flags & PF_POD_SHARE_PID) kill_group(shim, index); // no pid namespace of its own takes its children along
    log_finish(shim, index);
    container->phase = PHASE_ENDED;
    if (container->failure.stage) return not_started(shim, index, &container->failure);
    keep_record(shim, index, PF_SLOT_EXITED, flags);
    struct pf_msg message = {.magic = PF_MSG_MAGIC | PF_ABI, .type = PF_MSG_EXITED, .flags = (uint16_t)flags, .index = (int32_t)index,
                             .attempt = container->attempt, .value = container->status, .wall_ns = wall_ns()};
    tell_engine(shim, &message, NULL, -1);
}

int containers_alive(const struct shim *shim) {
    int n = 0;
    for (uint32_t i = 0; i < shim->plan->n_containers; i++) n += shim->containers[i].pidfd >= 0;
    return n;
}

// A process that an older shim started: by pid and start time, so that a reused number is not taken for it. -1 when it is gone.
int open_recorded(const struct pf_exit *record) {
    int pidfd = record->pid > 0 ? sys_pidfd_open(record->pid, 0) : -1;
    if (pidfd >= 0 && start_ticks(record->pid) == record->start_ticks) return pidfd;
    if (pidfd >= 0) sys_close(pidfd);
    return -1;
}

// Takes over one container; 0 when its namespaces cannot be read, which only a death in between explains.
int container_adopt(struct shim *shim, uint32_t index) {
    struct container *container = &shim->containers[index];
    struct pf_exit record;
    if (sys_pread(shim->exit_fd, &record, sizeof record, index * sizeof record) != sizeof record) return 0;
    container->attempt = record.attempt;
    container->status = record.status;
    container->started_ns = record.started_ns;
    container->pid = record.pid;
    if (record.state != PF_SLOT_RUNNING) kill_group(shim, index); // the old shim may have died between a start and its record: it is started again
    if (record.state == PF_SLOT_EMPTY) return 1;
    container->phase = PHASE_ENDED;
    container->status_known = 1;
    log_open(shim, index);
    if (record.state != PF_SLOT_RUNNING) return 1;
    container->pidfd = open_recorded(&record);
    if (container->pidfd < 0 || pf_ns_read_of(PF_FD_PROC, record.pid, &shim->board->container[index]) < 0) { // it ended while nobody was there to see
        if (container->pidfd >= 0) sys_close(container->pidfd);
        container->pidfd = -1;
        container->status = SIGKILL;
        keep_record(shim, index, PF_SLOT_EXITED, PF_EXIT_UNKNOWN);
        log_finish(shim, index);
        return 0;
    }
    container->phase = PHASE_RUNNING;
    watch(shim, container->pidfd, KIND_LIFE, index);
    return 1;
}
