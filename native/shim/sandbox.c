// SPDX-License-Identifier: Apache-2.0
// The pod's own objects: cgroups, the mount namespace that pause will hold, pause itself; and the end of all of it.
#include "shim.h"

#include <string.h>
#include <sys/sysmacros.h>

#define PATIENCE 2000 /* milliseconds that killed processes may take to end */

static int make_groups(struct shim *shim, struct pf_report *why) {
    const struct pf_cgroup *groups = (const void *)(shim->base + shim->plan->cgroups);
    for (uint32_t i = 0; i < shim->plan->n_cgroups; i++) {
        const struct pf_cgroup *group = &groups[i];
        const int hierarchy = PF_FD_FIRST_HIERARCHY + (int)group->hierarchy;
        int failed = sys_mkdirat(hierarchy, plan_text(shim, group->path), 0755);
        if (failed != -EEXIST) MUST(PF_STAGE_CGROUP, i, failed);
        const uint32_t *writes = pf_list(shim->base, group->writes);
        PF_FD dir = group->writes.n || group->flags & PF_CG_SHIM ? sys_openat(hierarchy, plan_text(shim, group->path), O_PATH | O_DIRECTORY, 0) : -1;
        for (uint32_t w = 0; w + 1 < group->writes.n; w += 2) {
            const char *value = plan_text(shim, writes[w + 1]);
            MUST(PF_STAGE_CGROUP, i, pf_write_file(dir, plan_text(shim, writes[w]), value, strlen(value)));
        }
        // `tasks`: see pf_join_cgroups.
        const char *members = group->flags & PF_CG_V2 ? "cgroup.procs" : "tasks";
        if (group->flags & PF_CG_SHIM) MUST(PF_STAGE_CGROUP, i, pf_write_file(dir, members, "0", 1));
    }
    return 0;
}

// The file that covers what must not be read: a null device of our own, or an empty file where devices cannot be made.
static int make_null(const struct shim *shim, int pod) {
    if (shim->plan->flags & PF_POD_ROOTLESS) return sys_mknodat(pod, "null", S_IFREG | 0444, 0);
    return sys_mknodat(pod, "null", S_IFCHR | 0666, makedev(1, 3));
}

static int make_files(const struct shim *shim, int pod, struct pf_report *why) {
    const struct pf_file *files = (const void *)(shim->base + shim->plan->files);
    for (uint32_t i = 0; i < shim->plan->n_files; i++) {
        const char *content = plan_text(shim, files[i].content);
        PF_FD fd = sys_openat(pod, plan_text(shim, files[i].name), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0644);
        MUST(PF_STAGE_FILE, i, fd);
        MUST(PF_STAGE_FILE, i, sys_write(fd, content, strlen(content)));
    }
    return 0;
}

