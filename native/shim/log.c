// SPDX-License-Identifier: Apache-2.0
// Container output → log files in the CRI format: "<RFC 3339 nanoseconds> <stdout|stderr> <P|F> <bytes>\n". Lines longer than 16 KiB are cut into
// P records and a closing F; bytes are kept exactly. What is read stays in the buffer until it is in the file whole: a full disk stalls the container's
// output and loses nothing. A shim that is killed loses what it has read and not yet written: an unfinished line, and at most one batch.
#include "shim.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define LOG_BUFFER 65536u
#define LONGEST 16384u
#define HEAD 48u

// What one write carries; shared by all streams, since nothing stays in it.
static char out[2 * LOG_BUFFER];

static void two(char *to, unsigned value) {
    to[0] = (char)('0' + value / 10 % 10);
    to[1] = (char)('0' + value % 10);
}

// "2026-11-25T13:38:59.123456789Z", 30 bytes. Days to a date: Howard Hinnant's civil_from_days, in the proleptic Gregorian calendar.
static void format_time(char *to) {
    static uint64_t known_second;
    static char known[20];
    const uint64_t now = wall_ns();
    const uint64_t second = now / 1000000000u;
    if (second != known_second) {
        const uint64_t z = second / 86400 + 719468, era = z / 146097, doe = z - era * 146097;
        const uint64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365, doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
        const unsigned day = (unsigned)(doy - (153 * mp + 2) / 5 + 1), month = (unsigned)(mp < 10 ? mp + 3 : mp - 9);
        const unsigned year = (unsigned)(yoe + era * 400 + (month <= 2)), of_day = (unsigned)(second % 86400);
        two(known, year / 100);
        two(known + 2, year);
        two(known + 5, month);
        two(known + 8, day);
        two(known + 11, of_day / 3600);
        two(known + 14, of_day / 60 % 60);
        two(known + 17, of_day % 60);
        known[4] = known[7] = '-';
        known[10] = 'T';
        known[13] = known[16] = ':';
        known_second = second;
    }
    memcpy(to, known, 19);
    unsigned fraction = (unsigned)(now % 1000000000u);
    to[19] = '.';
    for (int i = 28; i > 19; i--, fraction /= 10) to[i] = (char)('0' + fraction % 10);
    to[29] = 'Z';
}

static void log_path(const struct shim *shim, uint32_t index, char *path, size_t room) {
    const char *dir = plan_text(shim, plan_container(shim, index)->log_dir);
    size_t n = strlen(dir);
    if (n + 20 > room) n = room - 20;
    memcpy(path, dir, n);
    path[n++] = '/';
    n += pf_digits(path + n, (uint32_t)shim->containers[index].log_attempt);
    strcpy(path + n, ".log");
}

static int make_parents(char *path) {
    for (char *at = path; (at = strchr(at, '/')); at++) {
        *at = 0;
        int failed = sys_mkdirat(PF_FD_LOGS, path, 0750);
        *at = '/';
        if (failed < 0 && failed != -EEXIST) return failed;
    }
    return 0;
}

// A shim that was killed in the middle of a write leaves a torn last record: cut it, its bytes were never consumed by a reader of whole lines.
static uint64_t mend(int fd, uint64_t size) {
    char tail[4096];
    while (size) {
        uint64_t from = size > sizeof tail ? size - sizeof tail : 0;
        pf_word n = sys_pread(fd, tail, (size_t)(size - from), from);
        if (n <= 0) return size;
        for (pf_word i = n; i > 0; i--)
            if (tail[i - 1] == '\n') {
                uint64_t good = from + (uint64_t)i;
                if (good != size) sys_ftruncate(fd, good);
                return good;
            }
        size = from;
    }
    sys_ftruncate(fd, 0);
    return 0;
}

static int open_file(struct shim *shim, uint32_t index) {
    struct container *container = &shim->containers[index];
    char path[1024];
    struct stat st;
    if (container->log_fd >= 0) return 0;
    log_path(shim, index, path, sizeof path);
    int fd = sys_openat(PF_FD_LOGS, path, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW, 0640);
    if (fd == -ENOENT) {
        int failed = make_parents(path);
        fd = failed < 0 ? failed : sys_openat(PF_FD_LOGS, path, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW, 0640);
    }
    if (fd < 0) return fd;
    container->log_fd = fd;
    container->log_size = sys_statat(fd, "", &st, AT_EMPTY_PATH) == 0 ? mend(fd, (uint64_t)st.st_size) : 0;
    return 0;
}

