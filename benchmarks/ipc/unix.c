/* SPDX-License-Identifier: Apache-2.0 */
/* A Unix stream socket; the address is a path. */
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "load.h"
#include "stream.h"

static struct sockaddr_un at_path(const char *address)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    const int length = snprintf(name.sun_path, sizeof(name.sun_path), "%s", address);

    need(length < (int)sizeof(name.sun_path) ? 0 : -1, address);
    return name;
}

static void serve(const char *address)
{
    const struct sockaddr_un name = at_path(address);
    const int fd = (int)need(socket(AF_UNIX, SOCK_STREAM, 0), "socket");

    unlink(address);
    need(bind(fd, (const struct sockaddr *)&name, sizeof(name)), "bind");
    need(listen(fd, 8), "listen");
    stream_serve(fd);
}

static void connect_to(const char *address)
{
    const struct sockaddr_un name = at_path(address);
    const int fd = (int)need(socket(AF_UNIX, SOCK_STREAM, 0), "socket");

    while (connect(fd, (const struct sockaddr *)&name, sizeof(name)) != 0)
        try_again(address);
    stream_use(fd);
}

int main(int argc, char **argv)
{
    static const struct transport unix_stream = {serve, connect_to, stream_roundtrips, stream_throughput};

    return load_main(argc, argv, &unix_stream);
}
