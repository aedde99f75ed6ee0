/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plain floor: the objects of a pod of two containers on loopback, made one by one with the calls of an ordinary runtime, and
 * nothing else: no manifest, no supervisor, no records. README.md lists its calls and what each is for, and a test counts them.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/close_range.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "profile.h"
#include "rounds.h"

enum { SAFE = MS_NOSUID | MS_NODEV | MS_NOEXEC, TEXT = 512 };

struct member {
    int pid, pidfd, output[2];
};

static struct member infra, containers[CONTAINERS];
static char cgroups[MOST_HIERARCHIES][TEXT]; /* a directory in each hierarchy that this program owns */
static int state_fd, namespaces[3];
static const char *const namespace_names[3] = {"net", "ipc", "uts"};
static const char *const stream_names[2] = {"out", "err"};

static const char *cgroup_path(char *buffer, size_t hierarchy, int container)
{
    return format(buffer, TEXT, "%s/%d", cgroups[hierarchy], container);
}

static bool wanted(size_t hierarchy)
{
    return profile.unified || (!profile.hierarchies[hierarchy].v2 && !profile.hierarchies[hierarchy].named);
}

static void raise_loopback(void)
{
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    const int fd = (int)need(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket", "inet");

    need(ioctl(fd, SIOCSIFFLAGS, &request), "raise", "lo");
    close(fd);
}

static void run_infra(void)
{
    char *const arguments[] = {(char *)"pause", NULL}, *const environment[] = {NULL};

    need(sethostname("floor", 5), "sethostname", "floor");
    raise_loopback();
    need(setsid(), "setsid", "infra");
    need(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl", "no_new_privs");
    need(execve(floor_args.program, arguments, environment), "execve", floor_args.program);
}

static void start_infra(void)
{
    char path[TEXT];
    int pipe_fds[2];

    need(pipe2(pipe_fds, O_CLOEXEC), "pipe2", "infra");
    infra.pid = floor_clone(CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS, &infra.pidfd, -1);
    if (infra.pid == 0) {
        floor_report_fd = pipe_fds[1];
        run_infra();
    }
    close(pipe_fds[1]);
    await_exec(pipe_fds[0], "infra");
    for (int i = 0; i < 3; i++) {
        format(path, TEXT, "/proc/%d/ns/%s", infra.pid, namespace_names[i]);
        namespaces[i] = (int)need(floor_open(path, O_RDONLY | O_CLOEXEC), "open", path);
    }
}

static void put(const char *source, const char *target, const char *type, unsigned long flags, const char *data)
{
    need(mount(source, target, type, flags, data), "mount", target);
}

/* A read-only bind takes two calls: the first one ignores the flag. */
static void put_read_only(const char *source, const char *target)
{
    put(source, target, NULL, MS_BIND, NULL);
    put(NULL, target, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL);
}

static void mount_devices(const char *root)
{
    char source[TEXT], target[TEXT];

    put("tmpfs", format(target, TEXT, "%s/dev", root), "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k");
    for (size_t i = 0; i < profile_devices.count; i++) {
        const char *name = profile_devices.path[i];

        need(mknod(format(target, TEXT, "%s/dev/%s", root, name), S_IFREG | 0666, 0), "mknod", target);
        put(format(source, TEXT, "/dev/%s", name), target, NULL, MS_BIND, NULL);
    }
    for (size_t i = 0; profile_links[i][0] != NULL; i++)
        need(symlink(profile_links[i][0], format(target, TEXT, "%s/dev/%s", root, profile_links[i][1])), "symlink", target);
    need(mkdir(format(target, TEXT, "%s/dev/pts", root), 0755), "mkdir", target);
    put("devpts", target, "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5");
    need(mkdir(format(target, TEXT, "%s/dev/shm", root), 0755), "mkdir", target);
    put(format(source, TEXT, "%s/pod/shm", floor_args.state), target, NULL, MS_BIND, NULL);
    need(mkdir(format(target, TEXT, "%s/dev/mqueue", root), 0755), "mkdir", target);
    put("mqueue", target, "mqueue", SAFE, NULL);
}

static void mount_cgroups(const char *root)
{
    char target[TEXT];

    if (profile.unified) {
        put("cgroup", format(target, TEXT, "%s/sys/fs/cgroup", root), "cgroup2", SAFE | MS_RDONLY, NULL);
        return;
    }
    put("tmpfs", format(target, TEXT, "%s/sys/fs/cgroup", root), "tmpfs", SAFE, "mode=755");
    for (size_t i = 0; i < profile.hierarchy_count; i++) {
        const struct hierarchy *one = &profile.hierarchies[i];

        need(mkdir(format(target, TEXT, "%s/sys/fs/cgroup/%s", root, one->name), 0755), "mkdir", target);
        put("cgroup", target, one->v2 ? "cgroup2" : "cgroup", SAFE | MS_RDONLY, one->v2 ? NULL : one->data);
    }
    format(target, TEXT, "%s/sys/fs/cgroup", root);
    put(NULL, target, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | SAFE, NULL);
}

static void mount_masks(const char *root)
{
    char target[TEXT];

    for (size_t i = 0; i < profile.read_only.count; i++) {
        const char *path = profile.read_only.path[i];

        format(target, TEXT, "%s%s", root, path);
        put(target, target, NULL, MS_BIND, NULL);
        put(NULL, target, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | SAFE, NULL);
    }
    for (size_t i = 0; i < profile.masked_files.count; i++)
        put("/dev/null", format(target, TEXT, "%s%s", root, profile.masked_files.path[i]), NULL, MS_BIND, NULL);
    for (size_t i = 0; i < profile.masked_directories.count; i++) {
        format(target, TEXT, "%s%s", root, profile.masked_directories.path[i]);
        put("tmpfs", target, "tmpfs", SAFE | MS_RDONLY, "size=0k");
    }
}

static void mount_root(int number)
{
    char root[TEXT], target[TEXT], options[2 * TEXT];
    const char *state = floor_args.state;

    format(root, TEXT, "%s/root", state);
    put(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    format(options, sizeof(options), "lowerdir=%s/lower,upperdir=%s/pod/%d.u,workdir=%s/pod/%d.w,volatile", state, state, number, state, number);
    put("overlay", root, "overlay", 0, options);
    put_read_only("/usr", format(target, TEXT, "%s/usr", root));
    put("proc", format(target, TEXT, "%s/proc", root), "proc", SAFE, NULL);
    put("sysfs", format(target, TEXT, "%s/sys", root), "sysfs", SAFE | MS_RDONLY, NULL);
    mount_devices(root);
    mount_cgroups(root);
    mount_masks(root);
    need(chdir(root), "chdir", root);
    need(syscall(SYS_pivot_root, ".", "."), "pivot_root", root);
    need(umount2(".", MNT_DETACH), "umount", "old root");
    need(chdir("/"), "chdir", "/");
}

static void open_streams(int number)
{
    char path[TEXT];
    int fd = (int)need(floor_open("/dev/null", O_RDONLY | O_CLOEXEC), "open", "/dev/null");

    need(dup2(fd, 0), "dup2", "0");
    close(fd);
    for (int i = 0; i < 2; i++) {
        format(path, TEXT, "%s/pod/%d.%s", floor_args.state, number, stream_names[i]);
        fd = (int)need(floor_open(path, O_RDWR | O_CLOEXEC), "open", path);
        if (i == 1)
            need(dup2(fd, STDERR_FILENO), "dup2", path);
        else
            need(dup2(fd, STDOUT_FILENO), "dup2", path);
        close(fd);
    }
}

/*
 * v1 has no way to start a process in a cgroup. The container's process writes itself, as `tasks` with "0": that alone spares it the
 * lock on every thread group of the machine, for which a write to cgroup.procs waits for milliseconds.
 */
static void join_cgroups(int number)
{
    char path[TEXT], file[TEXT + 16];

    for (size_t i = 0; i < profile.hierarchy_count; i++) {
        if (!wanted(i))
            continue;
        cgroup_path(path, i, number);
        write_file(format(file, sizeof(file), "%s/%s", path, profile.unified ? "cgroup.procs" : "tasks"), "0");
    }
}

static void run_container(int number)
{
    char *const arguments[] = {(char *)"stay", NULL}, *const environment[] = {(char *)"PATH=/usr/bin:/bin", NULL};

    for (int i = 0; i < 3; i++)
        need(setns(namespaces[i], 0), "setns", namespace_names[i]);
    join_cgroups(number);
    need(unshare(CLONE_NEWCGROUP), "unshare", "cgroup");
    need(setsid(), "setsid", "container");
    open_streams(number);
    mount_root(number);
    need(syscall(SYS_close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC), "close_range", "3");
    umask(022);
    profile_confine(&profile_line);
    need(execve("/stay", arguments, environment), "execve", "/stay");
}

static void make_cgroups(int number)
{
    char path[TEXT];

    for (size_t i = 0; i < profile.hierarchy_count; i++)
        if (wanted(i))
            need(mkdir(cgroup_path(path, i, number), 0755), "mkdir", path);
}

static void start_container(int number)
{
    struct member *member = &containers[number];
    char path[TEXT];
    int done[2];

    need(mkdir(format(path, TEXT, "%s/pod/%d.u", floor_args.state, number), 0755), "mkdir", path);
    need(mkdir(format(path, TEXT, "%s/pod/%d.w", floor_args.state, number), 0755), "mkdir", path);
    for (int i = 0; i < 2; i++) {
        format(path, TEXT, "%s/pod/%d.%s", floor_args.state, number, stream_names[i]);
        need(mkfifo(path, 0600), "mkfifo", path);
        member->output[i] = (int)need(floor_open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC), "open", path);
    }
    make_cgroups(number);
    need(pipe2(done, O_CLOEXEC), "pipe2", "done");
    member->pid = floor_clone(CLONE_NEWPID | CLONE_NEWNS, &member->pidfd, -1);
    if (member->pid == 0) {
        floor_report_fd = done[1];
        run_container(number);
    }
    close(done[1]);
    await_exec(done[0], "container");
}

static void start(void)
{
    char path[TEXT];

    need(mkdir(format(path, TEXT, "%s/pod", floor_args.state), 0700), "mkdir", path);
    need(mkdir(format(path, TEXT, "%s/pod/shm", floor_args.state), 0755), "mkdir", path);
    put("shm", path, "tmpfs", SAFE, "mode=1777,size=64m");
    start_infra();
    for (int number = 0; number < CONTAINERS; number++)
        start_container(number);
    for (int i = 0; i < 3; i++)
        close(namespaces[i]);
}

static void end(const struct member *member)
{
    siginfo_t info;

    need(syscall(SYS_pidfd_send_signal, member->pidfd, SIGKILL, NULL, 0), "kill", "member");
    need(syscall(SYS_waitid, P_PIDFD, member->pidfd, &info, WEXITED, NULL), "waitid", "member");
    close(member->pidfd);
}

static void stop(void)
{
    char path[TEXT];

    for (int number = 0; number < CONTAINERS; number++) {
        end(&containers[number]);
        close(containers[number].output[0]);
        close(containers[number].output[1]);
    }
    end(&infra);
    need(umount2(format(path, TEXT, "%s/pod/shm", floor_args.state), 0), "umount", path);
    for (size_t i = 0; i < profile.hierarchy_count; i++)
        for (int number = 0; number < CONTAINERS && wanted(i); number++)
            need(rmdir(cgroup_path(path, i, number)), "rmdir", path);
    remove_tree(state_fd, "pod");
}

static void make_hierarchy(size_t hierarchy, const char *file, char *text)
{
    char path[TEXT];
    const int fd = floor_open(format(path, TEXT, "%s/%s", profile.hierarchies[hierarchy].mount, file), O_RDONLY | O_CLOEXEC);
    const long length = fd < 0 ? 0 : need(read(fd, text, TEXT - 1), "read", path);

    text[length] = '\0';
    if (fd < 0)
        return;
    close(fd);
    write_file(format(path, TEXT, "%s/%s", cgroups[hierarchy], file), text);
}

static void setup(void)
{
    char text[TEXT], path[TEXT];

    profile_read();
    state_fd = (int)need(floor_open(floor_args.state, O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open", floor_args.state);
    floor_skeleton(state_fd);
    for (size_t i = 0; i < profile.hierarchy_count; i++) {
        if (!wanted(i))
            continue;
        format(cgroups[i], TEXT, "%s/podfast-plain-floor.%d", profile.hierarchies[i].mount, floor_args.pid);
        need(mkdir(cgroups[i], 0755), "mkdir", cgroups[i]);
        if (strcmp(profile.hierarchies[i].name, "cpuset") != 0)
            continue;
        /* A v1 cpuset without processors takes no process; its children copy these. */
        make_hierarchy(i, "cpuset.cpus", text);
        make_hierarchy(i, "cpuset.mems", text);
        write_file(format(path, TEXT, "%s/cgroup.clone_children", cgroups[i]), "1");
    }
}

static void between(void)
{
}

static void finish(void)
{
    for (size_t i = 0; i < profile.hierarchy_count; i++)
        if (wanted(i))
            need(rmdir(cgroups[i]), "rmdir", cgroups[i]);
    remove_tree(state_fd, "root");
    remove_tree(state_fd, "lower");
}

int main(int argc, char **argv)
{
    static const struct floor_ops ops = {"plain-floor", setup, start, stop, between, finish};

    return floor_main(argc, argv, &ops);
}
