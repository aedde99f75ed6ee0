/* SPDX-License-Identifier: Apache-2.0 */
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

long need(long result, const char *what)
{
    if (result < 0) {
        fprintf(stderr, "%s: %s\n", what, strerror(errno));
        exit(1);
    }
    return result;
}

void try_again(const char *address)
{
    static int attempts;
    const struct timespec pause = {.tv_nsec = 5000000};

    if (++attempts == 2000) {
        fprintf(stderr, "no server at %s\n", address);
        exit(1);
    }
    nanosleep(&pause, NULL);
}

static int64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static int usage(const char *name)
{
    fprintf(stderr, "usage: %s serve ADDRESS | drive ADDRESS (roundtrip COUNT | throughput MIB)\n", name);
    return 2;
}

int load_main(int argc, char **argv, const struct transport *transport)
{
    if (argc == 3 && strcmp(argv[1], "serve") == 0) {
        transport->serve(argv[2]);
        return 0;
    }
    if (argc != 5 || strcmp(argv[1], "drive") != 0)
        return usage(argv[0]);
    const uint64_t amount = strtoull(argv[4], NULL, 10);
    const int roundtrip = strcmp(argv[3], "roundtrip") == 0;

    if (amount == 0 || (!roundtrip && strcmp(argv[3], "throughput") != 0))
        return usage(argv[0]);
    transport->connect(argv[2]);
    transport->roundtrips(roundtrip && amount > 100 ? 100 : 1); /* both sides are awake */
    const int64_t begin = now();

    if (roundtrip)
        transport->roundtrips(amount);
    else
        transport->throughput(amount * (1024 * 1024 / BLOCK));
    printf("%lld\n", (long long)(now() - begin));
    return 0;
}
