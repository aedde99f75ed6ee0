// SPDX-License-Identifier: Apache-2.0
// The undo interpreter. A pod's `pod` file names, before they exist, all objects that outlive its processes. Replayed last to first;
// harmless when replayed again, by another process, or half-way after a crash. Paths are absolute and resolved from root_fd, since the
// shim lives in a mount namespace without the host's tree.
//
//   cgroup PATH            kill what is in it, remove it (skipped when the record is of another boot)
//   trash PATH TAB TO      rename PATH to TO
//   rmtree PATH            remove the tree
//   unlink PATH            remove one file
//   name PATH TAB ID       remove the link PATH if it points to ID
#include "core.h"

#include <string.h>

#define LARGEST 65536
#define RESOLVE_ROOT (RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)

// Opens the directory that holds path; *name becomes its last component.
static int open_parent(int root_fd, char *path, const char **name) {
    char *slash = strrchr(path, '/');
    if (path[0] != '/' || !slash || !slash[1] || strcmp(slash + 1, "..") == 0) return -EINVAL;
    *name = slash + 1;
    *slash = 0;
    int fd = sys_openat2(root_fd, path[0] ? path : "/", O_RDONLY | O_DIRECTORY, RESOLVE_ROOT);
    *slash = '/';
    return fd;
}

static int undo_trash(int root_fd, char *from, char *to) {
    const char *name, *new_name;
    PF_FD from_dir = open_parent(root_fd, from, &name);
    if (from_dir < 0) return from_dir;
    PF_FD to_dir = open_parent(root_fd, to, &new_name);
    if (to_dir < 0) return to_dir;
    int failed = sys_renameat(from_dir, name, to_dir, new_name);
    if (failed != -ENOTEMPTY && failed != -EEXIST) return failed;
    return pf_remove_tree(from_dir, name, NULL) < 0 ? -EIO : 0; // trashed once and made again since: rare, so remove it in place
}

static int undo_name(int root_fd, char *path, const char *id) {
    char text[80];
    const char *name;
    PF_FD dir = open_parent(root_fd, path, &name);
    if (dir < 0) return dir;
    pf_word n = sys_readlinkat(dir, name, text, sizeof text);
    if (n < 0) return (int)n;
    if ((size_t)n != strlen(id) || memcmp(text, id, (size_t)n) != 0) return 0; // somebody else's by now
    return sys_unlinkat(dir, name, 0);
}

static int undo_one(int root_fd, char *verb, char *argument, char *second, int same_boot, struct pf_err *err) {
    const char *name;
    if (strcmp(verb, "cgroup") == 0) return same_boot ? pf_cgroup_remove(root_fd, argument, err) : 0;
    int failed = -EINVAL;
    if (strcmp(verb, "trash") == 0 && second) failed = undo_trash(root_fd, argument, second);
    else if (strcmp(verb, "name") == 0 && second) failed = undo_name(root_fd, argument, second);
    else if (strcmp(verb, "rmtree") == 0 || strcmp(verb, "unlink") == 0) {
        PF_FD dir = open_parent(root_fd, argument, &name);
        if (dir >= 0 && verb[0] == 'r') return pf_remove_tree(dir, name, err);
        failed = dir < 0 ? dir : sys_unlinkat(dir, name, 0);
    }
    // A name that is too long was never made.
    if (failed < 0 && failed != -ENOENT && failed != -ENAMETOOLONG) return pf_fail(err, failed, verb, argument);
    return 0;
}

static int is_same_boot(int root_fd, const char *header) {
    char now[40] = {0};
    PF_FD fd = sys_openat(root_fd, "proc/sys/kernel/random/boot_id", O_RDONLY, 0);
    if (fd < 0 || sys_read(fd, now, 36) != 36) return 0;
    const char *found = strstr(header, "\"boot_id\":");
    found = found ? strchr(found + 10, '"') : NULL;
    return found && strncmp(found + 1, now, 36) == 0;
}

// One line, cut in place: verb SP argument [TAB second].
static int undo_line(int root_fd, char *line, int same_boot, struct pf_err *err) {
    char *argument = strchr(line, ' ');
    if (!argument) return *line ? pf_fail(err, EINVAL, "read undo record", line) : 0;
    *argument++ = 0;
    char *second = strchr(argument, '\t');
    if (second) *second++ = 0;
    return undo_one(root_fd, line, argument, second, same_boot, err);
}

int pf_undo_replay(int root_fd, int run_fd, struct pf_err *err) {
    PF_FD fd = sys_openat(run_fd, "pod", O_RDONLY | O_NOFOLLOW, 0);
    if (fd == -ENOENT) return 0;
    return fd < 0 ? pf_fail(err, fd, "open", "pod") : pf_undo_records(root_fd, fd, err);
}

int pf_undo_records(int root_fd, int pod_fd, struct pf_err *err) {
    char text[LARGEST + 1];
    pf_word size = 0;
    for (pf_word n; size < LARGEST && (n = sys_pread(pod_fd, text + size, (size_t)(LARGEST - size), (uint64_t)size)) > 0;) size += n;
    text[size] = 0;
    char *body = strchr(text, '\n');
    if (!body) return 0; // torn before the first record: nothing had been made
    *body++ = 0;
    int same_boot = is_same_boot(root_fd, text), failed = 0;
    if (size == 0 || text[size - 1] != '\n') { // a torn last record names nothing that was made
        char *last = strrchr(body, '\n');
        if (last) last[1] = 0;
        else *body = 0;
    }
    for (char *end = body + strlen(body); end > body;) {
        *--end = 0; // the newline of the last line
        char *line = end;
        while (line > body && line[-1] != '\n') line--;
        // The first record is the run directory with these records: it stays until everything else is undone, for the next to try again.
        if (line == body && failed) break;
        if (undo_line(root_fd, line, same_boot, failed ? NULL : err) < 0) failed = -1; // go on: undo as much as can be undone
        end = line;
    }
    return failed;
}
