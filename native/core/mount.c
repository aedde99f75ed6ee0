// SPDX-License-Identifier: Apache-2.0
// Mounts by descriptors. No path is resolved twice: a target is opened once, below the root, and the mount goes to that descriptor.
// Everything here is also called between clone and exec, so nothing allocates or touches libc.
#include "core.h"

#define RESOLVE_ROOT (RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
#define MOST_LINKS 2 /* that lead nowhere, one to the next: each costs 8 KiB of a child's small stack */
#define RESOLVE_PLAIN (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)

int pf_fs_make(const char *type, const struct pf_option *options, size_t n, unsigned attributes) {
    PF_FD context = sys_fsopen(type);
    if (context < 0) return context;
    int failed = sys_fsconfig(context, FSCONFIG_SET_STRING, "source", "podfast", 0);
    for (size_t i = 0; i < n && failed >= 0; i++)
        failed = options[i].value ? sys_fsconfig(context, FSCONFIG_SET_STRING, options[i].key, options[i].value, 0)
                                  : sys_fsconfig(context, FSCONFIG_SET_FLAG, options[i].key, NULL, 0);
    if (failed < 0) return failed;
    failed = sys_fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
    return failed < 0 ? failed : sys_fsmount(context, attributes);
}

int pf_attach(int tree_fd, int at_fd, const char *path) {
    unsigned flags = MOVE_MOUNT_F_EMPTY_PATH | (*path ? 0u : (unsigned)MOVE_MOUNT_T_EMPTY_PATH);
    return sys_move_mount(tree_fd, "", at_fd, path, flags);
}

int pf_clone_tree(int dir_fd, const char *path, int recursive) {
    return sys_open_tree(dir_fd, path, OPEN_TREE_CLONE | (*path ? 0u : (unsigned)AT_EMPTY_PATH) | (recursive ? (unsigned)AT_RECURSIVE : 0u));
}

int pf_set_attr(int fd, uint64_t set, int recursive) {
    const struct mount_attr attributes = {.attr_set = set};
    return sys_mount_setattr(fd, "", (unsigned)AT_EMPTY_PATH | (recursive ? (unsigned)AT_RECURSIVE : 0u), &attributes);
}

// Makes the one missing component below dir; a racing maker is welcome.
static int make_component(int dir, const char *name, int is_file) {
    int made = is_file ? sys_mknodat(dir, name, S_IFREG | 0644, 0) : sys_mkdirat(dir, name, 0755);
    return made < 0 && made != -EEXIST ? made : 0;
}

static int make_target(int root_fd, const char *path, int is_file, int links);

static size_t add_text(char *to, size_t at, size_t room, const char *text) {
    while (*text && at < room) to[at++] = *text++;
    return at;
}

// The last component of prefix is a link to what does not exist (/etc/resolv.conf of many images): that is made then, in the root.
static int follow_target(int root_fd, const char *prefix, size_t start, int dir, const char *rest, int is_file, int links) {
    char path[4096];
    if (!links) return -ELOOP;
    pf_word n = sys_readlinkat(dir, prefix + start, path, sizeof path);
    if (n < 0) return n == -EINVAL ? -ENOENT : (int)n;
    if ((size_t)n == sizeof path) return -ENAMETOOLONG;
    size_t at = (size_t)n;
    if (path[0] != '/') { // relative: to the directory that the link is in
        if (at + start >= sizeof path) return -ENAMETOOLONG;
        for (size_t i = at; i > 0; i--) path[start + i - 1] = path[i - 1];
        for (size_t i = 0; i < start; i++) path[i] = prefix[i];
        at += start;
    }
    at = add_text(path, at, sizeof path, rest);
    if (at == sizeof path) return -ENAMETOOLONG;
    path[at] = 0;
    return make_target(root_fd, path, is_file, links - 1);
}

// Walks component by component when a part is missing. Each prefix is resolved in the root again from the top, so that links in the image
// keep their meaning; the descriptor that comes out is what is used.
static int make_target(int root_fd, const char *path, int is_file, int links) {
    char prefix[4096];
    size_t at = 0;
    int dir = sys_openat2(root_fd, ".", O_PATH | O_DIRECTORY, RESOLVE_ROOT);
    while (dir >= 0) {
        while (*path == '/') path++;
        if (!*path) return dir;
        size_t start = at ? at + 1 : 0, length = 0;
        while (path[length] && path[length] != '/') length++;
        if (start + length + 1 > sizeof prefix) {
            sys_close(dir);
            return -ENAMETOOLONG;
        }
        if (at) prefix[at] = '/';
        for (size_t i = 0; i < length; i++) prefix[start + i] = path[i];
        at = start + length;
        prefix[at] = 0;
        path += length;
        int last = !path[0];
        int next = sys_openat2(root_fd, prefix, O_PATH, RESOLVE_ROOT);
        if (next == -ENOENT) {
            int made = make_component(dir, prefix + start, last && is_file);
            next = made < 0 ? made : sys_openat2(root_fd, prefix, O_PATH, RESOLVE_ROOT);
            if (next == -ENOENT) {
                next = follow_target(root_fd, prefix, start, dir, path, is_file, links);
                sys_close(dir);
                return next;
            }
        }
        sys_close(dir);
        dir = next;
    }
    return dir;
}

int pf_target(int root_fd, const char *path, int is_file) {
    int fd = sys_openat2(root_fd, path, O_PATH, RESOLVE_ROOT);
    return fd == -ENOENT ? make_target(root_fd, path, is_file, MOST_LINKS) : fd;
}

int pf_target_plain(int root_fd, const char *path) {
    int fd = sys_openat2(root_fd, path, O_PATH | O_DIRECTORY, RESOLVE_PLAIN);
    if (fd != -ENOENT) return fd;
    int made = sys_mkdirat(root_fd, path, 0755);
    if (made < 0 && made != -EEXIST) return made;
    return sys_openat2(root_fd, path, O_PATH | O_DIRECTORY, RESOLVE_PLAIN);
}

int pf_write_file(int dir_fd, const char *path, const char *text, size_t size) {
    PF_FD fd = sys_openat(dir_fd, path, O_WRONLY, 0);
    if (fd < 0) return fd;
    pf_word n = sys_write(fd, text, size);
    return n < 0 ? (int)n : (size_t)n == size ? 0 : -EIO;
}
