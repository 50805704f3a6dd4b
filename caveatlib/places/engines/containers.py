"""Workloads as containers of a Docker engine."""

from __future__ import annotations

import io
import platform
import socket
import tarfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from caveatlib.errors import UsageError
from caveatlib.places import compiled, netns, runc
from caveatlib.places.base import Workload
from caveatlib.places.cache import Artefact
from caveatlib.places.cgroups import cgroupfs
from caveatlib.places.engines import answers
from caveatlib.places.engines.engine import Engine
from caveatlib.places.process import connect_local, signal_number
from caveatlib.support import processes, programs

_DOCKERFILE = b"FROM scratch\nCOPY files /\n"
PLATFORM = "--platform="
"""Option of gVisor's runsc: how it intercepts system calls."""
BUILD_S = 120.0
"""Seconds that a build may take in all."""


class EnginePlace:
    """The place where each workload is a container of one engine.

    Parameters
    ----------
    engine : Engine
    runtime : str or None
        Name of an OCI runtime that the engine knows; default is its own choice.
    host, endpoint : mapping, optional
        As `Engine.create` takes them.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        runtime: str | None = None,
        host: Mapping | None = None,
        endpoint: Mapping | None = None,
    ):
        self._engine, self._endpoint = engine, endpoint
        self._host = {**({"runtime": runtime} if runtime else {}), **(host or {})}
        self._runtime = runtime

    def create(self, workload: Workload) -> EngineInstance:
        """Create the container and attach to its output."""
        container, port = self._created(workload)
        try:
            return EngineInstance(self._engine, container, port)
        except BaseException:
            self._engine.remove(container)
            raise

    def create_unheard(self, workload: Workload) -> str:
        """Create the container and return its id; nothing but its logger reads its output."""
        return self._created(workload)[0]

    def _created(self, workload: Workload) -> tuple[str, int]:
        argv, host, port = ["/bin/sh", "-c", workload.script], self._host, 0
        if workload.port:
            # Chosen here and not by the engine, so that a client may knock before the start.
            port = self._free_port()
            host = host | {"port_bindings": {workload.port: ("127.0.0.1", port)}}
        container = self._engine.create(argv, host=host, endpoint=self._endpoint)
        try:
            if workload.programs:
                put = self._engine.api.put_archive
                self._engine.call("put", put, container, "/bin", _packed(workload.programs))
        except BaseException:
            self._engine.remove(container)
            raise
        return container, port

    def _free_port(self) -> int:
        pid = self._engine.pid
        with netns.socket_in(pid) if pid is not None else socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            return sock.getsockname()[1]

    def build(self, folder: Path) -> float:
        """Build an image of a folder's files, on nothing; return how many seconds it took.

        The clock starts when the build context is packed, as a folder of files
        is ready before a disk is made of it. The builder is the classic one.
        """
        context = io.BytesIO()
        with tarfile.open(fileobj=context, mode="w") as tar:
            dockerfile = tarfile.TarInfo("Dockerfile")
            dockerfile.size = len(_DOCKERFILE)
            tar.addfile(dockerfile, io.BytesIO(_DOCKERFILE))
            tar.add(folder, arcname="files")
        packed = context.getvalue()
        started = time.monotonic()
        image = self._engine.build("built", packed, timeout_s=BUILD_S)
        took = time.monotonic() - started
        # The next build takes the name, and this image would be left without one.
        self._engine.call("image", self._engine.api.remove_image, image)
        return took

    def metadata(self) -> dict[str, str]:
        """Return the engine's facts, the runtime asked for, and its version and platform."""
        facts = self._engine.metadata()
        runtime = self._runtime or facts["default_runtime"]
        return {**facts, "runtime": runtime, **self._of(runtime)}

    def _of(self, runtime: str) -> dict[str, str]:
        """Return of a runtime what the engine itself does not tell: only of runc it does."""
        known = self._engine.info().get("Runtimes")
        entry = known.get(runtime) if isinstance(known, Mapping) else None
        # {"path": "/usr/bin/runsc", "runtimeArgs": ["--platform=systrap", "--network=host"]}
        if runtime == "runc" or not isinstance(entry, Mapping):
            return {}
        facts = {}
        program = entry.get("path")
        if self._engine.where.local and isinstance(program, str) and programs.find(program):
            facts[f"{runtime}_version"] = answers.word(runc.version(program))
        for option in entry.get("runtimeArgs") or ():
            if isinstance(option, str) and option.startswith(PLATFORM):
                facts[f"{runtime}_platform"] = answers.word(option.removeprefix(PLATFORM))
        return facts


