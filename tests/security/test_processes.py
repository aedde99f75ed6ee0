# SPDX-License-Identifier: Apache-2.0
"""Rules 6, 7, 14, 15 and the default profile: what processes of a container see of podfast's own, and may not do."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from podfast.pod import Life
from tests.pod.conftest import PATIENCE, READY, World, container, lines, pause_of, pid_of, shim_of, until

LIVES: tuple[Life, ...] = ("embedded", "served")
PROBE = Path(__file__).with_name("probe.c")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
SHOW = "for f in /proc/$$/fd/*; do [ ! -e $f ] || echo ${f##*/} $(readlink $f); done"


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A static program that makes one forbidden call for each of its arguments and prints the error."""
    if shutil.which("musl-gcc") is None:
        pytest.skip("there is no musl-gcc")
    out = tmp_path_factory.mktemp("probe") / "probe"
    build = "import sys; sys.path.insert(0, sys.argv[1]); import toolchain; from pathlib import Path; "
    build += "toolchain.compile_program(Path(sys.argv[3]), [Path(sys.argv[2])], [])"
    subprocess.run([sys.executable, "-c", build, PROBE.parents[2] / "native", PROBE, out], check=True)
    return out


@pytest.mark.parametrize("life", LIVES)
def test_descriptors_of_a_container_and_of_an_exec(world: World, life: Life) -> None:
    """0 to 2 and no more, whatever the engine and the shim hold open and inheritable."""
    open_here = os.open("/etc/passwd", os.O_RDONLY)
    os.set_inheritable(open_here, True)
    try:
        with world.run(f"{SHOW}; {READY}".replace("$$", "$$$$"), life=life) as pod:  # core/v1: $$ escapes $
            until(lambda: len(lines(pod)) > 3, "four lines")
            assert [line.split()[0] for line in lines(pod)[:3]] == ["0", "1", "2"] and lines(pod)[3] == "ready"
            written = pod.exec("c0", ["sh", "-c", SHOW]).stdout.decode().split("\n")
            assert [line.split()[0] for line in written if line] == ["0", "1", "2"]
            assert not [line for line in (*lines(pod), *written) if "passwd" in line]
            for pid in (pid_of(pod), pause_of(pod)):
                assert set(os.listdir(f"/proc/{pid}/fd")) <= {"0", "1", "2"}
            pod.stop()
    finally:
        os.close(open_here)


