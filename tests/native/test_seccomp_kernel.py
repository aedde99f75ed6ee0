# SPDX-License-Identifier: Apache-2.0
"""The default filter as the kernel runs it: real calls, what the runtime does before exec, the cost of installing."""

from __future__ import annotations

import errno
import json
import platform
import re
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest

SECCOMP = Path(__file__).parents[2] / "native" / "seccomp"
EPERM, ENOSYS, EAFNOSUPPORT, EFAULT = errno.EPERM, errno.ENOSYS, errno.EAFNOSUPPORT, errno.EFAULT
SYS_ADMIN, NET_RAW, SYS_CHROOT = 1 << 21, 1 << 13, 1 << 18
NEWUSER, NEWNS, CLONE_FS = 0x10000000, 0x00020000, 0x200
HIGH = 1 << 32

# guard CAPABILITIES none|drop PROGRAM ARGUMENT...: what the runtime does between installing the filter and exec.
GUARD = """
#define _GNU_SOURCE
#include "pf_seccomp_default.h"
#include <grp.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(int argc, char **argv) {
    struct sock_filter filter[PF_SECCOMP_MAX_LEN];
    struct sock_fprog program = {pf_seccomp_fill(filter, strtoull(argv[1], NULL, 0)), filter};
    const gid_t groups[] = {65533};
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct none[2] = {{0, 0, 0}, {0, 0, 0}};
    if (argc < 4) return 100;
    if (strcmp(argv[2], "drop") != 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return 101;
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program)) return 102;
    if (strcmp(argv[2], "drop") == 0) {
        if (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) || prctl(PR_CAPBSET_DROP, 21, 0, 0, 0)) return 103;
        if (syscall(SYS_setgroups, 1, groups) || syscall(SYS_setresgid, 65534, 65534, 65534)) return 104;
        if (syscall(SYS_setresuid, 65534, 65534, 65534) || syscall(SYS_capset, &header, none)) return 105;
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) || prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)) return 106;
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return 107;
    }
    umask(022);
    if (chdir("/") || syscall(SYS_close_range, 3, ~0U, 4)) return 108;
    execv(argv[3], argv + 3);
    return 109;
}
"""

# Makes the calls it is given and says 0, or the error number, for each.
PROBE = """
import ctypes, json, os, sys
call = ctypes.CDLL(None, use_errno=True).syscall
call.restype = ctypes.c_long
answers = []
for number, *arguments in json.loads(sys.argv[1]):
    ctypes.set_errno(0)
    answer = call(ctypes.c_long(number), *map(ctypes.c_ulong, arguments))
    answers.append(ctypes.get_errno() if answer < 0 else 0)
print(json.dumps(answers), flush=True)
"""

EVERYDAY = """
import mmap, os, select, signal, socket, subprocess, sys, tempfile, threading, time
done = []
threads = [threading.Thread(target=done.append, args=(n,)) for n in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]
assert sorted(done) == list(range(8))
assert subprocess.run([sys.executable, "-S", "-c", "print(6 * 7)"], capture_output=True, check=True).stdout == b"42\\n"
assert os.waitstatus_to_exitcode(os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)[1]) == 0
pid = os.fork()
if pid == 0:
    os.setsid(); os.kill(os.getpid(), signal.SIGTERM); os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGTERM
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
peer, _ = server.accept()
client.sendall(b"x" * 100)
assert peer.recv(100) == b"x" * 100
a, b = socket.socketpair()
socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).close()
poll = select.epoll(); poll.register(a, select.EPOLLOUT); assert poll.poll(1)
signal.setitimer(signal.ITIMER_REAL, 0.01); signal.sigwait({signal.SIGALRM}) if signal.pthread_sigmask(
    signal.SIG_BLOCK, {signal.SIGALRM}) is not None else None
with tempfile.TemporaryFile() as file:
    file.write(os.urandom(4096)); file.flush(); os.fsync(file.fileno())
    mmap.mmap(file.fileno(), 4096).close()
os.sched_getaffinity(0); os.times(); os.getloadavg(); time.sleep(0.001); os.listdir("/")
print("fine")
"""


@pytest.fixture(scope="module")
def guard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    scratch = tmp_path_factory.mktemp("seccomp")
    scratch.chmod(0o755)
    subprocess.run([sys.executable, SECCOMP / "generate.py", scratch / "pf_seccomp_default.h"], check=True)
    (scratch / "guard.c").write_text(GUARD)
    subprocess.run(["gcc", "-O1", "-o", scratch / "guard", scratch / "guard.c"], check=True)
    return scratch / "guard"


def numbers() -> dict[str, int]:
    source = "#include <asm/unistd.h>\n"
    macros = subprocess.run(["gcc", "-E", "-dM", "-"], input=source, capture_output=True, text=True, check=True).stdout
    return {name: int(nr) for name, nr in re.findall(r"#define __NR_(\w+) (\d+)", macros)}


