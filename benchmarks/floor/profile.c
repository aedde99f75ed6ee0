/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "profile.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "rounds.h"

struct profile profile;

const struct paths profile_devices = {{"null", "zero", "full", "random", "urandom", "tty"}, 6};

const char *const profile_links[][2] = {
    {"/proc/self/fd", "fd"},
    {"/proc/self/fd/0", "stdin"},
    {"/proc/self/fd/1", "stdout"},
    {"/proc/self/fd/2", "stderr"},
    {"pts/ptmx", "ptmx"},
    {NULL, NULL},
};

static const char *const read_only[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};

static const char *const masked[] = {
    "/proc/acpi",         "/proc/asound",      "/proc/interrupts",   "/proc/kcore",         "/proc/keys",
    "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi",         "/proc/timer_list",    "/proc/timer_stats",
    "/proc/kmsg",         "/sys/devices/virtual/powercap",           "/sys/firmware",       "/sys/kernel/debug",
    "/sys/kernel/tracing", "/sys/kernel/security",                   "/sys/fs/bpf",         "/sys/fs/pstore",
};

static void add(struct paths *list, const char *path)
{
    list->path[list->count++] = path;
}

static void read_paths(void)
{
    struct stat status;

    for (size_t i = 0; i < sizeof(read_only) / sizeof(read_only[0]); i++)
        if (stat(read_only[i], &status) == 0)
            add(&profile.read_only, read_only[i]);
    for (size_t i = 0; i < sizeof(masked) / sizeof(masked[0]); i++)
        if (stat(masked[i], &status) == 0)
            add(S_ISDIR(status.st_mode) ? &profile.masked_directories : &profile.masked_files, masked[i]);
}

/* One line of /proc/mounts: device, directory, type, options. Foreign directories are passed over. */
static void read_hierarchy(const char *directory, const char *type, const char *options)
{
    static const char top[] = "/sys/fs/cgroup";
    const bool v2 = strcmp(type, "cgroup2") == 0;
    char copy[256], *position = NULL;

    if ((!v2 && strcmp(type, "cgroup") != 0) || strncmp(directory, top, strlen(top)) != 0 ||
        profile.hierarchy_count == MOST_HIERARCHIES)
        return;
    struct hierarchy *entry = &profile.hierarchies[profile.hierarchy_count++];

    *entry = (struct hierarchy){.v2 = v2, .named = !v2};
    format(entry->name, sizeof(entry->name), "%s", directory + strlen(top) + (directory[strlen(top)] == '/'));
    format(entry->mount, sizeof(entry->mount), "%s", directory);
    profile.unified |= v2 && entry->name[0] == '\0';
    format(copy, sizeof(copy), "%s", options);
    for (char *word = strtok_r(copy, ",", &position); word != NULL && !v2; word = strtok_r(NULL, ",", &position)) {
        if (strcmp(word, "rw") == 0 || strcmp(word, "ro") == 0 || strcmp(word, "relatime") == 0 ||
            strncmp(word, "no", 2) == 0 || strncmp(word, "release_agent=", 14) == 0)
            continue;
        const size_t length = strlen(entry->data);

        format(entry->data + length, sizeof(entry->data) - length, "%s%s", length > 0 ? "," : "", word);
        entry->named &= strncmp(word, "name=", 5) == 0 || strcmp(word, "xattr") == 0;
    }
}

void profile_read(void)
{
    char line[1024], directory[96], type[32], options[256];
    FILE *mounts = fopen("/proc/mounts", "re");

    need(mounts != NULL ? 0 : -1, "open", "/proc/mounts");
    while (fgets(line, sizeof(line), mounts) != NULL)
        if (sscanf(line, "%*s %95s %31s %255s", directory, type, options) == 3)
            read_hierarchy(directory, type, options);
    fclose(mounts);
    if (profile.hierarchy_count == 0) {
        errno = ENOENT;
        need(-1, "find cgroups in", "/sys/fs/cgroup");
    }
    read_paths();
    profile_filters();
}

/* Nine capabilities stay: chown dac_override fowner fsetid kill setgid setuid setpcap net_bind_service. */
static const uint32_t kept_capabilities = 1U << CAP_CHOWN | 1U << CAP_DAC_OVERRIDE | 1U << CAP_FOWNER | 1U << CAP_FSETID |
                      1U << CAP_KILL | 1U << CAP_SETGID | 1U << CAP_SETUID | 1U << CAP_SETPCAP |
                      1U << CAP_NET_BIND_SERVICE;

void profile_confine(const struct sock_fprog *filter)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{.effective = kept_capabilities, .permitted = kept_capabilities}};

    need(syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL), "keyctl", "session keyring");
    for (unsigned capability = 0; capability <= CAP_LAST_CAP; capability++)
        if (capability >= 32 || (kept_capabilities & 1U << capability) == 0)
            need(prctl(PR_CAPBSET_DROP, capability), "drop", "capability");
    need(syscall(SYS_setgroups, 0, NULL), "setgroups", "none");
    need(syscall(SYS_setresgid, 0, 0, 0), "setresgid", "0");
    need(syscall(SYS_setresuid, 0, 0, 0), "setresuid", "0");
    need(syscall(SYS_capset, &header, data), "capset", "nine");
    need(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl", "no_new_privs");
    need(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, filter), "seccomp", "filter");
}
