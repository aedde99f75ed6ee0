// SPDX-License-Identifier: Apache-2.0
// plan FILE ROUNDS SEED: the shim's check of plans, against plans that are damaged at random. What passes the check is read as
// the shim would read it, all of it. The plan in FILE fills whole pages, so one byte too far is a fault. Prints how many passed.
#include "random.h"
#include "shim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static size_t weight; /* so that no read is optimised away */

static void read_text(const struct shim *shim, uint32_t at) { weight += strlen(plan_text(shim, at)); }

static void read_texts(const struct shim *shim, struct pf_vec vec) {
    const uint32_t *list = (const void *)(shim->base + vec.at);
    for (uint32_t i = 0; i < vec.n; i++) read_text(shim, list[i]);
}

static void read_pointers(const char **list) {
    for (size_t i = 0; list[i]; i++) weight += strlen(list[i]);
}

static void read_container(const struct shim *shim, uint32_t index) {
    const struct pf_container *one = plan_container(shim, index);
    read_text(shim, one->name);
    read_text(shim, one->log_dir);
    read_text(shim, one->workdir);
    read_pointers(shim->containers[index].argv);
    read_pointers(shim->containers[index].envp);
    read_pointers(shim->containers[index].paths);
    const struct pf_bind *binds = (const void *)(shim->base + one->binds);
    for (uint32_t i = 0; i < one->n_binds; i++) read_text(shim, binds[i].target);
    const struct pf_mount *mounts = (const void *)(shim->base + one->mounts);
    for (uint32_t i = 0; i < one->n_mounts; i++) read_text(shim, mounts[i].target);
    const uint32_t *layers = (const void *)(shim->base + one->layers), *groups = (const void *)(shim->base + one->groups);
    const struct pf_tree *trees = (const void *)(shim->base + shim->plan->trees);
    for (uint32_t i = 0; i < one->n_layers; i++) read_text(shim, trees[layers[i]].path);
    for (uint32_t i = 0; i < one->n_groups; i++) weight += groups[i];
}

static void read_pod(const struct shim *shim) {
    const struct pf_plan *plan = shim->plan;
    read_text(shim, plan->hostname);
    read_text(shim, plan->state_name);
    read_text(shim, plan->trash_name);
    read_texts(shim, plan->sysctls);
    read_texts(shim, plan->masks);
    read_texts(shim, plan->rdonly);
    read_texts(shim, plan->devices);
    const struct pf_cgroup *groups = (const void *)(shim->base + plan->cgroups);
    for (uint32_t i = 0; i < plan->n_cgroups; i++) {
        read_text(shim, groups[i].path);
        read_text(shim, groups[i].view);
        read_texts(shim, groups[i].writes);
        if (groups[i].container >= 0) weight += (size_t)shim->containers[groups[i].container].attempt;
    }
    const struct pf_file *files = (const void *)(shim->base + plan->files);
    for (uint32_t i = 0; i < plan->n_files; i++) {
        read_text(shim, files[i].name);
        read_text(shim, files[i].content);
        read_text(shim, files[i].target);
    }
    for (uint32_t i = 0; i < plan->n_containers; i++) read_container(shim, i);
}

static void drop(struct shim *shim) {
    for (uint32_t i = 0; shim->containers && i < shim->plan->n_containers; i++) {
        free(shim->containers[i].argv);
        free(shim->containers[i].envp);
        free(shim->containers[i].paths);
    }
    free(shim->containers);
    if (shim->base && shim->base != MAP_FAILED) munmap(shim->base, shim->size);
}

static int try_plan(const char *text, size_t size) {
    struct shim shim = {0};
    const char *why = "";
    if (pwrite(PF_FD_PLAN, text, size, 0) != (ssize_t)size) abort();
    int good = plan_load(&shim, &why);
    if (good) read_pod(&shim);
    drop(&shim);
    return good;
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    static char plan[1 << 20], damaged[1 << 20];
    FILE *file = fopen(argv[1], "rb");
    if (!file) return 2;
    const size_t size = fread(plan, 1, sizeof plan, file);
    fclose(file);
    random_state = strtoull(argv[3], NULL, 10) * 2 + 1;
    const int memory = memfd_create("plan", 0);
    if (dup2(memory, PF_FD_PLAN) < 0) return 2;
    if (memory != PF_FD_PLAN) close(memory);
    if (!try_plan(plan, size)) return 3;
    unsigned long passed = 0;
    for (unsigned long round = strtoul(argv[2], NULL, 10); round > 0; round--) {
        memcpy(damaged, plan, size);
        for (uint32_t changes = 1 + random_below(3); changes > 0; changes--) {
            const uint32_t value = random_edge((uint32_t)size);
            memcpy(damaged + 4 * (3 + random_below((uint32_t)size / 4 - 4)), &value, sizeof value); // not what says that it is a plan
        }
        passed += (unsigned long)try_plan(damaged, size);
    }
    printf("%lu passed, %zu bytes of text\n", passed, weight);
    return 0;
}
