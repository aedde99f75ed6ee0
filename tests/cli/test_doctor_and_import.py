# SPDX-License-Identifier: Apache-2.0
"""`podfast doctor` and `podfast import`."""

import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from podfast.cli import checks
from podfast.cli.checks import GOOD, LIMITED, MISSING, Check
from podfast.cli.host import Host, Mount
from podfast.places import Places
from tests.cli.conftest import Podfast

RESTRICTED = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns"
PLACES = Places("/var/lib/podfast", "/run/podfast")


class Fake(Host):
    """A machine that lacks what a test wants it to lack."""

    def __init__(self, **facts: object) -> None:
        super().__init__()
        self.root = True
        self.files: dict[str, int] = {}
        self.__dict__.update(facts)

    def number(self, path: str) -> int | None:
        return self.files[path] if path in self.files else super().number(path)


def look(host: Host, name: str) -> Check:
    return next(check for check in checks.run_all(host, PLACES) if check.name == name)


def test_the_report_of_this_machine(podfast: Podfast) -> None:
    result = podfast("doctor")
    assert result.returncode == 0, result.stdout  # pods run here, or these tests could not
    assert result.stderr == "" and "\x1b" not in result.stdout
    assert "Pods run on this machine" in result.stdout
    report = json.loads(podfast("doctor", "--json").stdout)
    assert report["able"] is True
    names = {check["name"] for check in report["checks"]}
    assert names >= {"kernel", "privileges", "user namespaces", "mounts", "cgroups", "overlay", "run root", "nftables"}
    for check in report["checks"]:
        assert check["state"] in (GOOD, LIMITED)
        assert check["state"] == GOOD or (check["costs"] and check["remedy"]), check


def test_doctor_changes_nothing(podfast: Podfast) -> None:
    podfast("doctor")
    assert os.listdir(podfast.roots.root) == os.listdir(podfast.roots.runroot) == []


@pytest.mark.parametrize(
    ("facts", "name", "state", "word"),
    [
        ({"version": (5, 15)}, "kernel", MISSING, "Linux 6.1 or newer"),
        ({"version": (6, 1)}, "kernel", LIMITED, "exit codes"),
        ({"version": (6, 18)}, "kernel", GOOD, ""),
        ({"machine": "riscv64"}, "machine", MISSING, "another machine"),
        ({"has_capability": lambda _: False}, "privileges", MISSING, "privileged"),
        ({"root": False}, "privileges", LIMITED, "loopback"),
        ({"files": {"/proc/sys/user/max_user_namespaces": 0}}, "user namespaces", LIMITED, "sysctl"),
        ({"files": {"/proc/sys/user/max_user_namespaces": 0}, "root": False}, "user namespaces", MISSING, "sysctl"),
        (
            {"files": {RESTRICTED: 1}},
            "user namespaces",
            LIMITED,
            "profile",
        ),
        ({"files": {"/proc/sys/user/max_net_namespaces": 9}}, "namespaces", LIMITED, "max_net_namespaces"),
        ({"has_filesystem": lambda _: False}, "overlay", MISSING, "modprobe overlay"),
        ({"mounts": (Mount("/", "overlay", frozenset()),)}, "overlay", LIMITED, "--root"),
        ({"mounts": (Mount("/", "ext4", frozenset()),)}, "run root", LIMITED, "tmpfs"),
        ({"mounts": (Mount("/", "ext4", frozenset()), Mount("/run", "tmpfs", frozenset()))}, "run root", GOOD, ""),
        ({"mounts": (Mount("/", "ext4", frozenset()),)}, "cgroups", LIMITED, "cgroup2"),
        ({"mounts": tuple(Mount(f"/{i}", "tmpfs", frozenset()) for i in range(2000))}, "mounts", LIMITED, "pruned"),
        ({"has_nftables": lambda: False}, "nftables", LIMITED, "modprobe"),
        ({"security_modules": frozenset}, "access control", LIMITED, "one layer less"),
        ({"files": {"/proc/sys/kernel/keys/root_maxkeys": 200}}, "keyrings", LIMITED, "sysctl"),
        ({"compiled_problem": lambda: "no podfast-shim"}, "compiled parts", MISSING, "install podfast again"),
    ],
)
def test_what_a_machine_may_lack(facts: dict[str, object], name: str, state: str, word: str) -> None:
    check = look(Fake(**facts), name)
    assert check.state == state
    assert word in f"{check.costs} {check.remedy}"


def test_a_check_that_fails_is_no_failure_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_path: str) -> os.statvfs_result:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "statvfs", broken)
    found = list(checks.run_all(Fake(), PLACES))
    assert len(found) > 10
    assert next(check for check in found if check.name == "space").state == LIMITED


def test_mount_points_are_unescaped_and_the_deepest_wins() -> None:
    kinds = {"/": "ext4", "/a": "xfs", "/a b": "tmpfs"}
    host = Fake(mounts=tuple(Mount(point, kind, frozenset()) for point, kind in kinds.items()))
    assert host.mount_of("/a/x").kind == "xfs"
    assert host.mount_of("/a b/c").kind == "tmpfs"
    assert host.mount_of("/ab").kind == "ext4"
    assert any(mount.point == "/proc" for mount in Host().mounts)


# ---- import ----


def tarball(path: Path, files: dict[str, bytes]) -> str:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            archive.addfile(member, io.BytesIO(content))
    return str(path)


def test_import_and_run(podfast: Podfast, tmp_path: Path) -> None:
    """A root file system of one static program, which podfast has with it anyway."""
    from podfast._native import binary

    program = Path(binary("podfast-init")).read_bytes()
    path = tarball(tmp_path / "root.tar.gz", {"bin/init": program, "etc/passwd": b"root:x:0:0::/:/\n"})
    result = podfast("import", path, "localhost/tiny:1")
    assert result.returncode == 0, result.stderr
    name, image_id = result.stdout.split()
    assert name == "localhost/tiny:1" and len(image_id) == 12
    piped = podfast.bash(f"{podfast.shell('import', '-', 'localhost/tiny:2')} < {path}")
    assert piped.stdout == f"localhost/tiny:2 {image_id}\n"
    manifest = Path(podfast.pod("x")).read_text().partition("    command:")[0]
    manifest += "    image: localhost/tiny:1\n    command: [/bin/init, /bin/none]\n"
    result = podfast("run", podfast.file(manifest))
    assert result.returncode in (126, 127), result.stderr  # the program ran, and says that it has nothing to run


@pytest.mark.parametrize(
    ("source", "name", "error"),
    [
        ("/nowhere.tar", "localhost/x:1", "error: /nowhere.tar: No such file or directory\n"),
        ("/etc/passwd", "localhost/x:1", "error: /etc/passwd: "),
        ("/etc/passwd", "Bad Name", "error: "),
    ],
)
def test_import_of_what_is_no_image(podfast: Podfast, source: str, name: str, error: str) -> None:
    result = podfast("import", source, name)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith(error) and result.stderr.count("\n") == 1
