/* SPDX-License-Identifier: Apache-2.0 */
/* What a container of a floor program gets: the same in `plain` and in `cheap`, and the same in effect as in a pod of podfast. */
#ifndef FLOOR_PROFILE_H
#define FLOOR_PROFILE_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>

enum { CONTAINERS = 2, MOST_HIERARCHIES = 16, FILTER_INSTRUCTIONS = 300 };

struct hierarchy {
    char name[64];  /* the directory below /sys/fs/cgroup; "" on a host with v2 alone */
    char mount[96]; /* where the host has it mounted */
    char data[96];  /* the options that mount it again; "" for v2 */
    bool v2;
    bool named;     /* v1 without a controller: seen by a container, but with no directory for it */
};

struct paths {
    const char *path[24];
    size_t count;
};

/* Found by profile_read: what of the host's goes into a container. Paths that do not exist are left out. */
struct profile {
    struct hierarchy hierarchies[MOST_HIERARCHIES];
    size_t hierarchy_count;
    bool unified;              /* v2 alone */
    struct paths read_only;    /* below /proc */
    struct paths masked_files; /* below /proc and /sys */
    struct paths masked_directories;
};

extern struct profile profile;
extern const struct paths profile_devices;
extern const char *const profile_links[][2]; /* target, name below /dev; ends with NULL */

void profile_read(void);

/* One program of FILTER_INSTRUCTIONS in a line, and the same verdicts as a balanced tree. */
void profile_filters(void);
extern struct sock_fprog profile_line, profile_tree;

/* In the child, last of all: keyring, capabilities, no_new_privs and the filter. */
void profile_confine(const struct sock_fprog *filter);

#endif
