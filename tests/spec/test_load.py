# SPDX-License-Identifier: Apache-2.0
"""Good manifests, in every form a user may give them in."""

from __future__ import annotations

import json
import pickle
from collections import ChainMap
from pathlib import Path
from typing import Any

import pytest

from podfast.errors import SpecError
from podfast.spec import Pod, load
from podfast.spec.model import EmptyDir, EnvVar, HostPath, Options
from tests.spec.samples import FULL, HELLO, amounts, changed, messages, minimal, problems


def test_reads_the_example() -> None:
    pod = load(HELLO)
    assert pod.metadata.name == "helloworld"
    assert [container.name for container in pod.spec.containers] == ["api", "main", "log", "compute"]
    assert pod.spec.containers[1].args == ("for i in 1 2 3; do echo $i >> /shared/log; done\necho done\n",)
    assert pod.spec.containers[0].env == (EnvVar("PORT", "8080"),)
    assert pod.spec.volumes[0].empty_dir == EmptyDir()


def test_every_source_of_the_same_pod_gives_the_same_pod(tmp_path: Path) -> None:
    text = json.dumps(FULL)
    path = tmp_path / "pod.json"
    path.write_text(text)
    pod = load(FULL)
    sources: list[Any] = [
        text,
        json.dumps(FULL, indent=2),
        text.encode(),
        f"---\n{text}\n...\n---\n",
        path,
        str(path),
        ChainMap(FULL),
    ]
    for source in sources:
        assert load(source) == pod
    assert pod.spec.volumes[1].host_path == HostPath("/var/log", "Directory")
    assert pod.options == Options(init=True)


def test_defaults_are_those_of_kubernetes() -> None:
    pod = load(minimal())
    assert pod.metadata.namespace == "default"
    assert pod.spec.restart_policy == "Always"
    assert pod.spec.termination_grace_period_seconds == 30
    assert pod.spec.containers[0].image == "host"
    assert pod.options == Options()


def test_a_request_that_is_not_written_is_the_limit() -> None:
    resources = load(minimal(resources={"limits": {"cpu": "2", "memory": "1Ki"}, "requests": {"cpu": 0.5}}))
    container = resources.spec.containers[0]
    assert container.resources.limits == amounts(2000, 1024)
    assert container.resources.requests == amounts(500, 1024)


def test_a_volume_without_a_source_is_an_empty_directory() -> None:
    assert load(changed(("spec", "volumes", 0), {"name": "scratch"})).spec.volumes[0].empty_dir == EmptyDir()


def test_names_come_in_one_form() -> None:
    mounts = [{"name": "scratch", "mountPath": "//data/./x/"}]
    pod = load(changed(("spec", "containers", 0, "volumeMounts"), mounts))
    assert pod.spec.containers[0].volume_mounts[0].mount_path == "/data/x"
    add = ["cap_net_admin", "SYS_TIME", "CAP_KILL", "all"]
    pod = load(minimal(securityContext={"capabilities": {"add": add}}))
    assert pod.spec.containers[0].security_context.capabilities.add == ("NET_ADMIN", "SYS_TIME", "KILL", "ALL")


def test_what_an_api_server_sets_has_no_effect() -> None:
    document = changed(("status",), {"phase": "Running", "anything": [1]})
    document["metadata"] |= {
        "uid": "1-2-3",
        "resourceVersion": "5",
        "generation": 1,
        "creationTimestamp": None,
        "managedFields": [{"manager": "x"}],
        "ownerReferences": [{"kind": "Job"}],
    }
    document["spec"] |= {"schedulerName": "default-scheduler", "hostNetwork": False, "initContainers": []}
    assert load(document) == load(FULL)
    assert load(json.dumps(document)) == load(FULL)


def test_null_is_as_good_as_nothing() -> None:
    text = (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: , annotations: {x: }}\n"
        "spec:\n  volumes:\n  containers:\n  - {name: a, args: ~}\n"
    )
    pod = load(text)
    assert pod.metadata.labels == {}
    assert pod.metadata.annotations == {"x": ""}
    assert pod.spec.containers[0].args == ()