static int attach_trees(struct shim *shim, struct pf_report *why) {
    const struct pf_tree *trees = (const void *)(shim->base + shim->plan->trees);
    if (!shim->plan->n_trees) return 0;
    MUST(PF_STAGE_STATE, 10, sys_mount("podfast", "/tree", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=700,size=64k"));
    PF_FD dir = sys_openat(AT_FDCWD, "/tree", O_PATH | O_DIRECTORY, 0);
    for (uint32_t i = 0; i < shim->plan->n_trees; i++) {
        char name[PF_DIGITS];
        pf_digits(name, i);
        int made = trees[i].flags & PF_TREE_FILE ? sys_mknodat(dir, name, S_IFREG | 0600, 0) : sys_mkdirat(dir, name, 0700);
        MUST(PF_STAGE_BIND, i, made);
        PF_FD fd = -1;
        if (trees[i].fd == PF_NO_FD) { // rootless: the host's tree is below /host, in our own namespace
            struct pf_err err;
            PF_FD host = sys_openat(AT_FDCWD, "/host", O_PATH | O_DIRECTORY, 0);
            PF_FD source = sys_openat2(host, plan_text(shim, trees[i].path), O_PATH, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
            MUST(PF_STAGE_BIND, i, source);
            fd = pf_tree_open(source, "", trees[i].flags | PF_TREE_RECURSIVE | PF_TREE_DEVICES, &err);
            if (fd < 0) return refuse_at(why, PF_STAGE_BIND, -err.code, i);
        } else fd = sys_fcntl(shim->n_trees_first + (int)trees[i].fd, F_DUPFD_CLOEXEC, 3);
        MUST(PF_STAGE_BIND, i, fd);
        MUST(PF_STAGE_BIND, i, pf_attach(fd, dir, name));
    }
    return 0;
}

static int make_volumes(struct shim *shim, struct pf_report *why) {
    const struct pf_volume *volumes = (const void *)(shim->base + shim->plan->volumes);
    const struct pf_tree *trees = (const void *)(shim->base + shim->plan->trees);
    if (!shim->plan->n_volumes) return 0;
    MUST(PF_STAGE_VOLUME, 0, sys_mount("podfast", "/vol", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=700,size=64k"));
    for (uint32_t i = 0; i < shim->plan->n_volumes; i++) {
        const struct pf_volume *volume = &volumes[i];
        char path[32] = "/vol/", source[48] = "/tree/", options[64] = "mode=0777,size=";
        pf_digits(path + 5, i);
        int is_file = volume->kind == PF_VOLUME_TREE && (trees[volume->tree].flags & PF_TREE_FILE);
        MUST(PF_STAGE_VOLUME, i, is_file ? sys_mknodat(AT_FDCWD, path, S_IFREG | 0600, 0) : sys_mkdirat(AT_FDCWD, path, 0700));
        if (volume->kind == PF_VOLUME_MEMORY) {
            char *digits = options + strlen(options);
            uint64_t pages = (volume->size_limit + 1023) / 1024;
            pf_digits(digits, pages > 0xfffffff0u ? 0xfffffff0u : (uint32_t)pages);
            strcat(options, "k");
            if (!volume->size_limit) strcpy(options, "mode=0777");
            MUST(PF_STAGE_VOLUME, i, sys_mount("podfast", path, "tmpfs", MS_NOSUID | MS_NODEV, options));
            MUST(PF_STAGE_VOLUME, i, sys_fchmodat(AT_FDCWD, path, 0777)); // tmpfs takes mode= literally; stated twice for a remounted default
            continue;
        }
        if (volume->kind == PF_VOLUME_DISK) {
            strcpy(source, "/pod/state/v");
            pf_digits(source + strlen(source), i);
            int made = sys_mkdirat(AT_FDCWD, source, 0777);
            if (made != -EEXIST) MUST(PF_STAGE_VOLUME, i, made);
            MUST(PF_STAGE_VOLUME, i, sys_fchmodat(AT_FDCWD, source, 0777)); // Kubernetes: world-writable, whatever the umask
        } else pf_digits(source + 6, volume->tree);
        MUST(PF_STAGE_VOLUME, i, sys_mount(source, path, NULL, MS_BIND | (volume->kind == PF_VOLUME_TREE ? MS_REC : 0), NULL));
    }
    return 0;
}

int sandbox_make(struct shim *shim, struct pf_report *why) {
    if (make_groups(shim, why) < 0) return -1;
    // The pod's own mount namespace: a copy of the launcher's few mounts. pause will hold it.
    MUST(PF_STAGE_NAMESPACE, 1, sys_unshare(CLONE_NEWNS));
    MUST(PF_STAGE_STATE, 0, sys_mount("podfast", "/pod", "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=755,size=1m,nr_inodes=2k"));
    PF_FD pod = sys_openat(AT_FDCWD, "/pod", O_PATH | O_DIRECTORY, 0);
    MUST(PF_STAGE_STATE, 1, pod);
    MUST(PF_STAGE_STATE, 2, sys_mkdirat(pod, "state", 0700));
    MUST(PF_STAGE_STATE, 3, make_null(shim, pod));
    if (shim->plan->flags & PF_POD_NO_STATE) {
        // no writable layer and no volume is on disk
    } else if (shim->plan->flags & PF_POD_ROOTLESS) {
        char source[4096] = "/host";
        const char *name = plan_text(shim, shim->plan->state_name);
        if (strlen(name) + 6 > sizeof source) return refuse_at(why, PF_STAGE_STATE, -ENAMETOOLONG, 4);
        strcat(source, name);
        MUST(PF_STAGE_STATE, 4, sys_mount(source, "/pod/state", NULL, MS_BIND | MS_REC, NULL));
    } else MUST(PF_STAGE_STATE, 4, pf_attach(PF_FD_STATE, pod, "state"));
    char shm[64] = "mode=1777,size=";
    pf_digits(shm + strlen(shm), shim->plan->shm_bytes);
    MUST(PF_STAGE_DEV, 60, sys_mount("shm", "/shm", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, shm));
    if (make_files(shim, pod, why) < 0) return -1;
    if (attach_trees(shim, why) < 0) return -1;
    return make_volumes(shim, why);
}

// All children are copies of this small process on one stack of their own: the copy is private, so one serves for all.
pf_word start_child(struct shim *shim, uint64_t namespaces, int cgroup_fd, int *pidfd, void (*fn)(void *), void *argument) {
    static char stack[48 * 1024] __attribute__((aligned(64)));
    (void)shim;
    struct clone_args args = {
        .flags = CLONE_PIDFD | namespaces | (cgroup_fd >= 0 ? CLONE_INTO_CGROUP : 0),
        .pidfd = (uint64_t)(uintptr_t)pidfd,
        .exit_signal = SIGCHLD,
        .stack = (uint64_t)(uintptr_t)stack,
        .stack_size = sizeof stack,
        .cgroup = cgroup_fd >= 0 ? (__u64)cgroup_fd : 0,
    };
    return sys_clone3_call(&args, fn, argument);
}

int sandbox_pause(struct shim *shim, struct pf_report *why) {
    int ends[2];
    static struct pf_pause_job job;
    MUST(PF_STAGE_PAUSE, 20, sys_pipe(ends, O_CLOEXEC));
    shim->pause_ready = sys_eventfd(0, O_CLOEXEC | 1 /* EFD_SEMAPHORE */);
    MUST(PF_STAGE_PAUSE, 21, shim->pause_ready);
    uint32_t waiters = 0;
    for (uint32_t i = 0; i < shim->plan->n_containers; i++) waiters += (plan_container(shim, i)->flags & PF_C_AUTOSTART) != 0;
    job = (struct pf_pause_job){shim->base, shim->plan, ends[1], shim->pause_ready, waiters, shim->board};
    pf_word pid = start_child(shim, shim->plan->flags & PF_POD_SHARE_PID ? CLONE_NEWPID : 0, -1, &shim->pause_pidfd, pf_pause_main, &job);
    sys_close(ends[1]);
    shim->pause_report = ends[0];
    MUST(PF_STAGE_PAUSE, 22, pid);
    if (shim->plan->flags & PF_POD_SERVED) { // what a later shim finds it by
        const struct pf_exit record = {.state = PF_SLOT_RUNNING, .pid = (int)pid, .start_ticks = start_ticks((int)pid)};
        sys_pwrite(shim->exit_fd, &record, sizeof record, shim->plan->n_containers * sizeof record);
    }
    // From now on whatever this process forks for a container is born in the pod's pid namespace.
    if (shim->plan->flags & PF_POD_SHARE_PID) MUST(PF_STAGE_PAUSE, 23, sys_setns(shim->pause_pidfd, CLONE_NEWPID));
    watch(shim, shim->pause_report, KIND_PAUSE_REPORT, 0);
    watch(shim, shim->pause_pidfd, KIND_PAUSE, 0);
    return 0;
}

// pause, as an older shim left it; this process already stands in its mount namespace.
int sandbox_adopt(struct shim *shim, struct pf_report *why) {
    struct pf_exit record;
    shim->pause_ready = sys_eventfd(0, O_CLOEXEC | 1 /* EFD_SEMAPHORE */);
    if (sys_pread(shim->exit_fd, &record, sizeof record, shim->plan->n_containers * sizeof record) != sizeof record)
        return refuse_at(why, PF_STAGE_STATE, -EIO, 0);
    shim->pause_pidfd = open_recorded(&record);
    if (shim->pause_pidfd < 0) return refuse_at(why, PF_STAGE_PAUSE, -ESRCH, 0);
    MUST(PF_STAGE_VERIFY, 0, pf_ns_read_of(PF_FD_PROC, record.pid, &shim->board->pause));
    if (shim->plan->flags & PF_POD_SHARE_PID) MUST(PF_STAGE_PAUSE, 1, sys_setns(shim->pause_pidfd, CLONE_NEWPID));
    watch(shim, shim->pause_pidfd, KIND_PAUSE, 0);
    shim->ready = 1;
    return 0;
}

void sandbox_kill(struct shim *shim) {
    for (uint32_t i = 0; i < shim->plan->n_containers; i++)
        if (shim->containers[i].pidfd >= 0) sys_pidfd_signal(shim->containers[i].pidfd, SIGKILL);
    for (uint32_t i = 0; i < MAX_CLIENTS; i++)
        if (shim->clients[i].exec_pidfd >= 0) sys_pidfd_signal(shim->clients[i].exec_pidfd, SIGKILL);
}

// A process in uninterruptible sleep is waited for once, not each of many in turn: *patience is in milliseconds, and used up then.
static void kill_and_reap(int pidfd, int *patience) {
    if (pidfd < 0) return;
    siginfo_t info;
    sys_pidfd_signal(pidfd, SIGKILL);
    if (sys_poll1(pidfd, 1 /* POLLIN */, *patience, NULL) == 0) *patience = 0;
    sys_waitid(P_PIDFD, pidfd, &info, WEXITED | WNOHANG);
}

static void end_at_once(void *unused) {
    (void)unused;
    sys_exit(0);
}

// The pod lives exactly as long as pause does.
void pause_dies(struct shim *shim) {
    if (shim->pause_dead) return;
    shim->pause_dead = 1;
    sandbox_kill(shim);
    tell(shim, PF_MSG_PAUSE_EXITED, -1, 0, -1);
}

// Where pause is PID 1 of all, the kernel kills the containers first and shows its end last. Before the end of a killed container is told, a
// process is tried: the pid namespace of a dying PID 1 takes none, and the pod's end has to be told first, or else the container is restarted.
void pause_check(struct shim *shim) {
    int pidfd = -1, patience = PATIENCE;
    if (!(shim->plan->flags & PF_POD_SHARE_PID) || shim->pause_pidfd < 0) return;
    if (start_child(shim, 0, -1, &pidfd, end_at_once, NULL) == -ENOMEM) return pause_dies(shim);
    kill_and_reap(pidfd, &patience);
    if (pidfd >= 0) sys_close(pidfd);
}

// The shim itself must not be in a group that is to go.
static void leave_groups(const struct shim *shim) {
    const struct pf_cgroup *groups = (const void *)(shim->base + shim->plan->cgroups);
    for (uint32_t i = 0; i < shim->plan->n_cgroups; i++)
        if (groups[i].flags & PF_CG_SHIM) pf_write_file(PF_FD_FIRST_HIERARCHY + (int)groups[i].hierarchy, "tasks", "0", 1);
}

void sandbox_remove(struct shim *shim) {
    struct pf_err err = {0};
    int patience = PATIENCE;
    sandbox_kill(shim);
    for (uint32_t i = 0; shim->containers && i < shim->plan->n_containers; i++) {
        kill_and_reap(shim->containers[i].pidfd, &patience);
        if (shim->containers[i].phase >= PHASE_RUNNING) log_finish(shim, i);
    }
    for (uint32_t i = 0; i < MAX_CLIENTS; i++) kill_and_reap(shim->clients[i].exec_pidfd, &patience);
    kill_and_reap(shim->pause_pidfd, &patience);
    leave_groups(shim);
    int failed = pf_undo_records(PF_FD_ROOT, PF_FD_POD, &err);
    tell(shim, PF_MSG_GONE, -1, failed < 0 ? err.code : 0, -1);
    // The slow part comes after the answer: files on disk.
    if (shim->plan) {
        char name[128];
        size_t n = strlen(plan_text(shim, shim->plan->trash_name));
        if (n && n + 3 < sizeof name) {
            memcpy(name, plan_text(shim, shim->plan->trash_name), n + 1);
            pf_remove_tree(PF_FD_TRASH, name, &err);
            memcpy(name + n, "-l", 3); // its logs
            pf_remove_tree(PF_FD_TRASH, name, &err);
        }
    }
    sys_exit(0);
}
