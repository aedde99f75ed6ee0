# SPDX-License-Identifier: Apache-2.0
"""The main path, and the handle that users hold.

text ─spec.load→ Pod ─images.ensure→ {reference: Image} ─plan.build→ PodPlan
     ─sandbox.create→ Sandbox ─supervise→ PodState ─status.project→ PodStatus
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

from podfast import images, kept, node, plan, sandbox, spec
from podfast.errors import NotFound, PodfastError, SystemFailure, WaitTimeout
from podfast.places import Places, resolve
from podfast.preparation import hostpaths, identities, missing_mount_points, status_facts
from podfast.sandbox.client import Client, ExecResult
from podfast.sandbox.exec import run_exec
from podfast.spec.model import Pod as PodSpecification
from podfast.status import PodStatus
from podfast.supervise import Engine, SupervisedPod, engine_for

Manifest = str | bytes | os.PathLike[str] | Mapping[str, Any] | PodSpecification
Life = Literal["embedded", "served"]
PATIENCE = 30.0  # seconds for what is waited for after the last KILL: the end of processes, the removal of files


def run(
    manifest: Manifest,
    *,
    root: str | None = None,
    runroot: str | None = None,
    life: Life = "embedded",
    timeout: float | None = None,
) -> Pod:
    """Start a pod and return when every container has started.

    `manifest` is the text of a v1 Pod, a path to it, a mapping, or a `podfast.spec.model.Pod`. Raises SpecError for
    mistakes in it, ImageError, StartError when a container does not start, Conflict when the name is in use,
    WaitTimeout after `timeout` seconds; nothing is left behind then.
    """
    pod = create(manifest, root=root, runroot=runroot, life=life)
    try:
        pod.wait_started(timeout)
    except BaseException:
        pod.kill()
        raise
    return pod


def create(manifest: Manifest, *, root: str | None = None, runroot: str | None = None, life: Life = "embedded") -> Pod:
    """The main path: everything is decided before the first side effect. Returns while the containers start."""
    if life not in ("embedded", "served"):
        raise ValueError(f'life is "embedded" or "served", not "{life}"')
    places = resolve(root, runroot)
    specification = manifest if isinstance(manifest, PodSpecification) else spec.load(manifest)
    found = images.ensure([container.image for container in specification.spec.containers], root=places.root)
    engine = engine_for(places)
    names = sandbox.name(places, specification.metadata.namespace, specification.metadata.name)
    files = hostpaths(specification)
    made = plan.build(
        specification,
        found,
        identities(specification, found),
        engine.ground.facts,
        names,
        served=life == "served",
        needs_upper=missing_mount_points(specification, found),
        file_volumes=files,
    )
    facts = status_facts(specification, names, found, time.time_ns())
    served = life == "served"
    running = sandbox.create(
        engine.ground,
        made,
        _header(specification, names, life),
        kept.write(specification, made, facts) if served else b"",
    )
    supervised = SupervisedPod(specification, made, running, facts, served=served)
    engine.add(supervised)
    return Pod._of(engine, supervised)


def adopt(pod_id: str, *, root: str | None = None, runroot: str | None = None) -> Pod:
    """Become the engine of a served pod whose engine is gone: same processes, same logs, true exit codes.

    `pod_id` is the whole id, or a unique beginning of it, or a name. Raises NotFound, or Conflict when it has an
    engine.
    """
    places = resolve(root, runroot)
    record = node.find(places.runroot, pod_id)
    specification, made, facts, attempts = kept.read(record.directory)
    engine = engine_for(places)
    running = sandbox.take_over(engine.ground, made.names, made)
    supervised = SupervisedPod(specification, made, running, facts, served=True, attempts=attempts)
    supervised.resume()
    engine.add(supervised)
    return Pod._of(engine, supervised)


def _header(specification: PodSpecification, names: plan.Names, life: Life) -> dict[str, object]:
    """The first line of the run directory's `pod` file: who this is and whose."""
    return {
        "name": specification.metadata.name,
        "namespace": specification.metadata.namespace,
        "uid": names.uid,
        "id": names.id,
        "life": life,
        "engine_pid": os.getpid(),
        "created": time.time_ns(),
    }


class Container:
    """One container of a pod that this process holds."""

    __slots__ = ("_index", "_pod", "name")

    def __init__(self, pod: Pod, index: int, name: str) -> None:
        self._pod = pod
        self._index = index
        self.name = name

    @property
    def pid(self) -> int | None:
        """The host's pid of its first process, None while it does not run."""
        self._pod.step()
        return self._pod._supervised.pid(self._index)

    @property
    def state(self) -> Any:
        """Waiting, Running or Terminated (podfast.lifecycle)."""
        self._pod.step()
        return self._pod._supervised.state.containers[self._index].current

    @property
    def restart_count(self) -> int:
        self._pod.step()
        return self._pod._supervised.state.containers[self._index].restart_count


class Pod:
    """A pod of this process. Made by `podfast.run`; a context manager that stops and removes it.

    Nothing happens behind your back: exits are noticed and containers restarted while one of its methods runs, or
    when `step()` is called after `fileno()` became readable (podfast.aio does that for you).
    """

    __slots__ = ("_engine", "_supervised", "containers")
    _engine: Engine
    _supervised: SupervisedPod
    containers: Mapping[str, Container]

    def __init__(self) -> None:
        raise TypeError("podfast.run makes pods")

    @classmethod
    def _of(cls, engine: Engine, supervised: SupervisedPod) -> Pod:
        self = cls.__new__(cls)
        self._engine = engine
        self._supervised = supervised
        self.containers = {
            container.name: Container(self, index, container.name)
            for index, container in enumerate(supervised.plan.containers)
        }
        return self

    @property
    def name(self) -> str:
        """metadata.name"""
        return self._supervised.spec.metadata.name

    @property
    def namespace(self) -> str:
        """metadata.namespace"""
        return self._supervised.spec.metadata.namespace

    @property
    def uid(self) -> str:
        """metadata.uid, given by podfast"""
        return self._supervised.names.uid

    @property
    def id(self) -> str:
        """podfast's own id: 64 hex digits"""
        return self._supervised.names.id

    def __repr__(self) -> str:
        return f"<podfast.Pod {self.namespace}/{self.name} {self.id[:12]}>"

    # ---- the engine ----

    def fileno(self) -> int:
        """The engine's descriptor: readable when `step()` has something to do."""
        return self._engine.fileno()

    def step(self) -> None:
        """Handle what has happened; never blocks."""
        if not self.gone:
            self._engine.step()

    @property
    def gone(self) -> bool:
        """Whether the pod has been removed."""
        return self._supervised.gone

    @property
    def status(self) -> PodStatus:
        """The Kubernetes PodStatus as of now."""
        self.step()
        return self._supervised.status()

    # ---- waiting ----

    def wait_started(self, timeout: float | None = None) -> None:
        """Until every container has started once. Raises StartError with what happened to the first that did not."""
        supervised = self._supervised
        self._drive(lambda: supervised.failure is not None or not supervised.starting, timeout, "the start")
        if supervised.failure is not None:
            raise supervised.failure

    def wait_ready(self, timeout: float | None = None) -> PodStatus:
        """Until the pod is Ready. Raises PodfastError when it ends before, WaitTimeout after `timeout` seconds."""
        supervised = self._supervised
        self._drive(
            lambda: supervised.gone or supervised.state.ready or supervised.state.phase in ("Succeeded", "Failed"),
            timeout,
            "becoming ready",
        )
        status = supervised.status()
        if not supervised.state.ready:
            raise PodfastError(f'pod "{self.name}" ended without becoming ready: {status.phase}')
        return status

    def wait(self, timeout: float | None = None) -> PodStatus:
        """Until the pod has Succeeded or Failed. Raises WaitTimeout after `timeout` seconds; the pod then runs on."""
        supervised = self._supervised
        self._drive(lambda: supervised.gone or supervised.state.phase in ("Succeeded", "Failed"), timeout, "the pod")
        return supervised.status()

    def _drive(self, done: Callable[[], bool], timeout: float | None, what: str) -> None:
        if not done():
            self._engine.drive(done, timeout, what)

    # ---- using it ----

    def _index(self, container: str) -> int:
        for index, planned in enumerate(self._supervised.plan.containers):
            if planned.name == container:
                return index
        raise NotFound(f'pod "{self.name}" has no container "{container}"; it has {", ".join(self.containers)}')

    def exec(
        self,
        container: str,
        argv: Sequence[str],
        *,
        stdin: bytes | None = None,
        env: Mapping[str, str] | None = None,
        working_dir: str = "",
        timeout: float | None = None,
    ) -> ExecResult:
        """Run a command in a running container and return its exit code, stdout and stderr.

        Raises StartError when it does not start, NotFound when the container is not there or does not run,
        WaitTimeout after `timeout` seconds (the command is killed then).
        """
        index = self._index(container)
        return run_exec(
            Client(self._supervised.names.run_directory), index, container, argv, stdin, env or {}, working_dir, timeout
        )

    def logs(
        self, container: str | None = None, *, follow: bool = False, tail: int | None = None
    ) -> Iterator[node.LogLine]:
        """Lines that containers have written, oldest first. With `follow`, until the pod has ended."""
        names = list(self.containers) if container is None else [list(self.containers)[self._index(container)]]
        return node.read_logs(
            self._supervised.names.log_directory, names, follow=follow, tail=tail, alive=self._goes_on
        )

    def _goes_on(self) -> bool:
        self.step()
        return not self.gone and self._supervised.state.phase not in ("Succeeded", "Failed")

    @property
    def log_directory(self) -> str:
        """Where its lines are: `<container>/<attempt>.log` in the CRI format, for as long as the pod is there."""
        return self._supervised.names.log_directory

    @property
    def ended(self) -> bool:
        """Whether it has Succeeded or Failed, as of the last step: no container will run again."""
        return self._supervised.state.phase in ("Succeeded", "Failed")

    @property
    def failure(self) -> PodfastError | None:
        """Why the pod could not be started, as of the last step."""
        return self._supervised.failure

    def before_removal(self, call: Callable[[], None]) -> None:
        """Have something called when every container has ended and all lines are written, before they are removed.

        It runs within `step` or whatever else drives the pod, so it must not wait.
        """
        self._supervised.before_removal = call

    # ---- ending it ----

    def begin_stop(self, grace: float | None = None) -> None:
        """Ask for what `stop` does, without waiting: `step` until it is `gone`."""
        if not self.gone:
            self._engine.act(self._supervised, lambda now: self._supervised.stop(now, grace))

    def begin_kill(self) -> None:
        """Ask for what `kill` does, without waiting."""
        if not self.gone:
            self._engine.act(self._supervised, self._supervised.kill)

    def stop(self, grace: float | None = None) -> PodStatus:
        """Stop as Kubernetes would: TERM, then KILL after `grace` seconds (None: the pod's own period); then remove
        it.
        """
        if not self.gone:
            self._engine.act(self._supervised, lambda now: self._supervised.stop(now, grace))
        period = self._supervised.spec.spec.termination_grace_period_seconds if grace is None else grace
        return self._removed(period + PATIENCE)

    def kill(self) -> PodStatus:
        """Kill and remove it at once."""
        if not self.gone and not self._engine.closed:
            self._engine.act(self._supervised, self._supervised.kill)
        return self._removed(PATIENCE)

    def _removed(self, timeout: float | None) -> PodStatus:
        supervised = self._supervised
        if not supervised.gone and not self._engine.closed:
            self._engine.drive(lambda: supervised.gone, timeout, "removing the pod")
        if isinstance(supervised.failure, SystemFailure):
            raise supervised.failure
        return supervised.status()

    def __enter__(self) -> Pod:
        return self

    def __exit__(self, *_: object) -> None:
        """Graceful, whatever ended the block; an interrupt while it stops kills what is left."""
        try:
            self.stop()
        except KeyboardInterrupt:
            self.kill()
            raise


__all__ = ["Container", "ExecResult", "Places", "Pod", "WaitTimeout", "adopt", "create", "run"]
