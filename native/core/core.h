/* SPDX-License-Identifier: Apache-2.0 */
/* What the core's files share: errors made in one line, descriptors that close themselves, the steps of a child. */
#ifndef PF_CORE_H
#define PF_CORE_H

#include "podfast.h"
#include "syscalls.h"

/* ---- errors ---- */
/* Fills err with "operation object: detail" and returns -1, so that a failure is one line where it is found. */
int pf_fail(struct pf_err *err, pf_word code, const char *operation, const char *object);

/* ---- descriptors ---- */
static inline void pf_close_fd(const int *fd) {
    if (*fd >= 0) sys_close(*fd);
}
#define PF_FD __attribute__((cleanup(pf_close_fd))) int
static inline int pf_steal(int *fd) {
    int taken = *fd;
    *fd = -1;
    return taken;
}
static inline pf_word pf_max_word(pf_word a, pf_word b) { return a > b ? a : b; }

/* ---- numbers ---- */
#define PF_DIGITS 12
static inline size_t pf_digits(char *to, uint32_t value) { /* decimal, NUL-terminated; returns its length */
    char digits[PF_DIGITS];
    size_t n = 0, at = 0;
    do digits[n++] = (char)('0' + value % 10);
    while ((value /= 10) > 0);
    while (n) to[at++] = digits[--n];
    to[at] = 0;
    return at;
}

/* ---- join.c: namespaces ---- */
enum { PF_NS_NET, PF_NS_IPC, PF_NS_UTS, PF_NS_MNT, PF_NS_PID, PF_NS_CGROUP, PF_NS_COUNT };
struct pf_ns_set { /* inode numbers of the namespaces a process lives in; they name a namespace while anybody is in it */
    uint64_t inode[PF_NS_COUNT];
};
int pf_ns_read(int proc_fd, struct pf_ns_set *out, unsigned kinds);                    /* of the caller; 0 or -errno; safe in the zone */
int pf_ns_read_of(int proc_fd, int pid, struct pf_ns_set *out);                         /* of a process of the caller's pid namespace */
int pf_ns_same(int proc_fd, const struct pf_ns_set *wanted, unsigned kinds);           /* 0 or -errno (-ESTALE: another namespace) */
#define PF_KIND(kind) (1u << (kind))

/* ---- mount.c: mounts by descriptors; all safe in the zone: 0 or a descriptor, or -errno ---- */
struct pf_option {
    const char *key, *value; /* value NULL: a flag */
};
int pf_fs_make(const char *type, const struct pf_option *options, size_t n, unsigned attributes);
int pf_attach(int tree_fd, int at_fd, const char *path);
int pf_clone_tree(int dir_fd, const char *path, int recursive);
int pf_set_attr(int fd, uint64_t set, int recursive);
int pf_target(int root_fd, const char *path, int is_file);      /* resolves in the root, making what is missing; O_PATH descriptor */
int pf_target_plain(int root_fd, const char *path);             /* the same without following any link: /dev, /proc, /sys */

int pf_write_file(int dir_fd, const char *path, const char *text, size_t size);

/* ---- cgroup.c ---- */
void pf_cgroup_kill(int dir_fd, const char *path); /* every process in it, not below it */

/* ---- undo.c ---- */
/* As pf_undo_replay, from the open `pod` file: also when somebody else has removed the run directory by now. */
int pf_undo_records(int root_fd, int pod_fd, struct pf_err *err);

#endif
