# SPDX-License-Identifier: Apache-2.0
"""What is wrong is told on one line with its place, with the right exit code, and nothing is left behind."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import COMMAND, Podfast

HEAD = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: bad\nspec:\n  restartPolicy: Never\n"
ONE = HEAD + "  containers:\n  - name: c\n    command: [echo, hello]\n"

MANIFESTS = {
    "unknown field": (
        ONE + "    volumeMount: []\n",
        [':10:5: unknown field "spec.containers[0].volumeMount" (did you mean "volumeMounts"?)'],
    ),
    "duplicate key": (ONE + "    name: again\n", [":10:5: ", '"spec.containers[0].name"']),
    "wrong type": (ONE + "    env: yes please\n", [":10:5: spec.containers[0].env must be a list"]),
    "yaml 1.1 number": (ONE + "    args: [0777]\n", [":10:12: spec.containers[0].args[0] must be a string"]),
    "no containers": (HEAD, ["spec", "containers"]),
    "not yaml": ("{unclosed\n", [":2:1: not YAML: "]),
    "empty": ("", ["the manifest is empty"]),
    "another kind": ("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n", ["Deployment is not a Pod"]),
    "a field for later": (
        ONE + "    livenessProbe: {exec: {command: [x]}}\n",
        [":10:5: ", "livenessProbe", "not supported yet"],
    ),
    "a name that is a path": (
        ONE.replace("name: bad", "name: ../../etc"),
        [":4:3: metadata.name must be", "../../etc"],
    ),
    "a container named as a path": (
        ONE.replace("- name: c", "- name: a/b"),
        [":8:5: spec.containers[0].name must be", "a/b"],
    ),
    "a mount without a volume": (ONE + "    volumeMounts: [{name: x, mountPath: /x}]\n", [":10:", '"x"']),
    "an unknown annotation": (
        ONE.replace("  name: bad\n", "  name: bad\n  annotations: {podfast.dev/spped: 'true'}\n"),
        [":5:", 'unknown annotation "podfast.dev/spped"'],
    ),
    "an image that is not there": (ONE + "    image: localhost/none:1\n", ["localhost/none:1"]),
    "an image that is no name": (ONE + "    image: 'Not A Name'\n", ["Not A Name"]),
    "a host path that is missing": (
        ONE + "  volumes: [{name: v, hostPath: {path: /nowhere/at/all}}]\n",
        ["/nowhere/at/all does not exist"],
    ),
    "a host path that is something else": (
        ONE + "  volumes: [{name: v, hostPath: {path: /etc/passwd, type: Directory}}]\n",
        ["/etc/passwd is not a directory"],
    ),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_wrong_manifest(podfast: Podfast, name: str) -> None:
    text, parts = MANIFESTS[name]
    path = podfast.file(text)
    result = podfast("run", path)
    assert (result.returncode, result.stdout) == (125, "")
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    for part in parts:
        assert part in result.stderr
    if parts[0].startswith(":"):
        assert result.stderr.startswith(f"error: {path}{parts[0]}")


def test_all_mistakes_at_once_one_line_each(podfast: Podfast) -> None:
    result = podfast("run", podfast.file(ONE + "    bogus: 1\n    args: {}\n  alsoBogus: 2\n"))
    lines = result.stderr.splitlines()
    assert result.returncode == 125
    assert len(lines) == 3 and all(line.startswith("error: ") for line in lines)
    assert [line.split(":")[2] for line in lines] == ["10", "11", "12"]


def test_a_manifest_that_is_not_there(podfast: Podfast) -> None:
    result = podfast("run", "/nowhere/pod.yaml")
    expected = "error: /nowhere/pod.yaml: cannot read the manifest: No such file or directory\n"
    assert (result.returncode, result.stderr) == (125, expected)
    result = podfast("run", "/")
    assert (result.returncode, result.stderr) == (125, "error: /: cannot read the manifest: Is a directory\n")


def test_mistakes_on_standard_input_have_a_place(podfast: Podfast) -> None:
    result = podfast("run", "-", stdin=ONE + "    bogus: 1\n")
    assert result.stderr.startswith('error: /dev/stdin:10:5: unknown field "spec.containers[0].bogus"')


def test_aliases_that_explode(podfast: Podfast) -> None:
    levels = ["x: &a0 [y, y, y, y, y, y, y, y, y, y]"]
    levels += [f"x{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    result = podfast("run", podfast.file("\n".join(levels)))
    assert result.returncode == 125 and result.stderr.startswith("error: ") and len(result.stderr) < 2000


def test_a_manifest_that_is_too_big(podfast: Podfast) -> None:
    result = podfast("run", podfast.file(ONE + "#" * (3 << 20)))
    assert result.returncode == 125
    assert result.stderr.endswith("the manifest is larger than 3 MiB\n") and result.stderr.count("\n") == 1


def test_an_endless_manifest(podfast: Podfast) -> None:
    result = podfast("run", "/dev/zero")
    assert result.returncode == 125 and result.stderr.startswith("error: /dev/zero: ")
    assert result.stderr.count("\n") == 1 and len(result.stderr) < 300


def test_what_others_wrote_does_not_reach_the_terminal_raw(podfast: Podfast) -> None:
    text = ONE.replace("name: bad", 'name: "\\u001b[31mred\\nerror: fake"')
    result = podfast("run", podfast.file(text))
    assert result.returncode == 125
    assert "\x1b" not in result.stderr and result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("command", "code", "reason"),
    [
        ("[no-such-program]", 127, '"no-such-program": not found'),
        ("[/no/such/program]", 127, '"/no/such/program": not found'),
        ("[/etc/passwd]", 126, '"/etc/passwd": Permission denied'),
        ("[/usr]", 126, '"/usr": Permission denied'),
    ],
)
def test_a_command_that_does_not_start(podfast: Podfast, command: str, code: int, reason: str) -> None:
    result = podfast("run", podfast.file(ONE.replace("[echo, hello]", command)))
    assert (result.returncode, result.stdout) == (code, "")
    assert result.stderr.startswith('error: container "c" did not start: ') and reason in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_working_directory_that_is_not_there(podfast: Podfast) -> None:
    result = podfast("run", podfast.file(ONE + "    workingDir: /nowhere\n"))
    assert result.returncode in (126, 127, 128) or result.stdout == "c | hello\n"
    assert result.stderr.count("\n") <= 1


def test_arguments_that_are_too_long_for_exec(podfast: Podfast) -> None:
    result = podfast("run", podfast.file(ONE.replace("hello", "x" * 140_000)))
    assert result.returncode in (125, 126, 128)
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1 and len(result.stderr) < 500


def test_no_permission_for_the_roots(podfast: Podfast, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to become somebody else")
    tmp_path.chmod(0o755)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    places = ["--root", f"{closed}/root", "--runroot", f"{closed}/run"]

    def as_nobody(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            user=65534, group=65534, extra_groups=(), env=podfast.environment(), cwd="/",
        )  # fmt: skip

    if as_nobody("version").returncode:
        pytest.skip("the user nobody cannot read this installation of podfast")
    manifest = Path(podfast.roots.runroot, "pod.yaml")
    manifest.write_text(ONE)
    result = as_nobody(*places, "run", str(manifest))
    manifest.unlink()
    assert result.returncode == 125
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    assert "Permission denied" in result.stderr


def test_a_root_that_is_a_file(podfast: Podfast) -> None:
    for option in ("--root", "--runroot"):
        result = podfast(option, "/etc/passwd", "run", podfast.file(ONE))
        assert result.returncode == 125
        assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1


@pytest.mark.parametrize("where", ["root", "runroot"])
def test_a_full_disk(podfast: Podfast, where: str, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a small file system")
    small = tmp_path / "small"
    small.mkdir()
    # 4 KiB: the directories fit, nothing else does.
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(small)], check=True)
    try:
        result = podfast(f"--{where}", str(small), "run", podfast.file(ONE))
    finally:
        subprocess.run(["umount", str(small)], check=True)
    assert result.returncode == 125, result.stderr
    assert result.stderr.startswith("error: ") and "No space left on device" in result.stderr
    assert result.stderr.count("\n") == 1
