# SPDX-License-Identifier: Apache-2.0
"""Run a command in a container and collect what it says: one poll over its pipes and its end, no thread."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Mapping, Sequence

from podfast.errors import WaitTimeout
from podfast.sandbox.client import Client, Exec, ExecResult

CHUNK = 65536


def run_exec(
    client: Client,
    index: int,
    container: str,
    argv: Sequence[str],
    stdin: bytes | None,
    env: Mapping[str, str],
    working_dir: str,
    timeout: float | None,
) -> ExecResult:
    """See `podfast.Pod.exec`."""
    theirs: list[int] = []
    ours: list[int] = []
    try:
        try:
            source, feed = os.pipe2(os.O_CLOEXEC) if stdin else (os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC), -1)
            theirs.append(source)
            if feed >= 0:
                ours.append(feed)
            for _ in range(2):
                read, write = os.pipe2(os.O_CLOEXEC)
                ours.append(read)
                theirs.append(write)
            variables = [f"{key}={value}" for key, value in env.items()]
            running = client.start_exec(
                index,
                container,
                argv,
                variables=variables,
                workdir=working_dir,
                stdio=(theirs[0], theirs[1], theirs[2]),
                silent=True,
            )
        finally:
            for fd in theirs:
                os.close(fd)
        with running:
            out, err = ours[-2:]
            return _collect(running, out, err, feed, stdin or b"", ours, timeout, argv[0])
    finally:
        for fd in ours:
            os.close(fd)


def _collect(
    running: Exec, out: int, err: int, feed: int, stdin: bytes, ours: list[int], timeout: float | None, program: str
) -> ExecResult:
    """Until the command has ended; what its own children still hold open is not waited for."""
    deadline = None if timeout is None else time.monotonic() + timeout
    collected: dict[int, list[bytes]] = {out: [], err: []}
    poller = select.poll()
    for fd in (out, err, running.fileno()):
        poller.register(fd, select.POLLIN)
    if feed >= 0:
        os.set_blocking(feed, False)
        poller.register(feed, select.POLLOUT)
    while True:
        remaining = None if deadline is None else max(0.0, deadline - time.monotonic())
        ready = poller.poll(None if remaining is None else remaining * 1000)
        if not ready:
            raise WaitTimeout(f"{program} runs longer than {timeout:g} s")
        for fd, _ in ready:
            if fd in collected:
                data = os.read(fd, CHUNK)
                collected[fd].append(data)
                if not data:
                    poller.unregister(fd)
            elif fd == feed:
                stdin = _feed(feed, stdin)
                if not stdin:
                    poller.unregister(feed)
                    ours.remove(feed)
                    os.close(feed)
                    feed = -1
        if any(fd == running.fileno() for fd, _ in ready):
            code = running.wait()
            for fd in collected:
                _rest(fd, collected[fd])
            return ExecResult(code, b"".join(collected[out]), b"".join(collected[err]))


def _feed(feed: int, data: bytes) -> bytes:
    try:
        return data[os.write(feed, data[:CHUNK]) :]
    except BlockingIOError:
        return data
    except BrokenPipeError:
        return b""


def _rest(fd: int, chunks: list[bytes]) -> None:
    os.set_blocking(fd, False)
    try:
        while data := os.read(fd, CHUNK):
            chunks.append(data)
    except BlockingIOError:
        pass
