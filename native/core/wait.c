// SPDX-License-Identifier: Apache-2.0
#include "core.h"

int pf_timer_make(struct pf_err *err) {
    int fd = (int)PF_CALL(__NR_timerfd_create, CLOCK_MONOTONIC, O_CLOEXEC | O_NONBLOCK, 0, 0, 0);
    return fd < 0 ? pf_fail(err, fd, "timerfd_create", NULL) : fd;
}

int pf_timer_set(int fd, uint64_t at_ns, struct pf_err *err) {
    const int64_t value[4] = {0, 0, (int64_t)(at_ns / 1000000000u), (int64_t)(at_ns % 1000000000u)}; // interval, then the time itself
    int failed = (int)PF_CALL(__NR_timerfd_settime, fd, 1 /* TFD_TIMER_ABSTIME */, PF_P(value), 0, 0);
    return failed < 0 ? pf_fail(err, failed, "timerfd_settime", NULL) : 0;
}

int pf_inotify_make(struct pf_err *err) {
    int fd = (int)PF_CALL(__NR_inotify_init1, O_CLOEXEC | O_NONBLOCK, 0, 0, 0, 0);
    return fd < 0 ? pf_fail(err, fd, "inotify_init1", NULL) : fd;
}

int pf_inotify_add(int fd, const char *path, uint32_t mask, struct pf_err *err) {
    int watch = (int)PF_CALL(__NR_inotify_add_watch, fd, PF_P(path), mask, 0, 0);
    return watch < 0 ? pf_fail(err, watch, "inotify_add_watch", path) : watch;
}
