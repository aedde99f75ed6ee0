/* SPDX-License-Identifier: Apache-2.0 */
#include "stream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

enum { ROUNDTRIPS = 1, THROUGHPUT = 2 };

struct order {
    uint64_t kind, count;
};

static int peer = -1;
static char block[BLOCK];

static void send_all(int fd, const void *data, size_t size)
{
    for (const char *at = data; size > 0;) {
        const long sent = need(send(fd, at, size, MSG_NOSIGNAL), "send");

        at += sent;
        size -= (size_t)sent;
    }
}

/* 0 at the end of the stream. */
static int receive_all(int fd, void *data, size_t size)
{
    for (char *at = data; size > 0;) {
        const long got = need(recv(fd, at, size, 0), "recv");

        if (got == 0)
            return 0;
        at += got;
        size -= (size_t)got;
    }
    return 1;
}

static void expect(int fd, void *data, size_t size)
{
    if (!receive_all(fd, data, size)) {
        errno = ECONNRESET;
        need(-1, "recv");
    }
}

static void serve_one(int fd)
{
    struct order order;

    while (receive_all(fd, &order, sizeof(order))) {
        const size_t size = order.kind == ROUNDTRIPS ? MESSAGE : BLOCK;

        for (uint64_t i = 0; i < order.count; i++) {
            expect(fd, block, size);
            if (order.kind == ROUNDTRIPS)
                send_all(fd, block, size);
        }
        if (order.kind == THROUGHPUT)
            send_all(fd, "", 1);
    }
}

void stream_serve(int listener)
{
    for (;;) {
        const int fd = (int)need(accept(listener, NULL, NULL), "accept");

        serve_one(fd);
        close(fd);
    }
}

void stream_use(int connection)
{
    peer = connection;
}

void stream_roundtrips(uint64_t count)
{
    const struct order order = {ROUNDTRIPS, count};

    send_all(peer, &order, sizeof(order));
    for (uint64_t i = 0; i < count; i++) {
        send_all(peer, block, MESSAGE);
        expect(peer, block, MESSAGE);
    }
}

void stream_throughput(uint64_t blocks)
{
    const struct order order = {THROUGHPUT, blocks};

    send_all(peer, &order, sizeof(order));
    for (uint64_t i = 0; i < blocks; i++)
        send_all(peer, block, BLOCK);
    expect(peer, block, 1);
}
