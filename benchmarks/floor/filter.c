/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The filter of the floors: about 290 permitted calls, all others ENOSYS. The line is what a plain generator writes: one comparison
 * after the other. The tree gives the same verdicts by halving the list; the kernel, which runs a new filter once for every call
 * number, charges a tenth for it.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

#include "profile.h"
#include "rounds.h"

#if defined(__x86_64__)
#define NATIVE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE AUDIT_ARCH_AARCH64
#endif

/* A line has a head of four instructions and, for each block of BLOCK comparisons, the two that a jump of eight bits makes necessary. */
enum { HEAD = 4, BLOCK = 100, PERMITTED = FILTER_INSTRUCTIONS - HEAD - 6 - 1 };

static const uint32_t refused[] = {
    SYS_mount, SYS_umount2, SYS_pivot_root, SYS_ptrace, SYS_keyctl, SYS_add_key, SYS_request_key, SYS_bpf, SYS_reboot,
    SYS_kexec_load, SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_swapon, SYS_swapoff, SYS_setns, SYS_unshare,
    SYS_perf_event_open, SYS_userfaultfd, SYS_quotactl, SYS_acct, SYS_settimeofday, SYS_clock_settime, SYS_syslog, SYS_vhangup,
    SYS_nfsservctl, SYS_open_by_handle_at, SYS_name_to_handle_at, SYS_lookup_dcookie, SYS_process_vm_writev,
};

/* At worst every number is a run of its own: two borders, and for each of them a comparison, a jump and a verdict. */
static uint32_t permitted[PERMITTED], borders[2 * PERMITTED];
static struct sock_filter line[FILTER_INSTRUCTIONS], tree[8 * PERMITTED];
static unsigned short tree_length;
struct sock_fprog profile_line, profile_tree;

static struct sock_filter statement(uint16_t code, uint32_t k)
{
    return (struct sock_filter)BPF_STMT(code, k);
}

static struct sock_filter jump(uint16_t code, uint32_t k, uint8_t yes, uint8_t no)
{
    return (struct sock_filter)BPF_JUMP(code, k, yes, no);
}

static void choose_permitted(void)
{
    size_t count = 0;

    for (uint32_t number = 0; count < PERMITTED; number++) {
        bool fine = number < 335 || number > 423;

        for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
            fine = fine && number != refused[i];
        /* Every twelfth one is left out, so that the list has gaps as a real one has, and ends near the last call. */
        if (fine && (number % 12 != 7 || number == SYS_execve || number == SYS_exit_group))
            permitted[count++] = number;
    }
}

static size_t head(struct sock_filter *at)
{
    at[0] = statement(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
    at[1] = jump(BPF_JMP | BPF_JEQ | BPF_K, NATIVE, 1, 0);
    at[2] = statement(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    at[3] = statement(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    return HEAD;
}

static void make_line(void)
{
    size_t at = head(line);

    for (size_t first = 0; first < PERMITTED; first += BLOCK) {
        const size_t last = first + BLOCK < PERMITTED ? first + BLOCK : PERMITTED;

        for (size_t i = first; i < last; i++)
            line[at++] = jump(BPF_JMP | BPF_JEQ | BPF_K, permitted[i], (uint8_t)(last - i), 0);
        line[at++] = jump(BPF_JMP | BPF_JA, 1, 0, 0);
        line[at++] = statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    }
    line[at++] = statement(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS);
    need(at == FILTER_INSTRUCTIONS ? 0 : -1, "build", "line of filter instructions");
    profile_line = (struct sock_fprog){.len = FILTER_INSTRUCTIONS, .filter = line};
}

/*
 * The tree is over the borders at which the verdict changes: below `borders[i]` and from `borders[i - 1]` on, it is `i`'s parity.
 * A jump of 32 bits reaches the upper half however long the lower one is.
 */
static void make_branch(size_t first, size_t last)
{
    if (first == last) {
        tree[tree_length++] = statement(BPF_RET | BPF_K, first % 2 == 1 ? SECCOMP_RET_ALLOW : SECCOMP_RET_ERRNO | ENOSYS);
        return;
    }
    const size_t middle = (first + last) / 2;

    tree[tree_length++] = jump(BPF_JMP | BPF_JGE | BPF_K, borders[middle], 0, 1);
    const unsigned short far = tree_length++;

    make_branch(first, middle);
    tree[far] = jump(BPF_JMP | BPF_JA, (uint32_t)(tree_length - far - 1), 0, 0);
    make_branch(middle + 1, last);
}

static void make_tree(void)
{
    size_t count = 0;

    for (size_t i = 0; i < PERMITTED; i++) {
        if (i > 0 && permitted[i] == permitted[i - 1] + 1)
            continue;
        if (i > 0)
            borders[count++] = permitted[i - 1] + 1;
        borders[count++] = permitted[i];
    }
    borders[count++] = permitted[PERMITTED - 1] + 1;
    tree_length = (unsigned short)head(tree);
    make_branch(0, count);
    profile_tree = (struct sock_fprog){.len = tree_length, .filter = tree};
}

void profile_filters(void)
{
    choose_permitted();
    make_line();
    make_tree();
}
