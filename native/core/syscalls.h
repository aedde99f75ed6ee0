/* SPDX-License-Identifier: Apache-2.0 */
/* The only door to the kernel. Every call returns its result or -errno and touches no libc state, so that the same wrappers serve
 * the engine's threads, the shim and the zone between clone and exec.
 *
 * Calls that need more than Linux 6.1, and what happens without them:
 *   PIDFD_GET_INFO (exit codes: 6.15)  the exit status of a process that is not a child is unknown (PF_EXIT_UNKNOWN)
 *   open_tree from a detached mount (6.15)  never used: trees are attached in the pod's mount namespace and cloned from there
 * Everything else here is in 6.1. */
#ifndef PF_SYSCALLS_H
#define PF_SYSCALLS_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/sched.h>

#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif
#ifndef AT_EMPTY_PATH
#define AT_EMPTY_PATH 0x1000
#endif
#ifndef MNT_DETACH
#define MNT_DETACH 2
#endif
#include <sys/wait.h>
#ifndef WEXITED
#define WEXITED 4
#endif
#ifndef WNOHANG
#define WNOHANG 1
#endif
#define PF_WALL 0x40000000

typedef long pf_word;

static inline pf_word pf_sys(pf_word n, pf_word a, pf_word b, pf_word c, pf_word d, pf_word e, pf_word f) {
#if defined(__x86_64__)
    pf_word ret;
    register pf_word r10 __asm__("r10") = d;
    register pf_word r8 __asm__("r8") = e;
    register pf_word r9 __asm__("r9") = f;
    __asm__ volatile("syscall" : "=a"(ret) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
    return ret;
#elif defined(__aarch64__)
    register pf_word x8 __asm__("x8") = n;
    register pf_word x0 __asm__("x0") = a;
    register pf_word x1 __asm__("x1") = b;
    register pf_word x2 __asm__("x2") = c;
    register pf_word x3 __asm__("x3") = d;
    register pf_word x4 __asm__("x4") = e;
    register pf_word x5 __asm__("x5") = f;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
    return x0;
#else
#error "podfast knows x86-64 and aarch64"
#endif
}

#define PF_P(pointer) ((pf_word)(uintptr_t)(pointer))
#define PF_CALL(number, a, b, c, d, e) pf_sys((pf_word)(number), (pf_word)(a), (pf_word)(b), (pf_word)(c), (pf_word)(d), (pf_word)(e), 0)

/* clone3 into fn(arg) on the stack given in args; the child never comes back from here. */
static inline pf_word sys_clone3_call(struct clone_args *args, void (*fn)(void *), void *arg) {
#if defined(__x86_64__)
    pf_word ret;
    register void *r8 __asm__("r8") = arg;
    register void (*r9)(void *) __asm__("r9") = fn;
    __asm__ volatile("syscall\n\ttest %%rax, %%rax\n\tjnz 1f\n\txor %%ebp, %%ebp\n\tmov %%r8, %%rdi\n\tcall *%%r9\n\tud2\n1:"
                     : "=a"(ret)
                     : "0"((pf_word)__NR_clone3), "D"(args), "S"(sizeof *args), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return ret;
#else
    register pf_word x8 __asm__("x8") = __NR_clone3;
    register pf_word x0 __asm__("x0") = PF_P(args);
    register pf_word x1 __asm__("x1") = (pf_word)sizeof *args;
    register void *x5 __asm__("x5") = arg;
    register void (*x6)(void *) __asm__("x6") = fn;
    __asm__ volatile("svc 0\n\tcbnz x0, 1f\n\tmov x29, 0\n\tmov x0, x5\n\tblr x6\n\tbrk 1\n1:" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x5), "r"(x6) : "memory", "x30");
    return x0;
#endif
}

__attribute__((noreturn)) static inline void sys_exit(int status) {
    for (;;) PF_CALL(__NR_exit_group, status, 0, 0, 0, 0);
}

static inline int sys_openat(int dir, const char *path, int flags, unsigned mode) {
    return (int)PF_CALL(__NR_openat, dir, PF_P(path), flags | O_CLOEXEC, mode, 0);
}
static inline int sys_openat2(int dir, const char *path, uint64_t flags, uint64_t resolve) {
    struct open_how how = {.flags = flags | O_CLOEXEC, .mode = 0, .resolve = resolve};
    return (int)PF_CALL(__NR_openat2, dir, PF_P(path), PF_P(&how), sizeof how, 0);
}
static inline int sys_close(int fd) { return (int)PF_CALL(__NR_close, fd, 0, 0, 0, 0); }
static inline int sys_close_range(unsigned first, unsigned last, unsigned flags) { return (int)PF_CALL(__NR_close_range, first, last, flags, 0, 0); }
static inline pf_word sys_read(int fd, void *buffer, size_t size) { return PF_CALL(__NR_read, fd, PF_P(buffer), size, 0, 0); }
static inline pf_word sys_write(int fd, const void *buffer, size_t size) { return PF_CALL(__NR_write, fd, PF_P(buffer), size, 0, 0); }
static inline pf_word sys_pwrite(int fd, const void *buffer, size_t size, uint64_t at) { return PF_CALL(__NR_pwrite64, fd, PF_P(buffer), size, at, 0); }
static inline pf_word sys_pread(int fd, void *buffer, size_t size, uint64_t at) { return PF_CALL(__NR_pread64, fd, PF_P(buffer), size, at, 0); }
static inline int sys_dup3(int from, int to, int flags) { return (int)PF_CALL(__NR_dup3, from, to, flags, 0, 0); }
static inline int sys_fcntl(int fd, int command, pf_word argument) { return (int)PF_CALL(__NR_fcntl, fd, command, argument, 0, 0); }
static inline int sys_ioctl(int fd, unsigned long request, pf_word argument) { return (int)PF_CALL(__NR_ioctl, fd, request, argument, 0, 0); }
static inline int sys_ftruncate(int fd, uint64_t size) { return (int)PF_CALL(__NR_ftruncate, fd, size, 0, 0, 0); }
static inline int sys_mkdirat(int dir, const char *path, unsigned mode) { return (int)PF_CALL(__NR_mkdirat, dir, PF_P(path), mode, 0, 0); }
static inline int sys_mknodat(int dir, const char *path, unsigned mode, uint64_t device) { return (int)PF_CALL(__NR_mknodat, dir, PF_P(path), mode, device, 0); }
static inline int sys_symlinkat(const char *text, int dir, const char *path) { return (int)PF_CALL(__NR_symlinkat, PF_P(text), dir, PF_P(path), 0, 0); }
static inline int sys_unlinkat(int dir, const char *path, int flags) { return (int)PF_CALL(__NR_unlinkat, dir, PF_P(path), flags, 0, 0); }
static inline int sys_renameat(int from_dir, const char *from, int to_dir, const char *to) {
    return (int)PF_CALL(__NR_renameat2, from_dir, PF_P(from), to_dir, PF_P(to), 0);
}
static inline pf_word sys_readlinkat(int dir, const char *path, char *buffer, size_t size) { return PF_CALL(__NR_readlinkat, dir, PF_P(path), PF_P(buffer), size, 0); }
static inline int sys_fchmodat(int dir, const char *path, unsigned mode) { return (int)PF_CALL(__NR_fchmodat, dir, PF_P(path), mode, 0, 0); }
static inline int sys_fchmod(int fd, unsigned mode) { return (int)PF_CALL(__NR_fchmod, fd, mode, 0, 0, 0); }
static inline int sys_fchown(int fd, unsigned uid, unsigned gid) { return (int)PF_CALL(__NR_fchown, fd, uid, gid, 0, 0); }
static inline int sys_statat(int dir, const char *path, struct stat *out, int flags) { return (int)PF_CALL(__NR_newfstatat, dir, PF_P(path), PF_P(out), flags, 0); }
static inline pf_word sys_getdents(int fd, void *buffer, size_t size) { return PF_CALL(__NR_getdents64, fd, PF_P(buffer), size, 0, 0); }
static inline int sys_chdir(const char *path) { return (int)PF_CALL(__NR_chdir, PF_P(path), 0, 0, 0, 0); }
static inline int sys_fchdir(int fd) { return (int)PF_CALL(__NR_fchdir, fd, 0, 0, 0, 0); }
static inline int sys_chroot(const char *path) { return (int)PF_CALL(__NR_chroot, PF_P(path), 0, 0, 0, 0); }
static inline int sys_pivot_root(const char *root, const char *old) { return (int)PF_CALL(__NR_pivot_root, PF_P(root), PF_P(old), 0, 0, 0); }
static inline int sys_umount2(const char *path, int flags) { return (int)PF_CALL(__NR_umount2, PF_P(path), flags, 0, 0, 0); }
static inline int sys_mount(const char *source, const char *target, const char *type, unsigned long flags, const void *data) {
    return (int)PF_CALL(__NR_mount, PF_P(source), PF_P(target), PF_P(type), flags, PF_P(data));
}
static inline int sys_open_tree(int dir, const char *path, unsigned flags) { return (int)PF_CALL(__NR_open_tree, dir, PF_P(path), flags | OPEN_TREE_CLOEXEC, 0, 0); }
static inline int sys_move_mount(int from, const char *from_path, int to, const char *to_path, unsigned flags) {
    return (int)PF_CALL(__NR_move_mount, from, PF_P(from_path), to, PF_P(to_path), flags);
}
static inline int sys_fsopen(const char *type) { return (int)PF_CALL(__NR_fsopen, PF_P(type), FSOPEN_CLOEXEC, 0, 0, 0); }
static inline int sys_fsconfig(int fd, unsigned command, const char *key, const void *value, int aux) {
    return (int)PF_CALL(__NR_fsconfig, fd, command, PF_P(key), PF_P(value), aux);
}
static inline int sys_fsmount(int fd, unsigned attributes) { return (int)PF_CALL(__NR_fsmount, fd, FSMOUNT_CLOEXEC, attributes, 0, 0); }
static inline int sys_mount_setattr(int dir, const char *path, unsigned flags, const struct mount_attr *attributes) {
    return (int)PF_CALL(__NR_mount_setattr, dir, PF_P(path), flags, PF_P(attributes), sizeof *attributes);
}
static inline int sys_unshare(uint64_t flags) { return (int)PF_CALL(__NR_unshare, flags, 0, 0, 0, 0); }
static inline int sys_setns(int fd, uint64_t flags) { return (int)PF_CALL(__NR_setns, fd, flags, 0, 0, 0); }
static inline int sys_prctl(int what, pf_word a, pf_word b) { return (int)PF_CALL(__NR_prctl, what, a, b, 0, 0); }
static inline int sys_capset(struct __user_cap_header_struct *header, const struct __user_cap_data_struct *data) {
    return (int)PF_CALL(__NR_capset, PF_P(header), PF_P(data), 0, 0, 0);
}
static inline int sys_seccomp(unsigned operation, unsigned flags, const struct sock_fprog *program) { return (int)PF_CALL(__NR_seccomp, operation, flags, PF_P(program), 0, 0); }
static inline int sys_setgroups(size_t n, const uint32_t *groups) { return (int)PF_CALL(__NR_setgroups, n, PF_P(groups), 0, 0, 0); }
static inline int sys_setresuid(unsigned id) { return (int)PF_CALL(__NR_setresuid, id, id, id, 0, 0); }
static inline int sys_setresgid(unsigned id) { return (int)PF_CALL(__NR_setresgid, id, id, id, 0, 0); }
static inline int sys_setsid(void) { return (int)PF_CALL(__NR_setsid, 0, 0, 0, 0, 0); }
static inline int sys_getpid(void) { return (int)PF_CALL(__NR_getpid, 0, 0, 0, 0, 0); }
static inline pf_word sys_getcwd(char *buffer, size_t size) { return PF_CALL(__NR_getcwd, PF_P(buffer), size, 0, 0, 0); }
static inline int sys_sethostname(const char *name, size_t size) { return (int)PF_CALL(__NR_sethostname, PF_P(name), size, 0, 0, 0); }
static inline pf_word sys_keyctl(int operation, pf_word a) { return PF_CALL(__NR_keyctl, operation, a, 0, 0, 0); }
static inline int sys_execveat(int dir, const char *path, const char *const *argv, const char *const *envp, int flags) {
    return (int)PF_CALL(__NR_execveat, dir, PF_P(path), PF_P(argv), PF_P(envp), flags);
}
static inline int sys_pidfd_open(int pid, unsigned flags) { return (int)PF_CALL(__NR_pidfd_open, pid, flags, 0, 0, 0); }
static inline int sys_pidfd_signal(int pidfd, int signal) { return (int)PF_CALL(__NR_pidfd_send_signal, pidfd, signal, 0, 0, 0); }
static inline int sys_waitid(int kind, int id, siginfo_t *info, int options) { return (int)PF_CALL(__NR_waitid, kind, id, PF_P(info), options, 0); }
static inline int sys_wait4(int pid, int *status, int options) { return (int)PF_CALL(__NR_wait4, pid, PF_P(status), options, 0, 0); }
static inline int sys_sigmask(int how, const uint64_t *set, uint64_t *old) { return (int)PF_CALL(__NR_rt_sigprocmask, how, PF_P(set), PF_P(old), 8, 0); }
static inline int sys_sigaction_default(int signal) {
    /* struct kernel_sigaction: handler, flags, restorer (x86), mask; all zero is SIG_DFL */
    const uint64_t action[4] = {0};
    return (int)PF_CALL(__NR_rt_sigaction, signal, PF_P(action), 0, 8, 0);
}
static inline int sys_socket(int family, int type, int protocol) { return (int)PF_CALL(__NR_socket, family, type, protocol, 0, 0); }
static inline int sys_memfd(const char *name, unsigned flags) { return (int)PF_CALL(__NR_memfd_create, PF_P(name), flags, 0, 0, 0); }
static inline int sys_pipe(int ends[2], int flags) { return (int)PF_CALL(__NR_pipe2, PF_P(ends), flags, 0, 0, 0); }
static inline int sys_eventfd(unsigned value, int flags) { return (int)PF_CALL(__NR_eventfd2, value, flags, 0, 0, 0); }
static inline pf_word sys_sendmsg(int fd, const struct msghdr *message, int flags) { return PF_CALL(__NR_sendmsg, fd, PF_P(message), flags, 0, 0); }
static inline pf_word sys_recvmsg(int fd, struct msghdr *message, int flags) { return PF_CALL(__NR_recvmsg, fd, PF_P(message), flags, 0, 0); }
static inline int sys_flock(int fd, int operation) { return (int)PF_CALL(__NR_flock, fd, operation, 0, 0, 0); }
static inline int sys_statfs(int fd, void *out) { return (int)PF_CALL(__NR_fstatfs, fd, PF_P(out), 0, 0, 0); }
static inline int sys_poll1(int fd, short events, int timeout_ms, short *revents) {
    struct { int fd; short events, revents; } one = {fd, events, 0};
    struct timespec time = {.tv_sec = timeout_ms / 1000, .tv_nsec = (long)(timeout_ms % 1000) * 1000000L};
    int n = (int)PF_CALL(__NR_ppoll, PF_P(&one), 1, timeout_ms < 0 ? 0 : PF_P(&time), 0, 8);
    if (revents) *revents = one.revents;
    return n;
}

#endif
