// SPDX-License-Identifier: Apache-2.0
// probe NAME…: makes the call that each name stands for, and prints the name of its error, or "done".
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>


#define NEWUSER 0x10000000
#define NEWNS 0x00020000

static long clone3_user(void) {
    struct clone_args args = {.flags = NEWUSER, .exit_signal = SIGCHLD};
    const long pid = syscall(SYS_clone3, &args, sizeof args);
    if (pid == 0) _exit(0);
    return pid;
}

static long clone_user(void) {
    const long pid = syscall(SYS_clone, NEWUSER | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) _exit(0);
    return pid;
}

// Onto a terminal of one's own, so that only the filter can say no.
static long push_input(void) {
    const int master = open("/dev/ptmx", O_RDWR | O_NOCTTY);
    if (master < 0) return -1;
    char c = 'x';
    const long result = ioctl(master, TIOCSTI, &c);
    const int error = errno;
    close(master);
    errno = error;
    return result;
}

static long call(const char *name) {
    char page[4096] = {0};
    const char *rest = strchr(name, ':');
    rest = rest ? rest + 1 : "";
#define IS(word) (strcmp(name, word) == 0)
    if (IS("unshare:user")) return syscall(SYS_unshare, NEWUSER);
    if (IS("unshare:mnt")) return syscall(SYS_unshare, NEWNS);
    if (IS("clone:user")) return clone_user();
    if (IS("clone3:user")) return clone3_user();
    if (IS("mount")) return mount("x", "/tmp", "tmpfs", 0, NULL);
    if (IS("keyctl")) return syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, -3, 0);
    if (IS("add_key")) return syscall(SYS_add_key, "user", "x", "y", 1, -3);
    if (IS("bpf")) return syscall(SYS_bpf, 0, page, 64);
    if (IS("io_uring")) return syscall(425, 1, page);
    if (IS("tiocsti")) return push_input();
    if (IS("open_by_handle")) return syscall(SYS_open_by_handle_at, AT_FDCWD, page, O_RDONLY);
    if (IS("mknod")) return mknod("/tmp/disk", S_IFBLK | 0600, 0x800);
    if (IS("chroot")) return chroot("/tmp");
    if (IS("kexec")) return syscall(SYS_kexec_load, 0, 0, page, 0);
    if (IS("init_module")) return syscall(SYS_init_module, page, 16, "");
    if (IS("reboot")) return syscall(SYS_reboot, 0xfee1dead, 672274793, 0, 0); // CAD_OFF: harmless
    if (IS("swapon")) return syscall(SYS_swapon, "/tmp", 0);
    if (IS("perf")) return syscall(SYS_perf_event_open, page, 0, -1, -1, 0);
    if (IS("userfaultfd")) return syscall(SYS_userfaultfd, 0);
    if (IS("socket:vsock")) return socket(40, SOCK_STREAM, 0);
    if (IS("socket:alg")) return socket(38, SOCK_SEQPACKET, 0);
    if (IS("socket:packet")) return socket(AF_PACKET, SOCK_RAW, 0);
    if (IS("sethostname")) return sethostname("x", 1);
    if (IS("settime")) return syscall(SYS_clock_settime, 0, page);
    if (IS("personality")) return syscall(SYS_personality, 0x0040000); // ADDR_NO_RANDOMIZE
    if (IS("pivot")) return syscall(SYS_pivot_root, ".", ".");
    if (IS("move_mount")) return syscall(429, AT_FDCWD, "/", AT_FDCWD, "/tmp", 0);
    if (IS("open_tree")) return syscall(428, AT_FDCWD, "/", 1);
    if (IS("fsopen")) return syscall(430, "tmpfs", 0);
    if (IS("quotactl")) return syscall(SYS_quotactl, 0, "/", 0, page);
    if (IS("syslog")) return syscall(SYS_syslog, 3, page, 100);
    if (IS("acct")) return acct("/tmp/acct");
    if (IS("nfsservctl") || IS("lookup_dcookie")) return syscall(212, 0, page, 10);
    if (strncmp(name, "setns:", 6) == 0) {
        const int fd = open(rest, O_RDONLY);
        return fd < 0 ? -1 : syscall(SYS_setns, fd, 0);
    }
    if (strncmp(name, "ptrace:", 7) == 0) return ptrace(PTRACE_SEIZE, atoi(rest), 0, 0);
    errno = EINVAL;
    return -1;
}

int main(int argc, char **argv) {
    static const struct { int number; const char *name; } names[] = {
        {EPERM, "EPERM"}, {ENOSYS, "ENOSYS"}, {EACCES, "EACCES"}, {EINVAL, "EINVAL"}, {ENOENT, "ENOENT"}, {EAFNOSUPPORT, "EAFNOSUPPORT"},
        {EOPNOTSUPP, "EOPNOTSUPP"}, {EIO, "EIO"}, {EFAULT, "EFAULT"},
    };
    for (int i = 1; i < argc; i++) {
        char number[16];
        errno = 0;
        const long result = call(argv[i]);
        const char *word = "done";
        if (result < 0) {
            snprintf(number, sizeof number, "%d", errno);
            word = number;
            for (size_t n = 0; n < sizeof names / sizeof *names; n++)
                if (names[n].number == errno) word = names[n].name;
        }
        puts(word);
        fflush(stdout);
    }
    return 0;
}
