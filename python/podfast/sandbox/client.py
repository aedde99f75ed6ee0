# SPDX-License-Identifier: Apache-2.0
"""Reaching a pod through its run directory: exec by the shim itself, everything else passed on to the pod's owner."""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Sequence
from typing import NamedTuple

from podfast.errors import NotFound, PodfastError, StartError, WaitTimeout
from podfast.sandbox import protocol
from podfast.sandbox.failure import explain
from podfast.sandbox.protocol import Message, receive, send


class ExecResult(NamedTuple):
    """How a command ended: its exit code (128 + n for signal n) and what it wrote, when that was captured."""

    exit_code: int
    stdout: bytes
    stderr: bytes


class Exec:
    """A running command. Closing it, or the death of this process, kills the command and all it started."""

    def __init__(self, connection: socket.socket, container: str, argv: Sequence[str], terminal: int) -> None:
        self._connection = connection
        self._container = container
        self._argv = argv
        self.terminal = terminal  # the pty's master, or -1
        self.exit_code: int | None = None

    def fileno(self) -> int:
        """Readable when the command has ended."""
        return self._connection.fileno()

    def send_signal(self, number: int) -> None:
        send(self._connection, Message(protocol.EXEC_SIGNAL, value=number))

    def wait(self, timeout: float | None = None) -> int:
        """The exit code. Raises WaitTimeout (the command runs on) and, for a silent one, what `start_exec` does."""
        if self.exit_code is None:
            poller = select.poll()
            poller.register(self._connection, select.POLLIN)
            if not poller.poll(None if timeout is None else timeout * 1000):
                raise WaitTimeout(f"{self._argv[0]} runs longer than {timeout:g} s")
            message = _receive(self._connection)
            if message is not None and message.type == protocol.EXEC_FAILED:
                raise _not_started(self._container, self._argv, message)
            if message is None or message.type != protocol.EXEC_EXITED:
                raise PodfastError(f'the pod ended while "{self._argv[0]}" ran in container "{self._container}"')
            self.exit_code = os.waitstatus_to_exitcode(message.value)
            if self.exit_code < 0:
                self.exit_code = 128 - self.exit_code
        return self.exit_code

    def close(self) -> None:
        self._connection.close()
        if self.terminal >= 0:
            os.close(self.terminal)
            self.terminal = -1

    def __enter__(self) -> Exec:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Client:
    """A pod's shim, from any process of the same user. Each request is a connection of its own."""

    def __init__(self, run_directory: str) -> None:
        self.run_directory = run_directory

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            directory = os.open(self.run_directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                connection.connect(f"/proc/self/fd/{directory}/sock")
            finally:
                os.close(directory)
        except (FileNotFoundError, ConnectionRefusedError) as error:
            connection.close()
            raise NotFound("the pod is gone") from error
        except BaseException:
            connection.close()
            raise
        return connection

    def start_exec(
        self,
        index: int,
        container: str,
        argv: Sequence[str],
        *,
        variables: Sequence[str] = (),
        workdir: str = "",
        stdio: tuple[int, int, int] | None = None,
        size: tuple[int, int] = (24, 80),
        silent: bool = False,
    ) -> Exec:
        """Start a command in container `index`: on three descriptors, or on a terminal of `size` (rows, columns)
        without them.

        It gets the container's environment, with `variables` ("K=V") on top, and its working directory unless told
        another. Raises StartError (126, 127, …) when it does not start, NotFound when pod or container is not
        running. `silent`: do not wait for the start; `Exec.wait` raises then.
        """
        flags = (protocol.EXEC_TTY if stdio is None else 0) | (protocol.EXEC_SILENT if silent else 0)
        try:
            payload = protocol.exec_payload(argv, variables, workdir, flags, size)
        except ValueError as error:
            raise StartError(
                f'container "{container}" cannot run the command: {error}',
                container=container,
                stage="exec",
                exit_code=126,
            ) from error
        connection = self._connect()
        try:
            _send(connection, Message(protocol.EXEC, index=index, payload=payload), stdio or ())
            if silent:
                return Exec(connection, container, argv, -1)
            answer = _receive(connection)
            if answer is None:
                raise NotFound("the pod is gone")
            if answer.type == protocol.EXEC_FAILED:
                raise _not_started(container, argv, answer)
            if stdio is None and not answer.fds:
                raise PodfastError("the terminal cannot be taken: this process has too many open files")
        except BaseException:
            connection.close()
            raise
        return Exec(connection, container, argv, answer.fds[0] if answer.fds else -1)

    def ask(self, what: int, grace: float | None = None) -> None:
        """Pass a request (protocol.ASK_*) on to the pod's owner. Returns when the owner has it, not when it is done."""
        with self._connect() as connection:
            _send(connection, Message(protocol.ASK, value=what, error=-1 if grace is None else int(grace * 1000)))
            answer = _receive(connection)
        if answer is None:
            raise NotFound("the pod is gone")
        if answer.value in (errno.ENOTCONN, errno.EPIPE):
            raise NotFound("the pod has no engine")
        if answer.value:
            raise PodfastError(f"the pod's owner cannot be reached: {os.strerror(answer.value)}")

    def stop(self, grace: float | None = None) -> None:
        """Ask the owner to stop the pod gracefully, within `grace` seconds (None: the pod's own period)."""
        self.ask(protocol.ASK_STOP, grace)

    def kill(self) -> None:
        self.ask(protocol.ASK_KILL)

    def remove(self) -> None:
        """Ask the owner to kill what is left and remove the pod."""
        self.ask(protocol.ASK_REMOVE)


# The shim reads nothing of a connection that it turns away.
_TURNED_AWAY = "podfast-shim closed the connection: the pod has just ended, or too many others talk to it"


def _send(connection: socket.socket, message: Message, fds: Sequence[int] = ()) -> None:
    try:
        send(connection, message, fds)
    except (BrokenPipeError, ConnectionResetError) as error:
        raise PodfastError(_TURNED_AWAY) from error


def _receive(connection: socket.socket) -> Message | None:
    try:
        return receive(connection)
    except ConnectionResetError as error:
        raise PodfastError(_TURNED_AWAY) from error


def _not_started(container: str, argv: Sequence[str], answer: Message) -> Exception:
    stage = protocol.STAGES[answer.stage]
    if stage in ("clone", "join") and answer.error == errno.ESRCH:
        return NotFound(f'container "{container}" is not running')
    failure = explain(container, stage, answer.error, answer.value, argv[0])
    # The container runs; it is the command in it that does not.
    failure.args = (str(failure).replace("did not start", "cannot run the command", 1),)
    return failure
