// SPDX-License-Identifier: Apache-2.0
// The zone: what a container's process does between clone and execve. It may be a copy of a threaded program, and it already stands in
// namespaces that container code will see; so there is no malloc, stdio, lock or libc id call here, and a test compares the symbols this
// file needs with an allow-list. The order is the security argument; each step says what it relies on.
#include "child.h"

#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/ioctl.h>

#include "pf_seccomp_default.h"

#define KEYCTL_JOIN_SESSION 1
#define CAP_WORDS 2
#define NULL_DEVICE 0x103 /* 1:3 */

void pf_child_fail(int report_fd, int stage, pf_word error, uint32_t index) {
    const struct pf_report report = {stage, (int32_t)-error, (int32_t)index};
    sys_write(report_fd, &report, sizeof report);
    sys_exit(127);
}

// v1: each process writes itself into its groups; on v2 it was born there. Only "0" written to `tasks` spares the kernel's lock on all
// thread groups, which waits for an RCU grace period: 0.08 ms instead of 9 ms for cgroup.procs (Linux 6.18, HZ=250).
int pf_join_cgroups(const char *base, const struct pf_plan *plan, int32_t container, uint32_t *index) {
    const struct pf_cgroup *groups = (const void *)(base + plan->cgroups);
    for (uint32_t i = 0; i < plan->n_cgroups; i++) {
        const struct pf_cgroup *group = &groups[i];
        if (group->container != container || (group->flags & (PF_CG_V2 | PF_CG_SHIM))) continue;
        *index = i;
        PF_FD dir = sys_openat(PF_FD_FIRST_HIERARCHY + (int)group->hierarchy, pf_text(base, group->path), O_PATH | O_DIRECTORY, 0);
        if (dir < 0) return dir;
        int failed = pf_write_file(dir, "tasks", "0", 1);
        if (failed < 0) return failed;
    }
    return 0;
}

// Ids and capabilities. The bounding set is cut first, while CAP_SETPCAP is there; permitted capabilities survive the change of uid
// only through KEEPCAPS; afterwards a root process holds exactly the wanted set and any other process none (inheritable and ambient empty).
static void drop_bounding(int report_fd, uint64_t keep) {
    for (int cap = 0; cap < 64; cap++) {
        if (keep & (1ull << cap)) continue;
        int failed = sys_prctl(PR_CAPBSET_DROP, cap, 0);
        if (failed == -EINVAL) return; // past the kernel's last one
        if (failed < 0) pf_child_fail(report_fd, PF_STAGE_CAPS, failed, (uint32_t)cap);
    }
}

static int set_caps(uint64_t caps) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    const struct __user_cap_data_struct data[CAP_WORDS] = {
        {.effective = (uint32_t)caps, .permitted = (uint32_t)caps},
        {.effective = (uint32_t)(caps >> 32), .permitted = (uint32_t)(caps >> 32)},
    };
    return sys_capset(&header, data);
}

// The profile opens what a granted capability is for; the plain filter serves everybody else.
static int install_filter(uint64_t caps) {
    struct sock_filter filter[PF_SECCOMP_MAX_LEN];
    const struct sock_fprog program = {.len = (unsigned short)pf_seccomp_fill(filter, caps), .filter = filter};
    return sys_seccomp(SECCOMP_SET_MODE_FILTER, 0, &program);
}

static void enter_workdir(const char *workdir, int report_fd) {
    char where[4096];
    PF_TRY(report_fd, PF_STAGE_WORKDIR, 0, sys_chdir(workdir));
    pf_word n = sys_getcwd(where, sizeof where); // rule 6: "(unreachable)…" would be a directory outside the root
    if (n < 0 || where[0] != '/') pf_child_fail(report_fd, PF_STAGE_WORKDIR, n < 0 ? n : -EXDEV, 1);
}

void pf_become(const char *base, const struct pf_container *container, const char *workdir, int report_fd) {
    const uint32_t flags = container->flags;
    PF_CALL(__NR_umask, 022, 0, 0, 0, 0);
    pf_word ring = sys_keyctl(KEYCTL_JOIN_SESSION, 0);
    if (ring < 0 && ring != -ENOSYS) pf_child_fail(report_fd, PF_STAGE_KEYRING, ring, 0);
    drop_bounding(report_fd, container->caps);
    PF_TRY(report_fd, PF_STAGE_IDS, 0, sys_prctl(PR_SET_KEEPCAPS, 1, 0));
    int failed = sys_setgroups(container->n_groups, (const void *)(base + container->groups));
    if (failed < 0 && !(failed == -EPERM && !container->n_groups)) pf_child_fail(report_fd, PF_STAGE_IDS, failed, 1); // rootless: setgroups is denied
    PF_TRY(report_fd, PF_STAGE_IDS, 2, sys_setresgid(container->gid));
    PF_TRY(report_fd, PF_STAGE_IDS, 3, sys_setresuid(container->uid));
    enter_workdir(workdir, report_fd); // as the user: a directory that the user may not enter is an error now, not later
    PF_TRY(report_fd, PF_STAGE_IDS, 4, sys_prctl(PR_SET_KEEPCAPS, 0, 0));
    if (flags & PF_C_NO_NEW_PRIVS) PF_TRY(report_fd, PF_STAGE_CAPS, 64, sys_prctl(PR_SET_NO_NEW_PRIVS, 1, 0));
    // Without no_new_privs the filter needs CAP_SYS_ADMIN, so it comes before the capabilities go; it allows capset and execve.
    if ((flags & PF_C_SECCOMP) && !(flags & PF_C_NO_NEW_PRIVS)) {
        set_caps(container->caps | (1ull << CAP_SYS_ADMIN)); // raises what setresuid lowered; where it cannot, the next line says so
        PF_TRY(report_fd, PF_STAGE_SECCOMP, 0, install_filter(container->caps));
    }
    PF_TRY(report_fd, PF_STAGE_CAPS, 66, set_caps(container->uid ? 0 : container->caps));
    if ((flags & PF_C_SECCOMP) && (flags & PF_C_NO_NEW_PRIVS)) PF_TRY(report_fd, PF_STAGE_SECCOMP, 0, install_filter(container->caps));
}