def test_anchors_and_merges_that_no_one_can_misread() -> None:
    text = (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n"
        "  - &one {name: one, env: &env [{name: A, value: b}]}\n  - {name: two, env: *env}\n"
        "  - name: three\n    resources:\n      limits: &some {cpu: 1}\n      requests: {<<: *some, memory: 1Mi}\n"
    )
    pod = load(text)
    assert pod.spec.containers[1].env == pod.spec.containers[0].env
    assert pod.spec.containers[2].resources.requests == amounts(1000, 1 << 20)


def test_characters_beyond_sixteen_bits_in_json() -> None:
    text = json.dumps(minimal(args=["😀", "\\ud83d\\ude00", "é"]))
    assert "\\ud83d" in text
    assert load(text).spec.containers[0].args == ("😀", "\\ud83d\\ude00", "é")


def test_a_byte_order_mark_is_no_mistake() -> None:
    assert load(b"\xef\xbb\xbf" + HELLO.encode()) == load(HELLO)


def test_the_pod_cannot_be_changed_through_its_source() -> None:
    document = json.loads(json.dumps(FULL))
    pod = load(document)
    document["metadata"]["labels"]["app"] = "other"
    document["spec"]["containers"].clear()
    assert pod == load(FULL)
    with pytest.raises(AttributeError):
        pod.kind = "x"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("annotation", "value", "field", "expected"),
    [
        ("init", "true", "init", True),
        ("init", "false", "init", False),
        ("writable-layer", "memory", "writable_layer", "memory"),
        ("back-off-initial", "500ms", "back_off_initial", 0.5),
        ("back-off-initial", "1m30s", "back_off_initial", 90.0),
        ("back-off-max", "1.5h", "back_off_max", 5400.0),
        ("seccomp", "unconfined", "seccomp", "unconfined"),
        ("log-max-size", "1Mi", "log_max_size", 1 << 20),
        ("log-max-files", "3", "log_max_files", 3),
    ],
)
def test_options(annotation: str, value: str, field: str, expected: object) -> None:
    pod = load(changed(("metadata", "annotations"), {f"podfast.dev/{annotation}": value}))
    assert getattr(pod.options, field) == expected
    assert pod.metadata.annotations == {f"podfast.dev/{annotation}": value}


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        ("init", "yes"),
        ("init", ""),
        ("writable-layer", "tmpfs"),
        ("back-off-initial", "10"),
        ("back-off-initial", "-1s"),
        ("back-off-initial", "1s2"),
        ("back-off-initial", "1..5s"),
        ("back-off-initial", "nans"),
        ("back-off-initial", "0s"),
        ("back-off-initial", "10m"),
        ("back-off-max", "25h"),
        ("back-off-max", "1s"),
        ("seccomp", "Default"),
        ("log-max-size", "1"),
        ("log-max-files", "1"),
        ("log-max-files", "٣"),
    ],
)
def test_options_that_are_wrong(annotation: str, value: str) -> None:
    key = f"podfast.dev/{annotation}"
    (problem,) = problems(changed(("metadata", "annotations"), {key: value}))
    assert problem.path == f'metadata.annotations["{key}"]'


def test_an_unknown_option_is_a_mistake() -> None:
    (message,) = messages(changed(("metadata", "annotations"), {"podfast.dev/innit": "true"}))
    assert message.startswith('unknown annotation "podfast.dev/innit" (did you mean "init"?)')


def test_the_error_can_be_pickled() -> None:
    with pytest.raises(SpecError) as caught:
        load("a: 1\n", source_name="pod.yaml")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert copy.problems == caught.value.problems
    assert str(copy).startswith("pod.yaml:1:1: ")


def test_the_result_is_a_pod() -> None:
    assert isinstance(load(FULL), Pod)


def test_a_limit_of_a_directory_on_disk_is_refused_by_name() -> None:
    text = POD_WITH_VOLUME.replace("SOURCE", "emptyDir: {sizeLimit: 1Mi}")
    with pytest.raises(SpecError) as caught:
        load(text)
    assert str(caught.value).endswith(
        "spec.volumes[0].emptyDir.sizeLimit is not supported yet on disk: give medium: Memory"
    )
    assert load(text.replace("{sizeLimit", "{medium: Memory, sizeLimit")).spec.volumes[0].empty_dir is not None


POD_WITH_VOLUME = """
apiVersion: v1
kind: Pod
metadata: {name: limited}
spec:
  containers: [{name: a, command: [x]}]
  volumes:
  - name: v
    SOURCE
"""
