/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Load between two processes, by one transport per program:
 *
 *   PROGRAM serve ADDRESS                    answers until it is killed
 *   PROGRAM drive ADDRESS roundtrip COUNT    messages of 64 bytes, there and back, one at a time
 *   PROGRAM drive ADDRESS throughput MIB     in one direction, as much at once as the transport takes
 *
 * `drive` waits up to ten seconds for its server, and prints the nanoseconds of all of it.
 */
#ifndef IPC_LOAD_H
#define IPC_LOAD_H

#include <stdint.h>

enum { MESSAGE = 64, BLOCK = 65536 };

struct transport {
    void (*serve)(const char *address);
    void (*connect)(const char *address); /* may be called again after try_again */
    void (*roundtrips)(uint64_t count);
    void (*throughput)(uint64_t blocks); /* returns when the other side has taken all */
};

int load_main(int argc, char **argv, const struct transport *transport);

/* Ends the process with errno when `result` is negative; hands it on otherwise. */
long need(long result, const char *what);

/* After a failed attempt to reach the server: waits a little, or gives up after ten seconds. */
void try_again(const char *address);

#endif
