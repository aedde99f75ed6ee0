/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `flood LINES SIZE FILE` writes numbered lines of SIZE bytes to standard output, 64 KiB at a time, as fast as they are taken, and then the
 * nanoseconds that it took into FILE. Two lines of a stream can so be told apart, and a lost one is seen.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 65536 };

static long long now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void put(int fd, const char *text, size_t size)
{
    while (size > 0) {
        const ssize_t written = write(fd, text, size);

        if (written < 0) {
            perror("write");
            exit(1);
        }
        text += written;
        size -= (size_t)written;
    }
}

/* The number right-aligned in ten places, and padding. */
static void number_line(char *line, unsigned long long number, size_t size)
{
    memset(line, 'x', size - 1);
    for (size_t place = 10; place-- > 0; number /= 10)
        line[place] = (char)('0' + number % 10);
    line[10] = ' ';
    line[size - 1] = '\n';
}

int main(int argc, char **argv)
{
    static char chunk[CHUNK];
    const unsigned long long lines = argc == 4 ? strtoull(argv[1], NULL, 10) : 0;
    const size_t size = argc == 4 ? strtoul(argv[2], NULL, 10) : 0;
    size_t used = 0;
    char answer[32];

    if (size < 12 || size > CHUNK) {
        fprintf(stderr, "usage: flood LINES SIZE FILE, with a SIZE of 12 to %d\n", CHUNK);
        return 2;
    }
    const long long begin = now();

    for (unsigned long long i = 0; i < lines; i++) {
        if (used + size > CHUNK) {
            put(STDOUT_FILENO, chunk, used);
            used = 0;
        }
        number_line(chunk + used, i, size);
        used += size;
    }
    put(STDOUT_FILENO, chunk, used);
    const int length = snprintf(answer, sizeof(answer), "%lld\n", now() - begin);
    const int fd = open(argv[3], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    if (fd < 0) {
        perror(argv[3]);
        return 1;
    }
    put(fd, answer, (size_t)length);
    return 0;
}
