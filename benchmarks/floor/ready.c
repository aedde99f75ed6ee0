/* SPDX-License-Identifier: Apache-2.0 */
/* `ready FIFO` writes one byte into a FIFO and then stays: a container that tells that it runs, under any runtime. Ends on TERM. */
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

static void leave(int number)
{
    (void)number;
    _exit(0);
}

int main(int argc, char **argv)
{
    signal(SIGTERM, leave); /* the first process of a pid namespace ignores what it has no handler for */
    const int fd = argc == 2 ? open(argv[1], O_WRONLY | O_CLOEXEC) : -1;

    if (fd < 0 || write(fd, "r", 1) != 1)
        return 1;
    for (;;)
        pause();
}
