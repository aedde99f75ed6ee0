// SPDX-License-Identifier: Apache-2.0
// protocol ROUNDS SEED: packets of every size, with every number of descriptors, good and bad, as the shim receives them. A packet that is
// refused leaves no descriptor behind.
#include "random.h"
#include "shim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

// Of the shim's loop, which is not here: nothing is sent, so nothing is sent again.
void retry_later(struct shim *shim) { (void)shim; }

#define ROOM 4096
#define MOST 6

static void put(int fd, const void *data, size_t size, uint32_t n) {
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(MOST * sizeof(int))];
    } control;
    int passed[MOST] = {0};
    struct iovec part = {(void *)(uintptr_t)data, size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    memset(&control, 0, sizeof control);
    if (n) {
        control.head = (struct cmsghdr){.cmsg_len = CMSG_LEN(n * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.head), passed, n * sizeof(int));
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(n * sizeof(int));
    }
    if (sendmsg(fd, &message, 0) < 0) abort();
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    random_state = strtoull(argv[2], NULL, 10) * 2 + 1;
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) < 0) return 2;
    const int first = dup(0);
    close(first);
    unsigned long good = 0;
    for (unsigned long round = strtoul(argv[1], NULL, 10); round > 0; round--) {
        static char packet[ROOM * 2];
        const struct pf_msg head = {.magic = random_below(4) ? PF_MSG_MAGIC | PF_ABI : random_number(), .type = (uint16_t)random_below(30)};
        memcpy(packet, &head, sizeof head);
        const size_t size = random_below(3) ? random_below(200) + 1 : random_below(sizeof packet - 1) + 1;
        put(pair[0], packet, size, random_below(MOST + 1));
        struct pf_msg message;
        char *payload = malloc(ROOM); // on the heap, where its ends are guarded
        int fds[4], n_fds = 4;
        const pf_word n = receive_message(pair[1], &message, payload, ROOM, fds, &n_fds, 0);
        if (n > ROOM || n_fds < 0 || n_fds > 4 || (n < 0 && n_fds)) return 3;
        for (int i = 0; i < n_fds; i++) close(fds[i]);
        free(payload);
        good += n >= 0;
    }
    if (dup(0) != first) return 4; // a descriptor was left open
    printf("%lu packets taken\n", good);
    return 0;
}
