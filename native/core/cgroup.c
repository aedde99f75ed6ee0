// SPDX-License-Identifier: Apache-2.0
// cgroups, v1 and v2 alike: a directory is emptied (cgroup.kill where the kernel has it) and removed, children first.
#include "core.h"

#define RESOLVE_BELOW (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)
#define DEEPEST 16
#define TRIES 2000 /* ms that a dying process may take to leave */
#define KILL_ROUNDS 20

struct entry_head {
    uint64_t inode;
    int64_t next;
    uint16_t length;
    uint8_t type;
    char name[];
};

static int next_pid(const char *text, pf_word size, pf_word *at) {
    int pid = 0;
    while (*at < size && (text[*at] < '0' || text[*at] > '9')) (*at)++;
    while (*at < size && text[*at] >= '0' && text[*at] <= '9') pid = pid * 10 + text[(*at)++] - '0';
    return pid;
}

static int is_member(int dir, int wanted) {
    char text[4096];
    PF_FD fd = sys_openat(dir, "cgroup.procs", O_RDONLY, 0);
    if (fd < 0) return 0;
    for (pf_word size; (size = sys_read(fd, text, sizeof text)) > 0;)
        for (pf_word at = 0; at < size;)
            if (next_pid(text, size, &at) == wanted) return 1;
    return 0;
}

// v1: by pidfd, and only if the process is still in the group once the pidfd is held: a number alone is never signalled.
static int kill_members(int dir) {
    char text[4096];
    int n = 0;
    PF_FD fd = sys_openat(dir, "cgroup.procs", O_RDONLY, 0);
    if (fd < 0) return 0;
    for (pf_word size; (size = sys_read(fd, text, sizeof text)) > 0;)
        for (pf_word at = 0; at < size;) {
            int pid = next_pid(text, size, &at);
            PF_FD pidfd = pid > 0 ? sys_pidfd_open(pid, 0) : -1;
            if (pidfd >= 0 && is_member(dir, pid)) n += sys_pidfd_signal(pidfd, SIGKILL) == 0;
        }
    return n;
}

static int is_self_inside(int dir) { return is_member(dir, sys_getpid()); }

static void remove_children(int dir, int depth);

static int remove_group(int parent, const char *name, int depth) {
    int failed = sys_unlinkat(parent, name, AT_REMOVEDIR); // most often it is empty already
    if (!failed || failed == -ENOENT) return 0;
    PF_FD dir = sys_openat2(parent, name, O_RDONLY | O_DIRECTORY, RESOLVE_BELOW);
    if (dir < 0) return dir == -ENOENT ? 0 : dir;
    const int tries = depth ? 1 : TRIES; // only the outermost waits: waits within waits would multiply
    for (int try = 0; try < tries; try++) {
        if (is_self_inside(dir)) return -EBUSY; // never kill the hand that cleans
        if (pf_write_file(dir, "cgroup.kill", "1", 1) < 0) kill_members(dir);
        if (depth < DEEPEST) remove_children(dir, depth + 1);
        failed = sys_unlinkat(parent, name, AT_REMOVEDIR);
        if (!failed || failed == -ENOENT) return 0;
        if (failed != -EBUSY && failed != -ENOTEMPTY) return failed;
        if (!depth) sys_poll1(-1, 0, 1, NULL);
    }
    return failed;
}

static void remove_children(int dir, int depth) {
    _Alignas(8) char buffer[2048];
    PF_FD again = sys_openat(dir, ".", O_RDONLY | O_DIRECTORY, 0);
    if (again < 0) return;
    for (pf_word n; (n = sys_getdents(again, buffer, sizeof buffer)) > 0;)
        for (pf_word at = 0; at < n;) {
            const struct entry_head *entry = (const void *)(buffer + at);
            at += entry->length;
            if (entry->type == 4 /* DT_DIR */ && entry->name[0] != '.') remove_group(dir, entry->name, depth); // one that stays keeps no other
        }
}

int pf_cgroup_remove(int dir_fd, const char *path, struct pf_err *err) {
    char parent[4096];
    size_t at = 0, slash = 0;
    for (; path[at] && at + 1 < sizeof parent; at++) {
        parent[at] = path[at];
        if (path[at] == '/' && path[at + 1]) slash = at;
    }
    parent[slash] = 0;
    PF_FD dir = sys_openat2(dir_fd, slash ? parent : ".", O_PATH | O_DIRECTORY, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
    if (dir == -ENOENT) return 0;
    if (dir < 0) return pf_fail(err, dir, "open the parent of cgroup", path);
    int failed = remove_group(dir, path + (slash ? slash + 1 : 0), 0);
    return failed < 0 ? pf_fail(err, failed, "remove cgroup", path) : 0;
}

// For a group that is used again. Not by cgroup.kill: the kernel counts its uses, and kills whatever CLONE_INTO_CGROUP brings into the group from one
// with another count (seen on Linux 6.18), so that no container would ever start in it again. Nor with the freezer: a shim that dies between freeze and
// thaw would leave a group in which nothing runs.
void pf_cgroup_kill(int dir_fd, const char *path) {
    PF_FD dir = sys_openat2(dir_fd, path, O_RDONLY | O_DIRECTORY, RESOLVE_BELOW);
    if (dir < 0 || is_self_inside(dir)) return;
    for (int round = 0; round < KILL_ROUNDS && kill_members(dir); round++) sys_poll1(-1, 0, 1, NULL);
}
