"""A Docker engine: the few calls that experiments need, each with a total deadline.

`own_engine` is the reader's own; `private_engine.private_engine` makes one.
Whatever goes wrong is an `EngineError` or `DeadlineExceeded`. Everything made
here is labelled, and only what is labelled is ever removed.
"""

from __future__ import annotations

import io
import platform
import re
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from caveatlib.errors import (
    CaveatError,
    DeadlineExceeded,
    EngineError,
    MeasurementError,
    UsageError,
)
from caveatlib.images import names, registry
from caveatlib.places import netns
from caveatlib.places.engines import answers, belongings, deadline, streams
from caveatlib.places.engines.connection import CALL_S, Connection
from caveatlib.support import programs

SAVE_S, SAVE_BYTES = 3600.0, 1 << 40
"""Seconds and bytes that a saved image may take."""
_IMAGE = re.compile(
    rf"(?:{registry.HOST}{registry.PORT})?{registry.NAME}(?:{registry.TAG})?(?:{registry.DIGEST})?"
    r"|(?:sha256:)?[0-9a-f]{1,64}"
)
_importing = threading.Lock()


def check_image(name: str) -> None:
    """Refuse what can be neither the name nor the id of an image, before an engine is asked.

    Raises
    ------
    UsageError
        If it cannot be one: it would become part of a path of the engine's API.
    """
    if not _IMAGE.fullmatch(name):
        raise UsageError(
            f"Image {names.brief(name)!r} of an engine. Must be NAME[:TAG] or an id, as "
            "`docker images` lists them."
        )


