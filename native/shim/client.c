// SPDX-License-Identifier: Apache-2.0
// Other processes of the same user: exec, and requests that are passed on to the pod's owner. A served pod without an engine takes a new one.
#include "shim.h"

#include <string.h>

static char payload[PF_MSG_MAX];

struct peer { /* struct ucred */
    int pid;
    uint32_t uid, gid;
};

static int is_friend(int fd) {
    struct peer peer = {0, ~0u, ~0u};
    uint32_t size = sizeof peer;
    uint32_t self = (uint32_t)PF_CALL(__NR_geteuid, 0, 0, 0, 0, 0);
    if (PF_CALL(__NR_getsockopt, fd, SOL_SOCKET, SO_PEERCRED, PF_P(&peer), PF_P(&size)) < 0) return 0;
    return peer.uid == self || peer.uid == 0;
}

void client_accept(struct shim *shim) {
    int fd = (int)PF_CALL(__NR_accept4, PF_FD_LISTEN, 0, 0, SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return;
    for (uint32_t i = 0; i < MAX_CLIENTS; i++) {
        struct client *client = &shim->clients[i];
        if (client->fd >= 0 || client->exec_pidfd >= 0 || !is_friend(fd)) continue;
        *client = (struct client){.fd = fd, .exec_pidfd = -1, .exec_report = -1, .exec_tty = -1};
        watch(shim, fd, KIND_CLIENT, i);
        return;
    }
    sys_close(fd); // a stranger, or too many
}

// An exec ends with its client: its own group is killed whole.
void client_drop(struct shim *shim, uint32_t number) {
    struct client *client = &shim->clients[number];
    if (client->fd < 0) return;
    unwatch(shim, client->fd);
    sys_close(client->fd);
    client->fd = -1;
    if (client->exec_pidfd >= 0) sys_pidfd_signal(client->exec_pidfd, SIGKILL);
}

static void answer(const struct client *client, uint32_t tag, int value) {
    const struct pf_msg message = {.magic = PF_MSG_MAGIC | PF_ABI, .type = PF_MSG_ANSWER, .tag = tag, .value = value, .wall_ns = wall_ns()};
    send_message(client->fd, &message, NULL, 0, -1);
}

static void pass_on(struct shim *shim, const struct client *client, const struct pf_msg *asked) {
    if (shim->engine < 0) return answer(client, asked->tag, ENOTCONN);
    struct pf_msg message = *asked;
    message.type = PF_MSG_REQUEST;
    answer(client, asked->tag, -send_message(shim->engine, &message, NULL, 0, -1));
}

// Tells an engine that did not see it everything as it stands, in the order in which it happened.
void tell_all(struct shim *shim) {
    shim->behind = 0;
    if (shim->pause_dead) tell(shim, PF_MSG_PAUSE_EXITED, -1, 0, -1);
    else if (shim->ready) tell(shim, PF_MSG_READY, -1, 0, shim->pause_pidfd);
    for (uint32_t i = 0; i < shim->plan->n_containers; i++) {
        struct container *container = &shim->containers[i];
        struct pf_exit record = {0};
        sys_pread(shim->exit_fd, &record, sizeof record, i * sizeof record);
        struct pf_msg message = {.magic = PF_MSG_MAGIC | PF_ABI, .index = (int32_t)i, .attempt = container->attempt};
        if (record.started_ns && record.state != PF_SLOT_FAILED) {
            message.type = PF_MSG_STARTED;
            message.value = container->pid;
            message.wall_ns = record.started_ns;
            tell_engine(shim, &message, NULL, container->pidfd);
        }
        if (record.state == PF_SLOT_EXITED) {
            message.type = PF_MSG_EXITED;
            message.flags = (uint16_t)record.flags;
            message.value = record.status;
            message.wall_ns = record.finished_ns;
            tell_engine(shim, &message, NULL, -1);
        }
        if (record.state == PF_SLOT_FAILED) {
            const struct pf_report report = {record.stage, record.error, record.at};
            tell_failure(shim, (int32_t)i, &report, NULL);
        }
    }
}

static void engine_adopt(struct shim *shim, int fd, int engine_pidfd) {
    shim->engine = fd;
    unwatch(shim, PF_FD_ENGINE);
    sys_dup3(engine_pidfd, PF_FD_ENGINE, O_CLOEXEC);
    sys_close(engine_pidfd);
    watch(shim, PF_FD_ENGINE, KIND_ENGINE_LIFE, 0);
    tell_all(shim);
}

// What is watched as the engine's life has to be one: anything else might not be watchable at all, or never end.
static int is_pidfd(int fd) { return sys_pidfd_signal(fd, 0) != -EBADF; }

void client_message(struct shim *shim, uint32_t number) {
    struct client *client = &shim->clients[number];
    struct pf_msg message;
    int fds[4] = {-1, -1, -1, -1}, n_fds = 4;
    pf_word size = receive_message(client->fd, &message, payload, sizeof payload - 1, fds, &n_fds, MSG_DONTWAIT);
    if (size == -EAGAIN) return;
    if (size < 0 || !message.type) { // a packet of no type may carry descriptors all the same
        for (int i = 0; i < n_fds; i++) sys_close(fds[i]);
        return client_drop(shim, number);
    }
    payload[size] = 0;
    switch (message.type) {
    case PF_MSG_EXEC:
        exec_start(shim, client, number, &message, payload, (size_t)size, fds, n_fds);
        return; // it takes the descriptors
    case PF_MSG_EXEC_SIGNAL:
        if (client->exec_pidfd >= 0) sys_pidfd_signal(client->exec_pidfd, message.value);
        break;
    case PF_MSG_ASK:
        pass_on(shim, client, &message);
        break;
    case PF_MSG_ADOPT:
        if ((shim->plan->flags & PF_POD_SERVED) && shim->engine < 0 && n_fds == 1 && is_pidfd(fds[0])) {
            const int fd = client->fd;
            unwatch(shim, fd);
            client->fd = -1;
            engine_adopt(shim, fd, fds[0]);
            watch(shim, fd, KIND_ENGINE, 0);
            return;
        }
        answer(client, message.tag, EBUSY);
        break;
    default:
        answer(client, message.tag, EINVAL);
    }
    for (int i = 0; i < n_fds; i++) sys_close(fds[i]);
}
