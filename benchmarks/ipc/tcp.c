/* SPDX-License-Identifier: Apache-2.0 */
/* TCP on 127.0.0.1; the address is a port. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"
#include "stream.h"

static struct sockaddr_in at_port(const char *address)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)strtoul(address, NULL, 10)),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
}

static int make_socket(void)
{
    const int fd = (int)need(socket(AF_INET, SOCK_STREAM, 0), "socket"), yes = 1;

    need(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)), "setsockopt");
    need(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes)), "setsockopt");
    return fd;
}

static void serve(const char *address)
{
    const struct sockaddr_in name = at_port(address);
    const int fd = make_socket();

    need(bind(fd, (const struct sockaddr *)&name, sizeof(name)), "bind");
    need(listen(fd, 8), "listen");
    stream_serve(fd); /* TCP_NODELAY is inherited by what accept returns */
}

static void connect_to(const char *address)
{
    const struct sockaddr_in name = at_port(address);

    for (int fd = make_socket();; fd = make_socket()) {
        if (connect(fd, (const struct sockaddr *)&name, sizeof(name)) == 0) {
            stream_use(fd);
            return;
        }
        close(fd);
        try_again(address);
    }
}

int main(int argc, char **argv)
{
    static const struct transport tcp = {serve, connect_to, stream_roundtrips, stream_throughput};

    return load_main(argc, argv, &tcp);
}
