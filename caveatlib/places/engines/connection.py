"""The connection to a Docker engine: each call with a total deadline, each failure one of ours."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping

from caveatlib.errors import DeadlineExceeded, EngineError
from caveatlib.places.engines import answers, deadline, endpoint

CALL_S = 30.0


class Connection:
    """A connection to one Docker engine.

    Attributes
    ----------
    where : Endpoint
    pid : int or None
        A process whose network and pid namespaces are the engine's; None for
        the reader's own engine, whose namespaces are the host's.
    run : str
        Eight hexadecimal digits that label everything made through it.
    version : str
        The engine's version.
    api : docker.APIClient
        Call its functions through `call`.
    cgroup : str
        Control group that the containers of a private engine lie in, from the root of each
        hierarchy; empty for the reader's own.
    """

    cgroup = ""

    def __init__(
        self,
        where: endpoint.Endpoint,
        *,
        pid: int | None = None,
        settings: Mapping[str, str] | None = None,
        timeout_s: float = CALL_S,
    ):
        self.where, self.pid = where, pid
        self.run = secrets.token_hex(4)
        self._settings = dict(settings or {})
        self.api = answers.client(where)
        try:
            about = answers.as_dict(
                self.call("version", self.api.version, False, timeout_s=timeout_s)
            )
            self.api._version = answers.api_version(about)
            self.version = answers.word(about.get("Version"))
        except EngineError as error:
            self.close()
            raise answers.unreachable(error, where) or error from error.__cause__
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connections; containers stay as they are."""
        self.api.close()

    def call(self, what: str, function: Callable, *args, timeout_s: float = CALL_S, **kwargs):
        """Call a docker-py function within a total deadline.

        Parameters
        ----------
        what : str
            Names the call in errors.

        Raises
        ------
        DeadlineExceeded
            If the answer is not complete after `timeout_s` seconds.
        EngineError
            If the answer is an error, or makes no sense.
        """
        with deadline.budgeted(timeout_s) as budget:
            try:
                return function(*args, **kwargs)
            except (EngineError, DeadlineExceeded):  # said already, with its own cause
                raise
            except Exception as error:
                raise deadline.translate(error, budget, what) from error

    def info(self, *, timeout_s: float = CALL_S) -> dict:
        """Return the engine's own description; holds names that must not be stored."""
        return answers.as_dict(self.call("info", self.api.info, timeout_s=timeout_s))
