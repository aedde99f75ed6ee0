# SPDX-License-Identifier: Apache-2.0
"""Run directories as other processes read them."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from podfast.errors import NotFound, PodfastError
from podfast.node import PodRecord, find, pods
from podfast.places import resolve

ONE = "1a" * 32
TWO = "1b" * 32
THREE = "cc" * 32


def make(runroot: Path, pod_id: str, name: str, namespace: str = "default", **more: Any) -> Path:
    directory = runroot / "pods" / pod_id
    directory.mkdir(parents=True)
    head = {"name": name, "namespace": namespace, "uid": f"uid-{name}", "id": pod_id, "life": "embedded"} | more
    (directory / "pod").write_text(json.dumps(head) + "\nunlink /nowhere\n")
    return directory


def test_no_run_root_means_no_pods(tmp_path: Path) -> None:
    assert pods(str(tmp_path / "missing")) == []


def test_pods_are_listed_oldest_first_with_their_status(tmp_path: Path) -> None:
    make(tmp_path, ONE, "late", created=2)
    directory = make(tmp_path, TWO, "early", created=1)
    status = {"phase": "Running", "containerStatuses": [{"name": "b"}, {"name": "a"}]}
    (directory / "status.json").write_text(json.dumps({"status": status, "podfast": {"x": 1}}))
    early, late = pods(str(tmp_path))
    assert (early.name, late.name) == ("early", "late")
    assert early.status["phase"] == "Running"
    assert early.containers == ("b", "a")
    assert early.own == {"x": 1}
    assert early.short_id == TWO[:12]
    assert late.status == {} and late.containers == () and late.own == {}


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"{",
        b"[]",
        b'{"name": 1}',
        b"\xff\xfe",
        b'{"name":"x","namespace":"y","uid":"z","id":"other"}',
        b"[" * 100_000,
    ],
)
def test_what_is_not_a_pod_is_passed_over(tmp_path: Path, head: bytes) -> None:
    (make(tmp_path, ONE, "x") / "pod").write_bytes(head)
    (tmp_path / "pods" / "not-an-id").mkdir()
    (tmp_path / "pods" / TWO).mkdir()
    assert pods(str(tmp_path)) == []


@pytest.mark.parametrize("text", [b"", b"{", b"[1]", b"[" * 100_000, b'{"status": 1, "podfast": []}'])
def test_a_damaged_status_is_no_status(tmp_path: Path, text: bytes) -> None:
    (make(tmp_path, ONE, "x") / "status.json").write_bytes(text)
    (record,) = pods(str(tmp_path))
    assert record.status == {} and record.own == {}


def test_a_fifo_or_a_link_in_place_of_a_file_neither_hangs_nor_leads_away(tmp_path: Path) -> None:
    first = make(tmp_path, ONE, "x")
    (first / "pod").unlink()
    os.mkfifo(first / "pod")
    second = make(tmp_path, TWO, "y")
    (second / "pod").rename(tmp_path / "elsewhere")
    (second / "pod").symlink_to(tmp_path / "elsewhere")
    assert pods(str(tmp_path)) == []


def test_a_huge_status_is_not_read(tmp_path: Path) -> None:
    directory = make(tmp_path, ONE, "x")
    with open(directory / "status.json", "wb") as file:
        file.truncate(1 << 30)
    (record,) = pods(str(tmp_path))
    assert record.status == {}


@pytest.fixture
def three(tmp_path: Path) -> str:
    make(tmp_path, ONE, "web")
    make(tmp_path, TWO, "web", "other")
    make(tmp_path, THREE, "cc")
    return str(tmp_path)


@pytest.mark.parametrize(
    ("token", "namespace", "expected"),
    [
        ("other/web", None, TWO),
        ("pod/cc", None, THREE),
        ("web", "default", ONE),
        ("pods/other/web", None, TWO),
        (ONE, None, ONE),
        ("1a", None, ONE),
        ("1b1b1b1b1b1b", None, TWO),
        ("cc", None, THREE),
        ("1", "other", TWO),
    ],
)
def test_find(three: str, token: str, namespace: str | None, expected: str) -> None:
    assert find(three, token, namespace=namespace).id == expected


@pytest.mark.parametrize("token", ["web", "1"])
def test_an_ambiguous_token_is_told_with_all_it_may_mean(three: str, token: str) -> None:
    with pytest.raises(PodfastError, match=rf'"{token}" means more than one pod: .*default/web \(1a.*other/web \(1b'):
        find(three, token)


def test_a_pod_that_is_not_there(three: str) -> None:
    with pytest.raises(NotFound, match=r'no pod "wep" \(did you mean "web"\?\)'):
        find(three, "wep")
    with pytest.raises(NotFound, match='no pod "cc" in namespace "other"'):
        find(three, "cc", namespace="other")
    with pytest.raises(NotFound):
        find(three, "")


def test_a_pod_that_vanishes_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, ONE, "x")
    monkeypatch.setattr(os, "listdir", lambda _path: [ONE, TWO])
    assert [record.name for record in pods(str(tmp_path))] == ["x"]


def test_places(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PODFAST_ROOT", "PODFAST_RUNROOT", "XDG_DATA_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert resolve() == ("/var/lib/podfast", "/run/podfast")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("HOME", "/home/me")
    assert resolve() == ("/home/me/.local/share/podfast", "/tmp/podfast-1000")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    assert resolve() == ("/data/podfast", "/run/user/1000/podfast")
    monkeypatch.setenv("PODFAST_ROOT", "/a")
    monkeypatch.setenv("PODFAST_RUNROOT", "/b")
    assert resolve() == ("/a", "/b")
    assert resolve("/c", "/d/../e") == ("/c", "/e")


def test_a_record_is_frozen() -> None:
    record = PodRecord(name="a", namespace="b", uid="c", id=ONE)
    with pytest.raises(AttributeError):
        record.name = "x"  # type: ignore[misc]
