// SPDX-License-Identifier: Apache-2.0
// Trees of files: opened from the host's side as detached mounts, removed without following a link or crossing a mount.
#include "core.h"

#include <sys/vfs.h>

#define PROC_MAGIC 0x9fa0
#define PROC_ROOT_INODE 1

struct dirent64_head { /* struct linux_dirent64 */
    uint64_t inode;
    int64_t next;
    uint16_t length;
    uint8_t type;
    char name[];
};

int pf_tree_open(int dir_fd, const char *path, uint32_t flags, struct pf_err *err) {
    PF_FD fd = pf_clone_tree(dir_fd, path, (flags & PF_TREE_RECURSIVE) != 0);
    if (fd < 0) return pf_fail(err, fd, "open_tree", path);
    struct stat st;
    int found = sys_statat(fd, "", &st, AT_EMPTY_PATH); // of what was opened: the path may have been exchanged since it was looked at
    if (found >= 0 && S_ISDIR(st.st_mode) == ((flags & PF_TREE_FILE) != 0)) found = flags & PF_TREE_FILE ? -EISDIR : -ENOTDIR;
    if (found < 0) return pf_fail(err, found, "open", path);
    struct mount_attr attributes = {.propagation = MS_PRIVATE};
    if (flags & PF_TREE_RDONLY) attributes.attr_set |= MOUNT_ATTR_RDONLY;
    if (!(flags & PF_TREE_DEVICES)) attributes.attr_set |= MOUNT_ATTR_NODEV;
    int failed = sys_mount_setattr(fd, "", (unsigned)AT_EMPTY_PATH | (flags & PF_TREE_RECURSIVE ? (unsigned)AT_RECURSIVE : 0u), &attributes);
    if (failed < 0) return pf_fail(err, failed, "mount_setattr", path);
    return pf_steal(&fd);
}

int pf_open_in_root(int dir_fd, const char *path, struct pf_err *err) {
    int fd = sys_openat2(dir_fd, path, O_PATH, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
    return fd < 0 ? pf_fail(err, fd, "openat2", path) : fd;
}

// Rule 3: what is at /proc is procfs, and its root, before it is trusted.
int pf_proc_open(struct pf_err *err) {
    struct statfs fs;
    struct stat st;
    PF_FD fd = sys_openat(AT_FDCWD, "/proc", O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0) return pf_fail(err, fd, "open", "/proc");
    int failed = sys_statfs(fd, &fs);
    if (!failed) failed = sys_statat(fd, "", &st, AT_EMPTY_PATH);
    if (failed < 0) return pf_fail(err, failed, "stat", "/proc");
    if (fs.f_type != PROC_MAGIC || st.st_ino != PROC_ROOT_INODE) return pf_fail(err, ENODEV, "trust", "/proc, which is not a procfs");
    return pf_steal(&fd);
}

int pf_sealed(const char *name, const void *data, size_t size, struct pf_err *err) {
    PF_FD fd = sys_memfd(name, 1u /* MFD_CLOEXEC */ | 2u /* MFD_ALLOW_SEALING */ | 8u /* MFD_NOEXEC_SEAL, Linux 6.3 */);
    if (fd == -EINVAL) fd = sys_memfd(name, 1u | 2u);
    if (fd < 0) return pf_fail(err, fd, "memfd_create", name);
    for (size_t done = 0; done < size;) {
        pf_word n = sys_write(fd, (const char *)data + done, size - done);
        if (n < 0) return pf_fail(err, n, "write", name);
        done += (size_t)n;
    }
    int failed = sys_fcntl(fd, 1033 /* F_ADD_SEALS */, 1 | 2 | 4 | 8);
    if (failed < 0) return pf_fail(err, failed, "seal", name);
    return pf_steal(&fd);
}

// Deeper than this, a subdirectory is moved up to the top instead of walked into: a hostile tree of 10 000 levels costs neither stack nor descriptors.
#define DEEPEST 24

static int remove_level(int top, int dir, unsigned depth, unsigned *moved);

static int open_level(int dir, const char *name) {
    const uint64_t resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
    int fd = sys_openat2(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, resolve);
    if (fd == -EACCES && sys_fchmodat(dir, name, 0700) >= 0) fd = sys_openat2(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, resolve);
    return fd;
}

static int remove_entry(int top, int dir, const char *name, unsigned depth, unsigned *moved) {
    int failed = sys_unlinkat(dir, name, 0);
    if (failed != -EISDIR && failed != -EPERM) return failed == -ENOENT ? 0 : failed;
    PF_FD sub = open_level(dir, name);
    if (sub == -ENOENT) return 0;
    if (sub < 0) return failed == -EPERM ? failed : sub;
    if (depth == DEEPEST) {
        char up[24] = ".deep-";
        size_t at = 6;
        for (unsigned n = (*moved)++; at < 20; n /= 10) {
            up[at++] = (char)('0' + n % 10);
            if (n < 10) break;
        }
        up[at] = 0;
        int taken = sys_renameat(dir, name, top, up);
        return taken == -ENOTDIR ? -ENOTEMPTY : taken; // a file of that name is in the way: it goes in this round, and this in the next
    }
    failed = remove_level(top, sub, depth + 1, moved);
    if (failed < 0) return failed;
    failed = sys_unlinkat(dir, name, AT_REMOVEDIR);
    return failed == -ENOENT ? 0 : failed;
}

static int remove_level(int top, int dir, unsigned depth, unsigned *moved) {
    _Alignas(8) char buffer[4096];
    int worst = 0;
    for (;;) {
        pf_word n = sys_getdents(dir, buffer, sizeof buffer);
        if (n <= 0) return n < 0 ? (int)n : worst;
        for (pf_word at = 0; at < n;) {
            const struct dirent64_head *entry = (const void *)(buffer + at);
            at += entry->length;
            const char *name = entry->name;
            if (name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]))) continue;
            int failed = remove_entry(top, dir, name, depth, moved);
            if (failed < 0 && failed != -ENOTEMPTY) worst = failed;
        }
    }
}

int pf_remove_tree(int dir_fd, const char *name, struct pf_err *err) {
    unsigned moved = 0;
    for (int round = 0; round < 10000; round++) { // again while deep parts were moved up or others added something
        int failed = sys_unlinkat(dir_fd, name, 0);
        if (!failed || failed == -ENOENT) return 0;
        PF_FD top = open_level(dir_fd, name);
        if (top == -ENOENT) return 0;
        if (top < 0) return pf_fail(err, top, "open for removal", name);
        failed = remove_level(top, top, 0, &moved);
        if (failed < 0) return pf_fail(err, failed, "remove below", name);
        failed = sys_unlinkat(dir_fd, name, AT_REMOVEDIR);
        if (!failed || failed == -ENOENT) return 0;
        if (failed != -ENOTEMPTY) return pf_fail(err, failed, "rmdir", name);
    }
    return pf_fail(err, ENOTEMPTY, "remove", name);
}