def ask(guard: Path | None, calls: list[tuple[int, ...]], capabilities: int = 0) -> list[int]:
    prefix = [str(guard), hex(capabilities), "none"] if guard else []
    done = subprocess.run(
        [*prefix, sys.executable, "-S", "-c", PROBE, json.dumps(calls)], capture_output=True, text=True, check=True
    )
    answers: list[int] = json.loads(done.stdout)
    return answers


FORBIDDEN: list[tuple[str, tuple[int, ...], int]] = [  # harmless or refused with another error when there is no filter
    ("unshare", (NEWUSER,), EPERM),
    ("unshare", (NEWNS,), EPERM),
    ("setns", (HIGH - 1, 0), EPERM),
    ("clone", (NEWUSER | CLONE_FS, 0, 0, 0, 0), EPERM),
    ("clone", (NEWNS | CLONE_FS | 17, 0, 0, 0, 0), EPERM),
    ("clone", (HIGH | NEWNS | CLONE_FS | 17, 0, 0, 0, 0), EPERM),
    ("clone3", (0, 0), ENOSYS),
    ("mount", (0, 0, 0, 0, 0), EPERM),
    ("umount2", (0, 0), EPERM),
    ("pivot_root", (0, 0), EPERM),
    ("open_tree", (HIGH - 1, 0, 0), EPERM),
    ("fsopen", (0, 0), EPERM),
    ("chroot", (0,), EPERM),
    ("keyctl", (0, 0xFFFFFFFD, 0), EPERM),
    ("add_key", (0, 0, 0, 0, 0), EPERM),
    ("request_key", (0, 0, 0, 0), EPERM),
    ("bpf", (999, 0, 0), EPERM),
    ("perf_event_open", (0, 0, 0, 0, 0), EPERM),
    ("userfaultfd", (0xFFFF,), EPERM),
    ("kexec_load", (0, 0, 0, 0xFFFF), EPERM),
    ("init_module", (0, 0, 0), EPERM),
    ("reboot", (0, 0, 0, 0), EPERM),
    ("swapon", (0, 0), EPERM),
    ("settimeofday", (0, 0), EPERM),
    ("open_by_handle_at", (HIGH - 1, 0, 0), EPERM),
    ("socket", (63, 1, 0), EAFNOSUPPORT),
    ("socket", (17, 3, 0), EPERM),
    ("ioctl", (1, 0x5412, 0), EPERM),
    ("ioctl", (1, HIGH | 0x5412, 0), EPERM),
    ("ioctl", (1, 0x541C, 0), EPERM),
    ("personality", (0x40000,), EPERM),
]
PERMITTED: list[tuple[str, tuple[int, ...], int]] = [
    ("socket", (1, 1, 0), 0),
    ("socket", (HIGH | 2, 2, 0), 0),
    ("socket", (16, 3, 0), 0),
    ("ioctl", (1, 0x5413, 0), errno.ENOTTY),
    ("personality", (HIGH - 1,), 0),
    ("personality", (0,), 0),
    ("getpid", (), 0),
    ("openat2", (0, 0, 0, 0), errno.EINVAL),
    ("ptrace", (16, 0, 0, 0), errno.ESRCH),
]


def test_forbidden_calls_are_answered_by_the_filter(guard: Path) -> None:
    table = numbers()
    cases = [(table[name], *arguments) for name, arguments, _ in FORBIDDEN]
    with_filter, without = ask(guard, cases), ask(None, cases)
    wanted = [answer for _, _, answer in FORBIDDEN]
    assert with_filter == wanted
    # The kernel refuses some of them itself, depending on what this process may do here; the others prove the filter.
    assert sum(plain != answer for plain, answer in zip(without, wanted, strict=True)) >= 15, without


def test_io_uring_and_unknown_numbers(guard: Path) -> None:
    """Apart, because a host may forbid io_uring as well, and knows no more of these numbers than the filter."""
    numbers_of_x32 = [(0x40000000 | 39,)] if platform.machine() == "x86_64" else []
    assert ask(guard, [(nr, 0, 0, 0) for nr in (425, 426, 427)]) == [EPERM] * 3
    assert set(ask(guard, [(1000,), (511,), (423,), *numbers_of_x32])) == {ENOSYS}


def test_permitted_calls_reach_the_kernel(guard: Path) -> None:
    table = numbers()
    answers = ask(guard, [(table[name], *arguments) for name, arguments, _ in PERMITTED])
    assert answers == [wanted for _, _, wanted in PERMITTED]


def test_gates(guard: Path) -> None:
    table = numbers()
    cases = [(table["unshare"], NEWUSER), (table["chroot"], 0), (table["socket"], 17, 3, 0), (table["keyctl"], 0, 0, 0)]
    assert ask(guard, cases, SYS_ADMIN) == [0, EPERM, EPERM, EPERM]
    assert ask(guard, cases, SYS_CHROOT) == [EPERM, EFAULT, EPERM, EPERM]
    assert ask(guard, cases, NET_RAW)[:2] == [EPERM, EPERM]
    assert ask(guard, [(table["clone3"], 0, 0)], SYS_ADMIN) == [errno.EINVAL]


