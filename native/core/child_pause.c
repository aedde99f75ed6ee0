// SPDX-License-Identifier: Apache-2.0
// The zone, continued: the infra container. It makes the pod's net, ipc and uts namespaces in its own process, so that the slowest step of a
// start (a network namespace) runs on another processor than the preparation of the containers.
#include "child.h"

#include <linux/securebits.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>

static int loopback_up(void) {
    PF_FD fd = sys_socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return fd;
    struct ifreq request = {.ifr_name = "lo"};
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    return sys_ioctl(fd, SIOCSIFFLAGS, PF_P(&request));
}

static size_t length_of(const char *text) {
    size_t n = 0;
    while (text[n]) n++;
    return n;
}

static void write_sysctls(const struct pf_pause_job *job) {
    const uint32_t *pairs = pf_list(job->base, job->plan->sysctls);
    for (uint32_t i = 0; i + 1 < job->plan->sysctls.n; i += 2) {
        const char *value = pf_text(job->base, pairs[i + 1]);
        int failed = pf_write_file(PF_FD_PROC, pf_text(job->base, pairs[i]), value, length_of(value));
        if (failed < 0 && failed != -ENOENT && failed != -EINVAL) pf_child_fail(job->report_fd, PF_STAGE_NETWORK, failed, 10 + i);
    }
}

// /sys and the message queues belong to these namespaces; every container clones them from here as one tree.
static void mount_shared(const struct pf_pause_job *job) {
    const int report = job->report_fd;
    PF_TRY(report, PF_STAGE_SYS, 20, sys_mount("mqueue", "/mqueue", "mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL));
    PF_TRY(report, PF_STAGE_SYS, 21, sys_mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, NULL));
    const uint32_t *masks = pf_list(job->base, job->plan->masks);
    for (uint32_t i = 0; i < job->plan->masks.n; i++) {
        const char *path = pf_text(job->base, masks[i]);
        if (path[1] != 's') continue;
        int failed = sys_mount("/empty", path, NULL, MS_BIND, NULL);
        if (failed == -ENOTDIR) failed = sys_mount("/pod/null", path, NULL, MS_BIND, NULL);
        if (failed < 0 && failed != -ENOENT) pf_child_fail(report, PF_STAGE_MASK, failed, 2000 + i);
    }
}

// A root process gets its capabilities back at execve, unless NOROOT says that root is nobody special.
static int drop_everything(void) {
    int failed = sys_prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED, 0);
    if (failed < 0) return failed;
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    const struct __user_cap_data_struct none[2] = {{0}, {0}};
    return sys_capset(&header, none);
}

void pf_pause_main(void *argument) {
    const struct pf_pause_job *job = argument;
    const int report = job->report_fd;
    static const char *const argv[] = {"podfast-pause", NULL}, *const envp[] = {NULL};
    PF_TRY(report, PF_STAGE_PAUSE, 0, sys_unshare(CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS));
    PF_TRY(report, PF_STAGE_NETWORK, 0, loopback_up());
    const char *hostname = pf_text(job->base, job->plan->hostname);
    PF_TRY(report, PF_STAGE_PAUSE, 1, sys_sethostname(hostname, length_of(hostname)));
    write_sysctls(job);
    mount_shared(job);
    PF_TRY(report, PF_STAGE_VERIFY, 2, pf_ns_read(PF_FD_PROC, &job->board->pause, PF_KIND(PF_NS_NET) | PF_KIND(PF_NS_IPC) | PF_KIND(PF_NS_UTS)));
    const uint64_t waiters = job->waiters;
    if (waiters) PF_TRY(report, PF_STAGE_PAUSE, 2, sys_write(job->ready_fd, &waiters, sizeof waiters));
    sys_setsid();
    // What a container may see of pause through a shared pid namespace: an empty directory, no capability.
    PF_TRY(report, PF_STAGE_PAUSE, 3, sys_chroot("/empty"));
    PF_TRY(report, PF_STAGE_PAUSE, 4, sys_chdir("/"));
    PF_TRY(report, PF_STAGE_PAUSE, 5, sys_close_range(3, ~0u, 4));
    PF_TRY(report, PF_STAGE_PAUSE, 6, drop_everything());
    PF_TRY(report, PF_STAGE_PAUSE, 7, sys_execveat(PF_FD_PAUSE, "", argv, envp, AT_EMPTY_PATH));
    sys_exit(127);
}
