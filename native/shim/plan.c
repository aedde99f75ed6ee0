// SPDX-License-Identifier: Apache-2.0
// The plan comes from another process: every offset, count and string is checked once, here; afterwards it is only read.
#include "shim.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static int inside(const struct shim *shim, uint32_t at, uint32_t n, uint32_t each) {
    return n == 0 || (at % 4 == 0 && at >= sizeof(struct pf_plan) && n <= shim->size / each && at <= shim->size - n * each);
}

static int is_text(const struct shim *shim, uint32_t at) { return at < shim->size; } // the last byte is NUL, so any offset ends

static int is_texts(const struct shim *shim, struct pf_vec vec) {
    if (!inside(shim, vec.at, vec.n, 4)) return 0;
    const uint32_t *list = pf_list(shim->base, vec);
    for (uint32_t i = 0; i < vec.n; i++)
        if (!is_text(shim, list[i])) return 0;
    return 1;
}

static int is_numbers(const struct shim *shim, uint32_t at, uint32_t n, uint32_t below) {
    if (!inside(shim, at, n, 4)) return 0;
    const uint32_t *list = (const void *)(shim->base + at);
    for (uint32_t i = 0; i < n; i++)
        if (list[i] >= below) return 0;
    return 1;
}

static int check_container(const struct shim *shim, const struct pf_container *one) {
    const struct pf_plan *plan = shim->plan;
    if (!is_text(shim, one->name) || !is_text(shim, one->log_dir) || !is_text(shim, one->workdir)) return 0;
    if (!is_texts(shim, one->argv) || !is_texts(shim, one->envp) || !is_texts(shim, one->paths) || !one->argv.n || !one->paths.n) return 0;
    if (!is_numbers(shim, one->groups, one->n_groups, 0xffffffffu) || !is_numbers(shim, one->layers, one->n_layers, plan->n_trees)) return 0;
    if (!one->n_layers || !inside(shim, one->binds, one->n_binds, sizeof(struct pf_bind)) || !inside(shim, one->mounts, one->n_mounts, sizeof(struct pf_mount)))
        return 0;
    const struct pf_bind *binds = (const void *)(shim->base + one->binds);
    for (uint32_t i = 0; i < one->n_binds; i++)
        if (binds[i].tree >= plan->n_trees || !is_text(shim, binds[i].target)) return 0;
    const struct pf_mount *mounts = (const void *)(shim->base + one->mounts);
    for (uint32_t i = 0; i < one->n_mounts; i++)
        if (mounts[i].volume >= plan->n_volumes || !is_text(shim, mounts[i].target)) return 0;
    return 1;
}

static int check_pod(struct shim *shim) {
    const struct pf_plan *plan = shim->plan;
    const struct pf_cgroup *groups = (const void *)(shim->base + plan->cgroups);
    const struct pf_tree *trees = (const void *)(shim->base + plan->trees);
    const struct pf_volume *volumes = (const void *)(shim->base + plan->volumes);
    const struct pf_file *files = (const void *)(shim->base + plan->files);
    if (!inside(shim, plan->cgroups, plan->n_cgroups, sizeof *groups) || !inside(shim, plan->trees, plan->n_trees, sizeof *trees) ||
        !inside(shim, plan->volumes, plan->n_volumes, sizeof *volumes) || !inside(shim, plan->files, plan->n_files, sizeof *files))
        return 0;
    for (uint32_t i = 0; i < plan->n_cgroups; i++) {
        if (!is_text(shim, groups[i].path) || !is_texts(shim, groups[i].writes) || !is_text(shim, groups[i].view) || groups[i].hierarchy > 31) return 0;
        if (groups[i].container >= (int32_t)plan->n_containers || groups[i].container < -1) return 0;
        if ((int)groups[i].hierarchy >= shim->n_hierarchies) shim->n_hierarchies = (int)groups[i].hierarchy + 1;
    }
    for (uint32_t i = 0; i < plan->n_trees; i++)
        if ((trees[i].fd != PF_NO_FD && trees[i].fd > 400) || !is_text(shim, trees[i].path)) return 0;
    for (uint32_t i = 0; i < plan->n_volumes; i++)
        if (volumes[i].kind > PF_VOLUME_MEMORY || (volumes[i].kind == PF_VOLUME_TREE && volumes[i].tree >= plan->n_trees)) return 0;
    for (uint32_t i = 0; i < plan->n_files; i++)
        if (!is_text(shim, files[i].name) || !is_text(shim, files[i].content) || !is_text(shim, files[i].target)) return 0;
    return is_text(shim, plan->hostname) && is_text(shim, plan->state_name) && is_text(shim, plan->trash_name) && is_texts(shim, plan->sysctls) &&
           is_texts(shim, plan->devices) && is_texts(shim, plan->masks) && is_texts(shim, plan->rdonly);
}

