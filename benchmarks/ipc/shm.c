/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared memory: a file in /dev/shm (the address is its path) with one ring for each direction. Who finds nothing to do looks again for a
 * while and then sleeps on a futex; the other side wakes only a sleeper.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "load.h"

enum { SLOTS = 16, LOOKS = 4000, READY = 0x70663031 };

/* Counters only grow, and wrap; each is written by one side alone and has a cache line of its own. */
struct counter {
    _Alignas(64) _Atomic uint32_t value;
    _Atomic uint32_t sleepers;
};

struct ring {
    struct counter written, taken;
    struct {
        uint32_t size, reply; /* reply: the one who takes it sends a message back */
        char data[BLOCK];
    } slot[SLOTS];
};

struct region {
    _Atomic uint32_t state;
    struct ring there, back;
};

static struct region *region;
static char block[BLOCK];

static void look_again(void)
{
#if defined(__x86_64__)
    __asm__ volatile("pause");
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Until the counter is no longer `seen`. */
static void await(struct counter *counter, uint32_t seen)
{
    for (int i = 0; i < LOOKS; i++) {
        if (atomic_load_explicit(&counter->value, memory_order_acquire) != seen)
            return;
        look_again();
    }
    atomic_fetch_add(&counter->sleepers, 1);
    while (atomic_load(&counter->value) == seen)
        syscall(SYS_futex, &counter->value, FUTEX_WAIT, seen, NULL, NULL, 0);
    atomic_fetch_sub(&counter->sleepers, 1);
}

static void advance(struct counter *counter)
{
    atomic_fetch_add(&counter->value, 1);
    if (atomic_load(&counter->sleepers) != 0)
        syscall(SYS_futex, &counter->value, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void put(struct ring *ring, uint32_t size, uint32_t reply)
{
    const uint32_t at = atomic_load_explicit(&ring->written.value, memory_order_relaxed);

    for (uint32_t taken = atomic_load(&ring->taken.value); at - taken == SLOTS; taken = atomic_load(&ring->taken.value))
        await(&ring->taken, taken);
    memcpy(ring->slot[at % SLOTS].data, block, size);
    ring->slot[at % SLOTS].size = size;
    ring->slot[at % SLOTS].reply = reply;
    advance(&ring->written);
}

/* Whether the message asks for a reply. */
static uint32_t take(struct ring *ring)
{
    const uint32_t at = atomic_load_explicit(&ring->taken.value, memory_order_relaxed);

    await(&ring->written, at);
    memcpy(block, ring->slot[at % SLOTS].data, ring->slot[at % SLOTS].size);
    const uint32_t reply = ring->slot[at % SLOTS].reply;

    advance(&ring->taken);
    return reply;
}

static void map(int fd)
{
    void *memory = mmap(NULL, sizeof(struct region), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    need(memory == MAP_FAILED ? -1 : 0, "mmap");
    region = memory;
}

static void serve(const char *address)
{
    char unfinished[256];

    snprintf(unfinished, sizeof(unfinished), "%s.new", address);
    const int fd = (int)need(open(unfinished, O_RDWR | O_CREAT | O_TRUNC, 0600), unfinished);

    need(ftruncate(fd, sizeof(struct region)), "ftruncate");
    map(fd);
    atomic_store(&region->state, READY);
    need(rename(unfinished, address), address);
    for (;;)
        if (take(&region->there))
            put(&region->back, MESSAGE, 0);
}

static void connect_to(const char *address)
{
    int fd;

    while ((fd = open(address, O_RDWR)) < 0)
        try_again(address);
    map(fd);
    need(atomic_load(&region->state) == READY ? 0 : -1, address);
}

static void roundtrips(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        put(&region->there, MESSAGE, 1);
        take(&region->back);
    }
}

static void throughput(uint64_t blocks)
{
    for (uint64_t i = 0; i < blocks; i++)
        put(&region->there, BLOCK, i + 1 == blocks);
    take(&region->back);
}

int main(int argc, char **argv)
{
    static const struct transport shm = {serve, connect_to, roundtrips, throughput};

    return load_main(argc, argv, &shm);
}
