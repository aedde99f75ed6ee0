# SPDX-License-Identifier: Apache-2.0
"""Reading CRI logs while they grow, are rotated, and while containers restart."""

import os
import select
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from podfast.node import Follower, Joiner, LogLine, Watch, attempts, read_logs
from podfast.node.crilog import BLOCK, RECORD_LIMIT, Tape, parse, tail


def record(text: str, second: int = 0, stream: str = "stdout", tag: str = "F") -> bytes:
    return f"2026-01-01T00:00:{second:02}.000000000Z {stream} {tag} {text}\n".encode()


def append(directory: Path, container: str, attempt: int, data: bytes) -> Path:
    path = directory / container / f"{attempt}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab") as file:
        file.write(data)
    return path


def texts(lines: list[LogLine]) -> list[str]:
    return [line.text.decode() for line in lines]


def test_parse() -> None:
    line = parse(b"2026-01-01T00:00:00.5Z stderr P two  words ", "c", 3)
    assert line == LogLine("c", 3, "stderr", "2026-01-01T00:00:00.5Z", b"two  words ", True)
    assert parse(b"t stdout F:x ", "c", 0).text == b""
    assert parse(b"no record", "c", 0) == LogLine("c", 0, "stdout", "", b"no record", False)


def test_lines_come_as_they_are_written_in_the_order_of_time(tmp_path: Path) -> None:
    with Follower(str(tmp_path), ["a", "b"]) as follower:
        assert follower.read() == []
        append(tmp_path, "a", 0, record("one", 1) + record("three", 3))
        append(tmp_path, "b", 0, record("two", 2))
        assert texts(follower.read()) == ["one", "two", "three"]
        assert follower.read() == []
        append(tmp_path, "a", 0, record("four", 4)[:-3])
        assert follower.read() == []
        append(tmp_path, "a", 0, record("four", 4)[-3:])
        assert texts(follower.read()) == ["four"]


def test_a_restart_loses_no_line(tmp_path: Path) -> None:
    with Follower(str(tmp_path), ["a"]) as follower:
        append(tmp_path, "a", 0, record("first"))
        assert texts(follower.read()) == ["first"]
        append(tmp_path, "a", 0, record("last of 0") + b"cut off")
        append(tmp_path, "a", 1, record("of 1"))
        append(tmp_path, "a", 3, record("of 3"))
        seen = [line for _ in range(5) for line in follower.read()]
        assert [(line.attempt, line.text) for line in seen] == [
            (0, b"last of 0"), (0, b"cut off"), (1, b"of 1"), (3, b"of 3"),
        ]  # fmt: skip


def test_rotation_is_followed(tmp_path: Path) -> None:
    with Follower(str(tmp_path), ["a"]) as follower:
        path = append(tmp_path, "a", 0, record("one"))
        assert texts(follower.read()) == ["one"]
        append(tmp_path, "a", 0, record("two"))
        path.rename(path.with_name("0.log.20260101-000001.000000000Z"))
        append(tmp_path, "a", 0, record("three"))
        path.rename(path.with_name("0.log.20260101-000002.000000000Z"))
        append(tmp_path, "a", 0, record("four"))
        assert texts([line for _ in range(4) for line in follower.read()]) == ["two", "three", "four"]


def test_rotated_files_are_read_first_and_what_was_removed_is_passed_over(tmp_path: Path) -> None:
    for second, text in enumerate(("one", "two", "three")):
        path = append(tmp_path, "a", 0, record(text))
        path.rename(path.with_name(f"0.log.20260101-00000{second}.000000000Z"))
    append(tmp_path, "a", 0, record("four"))
    with Follower(str(tmp_path), ["a"]) as follower:
        assert texts(follower.read()) == ["one"]
        for second in (0, 1):
            path.with_name(f"0.log.20260101-00000{second}.000000000Z").unlink()
        assert texts([line for _ in range(4) for line in follower.read()]) == ["two", "three", "four"]
        assert follower.lost() == []


def test_who_writes_faster_than_one_reads_is_told_of(tmp_path: Path) -> None:
    append(tmp_path, "a", 0, record("one"))
    with Follower(str(tmp_path), ["a", "b"]) as follower:
        assert texts(follower.read()) == ["one"]
        (tmp_path / "a" / "0.log").rename(tmp_path / "a" / "0.log.20260101-000001.000000000Z")
        (tmp_path / "a" / "0.log.20260101-000001.000000000Z").unlink()
        append(tmp_path, "a", 0, record("three"))
        assert texts([line for _ in range(4) for line in follower.read()]) == ["three"]
        assert follower.lost() == ["a"]


def test_the_tail_reaches_into_rotated_files(tmp_path: Path) -> None:
    for second, text in enumerate(("one", "two", "three")):
        path = append(tmp_path, "a", 0, record(text))
        path.rename(path.with_name(f"0.log.20260101-00000{second}.000000000Z"))
    append(tmp_path, "a", 0, record("four"))
    with Follower(str(tmp_path), ["a"]) as follower:
        follower.skip_to_tail(2)
        assert texts([line for _ in range(3) for line in follower.read()]) == ["three", "four"]


def test_what_is_held_can_be_read_after_its_removal(tmp_path: Path) -> None:
    follower = Follower(str(tmp_path), ["a", "b", "c"])
    path = append(tmp_path, "a", 0, record("one"))
    assert texts(follower.read()) == ["one"]
    append(tmp_path, "a", 0, record("two"))
    path.rename(path.with_name("0.log.20260101-000001.000000000Z"))
    append(tmp_path, "a", 0, record("three"))
    append(tmp_path, "a", 1, record("four") + b"cut off")
    append(tmp_path, "b", 0, record("of b"))
    follower.hold()
    shutil.rmtree(tmp_path / "a")
    shutil.rmtree(tmp_path / "b")
    with follower:
        lines = [line for _ in range(9) for line in follower.read()]
    assert texts([line for line in lines if line.container == "a"]) == ["two", "three", "four", "cut off"]
    assert texts([line for line in lines if line.container == "b"]) == ["of b"]


def test_a_torn_record_that_is_cut_off_later_is_never_shown(tmp_path: Path) -> None:
    path = append(tmp_path, "a", 0, record("one") + b"2026-01-01T00:00:00Z stdout F to")
    with Follower(str(tmp_path), ["a"]) as follower:
        assert texts(follower.read() + follower.read()) == ["one"]
        os.truncate(path, len(record("one")))
        append(tmp_path, "a", 0, record("two"))
        assert texts(follower.read()) == ["two"]


def test_files_that_are_no_logs_are_passed_over(tmp_path: Path) -> None:
    for name in ("x.log", ".log", "0", "0.logs", "0.log.", "0.log.gz", "0.log~", "-1.log", "٣.log", "9999999999.log"):
        append(tmp_path, "a", 0, b"").with_name(name).write_bytes(record("no"))
    append(tmp_path, "a", 7, record("yes"))
    assert attempts(str(tmp_path), "a") == [0, 7]
    assert texts(list(read_logs(str(tmp_path), ["a"]))) == ["yes"]


def test_one_attempt_only(tmp_path: Path) -> None:
    for attempt in range(3):
        append(tmp_path, "a", attempt, record(f"of {attempt}"))
    with Follower(str(tmp_path), ["a"], first=1, only=True) as follower:
        assert texts(follower.read() + follower.read()) == ["of 1"]
    with Follower(str(tmp_path), ["a"], first=7, only=True) as follower:
        assert follower.read() == []


def test_the_pod_goes_away_while_it_is_followed(tmp_path: Path) -> None:
    with Follower(str(tmp_path), ["a"]) as follower:
        path = append(tmp_path, "a", 0, record("one") + record("two"))
        assert texts(follower.read()) == ["one", "two"]
        append(tmp_path, "a", 0, record("three"))
        path.unlink()
        path.parent.rmdir()
        assert texts(follower.read()) == ["three"]
        assert follower.read() == []


def test_tail_begins_with_the_newest_attempt(tmp_path: Path) -> None:
    append(tmp_path, "a", 0, record("old"))
    append(tmp_path, "a", 1, record("x") + record("y") + record("z"))
    with Follower(str(tmp_path), ["a"]) as follower:
        follower.skip_to_tail(2)
        assert texts(follower.read()) == ["y", "z"]


@settings(max_examples=60)
@given(st.lists(st.integers(0, BLOCK + 9), max_size=6), st.integers(0, 8), st.booleans())
def test_the_tail_of_any_file(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], count: int, ended: bool
) -> None:
    lines = [b"x" * size for size in sizes]
    data = b"".join(line + b"\n" for line in lines)
    if not ended:
        data = data[:-1]
        lines = data.split(b"\n") if data else []
    path = tmp_path_factory.mktemp("tail") / "f"
    path.write_bytes(data)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        offset, missing = tail(descriptor, count)
    finally:
        os.close(descriptor)
    wanted = lines[-count:] if count else []
    assert data[offset:] == b"\n".join(wanted) + (b"\n" if ended and wanted else b"")
    assert missing == count - len(wanted)


def test_a_file_without_newlines_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "f"
    with open(path, "wb") as file:
        file.truncate(10 * RECORD_LIMIT)
    tape = Tape(os.open(path, os.O_RDONLY), "c", 0)
    total = 0
    while lines := tape.read():
        assert all(len(line.text) <= RECORD_LIMIT + BLOCK for line in lines)
        total += sum(len(line.text) for line in lines)
    total += sum(len(line.text) for line in tape.rest())
    tape.close()
    assert total == 10 * RECORD_LIMIT


def test_pieces_of_long_lines_are_joined_each_stream_by_itself() -> None:
    joiner = Joiner(limit=8)

    def piece(text: bytes, partial: bool, stream: str = "stdout") -> LogLine:
        return LogLine("c", 0, stream, "t", text, partial)

    fed = [piece(b"ab", True), piece(b"E", True, "stderr"), piece(b"cd", False), piece(b"whole", False)]
    assert [line.text for line in joiner.feed(fed)] == [b"abcd", b"whole"]
    assert [line.text for line in joiner.feed([piece(b"12345", True), piece(b"678", True), piece(b"9", False)])] == [
        b"12345678", b"9",
    ]  # fmt: skip
    assert [line.text for line in joiner.flush()] == [b"E"]
    assert list(joiner.flush()) == []


def test_lines_are_handed_on_as_they_come_until_the_pod_ends(tmp_path: Path) -> None:
    directory = tmp_path / "logs" / "pod"
    directory.parent.mkdir()
    steps = iter(("one", "two", "", "three"))

    def alive() -> bool:
        text = next(steps, None)
        if text:
            append(directory, "a", 0, record(text))
        return text is not None

    lines = read_logs(str(directory), ["a"], follow=True, alive=alive)
    assert texts(list(lines)) == ["one", "two", "three"]
    assert texts(list(read_logs(str(directory), ["a"], tail=1))) == ["three"]


def test_a_watch_sees_what_is_made_later(tmp_path: Path) -> None:
    directory = tmp_path / "pod"
    with Watch([str(directory), str(directory / "a")]) as watch:

        def changed() -> bool:
            seen = bool(select.select([watch], [], [], 0)[0])
            watch.clear()
            watch.arm()
            return seen

        watch.arm()
        assert not changed()
        directory.mkdir()
        assert changed()
        (directory / "a").mkdir()
        assert changed()
        assert not changed()
        path = append(directory, "a", 0, b"x")
        assert changed()
        append(directory, "a", 0, b"y")
        assert changed()
        path.rename(path.with_name("0.log.1"))
        assert changed()
        assert not changed()
        assert watch.patience is None
    with Watch([str(tmp_path / "nowhere" / "pod")]) as watch:
        watch.arm()
        assert watch.patience is not None