@pytest.mark.parametrize("life", LIVES)
def test_nothing_of_the_hosts_environment_crosses(world: World, life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_HOST", "seen")
    with world.run(READY, life=life) as pod:
        for pid in (pid_of(pod), pause_of(pod), shim_of(pod)):
            assert b"SECRET_OF_THE_HOST" not in Path(f"/proc/{pid}/environ").read_bytes()
        assert b"SECRET" not in pod.exec("c0", ["env"]).stdout
        pod.stop()


@needs_root
def test_our_programs_cannot_be_written_through_proc(world: World) -> None:
    """Rule 7 (CVE-2019-5736): what a container can reach as /proc/<pid>/exe is on a read-only file system without a
    writable way in, even for a privileged one.
    """
    script = "for p in /proc/[0-9]*; do [ -e $p/exe ] && (echo x > $p/exe) 2>&1; done; cat /proc/1/comm; echo end"
    one = container(f"{script}; {READY}", securityContext={"privileged": True})
    with world.run(one, shareProcessNamespace=True) as pod:
        until(lambda: "ready" in lines(pod), "ready")
        written = lines(pod)
        assert "podfast-pause" in written
        assert not [
            line for line in written[: written.index("end") - 1] if "busy" not in line and "Read-only" not in line
        ]


@needs_root
def test_what_an_exec_shows_on_its_way_in(world: World) -> None:
    """A loop in the container tries to catch the helper between its entry and its program, and may read nothing."""
    watch = r"""
        my %seen; print "ready\n"; $| = 1; my $end = time + 4;
        while (time < $end) { for my $p (glob "/proc/[0-9]*") {
            next if $p eq "/proc/$$$$" or $p eq "/proc/1";
            my $exe = readlink "$p/exe";
            print "caught $exe\n" if defined $exe && $exe =~ /podfast|shim/ && !$seen{$exe}++;
            print "memory\n" if open(my $f, "<", "$p/environ") && <$f> =~ /podfast/ && !$seen{m}++;
            for my $fd (glob "$p/fd/*") { # their numbers are no secret, what they are is
                my $held = readlink $fd;
                next if !defined $held || $held =~ m{^(/dev/null|/etc/|/usr/|pipe:)};
                print "held $held\n" if !$seen{$held}++;
            }
        } } print "end\n"; sleep 1000
    """
    with world.ready(container(None, command=["perl", "-e", watch])) as pod:
        deadline = time.monotonic() + 3
        n = 0
        while time.monotonic() < deadline:
            assert pod.exec("c0", ["true"]).exit_code == 0
            n += 1
        until(lambda: "end" in lines(pod), "end")
        assert n > 20 and lines(pod) == ["ready", "end"]


@needs_root
def test_nobody_joins_pause_from_a_container(world: World, probe: Path) -> None:
    """In a shared pid namespace pause is PID 1: its root is an empty directory, and its namespaces are shut."""
    mounts = [{"name": "p", "mountPath": "/probe"}]
    volumes = [{"name": "p", "hostPath": {"path": str(probe), "type": "File"}}]
    with world.ready(container(READY, volumeMounts=mounts), volumes=volumes, shareProcessNamespace=True) as pod:
        assert pod.exec("c0", ["cat", "/proc/1/comm"]).stdout == b"podfast-pause\n"
        assert pod.exec("c0", ["sh", "-c", "ls -A /proc/1/root/ | wc -l"]).stdout == b"0\n"
        for kind in ("mnt", "net", "pid", "cgroup"):
            result = pod.exec("c0", ["/probe", f"setns:/proc/1/ns/{kind}"])
            assert result.stdout.strip() in (b"EPERM", b"EACCES", b"ENOSYS"), (kind, result)
        assert pod.exec("c0", ["/probe", "ptrace:1"]).stdout.strip() in (b"EPERM", b"ENOSYS")
        assert os.readlink(f"/proc/{pause_of(pod)}/root").endswith("/empty")


FORBIDDEN = (
    "unshare:user", "unshare:mnt", "clone:user", "clone3:user", "mount", "keyctl", "add_key", "bpf", "io_uring",
    "tiocsti", "open_by_handle", "mknod", "chroot", "setns:/proc/self/ns/net", "kexec", "init_module", "reboot",
    "swapon", "perf", "userfaultfd", "socket:vsock", "socket:alg", "socket:packet", "sethostname", "settime",
    "personality", "pivot", "move_mount", "open_tree", "fsopen", "quotactl", "syslog", "acct",
    "nfsservctl", "lookup_dcookie",
)  # fmt: skip


@needs_root
def test_forbidden_calls(world: World, probe: Path) -> None:
    """The default profile: as root in the container, in the container's program and in an exec alike."""
    mounts = [{"name": "p", "mountPath": "/probe"}]
    volumes = [{"name": "p", "hostPath": {"path": str(probe), "type": "File"}}]
    one = container(None, command=["sh", "-c", f"/probe {' '.join(FORBIDDEN)}; {READY}"], volumeMounts=mounts)
    with world.run(one, volumes=volumes) as pod:
        until(lambda: "ready" in lines(pod), "ready")
        inside = dict(zip(FORBIDDEN, lines(pod), strict=False))
        added = pod.exec("c0", ["/probe", *FORBIDDEN]).stdout.decode().split()
        allowed = {"EPERM", "ENOSYS", "EACCES", "EAFNOSUPPORT", "EOPNOTSUPP"}
        assert {name: error for name, error in inside.items() if error not in allowed} == {}
        assert dict(zip(FORBIDDEN, added, strict=True)) == inside
        status = Path(f"/proc/{pid_of(pod)}/status").read_text()
        assert re.search(r"^Seccomp:\t2$", status, re.MULTILINE)


@needs_root
def test_each_process_has_a_session_keyring_of_its_own(world: World) -> None:
    """Rule 15: /proc/keys shows, to root of the host, that neither a container nor an exec holds the engine's."""
    syscall = {"x86_64": 250, "aarch64": 219}[os.uname().machine]
    script = f"print syscall({syscall}, 0, -3, 0), chr(10)"
    ours = int(subprocess.run(["perl", "-e", script], capture_output=True, text=True, check=True).stdout)
    one = container(None, command=["perl", "-e", f"$| = 1; {script}; sleep 1000"])
    with world.ready(one, one, options={"seccomp": "unconfined"}) as pod:
        rings = [int(lines(pod, name)[0]) for name in pod.containers]
        rings.append(int(pod.exec("c0", ["perl", "-e", script]).stdout))
        assert len({ours, *rings}) == 4 and min(rings) > 0


@needs_root
def test_shim_and_children_cannot_be_read_by_other_users(world: World) -> None:
    """Rule 6, PR_SET_DUMPABLE: what belongs to the shim is root's, whoever asks."""
    with world.ready(READY) as pod:
        shim = shim_of(pod)
        assert os.stat(f"/proc/{shim}/environ").st_uid == 0
        reader = "import os, sys; os.setgroups([]); os.setuid(12345); os.listdir(f'/proc/{sys.argv[1]}/fd')"
        for pid in (shim, pause_of(pod)):
            done = subprocess.run([sys.executable, "-c", reader, str(pid)], capture_output=True, text=True)
            assert "PermissionError" in done.stderr


def test_getcwd_starts_with_a_slash(world: World) -> None:
    one = container("cat /proc/1/cwd 2>/dev/null; readlink /proc/1/cwd; pwd", workingDir="/usr/share/../../etc")
    with world.run(one) as pod:
        pod.wait(PATIENCE)
        assert lines(pod)[-2:] == ["/etc", "/etc"]
