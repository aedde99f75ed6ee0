/* SPDX-License-Identifier: Apache-2.0 */
/* What TCP and Unix sockets have in common: everything but how one gets them. */
#ifndef IPC_STREAM_H
#define IPC_STREAM_H

#include <stdint.h>

/* Serves one connection after the other. */
void stream_serve(int listener);

/* From here on stream_roundtrips and stream_throughput speak through `connection`. */
void stream_use(int connection);
void stream_roundtrips(uint64_t count);
void stream_throughput(uint64_t blocks);

#endif
