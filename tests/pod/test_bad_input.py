# SPDX-License-Identifier: Apache-2.0
"""What is wrong is said in one line, with its place, and nothing is left behind."""

from __future__ import annotations

import contextlib
import itertools
import os
import resource
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import podfast
from podfast.errors import ImageError, NotFound, PodfastError, SpecError, StartError, SystemFailure, Unsupported
from podfast.places import resolve
from podfast.supervise import engine_for
from tests.machinery import kernel
from tests.pod.conftest import PATIENCE, READY, World, container, manifest

HEAD = "apiVersion: v1\nkind: Pod\nmetadata: {name: test}\nspec:\n"
GOOD = "  containers:\n  - name: c0\n    command: [sleep, '1000']\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{HEAD}{GOOD}    volumeMount: []\n", r"<text>:8:5: unknown .*volumeMount\" \(did you mean \"volumeMounts\""),
        (f"{HEAD}{GOOD}    name: twice\n", r"<text>:8:5: .*\"?name\"?"),
        (f"{HEAD}{GOOD}    command: 5\n", r"<text>:8:"),
        (f"{HEAD}  restartPolicy: Sometimes\n{GOOD}", r"<text>:5:.*restartPolicy"),
        (f"{HEAD}  terminationGracePeriodSeconds: soon\n{GOOD}", r"<text>:5:.*terminationGracePeriodSeconds"),
        (f"{HEAD}  hostNetwork: true\n{GOOD}", r"<text>:5:.*hostNetwork"),
        (f"{HEAD}  initContainers: [{{name: i, command: [x]}}]\n{GOOD}", r"<text>:5:.*initContainers"),
        (f"{HEAD}  containers: []\n", r"spec\.containers"),
        (f"{HEAD}  containers:\n  - {{name: a, command: [x]}}\n  - {{name: a, command: [x]}}\n", r"<text>:7:.*\"?a\"?"),
        (f"{HEAD}{GOOD}    volumeMounts: [{{name: nope, mountPath: /v}}]\n", r"nope"),
        (HEAD.replace("name: test", "name: ../../etc") + GOOD, r"metadata\.name"),
        (HEAD.replace("name: test", "name: a/b") + GOOD, r"metadata\.name"),
        (HEAD.replace("name: test", "name: ''") + GOOD, r"metadata\.name"),
        (HEAD.replace("kind: Pod", "kind: Deployment") + GOOD, r"Deployment"),
        (HEAD.replace("v1", "v2") + GOOD, r"apiVersion"),
        ("a: [\n", r"<text>:\d"),
        ("\tx: 1\n", r"<text>:1:"),
        ("x: &a [1]\ny: *b\n", r"<text>:2:"),
        (f"{HEAD}{GOOD}    env: [{{name: A, value: \"a\\0b\"}}]\n", r"env\[0\]\.value|control|NUL"),
        (f"{HEAD}{GOOD}    workingDir: relative\n", r"workingDir"),
        (f"{HEAD}{GOOD}    resources: {{limits: {{memory: lots}}}}\n", r"memory"),
        (f"{HEAD}{GOOD}    securityContext: {{capabilities: {{add: [FLY]}}}}\n", r"FLY"),
        (f"{HEAD}{GOOD}    securityContext: {{runAsUser: -1}}\n", r"runAsUser"),
        (HEAD.replace("test}", 'test, annotations: {podfast.dev/nope: "1"}}') + GOOD, r"podfast\.dev/nope"),
    ],
)  # fmt: skip
def test_mistakes_have_a_place(world: World, text: str, said: str) -> None:
    with pytest.raises(SpecError, match=said) as caught:
        podfast.run(text)
    assert "\n" not in str(caught.value) or len(caught.value.problems) > 1
    assert not os.path.exists(f"{world.roots.runroot}/lock"), "all checks come before the first side effect"


def test_all_mistakes_at_once(world: World) -> None:
    with pytest.raises(SpecError) as caught:
        podfast.run(f"{HEAD}  foo: 1\n{GOOD}    bar: 2\n    baz: 3\n")
    assert len(caught.value.problems) == 3 and [problem.line for problem in caught.value.problems] == [5, 9, 10]


def test_aliases_that_explode(world: World) -> None:
    text = "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
    for one, two in zip("abcdefgh", "bcdefghi", strict=True):
        text += f"{two}: &{two} [{', '.join([f'*{one}'] * 10)}]\n"
    begin = time.monotonic()
    with pytest.raises(SpecError, match="alias"):
        podfast.run(text)
    assert time.monotonic() - begin < 2


