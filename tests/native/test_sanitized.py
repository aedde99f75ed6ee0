# SPDX-License-Identifier: Apache-2.0
"""The parsers of core and shim, under the address and undefined behaviour sanitizers, fed what nobody should send."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from podfast import _native, plan, spec
from podfast.images import Identity
from podfast.images.model import Bind, Image, ImageConfig
from podfast.plan.model import Hierarchy, HostFacts, Names

ROOT = Path(__file__).resolve().parents[2]
DRIVERS = Path(__file__).with_name("sanitized")
NATIVE = ROOT / "native"
PAGE = 4096
ROUNDS = int(os.environ.get("PODFAST_FUZZ_ROUNDS", "5000"))
COMPILE = """
import sys; sys.path.insert(0, sys.argv[1]); import toolchain; from pathlib import Path
sources, includes = [[Path(word) for word in words.split(":")] for words in sys.argv[3:5]]
toolchain.compile_program(Path(sys.argv[2]), sources, includes)
"""
MANIFEST = """
apiVersion: v1
kind: Pod
metadata: {name: fuzz}
spec:
  shareProcessNamespace: true
  volumes: [{name: work, emptyDir: {}}, {name: fast, emptyDir: {medium: Memory, sizeLimit: 1Mi}}]
  containers:
  - {name: one, image: host, command: [cat, /etc/hosts], env: [{name: A, value: b}]}
  - name: two
    image: host
    command: [sleep, "1"]
    resources: {limits: {cpu: 100m, memory: 16Mi}}
    securityContext: {runAsUser: 7, readOnlyRootFilesystem: true}
    volumeMounts: [{name: fast, mountPath: /fast, readOnly: true}, {name: work, mountPath: /work/deep}]
"""


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    folder = tmp_path_factory.mktemp("drivers")
    tables = folder / "tables"
    tables.mkdir()
    generator = NATIVE / "seccomp" / "generate.py"
    subprocess.run([sys.executable, generator, tables / "pf_seccomp_default.h"], check=True)

    def build(name: str, *sources: str) -> Path:
        out = folder / name
        files = [DRIVERS / f"{name}.c", *(NATIVE / source for source in sources)]
        lists = [":".join(map(str, paths)) for paths in (files, [DRIVERS, NATIVE / "shim", tables])]
        environment = {**os.environ, "PODFAST_SANITIZE": "1", "PODFAST_WERROR": "1"}
        command = [sys.executable, "-c", COMPILE, str(NATIVE), str(out), *lists]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return out

    return build


def run(*command: object) -> str:
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, f"status {done.returncode}: {done.stderr}"
    return done.stdout


def encoded() -> bytes:
    """A plan that uses every part of the format, and ends with a page."""
    pod = spec.load(MANIFEST)
    config = ImageConfig(entrypoint=(), cmd=(), env=("PATH=/bin",), working_dir="", user="", stop_signal="")
    image = Image("host", "0" * 64, ("/layer",), (Bind("/usr", "usr"),), config)
    tree = Hierarchy("", "/sys/fs/cgroup", True, frozenset({"cpu", "memory", "pids"}))
    facts = HostFacts((tree,), ("/proc/kcore",), ("/proc/sys",), ("c 660 10 229 fuse",))
    names = Names("1" * 64, "uid", "/run/x", "/state/x", "/logs/x", "/trash", "/names/x")
    who = Identity(uid=0, gid=0, groups=(1, 2), home="/")
    data = bytearray(_native.encode(plan.build(pod, {"host": image}, [who, who], facts, names)))
    data += bytes(-len(data) % PAGE)
    data[8:12] = len(data).to_bytes(4, "little")
    return bytes(data)


def test_damaged_plans_are_refused_or_harmless(driver: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "plan").write_bytes(encoded())
    said = run(driver("plan", "shim/plan.c"), tmp_path / "plan", ROUNDS, 1)
    assert 0 < int(said.split()[0]) < ROUNDS


def test_undo_stays_below_its_root(driver: Callable[..., Path], tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    for folder in (root / "run", root / "proc/sys/kernel/random", outside):
        folder.mkdir(parents=True)
    for kept in (outside / "kept", tmp_path / "kept"):
        kept.write_text("still here")
    (root / "proc/sys/kernel/random/boot_id").write_text("00000000-0000-0000-0000-000000000000")
    (root / "proc").chmod(0o755)
    program = driver("undo", *(f"core/{name}.c" for name in ("undo", "tree", "cgroup", "mount", "err")))
    assert int(run(program, root, ROUNDS, 1).split()[0]) > 0
    assert [(outside / "kept").read_text(), (tmp_path / "kept").read_text()] == ["still here"] * 2


def test_packets_are_taken_whole_or_refused(driver: Callable[..., Path]) -> None:
    said = run(driver("protocol", "shim/protocol.c"), ROUNDS, 1)
    assert 0 < int(said.split()[0]) < ROUNDS