void pf_execute(int report_fd, const char *const *argv, const char *const *envp, const char *const *paths) {
    const uint64_t none = 0;
    int error = -ENOENT;
    sys_sigmask(SIG_SETMASK, &none, NULL);
    for (uint32_t i = 0; paths[i]; i++) { // as execvp: a missing candidate is passed over, one that may not be run is remembered
        int failed = sys_execveat(AT_FDCWD, paths[i], argv, envp, 0);
        if (failed == -EACCES) error = failed;
        else if (failed != -ENOENT && failed != -ENOTDIR) pf_child_fail(report_fd, PF_STAGE_EXEC, failed, i);
    }
    pf_child_fail(report_fd, PF_STAGE_EXEC, error, 0);
}

// /dev is the pod's: another container's root may have put a FIFO there, on which an open would wait for ever, or anything else.
static int open_null(void) {
    struct stat st;
    int fd = sys_openat(AT_FDCWD, "/dev/null", O_RDONLY | O_NONBLOCK | O_NOFOLLOW, 0);
    if (fd < 0) return fd;
    int failed = sys_statat(fd, "", &st, AT_EMPTY_PATH);
    if (failed >= 0) failed = S_ISCHR(st.st_mode) && st.st_rdev == NULL_DEVICE ? sys_fcntl(fd, F_SETFL, 0) : -ENXIO;
    return failed < 0 ? failed : fd;
}

// Output goes to FIFOs opened for reading and writing: a writer never meets SIGPIPE when the shim dies, and nothing blocks in open.
static void open_stdio(const struct pf_child *child) {
    int in = open_null();
    PF_TRY(child->report_fd, PF_STAGE_STDIO, 0, in);
    int out = sys_openat(PF_FD_RUN, child->out, O_RDWR, 0);
    PF_TRY(child->report_fd, PF_STAGE_STDIO, 1, out);
    int err = sys_openat(PF_FD_RUN, child->err, O_RDWR, 0);
    PF_TRY(child->report_fd, PF_STAGE_STDIO, 2, err);
    if (child->container->uid) { // else the user could not reopen them: "echo … >/dev/stderr"
        sys_fchown(out, child->container->uid, child->container->gid);
        sys_fchown(err, child->container->uid, child->container->gid);
    }
    // The names 0, 1, 2 are taken by the shim's own /dev/null, so none of the three is already in place.
    PF_TRY(child->report_fd, PF_STAGE_STDIO, 3, PF_CALL(__NR_dup3, in, 0, 0, 0, 0));
    PF_TRY(child->report_fd, PF_STAGE_STDIO, 4, PF_CALL(__NR_dup3, out, 1, 0, 0, 0));
    PF_TRY(child->report_fd, PF_STAGE_STDIO, 5, PF_CALL(__NR_dup3, err, 2, 0, 0, 0));
}

// A container in the pod's own pid namespace gets that of pause; any other is PID 1 of one of its own.
void pf_container_main(void *argument) {
    const struct pf_child *child = argument;
    const int report = child->report_fd;
    uint32_t group = 0;
    sys_prctl(PR_SET_PDEATHSIG, SIGKILL, 0); // until exec: nobody else would know of it
    int failed = pf_join_cgroups(child->base, child->plan, (int32_t)child->index, &group);
    if (failed < 0) pf_child_fail(report, PF_STAGE_CGROUP, failed, group);
    PF_TRY(report, PF_STAGE_NAMESPACE, 0, sys_unshare(CLONE_NEWCGROUP)); // after joining: its root is what the container may see
    sys_setsid();
    pf_root_main_tree(child);
    struct pf_ns_set *own = &child->board->container[child->index];
    *own = child->board->pause; // net, ipc and uts: join_pod has verified them
    PF_TRY(report, PF_STAGE_VERIFY, 1, pf_ns_read(PF_FD_PROC, own, PF_KIND(PF_NS_MNT) | PF_KIND(PF_NS_PID) | PF_KIND(PF_NS_CGROUP)));
    open_stdio(child);
    pf_become(child->base, child->container, pf_text(child->base, child->container->workdir), report);
    PF_TRY(report, PF_STAGE_STDIO, 6, sys_close_range(3, ~0u, 4 /* CLOSE_RANGE_CLOEXEC */));
    PF_TRY(report, PF_STAGE_EXEC, 1001, sys_prctl(PR_SET_PDEATHSIG, 0, 0));
    if (child->container->flags & PF_C_INIT) { // by descriptor, from podfast's own tmpfs: nothing of it lies in the container
        const uint64_t none = 0;
        sys_sigmask(SIG_SETMASK, &none, NULL);
        PF_TRY(report, PF_STAGE_EXEC, 1000, sys_execveat(PF_FD_INIT, "", child->argv, child->envp, AT_EMPTY_PATH));
    }
    pf_execute(report, child->argv, child->envp, child->paths);
}
