"""Between docker-py and `engine`: the client itself, and what its answers must look like.

An engine may answer anything; what these functions return has the type it says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from caveatlib.errors import EngineError, Unavailable, UsageError
from caveatlib.places.engines import deadline, endpoint

GROUP_FIX = 'sudo usermod -aG docker "$USER", then log in again'
KNOWN_API = "1.45"
"""Newest version of the Engine API that this code was tried with."""


def client(where: endpoint.Endpoint):
    """Return a docker-py client that sends everything within `deadline` budgets.

    Raises
    ------
    UsageError
        If docker-py cannot read the logins in ``config.json``, which it insists on.
    """
    import docker

    # The client gets a socket that it never opens: all goes through `deadline`.
    try:
        made = docker.APIClient("unix:///nonexistent", version=KNOWN_API, timeout=30)
    except (ValueError, KeyError, TypeError, AttributeError, docker.errors.DockerException):
        raise UsageError("Docker's config.json holds a login of no known form. Mend it.") from None
    deadline.mount_on(made, where.address)
    return made


def api_version(about: dict) -> str:
    """Return the newest API version that both sides know, or the engine's oldest."""
    try:
        newest, ours = _pair(about["ApiVersion"]), _pair(KNOWN_API)
        oldest = _pair(about.get("MinAPIVersion") or KNOWN_API)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise EngineError("version: the engine told no API version") from None
    return "{}.{}".format(*min(newest, max(ours, oldest)))


def _pair(text: str) -> tuple[int, int]:
    major, minor = text.split(".")
    return int(major), int(minor)


def unreachable(error: EngineError, where: endpoint.Endpoint) -> Unavailable | None:
    """Return the error for an engine that cannot be reached at all, None for other errors."""
    cause = deadline.root(error)
    if isinstance(cause, PermissionError):
        text = f"{where.url} ({where.origin}) may not be opened. Mend it with: {GROUP_FIX}"
    elif isinstance(cause, (ConnectionRefusedError, FileNotFoundError, NotADirectoryError)):
        text = f"{where.url} ({where.origin}): no engine answers. {endpoint.START_FIX}"
    else:
        return None
    return Unavailable(text)


@contextmanager
def ignoring(*statuses: int) -> Iterator[None]:
    """Pass over an engine's refusal with one of some HTTP statuses."""
    try:
        yield
    except EngineError as error:
        response = getattr(error.__cause__, "response", None)
        if getattr(response, "status_code", None) not in statuses:
            raise


@contextmanager
def refusing_what_is_too_new(what: str) -> Iterator[None]:
    """Say of a setting that docker-py knows the engine's API to lack what an engine's error says.

    Raises
    ------
    EngineError
        If docker-py refuses it for that reason.
    """
    import docker

    try:
        yield
    except docker.errors.InvalidVersion as error:
        raise EngineError(f"{what}: {deadline.sentence(error)}") from error


def as_dict(answer: object) -> dict:
    """Return an answer that must be an object.

    Raises
    ------
    EngineError
        If it is something else; so do the functions below.
    """
    if not isinstance(answer, dict):
        raise EngineError(f"The engine answered with {type(answer).__name__}, not an object")
    return answer


def as_list(answer: object) -> list[dict]:
    """Return an answer that must be a list of objects; Go writes an empty one as null."""
    answer = [] if answer is None else answer
    if not isinstance(answer, list) or not all(isinstance(one, dict) for one in answer):
        raise EngineError("The engine answered with something else than a list of objects")
    return answer


def refuse_errors(what: str, steps: Iterable[object]) -> None:
    """Go through the progress of a call that an engine reported.

    Raises
    ------
    EngineError
        If one of the steps is an error: in the engine's words.
    """
    for step in map(as_dict, steps):
        if "error" in step:
            raise EngineError(f"{what}: {deadline.sentence(step['error'])}")


def text(answer: object, name: str) -> str:
    """Return a text that an answer must have under a name."""
    value = as_dict(answer).get(name)
    if not isinstance(value, str) or not value:
        raise EngineError(f"The engine's answer has no {name}")
    return value


def number(answer: object, name: str) -> int:
    """Return an integer that an answer must have under a name."""
    value = as_dict(answer).get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise EngineError(f"The engine's answer has no {name}")
    return value


def word(value: object) -> str:
    """Return a short, harmless word of what an engine says of itself."""
    return re.sub(r"[^\w.+~-]", "", value)[:64] if isinstance(value, str) else ""
