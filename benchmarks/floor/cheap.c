/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cheap floor: the objects of the plain floor, by the cheapest calls known: what is left when nothing is done twice or too soon.
 *
 *   once per node  a mount namespace that holds only what pods need, with the read-only binds ready in it: a bind of a read-only
 *                  mount is read-only, which saves the second call of each
 *   once per pod   /dev from mknod, /dev/shm, /sys and mqueue; the containers get copies with their mount namespaces, or as detached trees
 *   in parallel    the infra process makes the network namespace while both containers assemble their roots
 *   cgroups        only pids (its limit is the pod's) and v2, into which a container is born; v1's `tasks` takes "0" without a lock
 *   at stop        one kill of the v2 cgroup, and the upper layers renamed into a trash
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/mount.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "profile.h"
#include "rounds.h"

/* <sys/mount.h> and <linux/mount.h> do not go together everywhere. */
int mount(const char *source, const char *target, const char *type, unsigned long flags, const void *data);
int umount2(const char *target, int flags);

enum { SAFE = MS_NOSUID | MS_NODEV | MS_NOEXEC, TEXT = 512, DETACH = 2, MEMBERS = CONTAINERS + 1, INFRA = CONTAINERS };

static int pidfds[MEMBERS], outputs[CONTAINERS][2], streams[CONTAINERS][2], sockets[CONTAINERS][2];
static int state_fd, trash_fd, launcher_fd, null_fd;
static int pids_fd = -1, unified_fd = -1, leaves[CONTAINERS] = {-1, -1};
static char view[2][TEXT]; /* where a container sees its own directory in pids and in v2, below /sys/fs/cgroup */
static unsigned long pods;

static void put(const char *source, const char *target, const char *type, unsigned long flags, const char *data)
{
    need(mount(source, target, type, flags, data), "mount", target);
}

static void attach(int tree, const char *target)
{
    need(syscall(SYS_move_mount, tree, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH), "move_mount", target);
}

static void write_at(int dir_fd, const char *name, const char *text)
{
    const int fd = (int)need(syscall(SYS_openat, dir_fd, name, O_WRONLY | O_CLOEXEC, 0), "open", name);

    need(write(fd, text, strlen(text)), "write", name);
    close(fd);
}

static void join_pids(void)
{
    if (pids_fd >= 0)
        write_at(pids_fd, "pod/tasks", "0");
}

static void raise_loopback(void)
{
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    const int fd = (int)need(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket", "inet");

    need(ioctl(fd, SIOCSIFFLAGS, &request), "raise", "lo");
}

/* The trees that need the pod's net and ipc namespaces, as detached copies for one container. */
static void send_trees(int socket_fd)
{
    const unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;
    int trees[2];
    struct iovec byte = {.iov_base = (char[1]){0}, .iov_len = 1};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(trees))] = {0};
    struct msghdr message = {.msg_iov = &byte, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);

    trees[0] = (int)need(syscall(SYS_open_tree, AT_FDCWD, "/sys", flags | (unsigned)AT_RECURSIVE), "open_tree", "/sys");
    trees[1] = (int)need(syscall(SYS_open_tree, AT_FDCWD, "/mqueue", flags), "open_tree", "/mqueue");
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(trees));
    memcpy(CMSG_DATA(header), trees, sizeof(trees));
    need(sendmsg(socket_fd, &message, 0), "sendmsg", "trees");
}

static void run_infra(void)
{
    char *const arguments[] = {(char *)"pause", NULL}, *const environment[] = {NULL};

    join_pids();
    need(unshare(CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS), "unshare", "infra");
    put("sysfs", "/sys", "sysfs", SAFE | MS_RDONLY, NULL);
    for (size_t i = 0; i < profile.masked_directories.count; i++)
        if (strncmp(profile.masked_directories.path[i], "/sys", 4) == 0)
            put("/empty", profile.masked_directories.path[i], NULL, MS_BIND, NULL);
    put("mqueue", "/mqueue", "mqueue", SAFE, NULL);
    for (int number = 0; number < CONTAINERS; number++)
        send_trees(sockets[number][1]);
    need(sethostname("floor", 5), "sethostname", "floor");
    raise_loopback();
    need(setsid(), "setsid", "infra");
    need(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl", "no_new_privs");
    need(execve("/stay", arguments, environment), "execve", "/stay");
}

static void receive_trees(int socket_fd, int trees[2])
{
    char byte;
    struct iovec vector = {.iov_base = &byte, .iov_len = 1};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(2 * sizeof(int))];
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};

    if (need(recvmsg(socket_fd, &message, MSG_CMSG_CLOEXEC), "recvmsg", "trees") == 0) {
        errno = ECHILD;
        need(-1, "start", "infra");
    }
    memcpy(trees, CMSG_DATA(CMSG_FIRSTHDR(&message)), 2 * sizeof(int));
}

