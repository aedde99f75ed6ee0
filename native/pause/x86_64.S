/* SPDX-License-Identifier: Apache-2.0 */
/* podfast-pause for x86-64: holds the namespaces of a pod, reaps what is orphaned in them, ends on TERM or INT.
 *
 * It has no signal handlers: everything that can be blocked is, from the start and for ever, and then waited for. So no
 * signal is lost between two waits, and none can end it but KILL, and TERM and INT by the way below. A signal that comes
 * before the block below is kept only if whoever starts it has blocked signals already: a PID 1 drops it otherwise.
 *
 * push and pop are the shortest way to load a small constant. The kernel starts a program with all registers zero, and a
 * system call changes none but rax, rcx and r11. Nothing is read from memory but the signal set, on the stack.
 */
        .intel_syntax noprefix
        .include "elf.inc"

        .set    SYS_rt_sigprocmask, 14
        .set    SYS_exit, 60
        .set    SYS_wait4, 61
        .set    SYS_rt_sigtimedwait, 128
        .set    SYS_prctl, 157
        .set    PR_SET_DUMPABLE, 4
        .set    WNOHANG, 1
        .set    SIGSET_SIZE, 8
        .set    SIGINT, 2
        .set    SIGTERM, 15

        .text
        elf_header 62, 0x1000

_start:
        /* exec has made it dumpable again; with a shared pid namespace, containers could trace it and so enter the
         * namespaces that it holds. */
        push    PR_SET_DUMPABLE
        pop     rdi
        mov     al, SYS_prctl           /* prctl(PR_SET_DUMPABLE, 0) */
        syscall

        push    -1                      /* every signal; stays on the stack */
        push    rsp
        pop     rsi
        xor     edi, edi
        push    SIGSET_SIZE
        pop     r10
        push    SYS_rt_sigprocmask      /* rt_sigprocmask(SIG_BLOCK, &all, NULL, 8) */
        pop     rax
        syscall

        /* Before the first wait too: children may have ended before this program began. One SIGCHLD may stand for many
         * children, so after each signal whatever it was all that have ended are taken. */
reap:
        push    -1
        pop     rdi
        xor     esi, esi
        push    WNOHANG
        pop     rdx
        xor     r10d, r10d
        push    SYS_wait4               /* wait4(-1, NULL, WNOHANG, NULL) */
        pop     rax
        syscall
        test    eax, eax
        jg      reap

        push    rsp
        pop     rdi
        xor     edx, edx                /* rsi is still zero */
        mov     r10b, SIGSET_SIZE
        xor     eax, eax
        mov     al, SYS_rt_sigtimedwait /* rt_sigtimedwait(&all, NULL, NULL, 8) */
        syscall
        cmp     al, SIGTERM             /* no error number ends in these bytes */
        je      leave
        cmp     al, SIGINT
        jne     reap

leave:
        xor     edi, edi
        push    SYS_exit                /* exit(0): there is one thread */
        pop     rax
        syscall
end:
