# SPDX-License-Identifier: Apache-2.0
"""What dead pods have left goes; what lives stays."""

import fcntl
import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from podfast.node import sweep
from podfast.node.sweeping import boot_id
from podfast.places import Places

ONE = "1a" * 32
TWO = "1b" * 32


@pytest.fixture
def places(tmp_path: Path) -> Places:
    made = Places(str(tmp_path / "root"), str(tmp_path / "run"))
    for path in (made.pods, made.names, made.state, made.trash, made.logs):
        os.makedirs(path)
    Path(made.root, "boot").write_text(boot_id())
    return made


def make(places: Places, pod_id: str, *records: str, life: str = "embedded", boot: str | None = None) -> Path:
    directory = Path(places.run_directory(pod_id))
    directory.mkdir()
    head = {"name": pod_id[:2], "namespace": "default", "uid": pod_id[:4], "id": pod_id, "life": life}
    head["boot_id"] = boot_id() if boot is None else boot
    (directory / "pod").write_text("".join(f"{line}\n" for line in (json.dumps(head), *records)))
    return directory


@pytest.fixture
def held() -> Iterator[list[int]]:
    descriptors: list[int] = []
    yield descriptors
    for descriptor in descriptors:
        os.close(descriptor)


def hold(directory: Path, held: list[int]) -> None:
    descriptor = os.open(directory / "pod", os.O_RDWR | os.O_CLOEXEC)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    held.append(descriptor)


def test_nothing_there(tmp_path: Path) -> None:
    assert sweep(str(tmp_path / "a"), str(tmp_path / "b")) == 0
    assert os.listdir(tmp_path) == []


def test_a_dead_pod_is_undone_last_record_first(places: Places, tmp_path: Path) -> None:
    state = Path(places.state, ONE)
    (state / "0.0.u").mkdir(parents=True)
    claim, stolen = Path(places.names, "claim"), Path(places.names, "stolen")
    claim.symlink_to(ONE)
    stolen.symlink_to(TWO)
    tree, file, kept = tmp_path / "tree", tmp_path / "file", tmp_path / "kept"
    (tree / "deep").mkdir(parents=True)
    (tree / "link").symlink_to(kept)
    kept.mkdir()
    (kept / "x").touch()
    file.touch()
    make(
        places, ONE, f"name {claim}\t{ONE}", f"name {stolen}\t{ONE}", f"trash {state}\t{places.trash}/{ONE}",
        f"rmtree {tree}", f"unlink {file}",
    )  # fmt: skip
    assert sweep(*places) == 1
    assert [os.listdir(path) for path in (places.pods, places.state, places.trash)] == [[], [], []]
    assert os.listdir(places.names) == ["stolen"]
    assert not tree.exists() and not file.exists() and (kept / "x").exists()
    assert sweep(*places) == 0


def test_a_record_that_was_cut_off_is_not_followed(places: Places, tmp_path: Path) -> None:
    kept = tmp_path / "ke"
    kept.touch()
    directory = make(places, ONE)
    with open(directory / "pod", "a") as file:
        file.write(f"unlink {kept}")
    assert sweep(*places) == 1
    assert kept.exists()


def test_living_pods_stay(places: Places, held: list[int]) -> None:
    hold(make(places, ONE, f"trash {places.state}/{ONE}\t{places.trash}/{ONE}"), held)
    Path(places.state, ONE).mkdir()
    make(places, TWO)
    assert sweep(*places) == 1
    assert os.listdir(places.pods) == [ONE] and os.listdir(places.state) == [ONE]


def test_a_served_pod_waits_for_its_adoption_until_the_next_boot(places: Places) -> None:
    make(places, ONE, life="served")
    make(places, TWO, life="served", boot="an earlier one")
    assert sweep(*places) == 1
    assert os.listdir(places.pods) == [ONE]


@pytest.mark.parametrize("content", [None, b"", b'{"half'])
def test_a_pod_that_died_in_its_first_moment(places: Places, content: bytes | None) -> None:
    directory = Path(places.run_directory(ONE))
    directory.mkdir()
    if content is not None:
        (directory / "pod").write_bytes(content)
    assert sweep(*places) == 1
    assert os.listdir(places.pods) == []


def test_what_cannot_be_undone_now_stops_neither_the_command_nor_the_rest(places: Places) -> None:
    make(places, ONE, "unlink not-absolute")
    make(places, TWO)
    assert sweep(*places) == 1
    assert os.listdir(places.pods) == [ONE]


def test_a_pod_that_is_being_made_is_waited_for(places: Places) -> None:
    maker = os.open(places.lock, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(maker, fcntl.LOCK_SH)
    directory = make(places, ONE)
    held: list[int] = []

    def finish() -> None:
        time.sleep(0.05)
        hold(directory, held)
        os.close(maker)

    thread = threading.Thread(target=finish)
    thread.start()
    assert sweep(*places) == 0
    thread.join()
    assert directory.exists()
    os.close(held[0])


def test_a_maker_that_hangs_stops_nobody(places: Places, monkeypatch: pytest.MonkeyPatch, held: list[int]) -> None:
    monkeypatch.setattr("podfast.node.sweeping.PATIENCE_SECONDS", 0.02)
    held.append(os.open(places.lock, os.O_RDWR | os.O_CREAT, 0o600))
    fcntl.flock(held[0], fcntl.LOCK_SH)
    directory = make(places, ONE)
    assert sweep(*places) == 0
    assert directory.exists()


def test_the_trash_is_emptied(places: Places) -> None:
    trash = Path(places.trash)
    (trash / "tree" / "a" / "b").mkdir(parents=True)
    (trash / "file").touch()
    (trash / "link").symlink_to("/etc")
    assert sweep(*places) == 0
    assert os.listdir(trash) == []


def test_an_earlier_boot_has_ended_every_pod(places: Places, held: list[int]) -> None:
    Path(places.root, "boot").write_text("an earlier one")
    Path(places.state, ONE).mkdir()
    Path(places.logs, "default_x_uid").mkdir()
    hold(make(places, TWO), held)
    Path(places.state, TWO).mkdir()
    Path(places.logs, f"default_y_{TWO[:4]}").mkdir()
    assert sweep(*places) == 0
    assert os.listdir(places.state) == [TWO]
    assert os.listdir(places.logs) == [f"default_y_{TWO[:4]}"]
    assert Path(places.root, "boot").read_text() == boot_id()


def test_the_first_command_after_a_boot_that_has_lost_the_run_root(places: Places) -> None:
    shutil.rmtree(places.runroot)
    Path(places.root, "boot").write_text("an earlier one")
    Path(places.state, ONE).mkdir()
    assert sweep(*places) == 0
    assert os.listdir(places.state) == os.listdir(places.trash) == []
    assert Path(places.root, "boot").read_text() == boot_id()


def test_state_of_unknown_age_is_judged_by_its_time(places: Places) -> None:
    Path(places.root, "boot").unlink()
    Path(places.state, ONE).mkdir()
    assert sweep(*places) == 0
    assert os.listdir(places.state) == [ONE]  # made in this boot, by an engine with another run root
    assert Path(places.root, "boot").read_text() == boot_id()


def test_a_sweep_with_nothing_to_do_is_cheap(places: Places, held: list[int]) -> None:
    hold(make(places, ONE), held)
    best = min(_timed(places) for _ in range(300))
    assert best < 300e-6  # 100 µs on a quiet machine; the tests run on busy ones


def _timed(places: Places) -> float:
    start = time.perf_counter()
    sweep(*places)
    return time.perf_counter() - start