class Engine(Connection):
    """A Docker engine, with the few calls that experiments need.

    What has no method here is called as ``engine.call(WHAT, engine.api.FUNCTION, ...)``.
    """

    _image: str | None = None

    def image(self) -> str:
        """Return the name of the busybox image, imported at the first use.

        Raises
        ------
        Unavailable
            If there is neither a local busybox for the engine's platform nor
            a busybox image in the engine.
        """
        with _importing:
            if self._image is None:
                self._image = belongings.image(self)
            return self._image

    def create(
        self,
        argv: Sequence[str],
        *,
        image: str | None = None,
        ports: Sequence[int] = (),
        host: Mapping[str, object] | None = None,
        endpoint: Mapping[str, object] | None = None,
        timeout_s: float = CALL_S,
    ) -> str:
        """Create a container and return its id.

        Parameters
        ----------
        argv : sequence of str
            The command.
        image : str or None
            Default is `image`.
        ports : sequence of int
            TCP ports, each published on 127.0.0.1 at a port that the engine chooses.
        host : mapping, optional
            Arguments of docker-py's ``create_host_config``: ``runtime``,
            ``cpu_quota``, ``cpu_period``, ``pids_limit``, ``network_mode``,
            ``sysctls``, ``port_bindings`` (instead of `ports`' bindings) and so on. What docker-py
            does not know has the name that the engine's API gives it: ``MaskedPaths``.
        endpoint : mapping, optional
            What the container is called on the network that is its ``network_mode``, as the
            Engine API has it: ``Aliases``, ``IPAMConfig``.
        """
        bindings = dict.fromkeys(ports, ("127.0.0.1",))
        given: dict[str, Any] = {"port_bindings": bindings, **(host or {})}
        as_sent = {name: value for name, value in given.items() if name[0].isupper()}
        with_ports = {name: value for name, value in given.items() if name not in as_sent}
        exposed = list(with_ports["port_bindings"])
        joined = None
        if endpoint:
            joined = {"EndpointsConfig": {with_ports["network_mode"]: dict(endpoint)}}
        image = image or self.image()

        # Not within `call`: a wrong argument is a mistake of ours and no answer of the engine.
        with answers.refusing_what_is_too_new("create"):
            config = self.api.create_container_config(
                image,
                list(argv),
                ports=exposed,
                labels=belongings.labels(self.run),
                host_config=self.api.create_host_config(**with_ports) | as_sent,
                networking_config=joined,
            )
        create = self.api.create_container_from_config
        return answers.text(self.call("create", create, config, timeout_s=timeout_s), "Id")

    def attach(self, container: str, *, timeout_s: float = CALL_S) -> deadline.BudgetSocket:
        """Return a stream of what a container writes from now on.

        The bytes carry Docker's 8-byte frame heads; `streams.frames` takes
        them apart, a search for a nonce need not.
        """
        target = f"{self._path('containers', container)}/attach?stream=1&stdout=1&stderr=1"
        return self._stream("attach", target, timeout_s=timeout_s)

    def start(self, container: str, *, timeout_s: float = CALL_S) -> None:
        """Start a container; return when the engine does."""
        self.call("start", self.api.start, container, timeout_s=timeout_s)

    def kill(self, container: str, signal: str, *, timeout_s: float = CALL_S) -> None:
        """Send a signal to a container's first process, e.g. ``"TERM"``, if it still runs."""
        with answers.ignoring(409):
            self.call("kill", self.api.kill, container, f"SIG{signal}", timeout_s=timeout_s)

    def wait(self, container: str, *, timeout_s: float = CALL_S) -> int:
        """Wait for a container's end and return its exit status."""
        answer = self.call("wait", self.api.wait, container, timeout_s=timeout_s)
        return answers.number(answer, "StatusCode")

    def remove(self, container: str, *, timeout_s: float = CALL_S) -> None:
        """End and remove a container; one that is gone already is not an error."""
        belongings.remove_container(self, container, timeout_s=timeout_s)

    def inspect(self, container: str, *, timeout_s: float = CALL_S) -> dict:
        """Return everything the engine says about a container."""
        inspect = self.api.inspect_container
        return answers.as_dict(self.call("inspect", inspect, container, timeout_s=timeout_s))

    def published(self, container: str) -> dict[int, int]:
        """Return for each published TCP port of a container the host's port."""
        # {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "32768"}], "53/udp": null}
        try:
            ports = self.inspect(container)["NetworkSettings"]["Ports"] or {}
            return {
                int(port.partition("/")[0]): int(hosts[0]["HostPort"])
                for port, hosts in ports.items()
                if hosts and port.endswith("/tcp")
            }
        except (KeyError, TypeError, ValueError, IndexError, AttributeError):
            raise EngineError("inspect: the engine told no ports that make sense") from None

    def exec(
        self,
        container: str,
        argv: Sequence[str],
        *,
        privileged: bool = False,
        timeout_s: float = CALL_S,
    ) -> tuple[int, bytes]:
        """Run a command in a running container; return its status and standard output.

        A `privileged` one has every capability; what else confines the container stays.
        `timeout_s` is for the whole command. A command that outlives it goes on.
        """
        with deadline.budgeted(timeout_s) as budget:  # one for all three calls
            try:
                create = self.api.exec_create
                made = self.call("exec", create, container, list(argv), privileged=privileged)
                name = answers.text(made, "Id")
                target = f"{self._path('exec', name)}/start"
                with self._stream("exec", target, b'{"Detach":false,"Tty":false}') as sock:
                    output = b"".join(data for kind, data in streams.frames(sock) if kind == 1)
                status = answers.number(self.call("exec", self.api.exec_inspect, name), "ExitCode")
            except (EngineError, DeadlineExceeded):
                raise
            except OSError as error:
                raise deadline.translate(error, budget, "exec") from error
        return status, output

    def build(self, name: str, context: bytes, *, timeout_s: float = CALL_S) -> str:
        """Build an image from a tar of a build context; return ``caveatlib/<name>:<run>``.

        Raises
        ------
        EngineError
            If a step of the Dockerfile fails.
        """
        tag = f"{belongings.REPOSITORIES}{name}:{self.run}"
        wanted = {
            "tag": tag,
            "labels": belongings.image_labels(self.run),
            "fileobj": io.BytesIO(context),
            "custom_context": True,
            "nocache": True,
            "rm": True,
            "forcerm": True,
            "decode": True,
        }
        steps = self.call("build", lambda: list(self.api.build(**wanted)), timeout_s=timeout_s)
        answers.refuse_errors("build", steps)
        return tag

    def load(self, archive: Path | bytes, *, timeout_s: float = SAVE_S) -> None:
        """Load images from an archive of ``docker save``, plain or compressed.

        Raises
        ------
        EngineError
            If the engine refuses it.
        """
        with io.BytesIO(archive) if isinstance(archive, bytes) else archive.open("rb") as stream:
            self._finish("load", lambda: self.api.load_image(stream), timeout_s)

    def pull(self, name: str, *, timeout_s: float = SAVE_S) -> None:
        """Pull an image from a registry.

        Raises
        ------
        EngineError
            If that fails.
        """
        self._finish("pull", lambda: self.api.pull(name, stream=True, decode=True), timeout_s)

    def push(self, name: str, *, timeout_s: float = SAVE_S) -> None:
        """Push an image to the registry that its name begins with.

        Raises
        ------
        EngineError
            If that fails.
        """
        self._finish("push", lambda: self.api.push(name, stream=True, decode=True), timeout_s)

    def saved(self, name: str, *, timeout_s: float = SAVE_S) -> Iterator[bytes]:
        """Yield an image as ``docker save`` writes it, never more than a chunk in memory.

        Raises
        ------
        UsageError
            If the engine has no such image, or the name cannot be one.
        DeadlineExceeded, EngineError
            As `call`; the deadline is for the whole stream.
        """
        check_image(name)
        budget = deadline.Budget(timeout_s, SAVE_BYTES)

        def step(function):
            with deadline.using(budget):
                try:
                    return function()
                except (EngineError, DeadlineExceeded):
                    raise
                except Exception as error:
                    raise deadline.translate(error, budget, "save") from error

        found = None
        with answers.ignoring(404):
            found = self.call("image", self.api.inspect_image, name)
        if found is None:
            raise UsageError(f"No image {name!r} in the engine. See: docker images")
        chunks = step(lambda: iter(self.api.get_image(name, chunk_size=1 << 20)))
        while (chunk := step(lambda: next(chunks, None))) is not None:
            yield chunk

    def create_network(self, *, subnet: str = "", gateway: str = "") -> str:
        """Create a labelled bridge network and return its id; `clear` removes it.

        Parameters
        ----------
        subnet, gateway : str
            Its addresses, ``"198.19.200.0/24"``, and the engine's own among them; default
            the engine's choice. Only on a stated subnet can containers have stated addresses.
        """
        name = f"caveatlib-{self.run}-{secrets.token_hex(2)}"
        pool = {"Subnet": subnet, "Gateway": gateway}
        ipam = {"Driver": "default", "Config": [pool]} if subnet else None
        create = self.api.create_network
        labels = belongings.labels(self.run)
        return answers.text(self.call("network", create, name, ipam=ipam, labels=labels), "Id")

    def metadata(self) -> dict[str, str]:
        """Return versions and settings: conditions of a run, without names or addresses."""
        info = self.info()
        about = answers.as_dict(self.call("version", self.api.version))
        facts = {
            "engine_version": answers.word(about.get("Version")),
            "engine_os": answers.word(about.get("Os")),
            "storage_driver": answers.word(info.get("Driver")),
            "cgroup_driver": answers.word(info.get("CgroupDriver")),
            "cgroup_version": answers.word(info.get("CgroupVersion")),
            "default_runtime": answers.word(info.get("DefaultRuntime")),
        }
        for part in about.get("Components") or []:
            if isinstance(part, dict) and part.get("Name") in ("containerd", "runc", "crun"):
                facts[f"{part['Name']}_version"] = answers.word(part.get("Version"))
        if self.where.local and platform.system() == "Linux":
            facts |= {"firewall_backend": _firewall(), "congestion_control": self._congestion()}
        return facts | self._settings

    def containers(self) -> list[dict]:
        """Return the engine's entries of all containers with our label."""
        return belongings.labelled(self, "containers", all=True)

    def clear(self) -> None:
        """Remove everything that was made through this connection."""
        belongings.remove(self, lambda labels: labels.get(belongings.RUN_LABEL) == self.run)

    def _finish(self, what: str, function: Callable, timeout_s: float) -> None:
        """Call the engine and read its progress to the end."""
        steps = self.call(what, lambda: list(function()), timeout_s=timeout_s)
        answers.refuse_errors(what, steps)

    def _path(self, kind: str, name: str) -> str:
        if not re.fullmatch(r"[\w.-]+", name):
            raise UsageError(f"{kind} {name!r}. Must be an id or a name.")
        return f"/v{self.api._version}/{kind}/{name}"

    def _stream(self, what: str, target: str, body: bytes = b"", *, timeout_s: float = CALL_S):
        with deadline.budgeted(timeout_s) as budget:
            try:
                sock = deadline.connected(self.where.address)
                try:
                    streams.upgrade(sock, target, body)
                    sock.settimeout(None)
                except BaseException:
                    sock.close()
                    raise
            except (EngineError, DeadlineExceeded):
                raise
            except OSError as error:
                raise deadline.translate(error, budget, what) from error
        return sock

    def _congestion(self) -> str:
        name = "net.ipv4.tcp_congestion_control"
        try:
            if self.pid is not None:
                return netns.sysctl_in(self.pid, name)
            return netns.sysctl(name)
        except (OSError, MeasurementError):
            return ""


def _firewall() -> str:
    # iptables v1.8.11 (nf_tables)
    try:
        told = programs.run(["iptables", "--version"])
    except CaveatError:
        return ""
    return "legacy" if "legacy" in told else "nf_tables" if "nf_" in told else ""