static const char **pointers(const struct shim *shim, struct pf_vec vec, const char *const *before, uint32_t n_before) {
    const char **out = calloc(n_before + vec.n + 1u, sizeof *out);
    const uint32_t *list = pf_list(shim->base, vec);
    for (uint32_t i = 0; out && i < n_before; i++) out[i] = before[i];
    for (uint32_t i = 0; out && i < vec.n; i++) out[n_before + i] = shim->base + list[i];
    return out;
}

static int prepare(struct shim *shim) {
    static const char *const init[] = {"podfast-init", "--"};
    shim->containers = calloc(shim->plan->n_containers, sizeof *shim->containers);
    if (!shim->containers) return 0;
    for (uint32_t i = 0; i < shim->plan->n_containers; i++) {
        struct container *container = &shim->containers[i];
        const struct pf_container *planned = plan_container(shim, i);
        container->pidfd = container->report_fd = container->log_fd = -1;
        container->out[0].fd = container->out[1].fd = -1;
        container->argv = pointers(shim, planned->argv, init, planned->flags & PF_C_INIT ? 2 : 0);
        container->envp = pointers(shim, planned->envp, NULL, 0);
        container->paths = pointers(shim, planned->paths, NULL, 0);
        if (!container->argv || !container->envp || !container->paths) return 0;
    }
    return 1;
}

const char *plan_text(const struct shim *shim, uint32_t at) { return shim->base + at; }

const struct pf_container *plan_container(const struct shim *shim, uint32_t index) {
    return (const struct pf_container *)(const void *)(shim->base + shim->plan->containers) + index;
}

int plan_load(struct shim *shim, const char **why) {
    struct stat st;
    *why = "the plan cannot be read";
    if (sys_statat(PF_FD_PLAN, "", &st, AT_EMPTY_PATH) < 0 || st.st_size < (long)sizeof(struct pf_plan) || st.st_size > (64 << 20)) return 0;
    shim->size = (uint32_t)st.st_size;
    shim->base = mmap(NULL, shim->size, PROT_READ, MAP_PRIVATE, PF_FD_PLAN, 0);
    if (shim->base == MAP_FAILED) return 0;
    shim->plan = (const void *)shim->base;
    const struct pf_plan *plan = shim->plan;
    *why = "the plan is of another version of podfast";
    if (plan->magic != PF_PLAN_MAGIC || plan->abi != PF_ABI) return 0;
    *why = "the plan is damaged";
    if (plan->size != shim->size || shim->base[shim->size - 1]) return 0;
    if (!plan->n_containers || plan->n_containers > MAX_CONTAINERS) return 0;
    if (!inside(shim, plan->containers, plan->n_containers, sizeof(struct pf_container)) || !check_pod(shim)) return 0;
    for (uint32_t i = 0; i < plan->n_containers; i++)
        if (!check_container(shim, plan_container(shim, i))) return 0;
    shim->n_trees_first = PF_FD_FIRST_HIERARCHY + shim->n_hierarchies;
    return prepare(shim);
}
