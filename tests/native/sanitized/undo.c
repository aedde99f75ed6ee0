// SPDX-License-Identifier: Apache-2.0
// undo ROOT ROUNDS SEED: the undo interpreter, with records that are cut and joined at random. ROOT/run is the run directory; nothing
// but what is below ROOT may go, whatever the records say and wherever the links in ROOT point.
#include "core.h"
#include "random.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// Groups are always named whole: to remove a directory that is none and never empties takes two seconds.
static const char *const words[] = {
    "cgroup /a/b\n", "cgroup /none/x\n", "trash ", "rmtree ", "unlink ", "name ", "mkdir ", "\n", "\n", "\n", "\t", " ", "/a", "/a/b", "/link", "/link/kept", "/up/kept", "/..", "/../kept",
    "/", "//", "/trash/t", "/name", "0123456789abcdef", "\\", "\x01", "/a/b/c/d", ".", "..", "{\"boot_id\": \"", "/a\t/trash/t", "/name\t0123456789abcdef",
};

static void populate(int root) {
    mkdirat(root, "a", 0755);
    mkdirat(root, "a/b", 0755);
    mkdirat(root, "trash", 0755);
    symlinkat("/..", root, "up");
    symlinkat("../outside", root, "link");
    symlinkat("0123456789abcdef", root, "name");
}

static void record(int run, const char *boot) {
    static char text[70000];
    size_t at = (size_t)snprintf(text, sizeof text, "{\"boot_id\": \"%s\"}\n", boot);
    for (uint32_t n = random_below(12); n > 0; n--) {
        const char *word = words[random_below(sizeof words / sizeof *words)];
        const uint32_t times = random_below(200) ? 1 : 5000;
        for (uint32_t i = 0; i < times && at + strlen(word) < sizeof text; i++) at += (size_t)snprintf(text + at, sizeof text - at, "%s", word);
    }
    if (random_below(2)) text[at - 1] = '\n';
    if (!random_below(8)) at = random_below((uint32_t)at + 1);
    const int file = openat(run, "pod", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (file < 0 || write(file, text, at) != (ssize_t)at) abort();
    close(file);
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    random_state = strtoull(argv[3], NULL, 10) * 2 + 1;
    const int root = open(argv[1], O_RDONLY | O_DIRECTORY), run = openat(root, "run", O_RDONLY | O_DIRECTORY);
    if (root < 0 || run < 0) return 2;
    char boot[37] = {0};
    const int known = openat(root, "proc/sys/kernel/random/boot_id", O_RDONLY);
    if (read(known, boot, 36) != 36) return 2;
    close(known);
    unsigned long clean = 0;
    for (unsigned long round = strtoul(argv[2], NULL, 10); round > 0; round--) {
        struct pf_err err = {0};
        populate(root);
        record(run, random_below(3) ? boot : "another");
        clean += pf_undo_replay(root, run, &err) == 0;
        if (memchr(err.what, 0, sizeof err.what) == NULL) return 4;
    }
    close(run);
    close(root);
    printf("%lu replayed without a complaint\n", clean);
    return 0;
}
