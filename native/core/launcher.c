// SPDX-License-Identifier: Apache-2.0
// The launcher: one mount namespace for each engine that holds only what podfast needs. Cloning from it costs the same on a host with
// five mounts and on one with five thousand. Its root is a private read-only tmpfs: the binaries that a container may see through
// /proc/<pid>/exe live there, where nobody can write.
#include "core.h"

#include <string.h>
#include <sys/mman.h>

#define STACK (256u * 1024u)

struct job { /* shared with the child, which runs in this memory while the caller is suspended */
    const struct pf_launcher_spec *spec;
    struct pf_launcher *out;
    struct pf_err *err;
    int failed;
};

static int copy_binary(const char *from, int dir, const char *to) {
    PF_FD in = sys_openat(AT_FDCWD, from, O_RDONLY, 0);
    if (in < 0) return in;
    PF_FD out = sys_openat(dir, to, O_WRONLY | O_CREAT | O_EXCL, 0555);
    if (out < 0) return out;
    for (;;) {
        pf_word n = PF_CALL(__NR_sendfile, out, in, 0, 1u << 20, 0);
        if (n <= 0) return (int)n;
    }
}

static int make_directories(int root) {
    static const char *const names[] = {"x", "pod", "root", "cg", "vol", "tree", "dev", "proc", "sys", "mqueue", "shm", "host", "empty"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        int failed = sys_mkdirat(root, names[i], i + 1 == sizeof names / sizeof *names ? 0555 : 0755);
        if (failed < 0) return failed;
    }
    return 0;
}

// v1 hosts: a tmpfs with one directory for each hierarchy, links for controllers mounted together; v2 hosts: the tree itself.
static int make_cgroup_view(const struct pf_launcher_spec *spec) {
    if (!spec->n_hierarchies) return 0;
    if (!*spec->hierarchies[0].name) return sys_mount(spec->hierarchies[0].base, "cg", NULL, MS_BIND, NULL);
    int failed = sys_mount("podfast", "cg", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=755,size=64k");
    if (failed < 0) return failed;
    PF_FD dir = sys_openat(AT_FDCWD, "cg", O_PATH | O_DIRECTORY, 0);
    for (uint32_t i = 0; i < spec->n_hierarchies && dir >= 0; i++) {
        const struct pf_hierarchy_spec *one = &spec->hierarchies[i];
        failed = sys_mkdirat(dir, one->name, 0755);
        if (failed < 0) return failed;
        PF_FD tree = pf_clone_tree(AT_FDCWD, one->base, 0);
        if (tree < 0) return tree;
        failed = pf_attach(tree, dir, one->name);
        if (failed < 0) return failed;
        const char *part = one->name;
        while (strchr(one->name, ',') && *part) { // cpu,cpuacct → cpu, cpuacct
            char link[64];
            size_t length = strcspn(part, ",");
            if (length < sizeof link) {
                memcpy(link, part, length);
                link[length] = 0;
                sys_symlinkat(one->name, dir, link);
            }
            part += length + (part[length] == ',');
        }
    }
    return dir < 0 ? dir : 0;
}

static int seal_view(void) {
    const struct mount_attr sealed = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC};
    return sys_mount_setattr(AT_FDCWD, "cg", (unsigned)AT_RECURSIVE, &sealed);
}

static int map_ids(int proc_fd, const struct pf_launcher_spec *spec) {
    int failed = pf_write_file(proc_fd, "self/setgroups", "deny", 4);
    if (failed < 0 && failed != -ENOENT) return failed;
    failed = pf_write_file(proc_fd, "self/uid_map", spec->uid_map, strlen(spec->uid_map));
    return failed < 0 ? failed : pf_write_file(proc_fd, "self/gid_map", spec->gid_map, strlen(spec->gid_map));
}

