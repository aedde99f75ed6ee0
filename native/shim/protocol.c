// SPDX-License-Identifier: Apache-2.0
// Messages: one packet each, a fixed header, an optional payload, at most a few descriptors. A packet that is too short, too long or of
// another version is refused by whoever reads it.
#include "shim.h"

#include <string.h>

#define MOST_FDS 4

union control {
    struct cmsghdr head;
    char room[CMSG_SPACE(sizeof(int) * MOST_FDS)];
};

uint64_t wall_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int send_message(int fd, const struct pf_msg *message, const void *payload, size_t size, int attached) {
    struct iovec parts[2] = {{(void *)(uintptr_t)message, sizeof *message}, {(void *)(uintptr_t)payload, size}};
    struct msghdr header = {.msg_iov = parts, .msg_iovlen = size ? 2 : 1};
    union control control;
    memset(&control, 0, sizeof control);
    if (attached >= 0) {
        control.head = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.head), &attached, sizeof attached);
        header.msg_control = &control;
        header.msg_controllen = CMSG_SPACE(sizeof(int));
    }
    pf_word n = sys_sendmsg(fd, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
    return n < 0 ? (int)n : 0;
}

static void take_fds(struct msghdr *header, int *fds, int *n_fds) {
    int room = *n_fds;
    *n_fds = 0;
    const struct cmsghdr *one = CMSG_FIRSTHDR(header); // one block is all the control buffer can hold
    if (!one || one->cmsg_level != SOL_SOCKET || one->cmsg_type != SCM_RIGHTS) return;
    int n = (int)((one->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    for (int i = 0; i < n; i++) {
        int fd;
        memcpy(&fd, CMSG_DATA(one) + (size_t)i * sizeof fd, sizeof fd);
        if (*n_fds < room) fds[(*n_fds)++] = fd;
        else sys_close(fd);
    }
}

// The payload's size, or -errno; 0 with message->type 0 at end of file.
pf_word receive_message(int fd, struct pf_msg *message, char *payload, size_t room, int *fds, int *n_fds, int flags) {
    union control control;
    struct iovec parts[2] = {{message, sizeof *message}, {payload, room}};
    struct msghdr header = {.msg_iov = parts, .msg_iovlen = 2, .msg_control = &control, .msg_controllen = sizeof control};
    message->type = 0;
    pf_word n = sys_recvmsg(fd, &header, flags | MSG_CMSG_CLOEXEC);
    if (n < 0) {
        *n_fds = 0;
        return n;
    }
    take_fds(&header, fds, n_fds);
    if (n == 0) {
        message->type = 0;
        return 0;
    }
    if ((size_t)n < sizeof *message || (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || message->magic != (PF_MSG_MAGIC | PF_ABI)) {
        for (int i = 0; i < *n_fds; i++) sys_close(fds[i]);
        *n_fds = 0;
        return -EPROTO;
    }
    return n - (pf_word)sizeof *message;
}

// To the engine. It may be gone, or not have read for a long time (the socket holds about 270 packets): what it missed stands in the exit
// records, and all of it is told again from there until the engine has it. The lifecycle takes what it knows already for what it is.
void tell_engine(struct shim *shim, const struct pf_msg *message, const char *text, int attached) {
    if (shim->engine < 0) return;
    int failed = send_message(shim->engine, message, text, text ? strlen(text) : 0, attached);
    if (failed >= 0 || failed == -EPIPE || failed == -ECONNRESET) return;
    shim->behind = 1;
    retry_later(shim);
}

void tell(struct shim *shim, uint16_t type, int32_t index, int32_t value, int attached) {
    struct pf_msg message = {.magic = PF_MSG_MAGIC | PF_ABI, .type = type, .index = index, .value = value, .wall_ns = wall_ns()};
    if (index >= 0) message.attempt = shim->containers[index].attempt;
    tell_engine(shim, &message, NULL, attached);
}

void tell_failure(struct shim *shim, int32_t index, const struct pf_report *report, const char *text) {
    struct pf_msg message = {.magic = PF_MSG_MAGIC | PF_ABI, .type = PF_MSG_FAILED, .index = index, .value = report->index, .stage = report->stage,
                             .error = report->error, .wall_ns = wall_ns()};
    if (index >= 0) message.attempt = shim->containers[index].attempt;
    tell_engine(shim, &message, text, -1);
}