class EngineInstance:
    """One container of an engine, its output in the attached stream."""

    def __init__(self, engine: Engine, container: str, port: int):
        self.id, self._removed = container, False
        self._engine, self._port = engine, port
        self._stream = engine.attach(container)
        self.output = self._stream.fileno()

    def start(self) -> None:
        """Start the container; return when the engine does."""
        self._engine.start(self.id)

    def signal(self, name: str) -> None:
        """Send a signal to the container's first process, e.g. ``"TERM"``."""
        signal_number(name)
        self._engine.kill(self.id, name)

    def wait(self, timeout_s: float) -> int:
        """Wait for the end and return the exit status.

        Raises
        ------
        DeadlineExceeded
            If the container still runs after `timeout_s` seconds.
        """
        return self._engine.wait(self.id, timeout_s=timeout_s)

    def remove(self) -> None:
        """End and remove the container and close its stream."""
        try:
            if not self._removed:
                self._engine.remove(self.id)
                self._removed = True
        finally:
            self._stream.close()
            self.output = -1

    def pids(self) -> list[int]:
        """Return the shim, everything below it, and the proxies of published ports.

        Empty where the engine's processes are not to be seen: on Docker
        Desktop they live in a virtual machine.
        """
        ours = self._engine_pids()
        found = [pid for pid in ours if self.id in processes.arguments(pid)]
        family = {one for pid in found for one in processes.descendants(pid)}
        return sorted(family | {pid for pid in ours if self._is_proxy(pid)})

    def memory_cgroup(self) -> Path | None:
        """Return the folder of the container's memory control group, where it is to be seen."""
        for pid in self.pids():
            folder = cgroupfs.memory_folder(pid)
            if folder is not None and self.id in str(folder):
                return folder
        return None

    def connect(self, timeout_s: float) -> socket.socket:
        """Open a TCP connection to the published port on the engine's 127.0.0.1."""
        if not self._port:
            raise UsageError("A workload with port 0. Only one with a port can be connected to.")
        if self._engine.pid is None:
            return connect_local(self._port, timeout_s)
        return netns.connect_in(self._engine.pid, ("127.0.0.1", self._port), timeout_s)

    def _engine_pids(self) -> list[int]:
        if self._engine.pid is not None:
            return processes.descendants(self._engine.pid)
        if platform.system() != "Linux" or not self._engine.where.local:
            return []
        # Those of this pid namespace or of containers in it, not of private engines.
        import psutil

        here = processes.pid_namespace("self")
        return [pid for pid in psutil.pids() if processes.pid_namespace(pid) in (here, None)]

    def _is_proxy(self, pid: int) -> bool:
        # docker-proxy -proto tcp -host-ip 127.0.0.1 -host-port 32768 -container-ip ...
        arguments = processes.arguments(pid)
        if not arguments or Path(arguments[0]).name != "docker-proxy" or not self._port:
            return False
        pairs = dict(zip(arguments[1::2], arguments[2::2], strict=False))
        return pairs.get("-host-port") == str(self._port)


def _packed(programs: Iterable[Artefact]) -> bytes:
    """Return programs as a tar of executables."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for program in programs:
            content = compiled.path(program).read_bytes()
            info = tarfile.TarInfo(compiled.name(program))
            info.size, info.mode = len(content), 0o755
            tar.addfile(info, io.BytesIO(content))
    return packed.getvalue()