static void mask_proc(void)
{
    char source[TEXT], target[TEXT];

    for (size_t i = 0; i < profile.read_only.count; i++)
        put(format(source, TEXT, "/ro/%zu", i), format(target, TEXT, "/root%s", profile.read_only.path[i]), NULL, MS_BIND, NULL);
    for (size_t i = 0; i < profile.masked_files.count; i++)
        put("/null", format(target, TEXT, "/root%s", profile.masked_files.path[i]), NULL, MS_BIND, NULL);
    for (size_t i = 0; i < profile.masked_directories.count; i++)
        if (strncmp(profile.masked_directories.path[i], "/proc", 5) == 0)
            put("/empty", format(target, TEXT, "/root%s", profile.masked_directories.path[i]), NULL, MS_BIND, NULL);
}

static void mount_cgroups(int number)
{
    char source[TEXT], target[TEXT];

    put("/cg", "/root/sys/fs/cgroup", NULL, MS_MOVE, NULL);
    if (pids_fd >= 0)
        put(format(source, TEXT, "%s/pod", view[0]), "/root/sys/fs/cgroup/pids", NULL, MS_BIND, NULL);
    if (unified_fd < 0)
        return;
    format(source, TEXT, "%s/pod/%d", view[1], number);
    put(source, format(target, TEXT, "/root/sys/fs/cgroup%s", profile.unified ? "" : "/unified"), NULL, MS_BIND, NULL);
}

static void mount_root(int number)
{
    char options[TEXT];
    int trees[2];

    format(options, TEXT, "lowerdir=/state/lower,upperdir=/state/pod/%d.u,workdir=/state/pod/%d.w,volatile", number, number);
    put("overlay", "/root", "overlay", 0, options);
    put("/usr", "/root/usr", NULL, MS_BIND, NULL);
    put("proc", "/root/proc", "proc", SAFE, NULL);
    mask_proc();
    put("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5");
    put("/dev", "/root/dev", NULL, MS_MOVE, NULL);
    receive_trees(sockets[number][0], trees);
    attach(trees[0], "/root/sys");
    attach(trees[1], "/root/dev/mqueue");
    mount_cgroups(number);
    need(chdir("/root"), "chdir", "/root");
    need(syscall(SYS_pivot_root, ".", "."), "pivot_root", "/root");
    need(umount2(".", DETACH), "umount", "old root");
    need(chdir("/"), "chdir", "/");
}

static void run_container(int number)
{
    char *const arguments[] = {(char *)"stay", NULL}, *const environment[] = {(char *)"PATH=/usr/bin:/bin", NULL};

    join_pids();
    need(unshare(CLONE_NEWCGROUP), "unshare", "cgroup");
    need(setsid(), "setsid", "container");
    need(dup2(null_fd, 0), "dup2", "0");
    need(dup2(streams[number][0], 1), "dup2", "1");
    need(dup2(streams[number][1], 2), "dup2", "2");
    mount_root(number);
    need(setns(pidfds[INFRA], CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS), "setns", "infra");
    need(syscall(SYS_close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC), "close_range", "3");
    umask(022);
    profile_confine(&profile_tree);
    need(execve("/stay", arguments, environment), "execve", "/stay");
}

