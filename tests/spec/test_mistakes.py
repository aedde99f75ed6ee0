# SPDX-License-Identifier: Apache-2.0
"""Mistakes: what is said, and which place is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from podfast.errors import SpecError
from podfast.spec import load
from tests.spec.samples import FULL, HELLO, changed, messages, minimal, problems

LINES = HELLO.count("\n")

BROKEN = """\
apiVersion: v1
kind: Pod
metadata:
  name: A_b
  labels: {a: 5, "b!": x}
  annotations:
    podfast.dev/ini: "true"
spec:
  dnsPolicy: ClusterFirst
  restartPolicy: always
  containers:
  - name: a
    name: b
    volumeMount: []
    livenessProbe: {}
    env: [{name: A, value: 8080}, {value: yes}]
    ports: [{containerPort: 0, hostPort: 80}]
  - image: x y
    name: a
    volumeMounts:
    - {name: nope, mountPath: /dev/shm}
    securityContext: {runAsUser: -1, privileged: true, allowPrivilegeEscalation: false}
    resources: {limits: {cpu: 64Q, memory: 64m}, requests: {nvidia.com/gpu: 1}}
  - {}
  - abc
"""

TOLD = """\
pod.yaml:4:3: metadata.name must be of a-z, 0-9, "-" and ".", and begin and end with a letter or digit, not "A_b"
pod.yaml:5:12: metadata.labels.a must be a string, not the number 5 (put it in quotes)
pod.yaml:5:18: the key "b!" of metadata.labels must be of letters, digits, "-", "_" and ".", and begin and end with \
a letter or digit
pod.yaml:7:5: unknown annotation "podfast.dev/ini" (did you mean "init"?); podfast.dev/ is podfast's own
pod.yaml:9:3: spec.dnsPolicy is not supported yet
pod.yaml:10:3: spec.restartPolicy must be one of Always, Never, OnFailure, not "always" (did you mean "Always"?)
pod.yaml:13:5: duplicate key "spec.containers[0].name" (first on line 12)
pod.yaml:14:5: unknown field "spec.containers[0].volumeMount" (did you mean "volumeMounts"?)
pod.yaml:15:5: spec.containers[0].livenessProbe is not supported yet
pod.yaml:16:21: spec.containers[0].env[0].value must be a string, not the number 8080 (put it in quotes)
pod.yaml:16:35: spec.containers[0].env[1].name is missing
pod.yaml:16:36: spec.containers[0].env[1].value must be a string, not true (put it in quotes)
pod.yaml:17:14: spec.containers[0].ports[0].containerPort must be between 1 and 65535
pod.yaml:17:32: spec.containers[0].ports[0].hostPort is not supported yet
pod.yaml:18:5: spec.containers[1].image must not have spaces in it, not "x y"
pod.yaml:19:5: spec.containers[1].name must be unique: "a" is taken by item 0
pod.yaml:21:8: spec.containers[1].volumeMounts[0].name must be the name of a volume of the pod, not "nope"
pod.yaml:21:20: spec.containers[1].volumeMounts[0].mountPath must not be at or below /dev, which is always podfast's own
pod.yaml:22:23: spec.containers[1].securityContext.runAsUser must be between 0 and 2147483647
pod.yaml:22:56: spec.containers[1].securityContext.allowPrivilegeEscalation must not be false when privileged is true
pod.yaml:23:26: spec.containers[1].resources.limits.cpu: "64Q" is not a quantity (examples: 500m, 0.5, 64Mi, 1e9)
pod.yaml:23:36: spec.containers[1].resources.limits.memory: "64m" is not a whole number of bytes (m means thousandths; \
Mi is mebibytes)
pod.yaml:23:61: spec.containers[1].resources.requests["nvidia.com/gpu"] is not supported yet
pod.yaml:24:5: spec.containers[2].name is missing
pod.yaml:25:5: spec.containers[3] must be a mapping, not the string "abc"
"""


def test_all_mistakes_are_told_at_once_each_with_its_place() -> None:
    with pytest.raises(SpecError) as caught:
        load(BROKEN, source_name="pod.yaml")
    assert str(caught.value) + "\n" == TOLD


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("kind: Deployment\nmetadata: {name: web}\n", 1, 1, "a Deployment is not a Pod; --template deployment/web"),
        ("apiVersion: batch/v1\nkind: Job\n", 2, 1, "--template job/NAME"),
        ("kind: ConfigMap\n", 1, 1, 'kind "ConfigMap" is not supported yet'),
        ("kind: List\nitems: []\n", 1, 1, "a List is not supported yet"),
        ("- a\n", 1, 1, "not a list"),
        ("hello\n", 1, 1, "not a single word"),
        ("\n# nothing\n---\n---\n", 0, 0, "the manifest is empty"),
        (f"---\n{HELLO}---\n{HELLO}", LINES + 3, 1, "a second Pod (the first begins on line 2)"),
        (f"{HELLO}---\nkind: Secret\n", LINES + 2, 1, 'kind "Secret"'),
        ("a: [\n", 2, 1, "not YAML"),
        ("a:\n\tb: 1\n", 2, 1, "cannot start any token"),
        ("a: 'x\n", 2, 1, "not YAML"),
        ("a: *x\n", 1, 4, "there is no anchor &x"),
        ("a: &x [*x]\n", 1, 8, "the anchor &x contains itself"),
        ("a: 1\nb: !foo 2\n", 2, 4, "the tag !foo is not supported"),
        ("%YAML 3.0\n--- a\n", 1, 1, "not YAML"),
        ("a: &a {x: 1}\nb: {<<: *a, x: 2}\n", 2, 5, 'duplicate key "b.x" (set here, and merged with <<)'),
    ],
)
def test_documents_that_are_no_pod(text: str, line: int, column: int, words: str) -> None:
    first = next(problem for problem in problems(text) if words in problem.message)
    assert (first.line, first.column) == (line, column)


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        (b"a: \xff\n", 1, 4, "not UTF-8"),
        (b"a: 1\nb: \xc3\xa4\xed\xa0\x80\n", 2, 5, "not UTF-8"),
        (b"a: \x01\n", 1, 4, "control character"),
        (b"a: 1\nb: \x7f\n", 2, 4, "control character"),
        ("a: \x85\x86\n".encode(), 1, 5, "control character"),
        ("a: \ufeffb\n".encode(), 1, 4, "control character"),
        ("a: \ufffe\n".encode(), 1, 4, "control character"),
        (b"a: b\0c\n", 1, 5, "control character"),
        ("a: b".encode("utf-16"), 1, 1, "UTF-16"),
    ],
)
def test_text_that_is_not_yaml(text: bytes, line: int, column: int, words: str) -> None:
    (problem,) = problems(text)
    assert words in problem.message
    assert (problem.line, problem.column) == (line, column)


def test_half_a_surrogate_pair_in_text() -> None:
    (problem,) = problems("a: 1\nb: x\ud800\n")
    assert (problem.line, problem.column) == (2, 5)


def test_sources_that_cannot_be_read(tmp_path: Path) -> None:
    missing = tmp_path / "missing.yaml"
    with pytest.raises(SpecError, match=r"missing\.yaml: cannot read the manifest: No such file") as caught:
        load(missing)
    assert isinstance(caught.value.__cause__, OSError)
    assert "Is a directory" in messages(tmp_path)[0]
    assert "larger than 3 MiB" in messages("/dev/zero")[0]
    assert "null byte" in messages("a\0b")[0]
    for other in (None, 5, [], object()):
        assert "must be text, a path or a mapping" in messages(other)[0]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({1: 2}, "is not a string"),
        ({"a": object()}, "must be plain data, not object"),
        ({"a": {1, 2}}, "must be plain data, not set"),
        ({"a": "\ud800"}, "surrogate"),
        ({"a": [0] * 30_000}, "more than 20000"),
    ],
)
def test_data_that_is_not_plain(value: Any, words: str) -> None:
    assert words in messages(changed(("status",), value))[0]


def test_data_that_contains_itself() -> None:
    loop: dict[str, Any] = {}
    loop["a"] = loop
    assert "nested more than 100 deep" in messages(loop)[0]


@pytest.mark.parametrize(
    "name", ["", "A", "-a", "a-", "a_b", "a..b", ".a", "../a", "a/b", "a" * 254, "ä", "a\n", "a\0"]
)
def test_names_that_are_refused(name: str) -> None:
    assert [problem.path for problem in problems(changed(("metadata", "name"), name))] == ["metadata.name"]
    container = problems(changed(("spec", "containers", 0, "name"), name))
    assert [problem.path for problem in container] == ["spec.containers[0].name"]


def test_names_that_are_taken() -> None:
    for name in ("a", "0", "a.b-c.d", "a" * 253):
        assert not problems(changed(("metadata", "name"), name))
    assert problems(changed(("spec", "containers", 0, "name"), "a.b"))
    assert not problems(changed(("spec", "containers", 0, "name"), "a" * 63))


@pytest.mark.parametrize(
    "path",
    [
        "",
        "a",
        "./a",
        "/a/../b",
        "/..",
        "/a:b",
        "/",
        "//",
        "/dev",
        "/dev/",
        "//dev/./x",
        "/proc/1",
        "/sys",
        "/a\0",
        "/a\n",
        "/" + "a" * 4096,
    ],
)
def test_mount_paths_that_are_refused(path: str) -> None:
    found = problems(changed(("spec", "containers", 0, "volumeMounts", 0, "mountPath"), path))
    assert [problem.path for problem in found] == ["spec.containers[0].volumeMounts[0].mountPath"]


@pytest.mark.parametrize("path", ["/a", "/devices", "/system/x", "/a..b", "/…", "/proc2", "/a b"])
def test_mount_paths_that_are_taken(path: str) -> None:
    assert not problems(changed(("spec", "containers", 0, "volumeMounts", 0, "mountPath"), path))


def test_one_place_takes_one_mount() -> None:
    mounts = [{"name": "scratch", "mountPath": path} for path in ("/a", "/a/b", "/a//./")]
    assert [problem.path for problem in problems(changed(("spec", "containers", 0, "volumeMounts"), mounts))] == [
        "spec.containers[0].volumeMounts[2].mountPath"
    ]


@pytest.mark.parametrize("path", ["", "a", "/a/../b", "/a\0", "/" + "a" * 5000])
def test_host_paths_that_are_refused(path: str) -> None:
    found = problems(changed(("spec", "volumes", 1, "hostPath", "path"), path))
    assert [problem.path for problem in found] == ["spec.volumes[1].hostPath.path"]


def test_every_type_of_host_path() -> None:
    kinds = ("", "DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket", "CharDevice", "BlockDevice")
    for kind in kinds:
        assert not problems(changed(("spec", "volumes", 1, "hostPath", "type"), kind))
    assert problems(changed(("spec", "volumes", 1, "hostPath", "type"), "Dir"))


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("A", True),
        ("a.b-c", True),
        ("1", True),
        ("a b", True),
        ("~!{}", True),
        ("", False),
        ("A=", False),
        ("ä", False),
        ("a\n", False),
    ],
)
def test_environment_names(name: str, good: bool) -> None:
    assert bool(problems(minimal(env=[{"name": name}]))) is not good


@pytest.mark.parametrize(
    ("resources", "paths"),
    [
        ({"limits": {"cpu": "1"}, "requests": {"cpu": "1001m"}}, ["spec.containers[0].resources.requests.cpu"]),
        ({"limits": {"memory": "1Ki"}, "requests": {"memory": 1025}}, ["spec.containers[0].resources.requests.memory"]),
        ({"limits": {"memory": 0}}, ["spec.containers[0].resources.limits.memory"]),
        ({"limits": {"cpu": None}}, []),
        ({"limits": {"memory": "-1"}}, ["spec.containers[0].resources.limits.memory"]),
        ({"limits": {"ephemeral-storage": "1Gi"}}, ["spec.containers[0].resources.limits.ephemeral-storage"]),
        ({"limits": {"cpus": 1}}, ["spec.containers[0].resources.limits.cpus"]),
        ({"requests": {"cpu": 5, "memory": "5Gi"}}, []),
    ],
)
def test_resources(resources: Any, paths: list[str]) -> None:
    assert [problem.path for problem in problems(minimal(resources=resources))] == paths


def test_values_that_ask_for_nothing_are_taken() -> None:
    spec = {
        "hostNetwork": False,
        "hostUsers": True,
        "initContainers": [],
        "affinity": None,
        "priority": 0,
        "os": {"name": "linux"},
    }
    assert not problems({**minimal(), "spec": minimal()["spec"] | spec})
    # 0 is not false, whatever Python thinks.
    assert messages({**minimal(), "spec": minimal()["spec"] | {"hostNetwork": 0}}) == [
        "spec.hostNetwork is not supported yet"
    ]


def test_not_supported_yet_is_not_unknown() -> None:
    assert messages(minimal(livenessProbe={})) == ["spec.containers[0].livenessProbe is not supported yet"]
    (message,) = messages(minimal(livenesProbe={}))
    assert message == 'unknown field "spec.containers[0].livenesProbe" (did you mean "livenessProbe"?)'


def test_foreign_words_cannot_command_a_terminal() -> None:
    found = problems(minimal(**{"\x1b[31m" + "x" * 5000: 1, "name": "\x1b]0;x\x07"}))
    assert len(found) == 2
    for problem in found:
        assert str(problem).isprintable()
        assert len(str(problem)) < 500


def test_so_many_mistakes_are_enough() -> None:
    found = problems(minimal(**{f"unknown{index}": 1 for index in range(5000)}))
    assert len(found) == 101
    assert found[-1].message.startswith("too many mistakes")


def test_too_many_containers() -> None:
    document = changed(("spec", "containers"), [{"name": f"c{index}"} for index in range(101)])
    assert messages(document) == ["spec.containers must have between 1 and 100 items, not 101"]
    assert messages(changed(("spec", "containers"), [])) == ["spec.containers must have between 1 and 100 items, not 0"]
    document["spec"]["containers"].pop()
    assert len(load(document).spec.containers) == 100


def test_the_sample_itself_is_good() -> None:
    assert not problems(FULL)
