// SPDX-License-Identifier: Apache-2.0
// The zone, continued: the container's tree. It is assembled in a private copy of the pod's mount namespace in which no container code has
// ever run, and then pivoted into. Paths below / are podfast's own skeleton and may be named; everything below /root belongs to an image
// and is reached by descriptors only.
//
//   /pod      the pod's tmpfs: state (the host's directory of this pod), generated files, null
//   /dev      put together in child_dev.c     /shm  the pod's     /tree/N  trees from the host     /vol/N  volumes
//   /cg       the view of the cgroup hierarchies                      /root    where the container's root is put together
#include "child.h"

static void make_root(const struct pf_child *child) {
    const struct pf_container *container = child->container;
    const int report = child->report_fd;
    const uint32_t *layers = (const void *)(child->base + container->layers);
    if (!child->has_upper && container->n_layers == 1) { // one read-only layer: no overlay at all
        char path[6 + PF_DIGITS] = "/tree/";
        pf_digits(path + 6, layers[0]);
        PF_TRY(report, PF_STAGE_ROOT, 0, sys_mount(path, "/root", NULL, MS_BIND, NULL));
        return;
    }
    if (container->flags & PF_C_UPPER_MEMORY) {
        PF_TRY(report, PF_STAGE_ROOT, 1, sys_mount("podfast", "/host", "tmpfs", MS_NOSUID, "mode=755"));
        PF_TRY(report, PF_STAGE_ROOT, 2, sys_mkdirat(AT_FDCWD, "/host/u", 0755));
        PF_TRY(report, PF_STAGE_ROOT, 3, sys_mkdirat(AT_FDCWD, "/host/w", 0755));
    }
    PF_TRY(report, PF_STAGE_ROOT, 4, sys_chdir("/tree")); // many layers: short relative names keep the options within a page
    PF_TRY(report, PF_STAGE_ROOT, 5, sys_mount("podfast", "/root", "overlay", MS_NODEV, child->overlay));
}

static void mount_binds(const struct pf_child *child, int root) {
    const struct pf_bind *binds = (const void *)(child->base + child->container->binds);
    for (uint32_t i = 0; i < child->container->n_binds; i++) {
        PF_FD dir = sys_openat(AT_FDCWD, "/tree", O_PATH | O_DIRECTORY, 0);
        char name[PF_DIGITS];
        pf_digits(name, binds[i].tree);
        PF_FD tree = pf_clone_tree(dir, name, 1);
        PF_TRY(child->report_fd, PF_STAGE_BIND, i, tree);
        PF_FD target = pf_target(root, pf_text(child->base, binds[i].target), 0);
        PF_TRY(child->report_fd, PF_STAGE_BIND, i, target);
        PF_TRY(child->report_fd, PF_STAGE_BIND, i, pf_attach(tree, target, ""));
    }
}

// Masks and read-only parts of the fresh procfs, on the skeleton's own path; what this kernel lacks is passed over.
static void mask_proc(const struct pf_child *child) {
    const struct pf_plan *plan = child->plan;
    const uint32_t *masks = pf_list(child->base, plan->masks), *rdonly = pf_list(child->base, plan->rdonly);
    for (uint32_t i = 0; i < plan->masks.n; i++) {
        const char *path = pf_text(child->base, masks[i]);
        if (path[1] != 'p') continue; // "/proc/…"; "/sys/…" is the pod's
        int failed = sys_mount("/pod/null", path, NULL, MS_BIND, NULL);
        if (failed == -ENOTDIR) failed = sys_mount("/empty", path, NULL, MS_BIND, NULL);
        if (failed < 0 && failed != -ENOENT) pf_child_fail(child->report_fd, PF_STAGE_MASK, failed, i);
    }
    for (uint32_t i = 0; i < plan->rdonly.n; i++) {
        const char *path = pf_text(child->base, rdonly[i]);
        int failed = sys_mount(path, path, NULL, MS_BIND, NULL);
        if (failed == -ENOENT) continue;
        if (!failed) failed = sys_mount(NULL, path, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
        if (failed < 0) pf_child_fail(child->report_fd, PF_STAGE_MASK, failed, 1000 + i);
    }
}

// Moves a mount of the skeleton to its place. Rule 4: links and volumes of the image cannot stand in for /dev, /proc or /sys.
static void place(const struct pf_child *child, int root, const char *from, const char *to, int stage) {
    PF_FD target = pf_target_plain(root, to);
    PF_TRY(child->report_fd, stage, 10, target);
    PF_TRY(child->report_fd, stage, 11, sys_move_mount(AT_FDCWD, from, target, "", MOVE_MOUNT_T_EMPTY_PATH));
}

// Rule 4, for what a link of the image leads to: after all links, a place below our own /dev, /proc or /sys is refused. The kernel says where
// the descriptor is, so nothing is resolved again.
static int own_target(int root, const char *path, int is_file) {
    static const char *const ours[] = {"/root/dev", "/root/proc", "/root/sys"};
    char name[8 + PF_DIGITS] = "self/fd/", where[16];
    PF_FD target = pf_target(root, path, is_file);
    if (target < 0) return target;
    pf_digits(name + 8, (uint32_t)target);
    pf_word n = sys_readlinkat(PF_FD_PROC, name, where, sizeof where - 1);
    if (n < 0) return (int)n;
    where[n] = 0;
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        size_t at = 0;
        while (ours[i][at] && ours[i][at] == where[at]) at++;
        if (!ours[i][at] && (!where[at] || where[at] == '/')) return -EPERM;
    }
    return pf_steal(&target);
}

