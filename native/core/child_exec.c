// SPDX-License-Identifier: Apache-2.0
// The zone, continued: a further process in a running container. Its pid namespace was chosen by the shim before the clone; the others are
// joined here through the container's pidfd and verified. Nothing but the program asked for is executed after that.
#include "child.h"

#include <sys/ioctl.h>

static int send_master(int socket, int master) {
    char byte = 0;
    struct {
        struct cmsghdr head;
        int fd;
    } control = {.head = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}, .fd = master};
    struct iovec data = {&byte, 1};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_SPACE(sizeof(int))};
    pf_word n = sys_sendmsg(socket, &message, MSG_NOSIGNAL);
    return n < 0 ? (int)n : 0;
}

// A terminal of the container's own devpts, so that tty(1) and reopening /dev/tty work inside.
static void open_tty(const struct pf_exec_job *job) {
    const int report = job->report_fd;
    PF_FD master = sys_openat(AT_FDCWD, "/dev/pts/ptmx", O_RDWR | O_NOCTTY, 0);
    PF_TRY(report, PF_STAGE_TTY, 0, master);
    const int unlocked = 0;
    PF_TRY(report, PF_STAGE_TTY, 1, sys_ioctl(master, TIOCSPTLCK, PF_P(&unlocked)));
    PF_FD slave = sys_ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    PF_TRY(report, PF_STAGE_TTY, 2, slave);
    const struct winsize size = {.ws_row = job->rows, .ws_col = job->columns};
    sys_ioctl(master, TIOCSWINSZ, PF_P(&size));
    sys_fchown(slave, job->container->uid, 5); // the user's own terminal, for writing by group tty
    PF_TRY(report, PF_STAGE_TTY, 3, send_master(job->tty_socket, master));
    for (int i = 0; i < 3; i++) PF_TRY(report, PF_STAGE_TTY, 4, PF_CALL(__NR_dup3, slave, i, 0, 0, 0));
    PF_TRY(report, PF_STAGE_TTY, 5, sys_ioctl(0, TIOCSCTTY, 0));
}

void pf_exec_main(void *argument) {
    const struct pf_exec_job *job = argument;
    const int report = job->report_fd;
    uint32_t group = 0;
    int failed = pf_join_cgroups(job->base, job->plan, (int32_t)job->index, &group);
    if (failed < 0) pf_child_fail(report, PF_STAGE_CGROUP, failed, group);
    if (job->cgroup_procs) PF_TRY(report, PF_STAGE_CGROUP, 1000, pf_write_file(job->cgroup_fd, job->cgroup_procs, "0", 1));
    PF_TRY(report, PF_STAGE_JOIN, 0, sys_setns(job->target_pidfd, CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP));
    PF_TRY(report, PF_STAGE_VERIFY, 0, pf_ns_same(PF_FD_PROC, &job->board->container[job->index], PF_KIND(PF_NS_COUNT) - 1));
    sys_setsid();
    if (job->flags & PF_EXEC_TTY) open_tty(job);
    else
        for (int i = 0; i < 3; i++) PF_TRY(report, PF_STAGE_STDIO, i, PF_CALL(__NR_dup3, job->stdio[i], i, 0, 0, 0));
    pf_become(job->base, job->container, job->workdir, report);
    PF_TRY(report, PF_STAGE_STDIO, 6, sys_close_range(3, ~0u, 4 /* CLOSE_RANGE_CLOEXEC */));
    pf_execute(report, job->argv, job->envp, job->paths);
}
