/* SPDX-License-Identifier: Apache-2.0 */
/* podfast-pause for aarch64; x86_64.S says why each step is there. */
        .include "elf.inc"

        .set    SYS_exit, 93
        .set    SYS_rt_sigprocmask, 135
        .set    SYS_rt_sigtimedwait, 137
        .set    SYS_prctl, 167
        .set    SYS_wait4, 260
        .set    PR_SET_DUMPABLE, 4
        .set    WNOHANG, 1
        .set    SIGSET_SIZE, 8
        .set    SIGINT, 2
        .set    SIGTERM, 15

        .text
        elf_header 183, 0x10000         /* pages may be 64 KiB large */

_start:
        mov     x0, #PR_SET_DUMPABLE
        mov     x1, #0
        mov     x8, #SYS_prctl
        svc     #0

        mov     x9, #-1
        str     x9, [sp, #-16]!         /* every signal; the stack pointer stays a multiple of 16 */
        mov     x0, #0
        mov     x1, sp
        mov     x2, #0
        mov     x3, #SIGSET_SIZE
        mov     x8, #SYS_rt_sigprocmask
        svc     #0

reap:
        mov     x0, #-1
        mov     x1, #0
        mov     x2, #WNOHANG
        mov     x3, #0
        mov     x8, #SYS_wait4
        svc     #0
        cmp     w0, #0
        b.gt    reap

        mov     x0, sp
        mov     x2, #0                  /* x1 is still zero */
        mov     x3, #SIGSET_SIZE
        mov     x8, #SYS_rt_sigtimedwait
        svc     #0
        cmp     w0, #SIGTERM
        ccmp    w0, #SIGINT, #4, ne     /* equal if it was TERM, else compare with INT */
        b.ne    reap

        mov     x0, #0
        mov     x8, #SYS_exit
        svc     #0
end:
