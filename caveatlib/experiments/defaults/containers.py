"""Containers of an engine, as Docker starts them or with one thing otherwise, and what they do."""

from __future__ import annotations

import io
import os
import re
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from caveatlib.errors import MeasurementError, Unavailable
from caveatlib.experiments.defaults.designs import (
    ALL_CAPABILITIES,
    ALL_DEVICES,
    ALL_OFF,
    CAP_ADD_ALL,
    DEFAULTS,
    HOST_NETWORK,
    INIT,
    LOCAL_LOG,
    NAMED_NETWORK,
    NEITHER,
    NO_CONTAINER,
    NO_LOG,
    NO_NEW,
    PACKAGED_FILES,
    PRIVILEGED,
    UNMASKED,
    WITHOUT_APPARMOR,
    WITHOUT_FILTER,
)
from caveatlib.experiments.defaults.schema import SEEN
from caveatlib.instruments.calls import APART, CALLS
from caveatlib.places import compiled
from caveatlib.places.base import Workload
from caveatlib.places.cache import Artefact
from caveatlib.places.engines import answers
from caveatlib.places.engines.containers import EngineInstance, EnginePlace
from caveatlib.places.engines.engine import Engine
from caveatlib.places.output import await_lines, first_and_rest, numbers, text_before
from caveatlib.support import programs

ATTEMPT = compiled.program(Path(__file__).with_name("attempt.c"), APART)
CHORES = compiled.program(Path(__file__).with_name("chores.c"))
FOLDER = "/tmp"
"""In a container; for the files of an attempt."""
SAID_S, LOG_S = 30.0, 60.0
COUNT, TRIPS, PORT = 20_000, 5000, 5600
"""Calls that are timed, round trips, the port that they go to."""
FEW = 1024
CAP_SYS_RESOURCE = 24
"""Its number in linux/capability.h: whoever has it may raise limits."""
UNITS = ("containerd.service", "docker.service")
UNIT_FOLDERS = ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
ORPHANS, ORPHANED_S, REAPED_S = 5, 0.1, 0.4
ORPHANING = f"for i in $(seq {ORPHANS}); do (sleep {ORPHANED_S} &); done; echo on; exec sleep 60"
_UNCONFINED = "seccomp=unconfined"
_BARE_PATHS: dict[str, object] = {"MaskedPaths": [], "ReadonlyPaths": []}
_DEVICES = {"device_cgroup_rules": ["a *:* rwm"]}
HOST: Mapping[str, Mapping[str, object]] = {
    DEFAULTS: {},
    WITHOUT_FILTER: {"security_opt": [_UNCONFINED]},
    WITHOUT_APPARMOR: {"security_opt": ["apparmor=unconfined"]},
    CAP_ADD_ALL: {"cap_add": ["ALL"]},
    NEITHER: {"cap_add": ["ALL"], "security_opt": [_UNCONFINED]},
    UNMASKED: _BARE_PATHS,
    ALL_DEVICES: _DEVICES,
    ALL_OFF: {
        "cap_add": ["ALL"],
        "security_opt": [_UNCONFINED, "apparmor=unconfined"],
        **_BARE_PATHS,
        **_DEVICES,
    },
    NO_NEW: {"security_opt": ["no-new-privileges"]},
    PRIVILEGED: {"privileged": True},
    LOCAL_LOG: {"log_config": {"type": "local"}},
    NO_LOG: {"log_config": {"type": "none"}},
    HOST_NETWORK: {"network_mode": "host"},
    INIT: {"init": True},
}
"""Setting -> what Docker is told; nothing of the defaults is told."""
DRIVERS = {DEFAULTS: "json-file", LOCAL_LOG: "local", NO_LOG: "none"}
"""Which log driver a container must then have."""


class Containers:
    """A private engine, in which each trial has containers of its own.

    Parameters
    ----------
    engine : Engine
    """

    def __init__(self, engine: Engine):
        self._engine = engine
        self._folder = Path(engine.info()["DockerRootDir"])

    def metadata(self) -> dict[str, str]:
        """Return the engine's facts, and what the kernel says of speculative stores."""
        status = Path("/proc/self/status").read_text()
        found = re.search(r"^Speculation_Store_Bypass:\s*(.*)$", status, re.MULTILINE)
        return self._engine.metadata() | {"spec_store_bypass": found[1] if found else ""}

    def says(self) -> dict[str, float]:
        """Return which mechanisms `docker info` names, as columns."""
        # ["name=seccomp,profile=builtin", "name=userns"]
        options = self._engine.info().get("SecurityOptions") or []
        named = {str(option).partition(",")[0].removeprefix("name=") for option in options}
        words = {"seccomp": "seccomp", "user_namespace": "userns", "apparmor": "apparmor"}
        return {f"info_{name}": float(words[name] in named) for name in SEEN}

    def probe(self, setting: str) -> str:
        """Return what the program of `operations` wrote in a container."""
        if setting == NO_CONTAINER:
            return self._without_container()
        if setting == ALL_CAPABILITIES:
            return self._with_capabilities()
        script = f"attempt {FOLDER}; echo over"
        with self._created(script, program=ATTEMPT, **HOST[setting]) as instance:
            instance.start()
            return text_before(instance.output, "over", SAID_S)

    def _with_capabilities(self) -> str:
        """Try it with all capabilities and the filter of a container that has few.

        Docker gives a container with more capabilities a wider filter, but not the command
        that is run in a container later on.
        """
        with self._created("exec sleep 60", program=ATTEMPT) as instance:
            instance.start()
            argv = ["/bin/attempt", FOLDER]
            status, said = self._engine.exec(instance.id, argv, privileged=True, timeout_s=SAID_S)
        text = said.decode(errors="replace")
        if status:
            raise MeasurementError(f"attempt ended with status {status}: {text[-80:]!r}.")
        return text

    def _without_container(self) -> str:
        """Try it as root in the engine's own namespaces, where nothing but the kernel refuses."""
        with tempfile.TemporaryDirectory(dir=self._folder.parent) as folder:
            os.chmod(folder, 0o755)  # somebody else runs a program there
            enter = ["nsenter", f"--target={self._engine.pid}", "--mount", "--pid", "--net", "--"]
            argv = [*enter, str(compiled.path(ATTEMPT)), folder]
            return programs.run(argv, timeout_s=SAID_S, what="attempt")

    def calls(self, setting: str) -> tuple[float, str]:
        """Return when a container's first output came, and what two cheap calls cost in it."""
        script = f"echo on; calls {COUNT}; echo over"
        with self._created(script, program=CALLS, **HOST[setting]) as instance:
            begun = time.monotonic()
            instance.start()
            came, said = first_and_rest(instance.output, "on", "over", SAID_S)
            return came - begun, said

    def log(self, setting: str, lines: int) -> dict[str, float]:
        """Let a container log lines, and look at what its log then is."""
        host = {"runtime": "runc", "network_mode": "none", **HOST[setting]}
        workload = Workload(f"chores log {lines} /took", programs=(CHORES,))
        container = EnginePlace(self._engine, host=host).create_unheard(workload)
        try:
            self._engine.start(container)
            status = self._engine.wait(container, timeout_s=LOG_S)
            if status:
                raise MeasurementError(f"chores log ended with status {status}.")
            driver = self._engine.inspect(container)["HostConfig"]["LogConfig"]["Type"]
            if driver != DRIVERS[setting]:
                raise MeasurementError(f"Log driver {driver!r}. Must be {DRIVERS[setting]!r}.")
            ((line_s,),) = numbers(self._file(container, "/took"), columns=1, of="chores log")
            return {"line_s": line_s} | _logged(self._folder / "containers" / container)
        finally:
            self._engine.remove(container)

    def network(self, setting: str) -> dict[str, float]:
        """Let two containers exchange bytes, both on one CPU, where no sleeping CPU is woken."""
        host = {"cpuset_cpus": str(min(os.sched_getaffinity(0))), **HOST[setting]}
        with self._created(f"exec chores serve {PORT}", program=CHORES, **host) as server:
            first_output_s = _started(server)
            asked = f"chores ask {self._address(server.id, setting)} {PORT} {TRIPS}; echo over"
            with self._created(asked, program=CHORES, **host) as client:
                client.start()
                said = text_before(client.output, "over", SAID_S)
        ((round_trip_s,),) = numbers(said, columns=1, of="chores ask")
        return {"first_output_s": first_output_s, "round_trip_s": round_trip_s}

    def close_all(self, setting: str) -> dict[str, float]:
        """Let a container close all descriptors that its limit allows.

        The package's limit may be more than this machine allows to anybody.
        """
        packaged = packaged_files() if setting == PACKAGED_FILES else FEW
        most = min(packaged, most_files())
        limit = {"name": "nofile", "soft": most, "hard": most}
        script = "chores close; echo over"
        with self._created(script, program=CHORES, ulimits=[limit]) as instance:
            instance.start()
            said = text_before(instance.output, "over", SAID_S)
        ((open_files, close_all_s),) = numbers(said, columns=2, of="chores close")
        found = {"open_files": open_files, "close_all_s": close_all_s}
        return found | ({"packaged_files": float(packaged)} if setting == PACKAGED_FILES else {})

    def reap(self, setting: str) -> float:
        """Return how many zombies are left of processes whose parents have ended."""
        with self._created(ORPHANING, **HOST[setting]) as instance:
            _started(instance)
            time.sleep(ORPHANED_S + REAPED_S)
            argv = ["sh", "-c", "cat /proc/[0-9]*/status"]
            _, said = self._engine.exec(instance.id, argv)
        return float(len(re.findall(rb"^State:\s+Z", said, re.MULTILINE)))

    def names(self, setting: str) -> bool:
        """Return whether a container finds its neighbour by name, which is the start of its id."""
        network = self._engine.create_network() if setting == NAMED_NETWORK else ""
        host = {"network_mode": network} if network else {}
        try:
            with self._created("echo on; exec sleep 60", **host) as neighbour:
                _started(neighbour)
                name, address = neighbour.id[:12], self._address(neighbour.id, setting)
                asked = f"timeout 2 nslookup -type=a {name} 2>&1; echo over"
                with self._created(asked, **host) as asker:
                    asker.start()
                    said = text_before(asker.output, "over", SAID_S)
        finally:
            if network:
                self._engine.call("network", self._engine.api.remove_network, network)
        return re.search(rf"Address:\s*{re.escape(address)}\s", said) is not None

    @contextmanager
    def _created(
        self, script: str, *, program: Artefact | None = None, **host
    ) -> Iterator[EngineInstance]:
        """Create a container with what Docker is told of it; it is removed on leaving."""
        place = EnginePlace(self._engine, runtime="runc", host=host)
        wanted = () if program is None else (program,)
        instance = place.create(Workload(script, programs=wanted))
        try:
            yield instance
        finally:
            instance.remove()

    def _address(self, container: str, setting: str) -> str:
        """Return the address of a running container in its network."""
        if setting == HOST_NETWORK:
            return "127.0.0.1"
        networks = self._engine.inspect(container)["NetworkSettings"]["Networks"]
        return answers.text(next(iter(networks.values())), "IPAddress")

    def _file(self, container: str, path: str) -> str:
        """Return a file of a container that may have ended."""
        get = self._engine.api.get_archive
        packed = self._engine.call("get", lambda: b"".join(get(container, path)[0]))
        with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
            file = tar.extractfile(tar.getmembers()[0])
            if file is None:
                raise MeasurementError(f"{path} of a container is not a file.")
            return file.read(4096).decode(errors="replace")


def _started(instance: EngineInstance) -> float:
    """Start a container and return how many seconds its first line took."""
    begun = time.monotonic()
    instance.start()
    (came,) = await_lines(instance.output, ["on"], SAID_S)
    return came - begun


def _logged(folder: Path) -> dict[str, float]:
    """Return size and number of a container's log files; and the lines, where they are text."""
    texts = sorted(folder.glob("*-json.log*"))
    files = [*texts, *folder.glob("local-logs/*")]
    found = {
        "log_bytes": float(sum(file.stat().st_size for file in files)),
        "log_files": float(len(files)),
    }
    if texts:
        found["kept_lines"] = float(sum(map(_count_lines, texts)))
    return found


def _count_lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(part.count(b"\n") for part in iter(lambda: file.read(1 << 20), b""))


def most_files() -> int:
    """Return the highest limit on open files that an engine of ours can give a container."""
    import resource  # here: not on every platform that replays

    status = Path("/proc/self/status").read_text()
    held = re.search(r"^CapEff:\s*(\w+)", status, re.MULTILINE)
    if held and int(held[1], 16) >> CAP_SYS_RESOURCE & 1:
        return int(Path("/proc/sys/fs/nr_open").read_text())
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def packaged_files() -> int:
    """Return the limit on open files with which this machine's package starts containers.

    Raises
    ------
    Unavailable
        If there is no package that says so.
    """
    for unit in UNITS:
        for folder in UNIT_FOLDERS:
            try:
                text = Path(folder, unit).read_text()
            except OSError:
                continue
            if found := re.search(r"^LimitNOFILE=(\w+)", text, re.MULTILINE):
                if found[1] == "infinity":
                    return int(Path("/proc/sys/fs/nr_open").read_text())
                return int(found[1])
    raise Unavailable(f"Neither {' nor '.join(UNITS)} on this machine states a LimitNOFILE.")
