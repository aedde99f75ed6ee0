/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers for the drivers: the same ones for the same seed, and mostly those at which checks go wrong. */
#ifndef PF_TEST_RANDOM_H
#define PF_TEST_RANDOM_H

#include <stdint.h>

static uint64_t random_state;

static inline uint32_t random_number(void) { /* xorshift64* */
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (uint32_t)((random_state * 0x2545f4914f6cdd1du) >> 32);
}

static inline uint32_t random_below(uint32_t limit) { return random_number() % limit; }

static inline uint32_t random_edge(uint32_t size) { /* around 0, around size, around the ends of the signed and unsigned ranges */
    const uint32_t edges[] = {0, 1, 4, size, 0x7fffffff, 0x80000000, 0xffffffff, 0x40000000, random_below(size), random_below(64), random_number()};
    return edges[random_below(sizeof edges / sizeof *edges)] + random_below(5) - 2;
}

#endif