static void mount_volumes(const struct pf_child *child, int root) {
    const struct pf_mount *mounts = (const void *)(child->base + child->container->mounts);
    const struct pf_volume *volumes = (const void *)(child->base + child->plan->volumes);
    const struct pf_tree *trees = (const void *)(child->base + child->plan->trees);
    PF_FD dir = sys_openat(AT_FDCWD, "/vol", O_PATH | O_DIRECTORY, 0);
    for (uint32_t i = 0; i < child->container->n_mounts; i++) {
        char name[PF_DIGITS];
        pf_digits(name, mounts[i].volume);
        const struct pf_volume *volume = &volumes[mounts[i].volume];
        int is_file = volume->kind == PF_VOLUME_TREE && (trees[volume->tree].flags & PF_TREE_FILE);
        PF_FD tree = pf_clone_tree(dir, name, 1);
        PF_TRY(child->report_fd, PF_STAGE_VOLUME, i, tree);
        if (mounts[i].flags & PF_MOUNT_RDONLY) PF_TRY(child->report_fd, PF_STAGE_VOLUME, i, pf_set_attr(tree, MOUNT_ATTR_RDONLY, 0));
        PF_FD target = own_target(root, pf_text(child->base, mounts[i].target), is_file);
        PF_TRY(child->report_fd, PF_STAGE_VOLUME, i, target);
        PF_TRY(child->report_fd, PF_STAGE_VOLUME, i, pf_attach(tree, target, ""));
    }
}

static int is_mounted(const struct pf_child *child, const char *target) {
    const struct pf_mount *mounts = (const void *)(child->base + child->container->mounts);
    for (uint32_t i = 0; i < child->container->n_mounts; i++) {
        const char *a = pf_text(child->base, mounts[i].target), *b = target;
        while (*a && *a == *b) a++, b++;
        if (*a == *b) return 1;
    }
    return 0;
}

// The pod's hosts, hostname and resolv.conf, except where the Pod mounts something of its own (as the kubelet and containerd do it).
static void mount_files(const struct pf_child *child, int root) {
    const struct pf_file *files = (const void *)(child->base + child->plan->files);
    PF_FD dir = sys_openat(AT_FDCWD, "/pod", O_PATH | O_DIRECTORY, 0);
    for (uint32_t i = 0; i < child->plan->n_files; i++) {
        if (is_mounted(child, pf_text(child->base, files[i].target))) continue;
        PF_FD tree = pf_clone_tree(dir, pf_text(child->base, files[i].name), 0);
        PF_TRY(child->report_fd, PF_STAGE_FILE, i, tree);
        PF_FD target = own_target(root, pf_text(child->base, files[i].target), 1);
        PF_TRY(child->report_fd, PF_STAGE_FILE, i, target);
        PF_TRY(child->report_fd, PF_STAGE_FILE, i, pf_attach(tree, target, ""));
    }
}