static int open_results(struct pf_launcher *out, int proc_fd, int rootless) {
    out->shim = sys_openat(AT_FDCWD, "/x/podfast-shim", O_PATH, 0);
    out->pause = sys_openat(AT_FDCWD, "/x/podfast-pause", O_PATH, 0);
    out->init = sys_openat(AT_FDCWD, "/x/podfast-init", O_PATH, 0);
    out->mount_ns = sys_openat(proc_fd, "self/ns/mnt", O_RDONLY, 0);
    out->user_ns = rootless ? sys_openat(proc_fd, "self/ns/user", O_RDONLY, 0) : -1;
    if (out->shim < 0 || out->pause < 0 || out->init < 0) return -ENOENT;
    return out->mount_ns < 0 ? out->mount_ns : rootless && out->user_ns < 0 ? out->user_ns : 0;
}

#define STEP(what, object, call)                                     \
    do {                                                             \
        pf_word result_ = (call);                                    \
        if (result_ < 0) return pf_fail(job->err, result_, what, object); \
    } while (0)

static int build(struct job *job) {
    const struct pf_launcher_spec *spec = job->spec;
    PF_FD proc_fd = pf_proc_open(job->err);
    if (proc_fd < 0) return -1;
    PF_CALL(__NR_umask, 0, 0, 0, 0, 0); // the child's own: containers of any user run podfast-init and look at the view
    if (spec->rootless) STEP("write id maps of", "the user namespace", map_ids(proc_fd, spec));
    STEP("make private", "all mounts of the launcher", sys_mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
    // /proc is there for sure, and nothing below it is needed by path any more.
    STEP("mount", "the launcher's tmpfs", sys_mount("podfast", "/proc", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=16m"));
    PF_FD root = sys_openat(AT_FDCWD, "/proc", O_PATH | O_DIRECTORY, 0);
    STEP("open", "the launcher's root", root);
    STEP("make directories in", "the launcher's root", make_directories(root));
    STEP("copy", spec->shim, copy_binary(spec->shim, root, "x/podfast-shim"));
    STEP("copy", spec->pause, copy_binary(spec->pause, root, "x/podfast-pause"));
    STEP("copy", spec->init, copy_binary(spec->init, root, "x/podfast-init"));
    STEP("enter", "the launcher's root", sys_fchdir(root));
    STEP("show", "the cgroup hierarchies", make_cgroup_view(spec));
    if (spec->n_hierarchies) STEP("seal", "the cgroup view", seal_view());
    if (spec->rootless) STEP("pivot_root to", "the launcher's root", sys_pivot_root(".", "host"));
    else {
        STEP("pivot_root to", "the launcher's root", sys_pivot_root(".", "."));
        STEP("detach", "the host's tree", sys_umount2(".", MNT_DETACH));
    }
    STEP("enter", "/", sys_chdir("/"));
    const struct mount_attr rdonly = {.attr_set = MOUNT_ATTR_RDONLY};
    STEP("make read-only", "the launcher's root", sys_mount_setattr(AT_FDCWD, "/", 0, &rdonly));
    STEP("open", "the launcher", open_results(job->out, proc_fd, (int)spec->rootless));
    return 0;
}

static void child(void *argument) {
    struct job *job = argument;
    job->failed = build(job);
    sys_exit(0);
}

int pf_launcher_make(const struct pf_launcher_spec *spec, struct pf_launcher *out, struct pf_err *err) {
    *out = (struct pf_launcher){-1, -1, -1, -1, -1};
    void *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stack == MAP_FAILED) return pf_fail(err, errno, "mmap", "a stack");
    struct job job = {spec, out, err, 0};
    // The descriptor table is shared: what the child opens is ours. exit_signal 0: no SIGCHLD, and a waitpid(-1) of the user never sees it.
    struct clone_args args = {
        .flags = CLONE_VM | CLONE_VFORK | CLONE_FILES | CLONE_NEWNS | (spec->rootless ? CLONE_NEWUSER : 0),
        .stack = (uint64_t)(uintptr_t)stack,
        .stack_size = STACK,
    };
    const uint64_t all = ~0ull;
    uint64_t old;
    sys_sigmask(SIG_BLOCK, &all, &old);
    pf_word pid = sys_clone3_call(&args, child, &job);
    if (pid > 0) sys_wait4((int)pid, NULL, PF_WALL);
    sys_sigmask(SIG_SETMASK, &old, NULL);
    munmap(stack, STACK);
    if (pid < 0) return pf_fail(err, pid, "clone", spec->rootless ? "into a user namespace" : "into a mount namespace");
    return job.failed;
}