def test_a_manifest_of_3_mib(world: World) -> None:
    """At the limit it is read; beyond it, it is refused at once."""
    filler = "# " + "x" * 1021 + "\n"
    text = f"{HEAD}{GOOD}"
    fitting = filler * (((3 << 20) - len(text)) // len(filler)) + text
    with podfast.run(fitting, timeout=PATIENCE) as pod:
        pod.kill()
    begin = time.monotonic()
    with pytest.raises(SpecError, match=r"3 MiB|larger|longer|big"):
        podfast.run(filler * 3073 + text)
    assert time.monotonic() - begin < 1


def test_very_deep(world: World) -> None:
    with pytest.raises(SpecError):
        podfast.run("[" * 5000 + "]" * 5000 + "\n")


@pytest.mark.parametrize("path", ["nope.yaml", "", "no/such/dir/x.yaml"])
def test_no_such_file(world: World, path: str) -> None:
    with pytest.raises((PodfastError, OSError)) as caught:
        podfast.run(path)
    assert path in str(caught.value)


def test_a_directory_is_no_manifest(world: World, tmp_path: Path) -> None:
    with pytest.raises((PodfastError, OSError), match="directory"):
        podfast.run(tmp_path)


def test_bytes_that_are_no_text(world: World) -> None:
    for data in (b"\xff\xfe\xff\n", b"a: \x80\n", b"a: \0\n", b"", b"\n"):
        with pytest.raises(SpecError):
            podfast.run(data)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ("Not A Name", "InvalidImageName"),
        ("registry.invalid/nope:1", "ErrImage"),
        ("", ""),
        ("../../etc", "InvalidImageName"),
        ("host:latest", "ErrImage"),
    ],
)
def test_images_that_are_not_there(world: World, image: str, reason: str) -> None:
    with pytest.raises((ImageError, SpecError)) as caught:
        world.run(container("true", image=image))
    if isinstance(caught.value, ImageError):
        assert image in str(caught.value) and caught.value.reason.startswith(reason), caught.value.reason


def test_a_command_that_does_not_exist(world: World) -> None:
    with pytest.raises(StartError, match=r'container "c0" .*"nope".*not found') as caught:
        world.run(container(None, command=["nope"]))
    assert caught.value.exit_code == 127 and caught.value.reason == "StartError"


def test_a_root_that_cannot_be_used(world: World, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for root in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(PodfastError, match=str(tmp_path)):
            podfast.run(manifest("true"), root=str(root))
        with pytest.raises(PodfastError, match=str(tmp_path)):
            podfast.run(manifest("true"), runroot=str(root))


def test_a_run_root_of_another_user(world: World, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, 1234, 1234)
    with pytest.raises(SystemFailure, match="belongs to another user") as caught:
        podfast.run(manifest("true"), runroot=str(theirs))
    assert str(theirs) in str(caught.value) and "--runroot" in str(caught.value)


def test_too_old_a_kernel(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.uname()
    old = type(real)((real.sysname, real.nodename, "5.15.0-generic", real.version, real.machine))
    monkeypatch.setattr(os, "uname", lambda: old)
    with pytest.raises(Unsupported, match=r"Linux 5\.15\.0-generic is too old: podfast needs 6\.1"):
        world.run("true")


def test_no_descriptors_left(world: World) -> None:
    """EMFILE at any point of a start: it fails, says so, leaves nothing, and the next one works."""
    with world.run(READY):
        pass
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    failed = 0
    held = len(os.listdir("/proc/self/fd"))
    for room in range(24):
        resource.setrlimit(resource.RLIMIT_NOFILE, (held + room, hard))
        try:
            world.run(READY).kill()
        except PodfastError:  # and nothing else
            failed += 1
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        world.engine.drive(lambda: not world.engine.pods, PATIENCE)
        assert os.listdir(f"{world.roots.runroot}/pods") == [] == os.listdir(f"{world.roots.runroot}/names"), room
        assert len(os.listdir("/proc/self/fd")) == held, room
    assert failed > 3
    with world.run(READY) as pod:
        assert pod.exec("c0", ["true"]).exit_code == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")
@pytest.mark.parametrize("which", ["root", "runroot"])
def test_a_full_disk(world: World, tmp_path: Path, which: str) -> None:
    """No room at all: the start fails with its cause, and rolls back."""
    place = str(tmp_path / "small")
    os.mkdir(place)
    kernel.mount("small", place, "tmpfs", 0, "size=4m,nr_inodes=2k,mode=711")
    options: dict[str, Any] = {which: place}
    try:
        with podfast.run(manifest(READY), timeout=PATIENCE, **options):
            pass
        fill(place)
        with pytest.raises(PodfastError, match=r"[Nn]o space left|disk is full"):
            podfast.run(manifest(READY, options={"writable-layer": "disk"}), timeout=PATIENCE, **options).kill()
        for directory in ("pods", "names"):
            assert (
                os.listdir(f"{place}/{directory}" if which == "runroot" else f"{world.roots.runroot}/{directory}") == []
            )
        shutil.rmtree(f"{place}/ballast")
        with podfast.run(manifest(READY), timeout=PATIENCE, **options):
            pass
    finally:
        engine_for(resolve(options.get("root"), options.get("runroot"))).close()
        kernel.unmount(place)


def fill(place: str) -> None:
    """Until there is room for neither a byte nor a name."""
    os.mkdir(f"{place}/ballast")
    with contextlib.suppress(OSError), open(f"{place}/ballast/bytes", "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    with contextlib.suppress(OSError):
        for n in itertools.count():
            os.mknod(f"{place}/ballast/{n}")


@pytest.mark.parametrize(
    "call", [lambda: podfast.adopt("nope"), lambda: podfast.adopt("../../x"), lambda: podfast.adopt("")]
)
def test_pods_that_are_not_there(world: World, call: Callable[[], object]) -> None:
    with pytest.raises((NotFound, PodfastError)):
        call()


@pytest.mark.parametrize("life", ["forever", ""])
def test_a_life_that_does_not_exist(world: World, life: Any) -> None:
    with pytest.raises(ValueError, match="life"):
        podfast.run(manifest("true"), life=life)
