// SPDX-License-Identifier: Apache-2.0
// Rule 4: /dev is podfast's own, made of nodes that it makes itself, once for the pod. Where nodes cannot be made (a user namespace) the host's
// are bound one by one. Privileged containers share a second one that also has the host's devices.
#include "shim.h"

#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

struct node {
    const char *name;
    unsigned major, minor;
};
static const struct node nodes[] = {{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}};
static const char *const links[][2] = {
    {"/proc/self/fd", "fd"}, {"/proc/self/fd/0", "stdin"}, {"/proc/self/fd/1", "stdout"}, {"/proc/self/fd/2", "stderr"}, {"pts/ptmx", "ptmx"},
};
static const char *const directories[] = {"pts", "shm", "mqueue"};

static int make_directory(const struct shim *shim, int pod, const char *name, struct pf_report *why) {
    MUST(PF_STAGE_DEV, 0, sys_mkdirat(pod, name, 0755));
    PF_FD dir = sys_openat(pod, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
    MUST(PF_STAGE_DEV, 1, dir);
    const int bound = (shim->plan->flags & PF_POD_ROOTLESS) != 0;
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++)
        MUST(PF_STAGE_DEV, i + 2, sys_mknodat(dir, nodes[i].name, (bound ? S_IFREG : S_IFCHR) | 0666, bound ? 0 : makedev(nodes[i].major, nodes[i].minor)));
    for (size_t i = 0; i < sizeof links / sizeof *links; i++) MUST(PF_STAGE_DEV, 20 + i, sys_symlinkat(links[i][0], dir, links[i][1]));
    for (size_t i = 0; i < 3; i++) MUST(PF_STAGE_DEV, 30 + i, sys_mkdirat(dir, directories[i], 0755));
    return 0;
}

// "c 660 10 229 net/tun": what is there already is podfast's own and stays.
static int add_host_device(int dir, const char *text) {
    char *at;
    const unsigned kind = text[0] == 'b' ? S_IFBLK : S_IFCHR;
    const unsigned long mode = strtoul(text + 1, &at, 8), major_number = strtoul(at, &at, 10), minor_number = strtoul(at, &at, 10);
    const char *name = at + (*at == ' '), *slash = strchr(name, '/');
    char parent[64];
    if (slash && (size_t)(slash - name) < sizeof parent) {
        memcpy(parent, name, (size_t)(slash - name));
        parent[slash - name] = 0;
        sys_mkdirat(dir, parent, 0755);
    }
    int made = sys_mknodat(dir, name, kind | (unsigned)(mode & 0777), (unsigned)makedev((unsigned)major_number, (unsigned)minor_number));
    return made == -EEXIST ? 0 : made;
}

static int make_privileged(const struct shim *shim, int pod, struct pf_report *why) {
    const uint32_t *devices = pf_list(shim->base, shim->plan->devices);
    if (!shim->plan->devices.n) return 0;
    if (make_directory(shim, pod, "dev.privileged", why) < 0) return -1;
    PF_FD dir = sys_openat(pod, "dev.privileged", O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
    for (uint32_t i = 0; i < shim->plan->devices.n; i++) MUST(PF_STAGE_DEV, 100 + i, add_host_device(dir, plan_text(shim, devices[i])));
    return 0;
}

int devices_make(struct shim *shim, int pod, struct pf_report *why) {
    if (make_directory(shim, pod, "dev", why) < 0 || make_privileged(shim, pod, why) < 0) return -1;
    MUST(PF_STAGE_DEV, 40, sys_mount("/pod/dev", "/dev", NULL, MS_BIND, NULL));
    for (size_t i = 0; (shim->plan->flags & PF_POD_ROOTLESS) && i < sizeof nodes / sizeof *nodes; i++) {
        char from[64] = "/host/dev/", to[64] = "/dev/";
        strcat(from, nodes[i].name);
        strcat(to, nodes[i].name);
        MUST(PF_STAGE_DEV, 50 + i, sys_mount(from, to, NULL, MS_BIND, NULL));
    }
    char options[64] = "mode=1777,size=";
    pf_digits(options + strlen(options), shim->plan->shm_bytes);
    MUST(PF_STAGE_DEV, 60, sys_mount("shm", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options));
    return 0;
}