/* What containers share and the infra process is not needed for: it makes the network namespace meanwhile. */
static void make_devices(void)
{
    static const unsigned numbers[][2] = {{1, 3}, {1, 5}, {1, 7}, {1, 8}, {1, 9}, {5, 0}};
    char path[TEXT];

    need(unshare(CLONE_NEWNS), "unshare", "mount namespace of the pod");
    put("tmpfs", "/dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k");
    for (size_t i = 0; i < profile_devices.count; i++) {
        format(path, TEXT, "/dev/%s", profile_devices.path[i]);
        need(mknod(path, S_IFCHR | 0666, makedev(numbers[i][0], numbers[i][1])), "mknod", path);
    }
    for (size_t i = 0; profile_links[i][0] != NULL; i++)
        need(symlink(profile_links[i][0], format(path, TEXT, "/dev/%s", profile_links[i][1])), "symlink", path);
    need(mkdir("/dev/pts", 0755), "mkdir", "/dev/pts");
    need(mkdir("/dev/mqueue", 0755), "mkdir", "/dev/mqueue");
    need(mkdir("/dev/shm", 0755), "mkdir", "/dev/shm");
    put("shm", "/dev/shm", "tmpfs", SAFE, "mode=1777,size=64m");
}

static void make_directories(void)
{
    static const char *const names[] = {"pod", "pod/0.u", "pod/0.w", "pod/1.u", "pod/1.w"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        need(mkdirat(state_fd, names[i], 0755), "mkdir", names[i]);
    if (pids_fd >= 0) {
        need(mkdirat(pids_fd, "pod", 0755), "mkdir", "pids");
        write_at(pids_fd, "pod/pids.max", "2048");
    }
    if (unified_fd < 0)
        return;
    need(mkdirat(unified_fd, "pod", 0755), "mkdir", "unified");
    for (int number = 0; number < CONTAINERS; number++) {
        const char name[] = {'p', 'o', 'd', '/', (char)('0' + number), '\0'};

        need(mkdirat(unified_fd, name, 0755), "mkdir", name);
        leaves[number] = (int)need(syscall(SYS_openat, unified_fd, name, O_PATH | O_CLOEXEC, 0), "open", name);
    }
}

static void start_containers(int report)
{
    for (int number = 0; number < CONTAINERS; number++) {
        const int pid = floor_clone(CLONE_NEWPID | CLONE_NEWNS, &pidfds[number], leaves[number]);

        if (pid == 0) {
            floor_report_fd = report;
            run_container(number);
        }
        close(streams[number][0]);
        close(streams[number][1]);
        close(sockets[number][0]);
    }
}

static void start(void)
{
    int done[2], pair[2];

    make_directories();
    need(pipe2(done, O_CLOEXEC), "pipe2", "done");
    for (int number = 0; number < CONTAINERS; number++) {
        need(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets[number]), "socketpair", "trees");
        for (int i = 0; i < 2; i++) {
            need(pipe2(pair, O_CLOEXEC), "pipe2", "output");
            outputs[number][i] = pair[0];
            streams[number][i] = pair[1];
        }
    }
    if (floor_clone(0, &pidfds[INFRA], -1) == 0) {
        floor_report_fd = done[1];
        run_infra();
    }
    for (int number = 0; number < CONTAINERS; number++)
        close(sockets[number][1]);
    make_devices();
    start_containers(done[1]);
    need(setns(launcher_fd, CLONE_NEWNS), "setns", "launcher");
    close(done[1]);
    await_exec(done[0], "pod");
}

static void stop(void)
{
    char name[TEXT];
    siginfo_t info;

    for (int i = 0; i < MEMBERS; i++)
        need(syscall(SYS_pidfd_send_signal, pidfds[i], SIGKILL, NULL, 0), "kill", "member");
    need(renameat(state_fd, "pod", trash_fd, format(name, TEXT, "%lu", pods++)), "rename", "pod");
    for (int i = 0; i < MEMBERS; i++) {
        need(syscall(SYS_waitid, P_PIDFD, pidfds[i], &info, WEXITED, NULL), "waitid", "member");
        close(pidfds[i]);
    }
    for (int number = 0; number < CONTAINERS; number++) {
        close(outputs[number][0]);
        close(outputs[number][1]);
        if (unified_fd >= 0) {
            close(leaves[number]);
            need(unlinkat(unified_fd, number == 0 ? "pod/0" : "pod/1", AT_REMOVEDIR), "rmdir", "leaf");
        }
    }
    if (unified_fd >= 0)
        need(unlinkat(unified_fd, "pod", AT_REMOVEDIR), "rmdir", "unified");
    if (pids_fd >= 0)
        need(unlinkat(pids_fd, "pod", AT_REMOVEDIR), "rmdir", "pids");
}