@pytest.mark.parametrize("way", ["none", "drop"])
def test_everyday_program(guard: Path, way: str) -> None:
    """As root with no_new_privs, and as the runtime starts an ordinary user's program."""
    script = "grep -q 'Seccomp:.*2' /proc/self/status && id -u"
    shell = [str(guard), "0", way, "/bin/sh", "-c", script]
    user = subprocess.run(shell, capture_output=True, text=True, check=True).stdout.strip()
    assert user == ("0" if way == "none" else "65534")
    if way == "none":  # the interpreter of the tests may lie where other users cannot go
        program = [str(guard), "0", way, sys.executable, "-c", EVERYDAY]
        assert subprocess.run(program, capture_output=True, text=True, check=True).stdout == "fine\n"


INT80 = """
import ctypes, mmap, os
page = mmap.mmap(-1, 4096, prot=7)
page.write(bytes.fromhex("b814000000cd80c3"))  # mov eax, 20 (getpid of i386); int 0x80; ret
print(ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))(), os.getpid())
"""


def test_the_32_bit_door_is_closed(guard: Path) -> None:
    """A 64-bit process can make 32-bit calls, whose numbers mean other things: the process is killed."""
    if platform.machine() != "x86_64":
        return  # no such door
    plain = subprocess.run([sys.executable, "-S", "-c", INT80], capture_output=True, text=True, check=False)
    guarded = subprocess.run([guard, "0", "none", sys.executable, "-S", "-c", INT80], capture_output=True, check=False)
    if plain.returncode == 0:
        assert len(set(plain.stdout.split())) == 1
        assert guarded.returncode == -signal.SIGSYS
    else:  # a kernel without 32-bit calls
        assert guarded.returncode == plain.returncode


# cost FILE FILE...: µs to install each filter, medians of rounds taken in turns, each in a new process.
COST = """
#include <linux/filter.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
enum { ROUNDS = 101 };
static int by_size(const void *a, const void *b) { return (*(const double *)a > *(const double *)b) * 2 - 1; }
int main(int argc, char **argv) {
    static struct sock_filter filters[4][4096];
    static double costs[4][ROUNDS];
    unsigned short lengths[4];
    double *cost = mmap(NULL, sizeof *cost, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (int i = 1; i < argc; i++) {
        FILE *file = fopen(argv[i], "rb");
        lengths[i - 1] = (unsigned short)fread(filters[i - 1], sizeof filters[0][0], 4096, file);
        fclose(file);
    }
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < argc - 1; i++) {
            pid_t pid = fork();
            if (pid == 0) {
                struct sock_fprog program = {lengths[i], filters[i]};
                struct timespec from, to;
                prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
                clock_gettime(CLOCK_MONOTONIC, &from);
                long answer = syscall(SYS_seccomp, 1, 0, &program);
                clock_gettime(CLOCK_MONOTONIC, &to);
                *cost = (double)(to.tv_sec - from.tv_sec) * 1e6 + (double)(to.tv_nsec - from.tv_nsec) / 1e3;
                _exit(answer != 0);
            }
            int status;
            if (waitpid(pid, &status, 0) != pid || status != 0) return 1;
            costs[i][round] = *cost;
        }
    for (int i = 0; i < argc - 1; i++) {
        qsort(costs[i], ROUNDS, sizeof costs[0][0], by_size);
        printf("%.1f\\n", costs[i][ROUNDS / 2]);
    }
    return 0;
}
"""


def test_cost_of_installing(guard: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Beside the same verdicts as a list. Only the ratio is held: the machine may be busy."""
    scratch = guard.parent
    header = (scratch / "pf_seccomp_default.h").read_text()
    text = header.partition("pf_seccomp_default[PF")[2].partition("};")[0]
    tree = [tuple(int(field, 0) for field in one.split(", ")) for one in re.findall(r"\{(0x\S+, .*?)\},", text)]
    calls = sorted(nr for nr in numbers().values() if nr < 470)
    entries = [pair for nr in calls for pair in ((0x15, 0, 1, nr), (0x06, 0, 0, 0x7FFF0000))]
    linear = [*tree[:1], (0x15, 1, 0, tree[1][3]), (0x06, 0, 0, 0x80000000), tree[2], *entries, (0x06, 0, 0, 0x50026)]
    for name, instructions in (("tree", tree), ("linear", linear)):
        (scratch / name).write_bytes(b"".join(struct.pack("=HBBI", *one) for one in instructions))
    (scratch / "cost.c").write_text(COST)
    subprocess.run(["gcc", "-O1", "-o", scratch / "cost", scratch / "cost.c"], check=True)
    done = subprocess.run(
        [scratch / "cost", scratch / "tree", scratch / "linear"], capture_output=True, text=True, check=True
    )
    by_tree, by_list = map(float, done.stdout.split())
    with capsys.disabled():
        print(f"\nfilter installed in {by_tree} µs as a tree of {len(tree)}, {by_list} µs as a list of {len(linear)}")
    assert by_tree < 0.5 * by_list
