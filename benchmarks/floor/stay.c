/* SPDX-License-Identifier: Apache-2.0 */
/* The least program that stays until it is killed: the floors' infra process and the programs of their containers. */
#include <sys/syscall.h>

#if defined(__x86_64__)
__attribute__((noreturn)) void _start(void);

void _start(void)
{
    for (;;) {
        long number = SYS_pause;
        __asm__ volatile("syscall" : "+a"(number) : : "rcx", "r11", "memory");
    }
}
#else
#include <unistd.h>

int main(void)
{
    for (;;)
        pause();
}
#endif
