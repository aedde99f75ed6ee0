// SPDX-License-Identifier: Apache-2.0
// The zone, continued: /dev. Rule 4: it is podfast's own, a tmpfs for each container, of nodes that are made here. (One for the pod would be
// cheaper by 50 µs, and root in one container could then replace /dev/null for the others.) shm is the pod's; devpts is the container's.
// Where nodes cannot be made (a user namespace) the host's are bound one by one.
#include "child.h"

struct node {
    const char *name, *host;
    unsigned major, minor;
};
static const struct node nodes[] = {
    {"null", "/host/dev/null", 1, 3},     {"zero", "/host/dev/zero", 1, 5},       {"full", "/host/dev/full", 1, 7},
    {"random", "/host/dev/random", 1, 8}, {"urandom", "/host/dev/urandom", 1, 9}, {"tty", "/host/dev/tty", 5, 0},
};
static const char *const links[][2] = {
    {"/proc/self/fd", "fd"}, {"/proc/self/fd/0", "stdin"}, {"/proc/self/fd/1", "stdout"}, {"/proc/self/fd/2", "stderr"}, {"pts/ptmx", "ptmx"},
};
static const char *const directories[] = {"pts", "shm", "mqueue"};

// The kernel's own packing of a device number (new_encode_dev); the C library's is wider than mknodat's argument.
static unsigned device(unsigned major, unsigned minor) { return (minor & 0xff) | major << 8 | (minor & ~0xffu) << 12; }

static unsigned take_number(const char **at, unsigned base) {
    unsigned value = 0;
    while (**at == ' ') (*at)++;
    for (; **at >= '0' && **at <= '9'; (*at)++) value = value * base + (unsigned)(**at - '0');
    return value;
}

// "c 660 10 229 net/tun": for privileged containers. What is there already is podfast's own and stays.
static int add_host_device(int dir, const char *text) {
    char parent[32];
    const char *at = text + 1;
    const unsigned kind = text[0] == 'b' ? S_IFBLK : S_IFCHR, mode = take_number(&at, 8) & 0777, major = take_number(&at, 10), minor = take_number(&at, 10);
    while (*at == ' ') at++;
    for (size_t i = 0; at[i] && i < sizeof parent; i++) {
        parent[i] = at[i] == '/' ? 0 : at[i];
        if (at[i] != '/') continue;
        sys_mkdirat(dir, parent, 0755);
        break;
    }
    int made = sys_mknodat(dir, at, kind | mode, device(major, minor));
    return made == -EEXIST ? 0 : made;
}

static int make_nodes(int dir, int rootless) {
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++) {
        int failed = sys_mknodat(dir, nodes[i].name, (rootless ? S_IFREG : S_IFCHR) | 0666, rootless ? 0 : device(nodes[i].major, nodes[i].minor));
        if (failed < 0) return failed;
        PF_FD tree = rootless ? pf_clone_tree(AT_FDCWD, nodes[i].host, 0) : -1;
        if (rootless) failed = tree < 0 ? tree : pf_attach(tree, dir, nodes[i].name);
        if (failed < 0) return failed;
    }
    return 0;
}

void pf_make_dev(const struct pf_child *child) {
    const int report = child->report_fd, rootless = (child->plan->flags & PF_POD_ROOTLESS) != 0;
    PF_TRY(report, PF_STAGE_DEV, 0, sys_mount("podfast", "/dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=755,size=64k,nr_inodes=1k"));
    PF_FD dir = sys_openat(AT_FDCWD, "/dev", O_PATH | O_DIRECTORY, 0);
    PF_TRY(report, PF_STAGE_DEV, 1, dir);
    PF_TRY(report, PF_STAGE_DEV, 2, make_nodes(dir, rootless));
    for (size_t i = 0; i < sizeof links / sizeof *links; i++) PF_TRY(report, PF_STAGE_DEV, 10 + i, sys_symlinkat(links[i][0], dir, links[i][1]));
    for (size_t i = 0; i < sizeof directories / sizeof *directories; i++) PF_TRY(report, PF_STAGE_DEV, 20 + i, sys_mkdirat(dir, directories[i], 0755));
    const uint32_t *devices = pf_list(child->base, child->plan->devices);
    for (uint32_t i = 0; (child->container->flags & PF_C_PRIVILEGED) && i < child->plan->devices.n; i++)
        PF_TRY(report, PF_STAGE_DEV, 100 + i, add_host_device(dir, pf_text(child->base, devices[i])));
    PF_TRY(report, PF_STAGE_DEV, 30, sys_move_mount(AT_FDCWD, "/shm", dir, "shm", 0));
    static const char terminals[] = "newinstance,ptmxmode=0666,mode=0620,gid=5"; // an ordinary user's namespace does not map group tty
    const char *options = rootless ? "newinstance,ptmxmode=0666" : terminals;
    PF_TRY(report, PF_STAGE_DEV, 31, sys_mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, options));
}