static int own_cgroup(const struct hierarchy *hierarchy, char *own_view)
{
    char path[TEXT];

    format(path, TEXT, "%s/podfast-cheap-floor.%d", hierarchy->mount, floor_args.pid);
    need(mkdir(path, 0755), "mkdir", path);
    format(own_view, TEXT, "/root/sys/fs/cgroup/%s/podfast-cheap-floor.%d", hierarchy->name, floor_args.pid);
    return (int)need(floor_open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open", path);
}

/* In the launcher, whose root is the working directory: the hierarchies, as a container will see them. */
static void show_cgroups(void)
{
    char target[TEXT];

    if (!profile.unified)
        put("tmpfs", "cg", "tmpfs", SAFE, "mode=755");
    for (size_t i = 0; i < profile.hierarchy_count; i++) {
        const struct hierarchy *one = &profile.hierarchies[i];

        format(target, TEXT, "cg/%s", one->name);
        if (!profile.unified)
            need(mkdir(target, 0755), "mkdir", target);
        put(one->mount, target, NULL, MS_BIND, NULL);
        put(NULL, target, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | SAFE, NULL);
        if (one->v2)
            unified_fd = own_cgroup(one, view[1]);
        else if (strcmp(one->name, "pids") == 0)
            pids_fd = own_cgroup(one, view[0]);
    }
    if (!profile.unified)
        put(NULL, "cg", NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | SAFE, NULL);
}

static void make_launcher(const char *path)
{
    static const char *const names[] = {"root", "cg", "state", "usr", "dev", "proc", "sys", "mqueue", "empty", "ro"};
    char target[TEXT];

    put("tmpfs", path, "tmpfs", MS_NOSUID, "mode=755,size=16m");
    need(chdir(path), "chdir", path);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        need(mkdir(names[i], 0755), "mkdir", names[i]);
    need(mknod("null", S_IFREG | 0444, 0), "mknod", "null");
    put(floor_args.state, "state", NULL, MS_BIND, NULL);
    put("/usr", "usr", NULL, MS_BIND, NULL);
    put(NULL, "usr", NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL);
    for (size_t i = 0; i < profile.read_only.count; i++) {
        struct stat status;
        const char *from = profile.read_only.path[i];

        need(stat(from, &status), "stat", from);
        format(target, TEXT, "ro/%zu", i);
        need(S_ISDIR(status.st_mode) ? mkdir(target, 0755) : mknod(target, S_IFREG | 0444, 0), "make", target);
        put(from, target, NULL, MS_BIND, NULL);
        put(NULL, target, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | SAFE, NULL);
    }
    show_cgroups();
    need(symlink("state/lower/stay", "stay"), "symlink", "stay");
    need(syscall(SYS_pivot_root, ".", "."), "pivot_root", path);
    need(umount2(".", DETACH), "umount", "the host's tree");
    need(chdir("/"), "chdir", "/");
    put(NULL, "/", NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID, NULL);
}

static void setup(void)
{
    char path[TEXT];

    profile_read();
    state_fd = (int)need(floor_open(floor_args.state, O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open", floor_args.state);
    floor_skeleton(state_fd);
    need(mkdirat(state_fd, "trash", 0700), "mkdir", "trash");
    trash_fd = (int)need(syscall(SYS_openat, state_fd, "trash", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0), "open", "trash");
    null_fd = (int)need(floor_open("/dev/null", O_RDONLY | O_CLOEXEC), "open", "/dev/null");
    launcher_fd = (int)need(floor_open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC), "open", "mount namespace");
    make_launcher(format(path, TEXT, "%s/root", floor_args.state));
}

static void between(void)
{
    char name[TEXT];

    remove_tree(trash_fd, format(name, TEXT, "%lu", pods - 1));
}

static void finish(void)
{
    static const char *const names[] = {"trash", "root", "lower"};
    char name[TEXT];

    format(name, TEXT, "podfast-cheap-floor.%d", floor_args.pid);
    for (int i = 0; i < 2; i++) {
        const int fd = i == 0 ? pids_fd : unified_fd;

        if (fd >= 0)
            need(syscall(SYS_unlinkat, (long)openat(fd, "..", O_PATH | O_CLOEXEC), name, AT_REMOVEDIR), "rmdir", name);
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        remove_tree(state_fd, names[i]);
}

int main(int argc, char **argv)
{
    static const struct floor_ops ops = {"cheap-floor", setup, start, stop, between, finish};

    return floor_main(argc, argv, &ops);
}