// 0.log → 0.log.20261125-133859.123456789 ; the newest files stay. The rename is atomic: a reader of the old inode reads on to its end, and a crash
// between the two steps leaves a pod whose next record makes the new file.
static void rotate(struct shim *shim, uint32_t index) {
    struct container *container = &shim->containers[index];
    char path[1024], old[1088], stamp[32];
    log_path(shim, index, path, sizeof path);
    format_time(stamp);
    size_t n = strlen(path);
    memcpy(old, path, n);
    old[n++] = '.';
    for (int i = 0; i < 29; i++)
        if (stamp[i] != '-' && stamp[i] != ':') old[n++] = stamp[i] == 'T' ? '-' : stamp[i];
    old[n] = 0;
    sys_close(container->log_fd);
    container->log_fd = -1;
    sys_renameat(PF_FD_LOGS, path, PF_FD_LOGS, old);
}

// Keeps log_max_files - 1 rotated files of this attempt: their names sort by time.
static void prune(struct shim *shim, uint32_t index) {
    _Alignas(8) char buffer[4096];
    char path[1024], oldest[256];
    log_path(shim, index, path, sizeof path);
    char *slash = strrchr(path, '/');
    *slash = 0;
    const char *prefix = slash + 1;
    const size_t n_prefix = strlen(prefix);
    for (;;) {
        uint32_t n_found = 0;
        PF_FD dir = sys_openat(PF_FD_LOGS, path, O_RDONLY | O_DIRECTORY, 0);
        if (dir < 0) return;
        for (pf_word n; (n = sys_getdents(dir, buffer, sizeof buffer)) > 0;)
            for (pf_word at = 0; at < n;) {
                const char *name = buffer + at + 19;
                uint16_t length;
                memcpy(&length, buffer + at + 16, sizeof length);
                at += length;
                if (strncmp(name, prefix, n_prefix) != 0 || name[n_prefix] != '.' || strlen(name) >= sizeof oldest) continue;
                if (!n_found++ || strcmp(name, oldest) < 0) strcpy(oldest, name);
            }
        if (n_found < shim->plan->log_max_files || sys_unlinkat(dir, oldest, 0) < 0) return;
    }
}

// The FIFOs, made once, and the file of the attempt. Without them a container would write into the void until it blocks.
int log_open(struct shim *shim, uint32_t index) {
    struct container *container = &shim->containers[index];
    static const char *const suffix[] = {".out", ".err"};
    for (int i = 0; i < 2; i++) {
        char name[PF_DIGITS + 4];
        if (container->out[i].fd >= 0) continue;
        strcpy(name + pf_digits(name, index), suffix[i]);
        sys_mknodat(PF_FD_RUN, name, S_IFIFO | 0600, 0);
        int fd = sys_openat(PF_FD_RUN, name, O_RDWR | O_NONBLOCK | O_NOFOLLOW, 0);
        if (fd < 0) return fd;
        container->out[i].fd = fd;
        watch(shim, fd, KIND_LOG, index * 2 + (uint32_t)i);
    }
    if (container->log_attempt != container->attempt && container->log_fd >= 0) {
        sys_close(container->log_fd);
        container->log_fd = -1;
    }
    container->log_attempt = container->attempt;
    return 0;
}

// Appends one record to `out`; returns the new length.
static uint32_t add_record(uint32_t at, const char *stamp, int which, int full, const char *bytes, uint32_t n) {
    memcpy(out + at, stamp, 30);
    memcpy(out + at + 30, which ? " stderr " : " stdout ", 8);
    out[at + 38] = full ? 'F' : 'P';
    out[at + 39] = ' ';
    memcpy(out + at + 40, bytes, n);
    out[at + 40 + n] = '\n';
    return at + 41 + n;
}

