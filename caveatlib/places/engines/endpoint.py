"""Which Docker engine is the reader's own, resolved here and shown before use.

docker-py below 7.2 ignores the command line's context and 7.2 falls back
silently where a context is unknown; a laptop's context may name production.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from caveatlib.errors import Unavailable, UsageError
from caveatlib.places import cache

DEFAULT_SOCKET = "/var/run/docker.sock"
START_FIX = f"{cache.PREPARE}, or start Docker"


@dataclass(frozen=True)
class Endpoint:
    """Where an engine listens.

    Attributes
    ----------
    url : str
        For the terminal only: an address is never stored.
    origin : str
        What named it: ``"DOCKER_HOST"``, ``"default socket"``.
    """

    url: str
    origin: str

    @property
    def local(self) -> bool:
        """Whether the engine listens on this machine's own socket."""
        return self.url.startswith(("unix://", "npipe://"))

    @property
    def address(self) -> str | tuple[str, int]:
        """The path of the unix socket, or host and port.

        Raises
        ------
        UsageError
            If the address is of another kind.
        """
        try:
            parts = urlsplit(self.url)
            if parts.scheme == "unix" and (parts.netloc + parts.path).startswith("/"):
                return parts.path
            if parts.scheme in ("tcp", "http") and parts.hostname:
                return parts.hostname, parts.port or 2375
        except ValueError:  # a port that is not a number, half of a bracket
            pass
        raise UsageError(
            f"Engine address {self.url!r}. Must be unix:///PATH or tcp://HOST:PORT; "
            "for ssh or TLS forward its socket: ssh -L PATH:/var/run/docker.sock HOST"
        )


def resolve(named: str | None = None, *, env: Mapping[str, str] | None = None) -> Endpoint:
    """Return the engine that the reader's own `docker` command would use.

    The order is the caller's own choice, ``DOCKER_HOST``, ``DOCKER_CONTEXT``,
    the current context of ``config.json``, ``/var/run/docker.sock``, the socket
    of a rootless engine, those of Docker Desktop.

    Parameters
    ----------
    named : str or None
        Address of an engine. Only an engine named here may be remote.
    env : mapping, optional
        Default is the environment of this process.

    Raises
    ------
    UsageError
        If a context is unknown or broken, an address malformed, or an engine
        remote that was not named.
    Unavailable
        If there is no engine's socket anywhere.
    """
    env = os.environ if env is None else env
    found = Endpoint(named, "named") if named else _configured(env) or _socket(env)
    if not found.local and not named:
        raise UsageError(
            f"Remote engine {found.url!r} (from {found.origin}). "
            "Only a local one is used unless you name it: --engine URL"
        )
    if found.local:
        _ = found.address  # raises where it is malformed
    return found


def _configured(env: Mapping[str, str]) -> Endpoint | None:
    if host := env.get("DOCKER_HOST"):
        # The command line takes host:port as well.
        return Endpoint(host if "://" in host else f"tcp://{host}", "DOCKER_HOST")
    folder = Path(env["DOCKER_CONFIG"]) if env.get("DOCKER_CONFIG") else _home(env) / ".docker"
    if name := env.get("DOCKER_CONTEXT"):
        return _context(folder, name, "DOCKER_CONTEXT")
    config = _json(folder / "config.json")
    name = config.get("currentContext") if config is not None else None
    if name is not None and not isinstance(name, str):
        raise UsageError(f"currentContext {name!r} in Docker's config.json. Must be a name.")
    return _context(folder, name, "current context") if name else None


def _context(folder: Path, name: str, origin: str) -> Endpoint | None:
    if name == "default":
        return None
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()
    meta = _json(folder / "contexts" / "meta" / digest / "meta.json")
    if meta is None:
        raise UsageError(f"Unknown Docker context {name!r} ({origin}). See: docker context ls")
    # {"Name":"desktop-linux","Endpoints":{"docker":{"Host":"unix:///...","SkipTLSVerify":false}}}
    try:
        host = meta["Endpoints"]["docker"]["Host"]
        if not isinstance(host, str) or "://" not in host:
            raise TypeError
    except (KeyError, TypeError):
        raise UsageError(f"Docker context {name!r} ({origin}) names no engine.") from None
    return Endpoint(host, f"{origin} {name}")


def _json(path: Path) -> dict | None:
    try:
        value = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UsageError(f"Docker's {path.name}: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise UsageError(f"Docker's {path.name} is not valid JSON. Mend or remove it.") from None
    if not isinstance(value, dict):
        raise UsageError(f"Docker's {path.name} is not a JSON object. Mend or remove it.")
    return value


def _socket(env: Mapping[str, str]) -> Endpoint:
    home = _home(env)
    places = [(DEFAULT_SOCKET, "default socket")]
    if env.get("XDG_RUNTIME_DIR"):
        places.append((f"{env['XDG_RUNTIME_DIR']}/docker.sock", "rootless socket"))
    places += [
        (f"{home}/.docker/run/docker.sock", "Docker Desktop's socket"),
        (f"{home}/.docker/desktop/docker.sock", "Docker Desktop's socket"),
    ]
    for path, origin in places:
        if os.path.exists(path):
            return Endpoint(f"unix://{path}", origin)
    raise Unavailable(f"No Docker engine: no socket found. Mend it with: {START_FIX}")


def _home(env: Mapping[str, str]) -> Path:
    return Path(env.get("HOME") or os.path.expanduser("~"))