// Enters pause's net, ipc and uts namespaces, and on the way takes what was made once for the pod in its mount namespace: /sys and mqueue.
static void join_pod(const struct pf_child *child, int root) {
    const int report = child->report_fd;
    uint64_t one;
    if (sys_read(child->pause_ready_fd, &one, sizeof one) != sizeof one) sys_exit(127);
    PF_FD own = sys_openat(PF_FD_PROC, "self/ns/mnt", O_RDONLY, 0);
    PF_TRY(report, PF_STAGE_JOIN, 0, own);
    PF_TRY(report, PF_STAGE_JOIN, 1, sys_setns(child->pause_pidfd, CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS));
    PF_FD sys_tree = -1;
    const int privileged = (child->container->flags & PF_C_PRIVILEGED) != 0;
    if (!privileged) {
        sys_tree = pf_clone_tree(AT_FDCWD, "/sys", 1);
        PF_TRY(report, PF_STAGE_SYS, 0, sys_tree);
    }
    PF_FD queue_tree = pf_clone_tree(AT_FDCWD, "/mqueue", 0);
    PF_TRY(report, PF_STAGE_SYS, 1, queue_tree);
    PF_TRY(report, PF_STAGE_JOIN, 2, sys_setns(own, CLONE_NEWNS));
    PF_TRY(report, PF_STAGE_VERIFY, 0, pf_ns_same(PF_FD_PROC, &child->board->pause, PF_KIND(PF_NS_NET) | PF_KIND(PF_NS_IPC) | PF_KIND(PF_NS_UTS)));
    if (privileged) {
        sys_tree = pf_fs_make("sysfs", NULL, 0, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
        PF_TRY(report, PF_STAGE_SYS, 2, sys_tree);
    }
    PF_FD sys_target = pf_target_plain(root, "sys");
    PF_TRY(report, PF_STAGE_SYS, 3, sys_target);
    PF_TRY(report, PF_STAGE_SYS, 4, pf_attach(sys_tree, sys_target, ""));
    PF_FD queue_target = pf_target_plain(root, "dev/mqueue");
    // dev/mqueue is below a mount of ours: RESOLVE_BENEATH crosses it, links are refused.
    PF_TRY(report, PF_STAGE_SYS, 5, queue_target);
    PF_TRY(report, PF_STAGE_SYS, 6, pf_attach(queue_tree, queue_target, ""));
}

// Each hierarchy in which the container has a directory of its own shows that directory; the others what the engine's process is in.
static void show_cgroups(const struct pf_child *child, int root) {
    const int report = child->report_fd;
    const struct pf_cgroup *groups = (const void *)(child->base + child->plan->cgroups);
    if (!child->plan->cgroup_view) return;
    PF_FD target = pf_target_plain(root, "sys/fs/cgroup");
    PF_TRY(report, PF_STAGE_CGROUP_VIEW, 1000, target);
    PF_TRY(report, PF_STAGE_CGROUP_VIEW, 1001, sys_move_mount(AT_FDCWD, "/cg", target, "", MOVE_MOUNT_T_EMPTY_PATH));
    for (uint32_t i = 0; i < child->plan->n_cgroups; i++) {
        const struct pf_cgroup *group = &groups[i];
        if (group->container != (int32_t)child->index) continue;
        const char *view = pf_text(child->base, group->view);
        PF_FD all = pf_target_plain(root, "sys/fs/cgroup"); // opened again: the mount is on top now
        PF_TRY(report, PF_STAGE_CGROUP_VIEW, i, all);
        PF_FD place_fd = *view ? sys_openat2(all, view, O_PATH | O_DIRECTORY, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS) : sys_openat(all, ".", O_PATH, 0);
        PF_TRY(report, PF_STAGE_CGROUP_VIEW, i, place_fd);
        PF_FD tree = pf_clone_tree(place_fd, pf_text(child->base, group->path), 0);
        PF_TRY(report, PF_STAGE_CGROUP_VIEW, i, tree);
        PF_TRY(report, PF_STAGE_CGROUP_VIEW, i, pf_attach(tree, place_fd, ""));
    }
}

void pf_root_main_tree(const struct pf_child *child) {
    const int report = child->report_fd;
    make_root(child);
    PF_FD root = sys_openat(AT_FDCWD, "/root", O_PATH | O_DIRECTORY, 0);
    PF_TRY(report, PF_STAGE_ROOT, 20, root);
    mount_binds(child, root);
    pf_make_dev(child);
    place(child, root, "/dev", "dev", PF_STAGE_DEV);
    PF_TRY(report, PF_STAGE_PROC, 0, sys_mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL));
    if (!(child->container->flags & PF_C_PRIVILEGED)) mask_proc(child);
    place(child, root, "/proc", "proc", PF_STAGE_PROC);
    mount_volumes(child, root);
    mount_files(child, root);
    join_pod(child, root);
    show_cgroups(child, root);
    if (child->container->flags & PF_C_ROOT_RDONLY) PF_TRY(report, PF_STAGE_ROOT, 21, pf_set_attr(root, MOUNT_ATTR_RDONLY, 0));
    PF_TRY(report, PF_STAGE_PIVOT, 0, sys_fchdir(root));
    PF_TRY(report, PF_STAGE_PIVOT, 1, sys_pivot_root(".", "."));
    PF_TRY(report, PF_STAGE_PIVOT, 2, sys_umount2(".", MNT_DETACH));
    PF_TRY(report, PF_STAGE_PIVOT, 3, sys_chdir("/"));
}
