// SPDX-License-Identifier: Apache-2.0
// Joining namespaces: in one stated order (the kernel's, for a pidfd: user, then mnt, uts, ipc, pid, cgroup, net), and then the set joined is
// verified to be the set asked for.
#include "core.h"

static const char *const names[PF_NS_COUNT] = {"self/ns/net", "self/ns/ipc", "self/ns/uts", "self/ns/mnt", "self/ns/pid", "self/ns/cgroup"};
static const uint64_t flags_of[PF_NS_COUNT] = {CLONE_NEWNET, CLONE_NEWIPC, CLONE_NEWUTS, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWCGROUP};

static int read_one(int proc_fd, const char *name, uint64_t *inode) {
    struct stat st;
    int failed = sys_statat(proc_fd, name, &st, 0);
    *inode = failed < 0 ? 0 : (uint64_t)st.st_ino;
    return failed;
}

int pf_ns_read(int proc_fd, struct pf_ns_set *out, unsigned kinds) {
    for (int i = 0; i < PF_NS_COUNT; i++) {
        if (!(kinds & PF_KIND(i))) continue;
        int failed = read_one(proc_fd, names[i], &out->inode[i]);
        if (failed < 0) return failed;
    }
    return 0;
}

int pf_ns_same(int proc_fd, const struct pf_ns_set *wanted, unsigned kinds) {
    for (int i = 0; i < PF_NS_COUNT; i++) {
        uint64_t inode;
        if (!(kinds & PF_KIND(i))) continue;
        int failed = read_one(proc_fd, names[i], &inode);
        if (failed < 0) return failed;
        if (!inode || inode != wanted->inode[i]) return -ESTALE;
    }
    return 0;
}

// The namespaces of another process, through a procfs of the caller's own pid namespace.
int pf_ns_read_of(int proc_fd, int pid, struct pf_ns_set *out) {
    for (int i = 0; i < PF_NS_COUNT; i++) {
        char path[32];
        size_t at = pf_digits(path, (uint32_t)pid);
        for (const char *rest = names[i] + 4; *rest; rest++) path[at++] = *rest;
        path[at] = 0;
        int failed = read_one(proc_fd, path, &out->inode[i]);
        if (failed < 0) return failed;
    }
    return 0;
}

// "Pid:\t123" in /proc/self/fdinfo/<pidfd>
static int pid_of(int proc_fd, int pidfd) {
    char path[12 + PF_DIGITS] = "self/fdinfo/", text[512];
    pf_digits(path + 12, (uint32_t)pidfd);
    PF_FD fd = sys_openat(proc_fd, path, O_RDONLY, 0);
    if (fd < 0) return fd;
    pf_word size = sys_read(fd, text, sizeof text - 1);
    for (pf_word i = 0; i + 5 < size; i++)
        if (text[i] == 'P' && text[i + 1] == 'i' && text[i + 2] == 'd' && text[i + 3] == ':') {
            int pid = 0;
            for (i += 4; i < size && (text[i] == '\t' || (text[i] >= '0' && text[i] <= '9')); i++)
                if (text[i] != '\t') pid = pid * 10 + text[i] - '0';
            return pid > 0 ? pid : -ESRCH;
        }
    return -ESRCH;
}

int pf_join(int pidfd, uint64_t namespaces, struct pf_err *err) {
    PF_FD proc_fd = pf_proc_open(err);
    if (proc_fd < 0) return -1;
    struct pf_ns_set wanted;
    int pid = pid_of(proc_fd, pidfd);
    if (pid < 0) return pf_fail(err, pid, "find the process of", "the pidfd");
    int failed = pf_ns_read_of(proc_fd, pid, &wanted);
    if (failed < 0) return pf_fail(err, failed, "read namespaces of", "the process to join");
    failed = sys_setns(pidfd, namespaces);
    if (failed < 0) return pf_fail(err, failed, "setns to", "the process to join");
    unsigned kinds = 0;
    for (int i = 0; i < PF_NS_COUNT; i++)
        if ((namespaces & flags_of[i]) && i != PF_NS_PID) kinds |= PF_KIND(i); // a pid namespace takes effect for children
    failed = pf_ns_same(proc_fd, &wanted, kinds);
    if (failed < 0) return pf_fail(err, failed, "verify", "the namespaces joined");
    return 0;
}