// One batch: as many whole records of the buffer as fit into `out`, written at once. Returns 0 when nothing is left to write, 1 to go on, -1 stalled.
static int write_batch(struct shim *shim, uint32_t index, int which, int last) {
    struct container *container = &shim->containers[index];
    struct stream *stream = &container->out[which];
    char stamp[32];
    uint32_t taken = 0, filled = 0;
    format_time(stamp);
    while (taken < stream->used && filled + HEAD + LONGEST + 1 < sizeof out) {
        const char *from = stream->buffer + taken;
        const uint32_t room = stream->used - taken < LONGEST + 1 ? stream->used - taken : LONGEST + 1;
        const char *end = memchr(from, '\n', room);
        uint32_t n = end ? (uint32_t)(end - from) : room;
        if (!end && n < LONGEST + 1 && !last) break; // wait for the rest of the line
        if (n > LONGEST) n = LONGEST, end = NULL;
        filled = add_record(filled, stamp, which, end != NULL, from, n);
        taken += n + (end != NULL);
    }
    if (!filled) return 0;
    int failed = open_file(shim, index);
    if (!failed && container->log_size && shim->plan->log_max_bytes && container->log_size + filled > shim->plan->log_max_bytes) {
        rotate(shim, index);
        prune(shim, index);
        failed = open_file(shim, index);
    }
    pf_word n = failed < 0 ? failed : sys_write(container->log_fd, out, filled);
    if (n != (pf_word)filled) {
        if (n > 0) sys_ftruncate(container->log_fd, container->log_size); // half a batch: take it back, it is still in the buffer
        return -1;
    }
    container->log_size += filled;
    memmove(stream->buffer, stream->buffer + taken, stream->used - taken);
    stream->used -= taken;
    return 1;
}

static void stall(struct shim *shim, struct stream *stream) {
    if (!stream->stalled) unwatch(shim, stream->fd);
    stream->stalled = 1;
    retry_later(shim);
}

static void give_back(struct stream *stream) {
    if (stream->used || !stream->buffer) return;
    munmap(stream->buffer, LOG_BUFFER);
    stream->buffer = NULL;
}

// Reads until the FIFO is empty or `most` rounds are done: one loud container does not starve the others.
static void drain(struct shim *shim, uint32_t index, int which, int most, int last) {
    struct stream *stream = &shim->containers[index].out[which];
    if (stream->fd < 0) return;
    if (!stream->buffer) {
        stream->buffer = mmap(NULL, LOG_BUFFER, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (stream->buffer == MAP_FAILED) {
            stream->buffer = NULL;
            return stall(shim, stream);
        }
    }
    // What was read and not yet written is lost when this process is killed, so nothing slow may come between: the file is opened first.
    if (shim->containers[index].log_fd < 0 && sys_poll1(stream->fd, 1 /* POLLIN */, 0, NULL) > 0 && open_file(shim, index) < 0)
        return stall(shim, stream);
    for (int round = 0; round < most; round++) {
        const uint32_t room = LOG_BUFFER - stream->used; // none after a stall: the buffer first, then what the FIFO still holds
        pf_word n = room ? sys_read(stream->fd, stream->buffer + stream->used, room) : 0;
        if (n > 0) stream->used += (uint32_t)n;
        int state;
        do state = write_batch(shim, index, which, last && room && n <= 0);
        while (state > 0);
        if (state < 0) return stall(shim, stream);
        if (room && n <= 0) break;
    }
    give_back(stream);
}

void log_read(struct shim *shim, uint32_t index, int which) { drain(shim, index, which, 4, 0); }

// A FIFO that no privilege has enlarged holds 1 MiB, and a round takes at least 48 KiB of it. What comes later is from a process that outlived its
// container (one without a group to kill), and must not keep the end from being told.
#define LAST_ROUNDS 64

// The container ended: what is in the FIFOs now is all there will be.
void log_finish(struct shim *shim, uint32_t index) {
    for (int which = 0; which < 2; which++) drain(shim, index, which, LAST_ROUNDS, 1);
}

void log_retry(struct shim *shim) {
    for (uint32_t i = 0; i < shim->plan->n_containers; i++)
        for (int which = 0; which < 2; which++) {
            struct stream *stream = &shim->containers[i].out[which];
            if (!stream->stalled) continue;
            stream->stalled = 0;
            watch(shim, stream->fd, KIND_LOG, i * 2 + (uint32_t)which);
            drain(shim, i, which, 4, shim->containers[i].phase == PHASE_ENDED);
        }
}
