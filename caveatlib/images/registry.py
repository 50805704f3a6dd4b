"""Read an image from a registry: the read-only half of the distribution API.

Without a login: where a registry asks for a token, the anonymous one is fetched.
"""

from __future__ import annotations

import json
import queue
import re
import threading
import time
from collections.abc import Iterator
from functools import cache
from urllib.parse import urljoin, urlsplit

from caveatlib.errors import CaveatError, DeadlineExceeded, ImageError, Unavailable, UsageError
from caveatlib.images import documents, layers, names
from caveatlib.images.limits import Budget, OverLimit

HOST = r"(?P<host>[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.?|\[[0-9A-Fa-f:]+\])"
PORT = r"(?P<port>:[0-9]{1,5})?/"
NAME = r"(?P<name>[a-z0-9]+(?:(?:[._/]|__|-+)[a-z0-9]+)*)"
TAG = r":(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127})"
DIGEST = r"@(?P<digest>sha256:[0-9a-f]{64})"
"""Parts of a reference, as patterns; neither host nor name has ``..`` in it, or is empty."""
_REFERENCE = re.compile(rf"{HOST}{PORT}{NAME}(?:{DIGEST}|{TAG})?")
_SHA256 = re.compile(r"sha256:[0-9a-f]{64}")
# With brackets in a reference, without in what urlsplit returns.
_LOCAL = re.compile(r"localhost|127(?:\.[0-9]{1,3}){3}|\[?::1\]?")
_ACCEPT = ", ".join((*documents.INDEX_TYPES, *documents.MANIFEST_TYPES))
_CHUNK = 1 << 17
READ_TIMEOUT_S = 30
MOST_LISTED = 1_000_000
"""Repositories of a registry, or tags of one (ours)."""


@cache
def _session_type() -> type:
    """Return a session of requests that asks nobody but this machine without HTTPS.

    A redirect gets no password of the environment's, and its own body is not read.
    """
    import requests

    class Session(requests.Session):
        def get_redirect_target(self, resp):
            target = super().get_redirect_target(resp)
            here, where = urlsplit(resp.url), urlsplit(urljoin(resp.url, target or ""))
            if where.scheme == "http" and not _LOCAL.fullmatch(where.hostname or ""):
                raise Unavailable(
                    f"Registry {here.netloc} redirects to plain HTTP on another machine. "
                    "Must be HTTPS."
                )
            if here.scheme == "https" and where.scheme == "http":
                # To this machine: a stranger may not choose what is asked here.
                raise Unavailable(f"Registry {here.netloc} redirects to plain HTTP. Must be HTTPS.")
            if target is not None:
                # requests reads it whole and unpacks it, however large that is.
                resp.raw.close()
            return target

        def rebuild_auth(self, prepared_request, response):
            # As in requests, without the password that netrc may have for the new address.
            headers = prepared_request.headers
            old, new = response.request.url, prepared_request.url
            if "Authorization" in headers and self.should_strip_auth(old, new):
                del headers["Authorization"]

    return Session


class Registry:
    """A store over one repository of a registry; see `stores.Store`.

    Parameters
    ----------
    reference : str
        ``host[:port]/name[:tag]`` or ``...@sha256:<hex>``. Plain HTTP is used
        for this machine's loopback addresses only, HTTPS for all others.
    deadline_s : float
        Seconds for the whole image, from now.
    """

    def __init__(
        self, reference: str, *, budget: Budget, hash_files: bool = False, deadline_s: float = 600
    ):

        match = _REFERENCE.fullmatch(reference)
        if not match:
            raise UsageError(
                f"{names.brief(reference)!r} is not a reference. Must be host[:port]/name[:tag]."
            )
        self._scheme = "http" if _LOCAL.fullmatch(match["host"]) else "https"
        self._host = match["host"] + (match["port"] or "")
        self._name = match["name"]
        self.reference = match["digest"] or match["tag"] or "latest"
        self._budget, self._hash_files = budget, hash_files
        self._end = time.monotonic() + deadline_s
        self._root: tuple[str, bytes] | None = None
        self._session = _session_type()()
        # The environment's proxies are used, its passwords (netrc) are not.
        self._session.auth = lambda request: request
        self._session.max_redirects = 5

    def root(self) -> tuple[bytes, str]:
        """Return the manifest or index that the reference names, and its media type."""
        limit = self._budget.limits.document_bytes
        where = f"manifests/{self.reference}"
        response = self._get(f"{self._name}/{where}")
        data = self._body(response, limit, where)
        found = layers.digest_of([data], "sha256")
        # Of a tag the registry itself says what it names.
        stated = response.headers.get("Docker-Content-Digest", "")
        for expected in (self.reference, stated):
            if _SHA256.fullmatch(expected):
                layers.check(expected, found, "The manifest")
        self._root = found, data
        return data, response.headers.get("Content-Type", "").partition(";")[0].strip()

    def has(self, path: str) -> bool:
        """Return True: the registry is asked when the file is read."""
        return True

    def document(self, path: str, limit: int) -> bytes:
        """Return a manifest or config."""
        digest = _digest(path)
        if self._root and self._root[0] == digest and len(self._root[1]) <= limit:
            return self._root[1]
        # In this order: docker-registry answers 500 for a config among the manifests.
        where = f"blobs/{digest}"
        response = self._get(f"{self._name}/{where}", missing_ok=True)
        if response is None:
            where = f"manifests/{digest}"
            response = self._get(f"{self._name}/{where}")
        return self._body(response, limit, where)

    def layer(self, path: str, algorithm: str) -> layers.Scan:
        """Scan a layer while it is downloaded."""
        response = self._get(f"{self._name}/blobs/{_digest(path)}")
        try:
            return layers.scan(
                self._chunks(response),
                budget=self._budget,
                algorithm=algorithm,
                hash_files=self._hash_files,
            )
        except OverLimit:
            raise
        except ImageError as problem:
            raise ImageError(f"Layer {path}: {problem}") from None

    def listed(self, where: str, field: str, *, missing_ok: bool = False) -> list[str]:
        """Return a list of strings that the registry hands out page by page.

        Parameters
        ----------
        where : str
            Below ``/v2/``: ``"_catalog"``, or a repository's ``"name/tags/list"``.
        field : str
            Of each page: ``"repositories"``, ``"tags"``.
        missing_ok : bool
            Whether a page that is not there ends the list.
        """
        found: list[str] = []
        next_page: str | None = where
        while next_page:
            response = self._get(next_page, missing_ok=missing_ok)
            if response is None:
                break
            link = response.links.get("next", {}).get("url", "")
            data = self._body(response, self._budget.limits.document_bytes, where)
            page = documents.parse(data, where)
            values = documents.get(page, field, list, where, [])
            found += documents.strings(values, where)
            try:
                after = urljoin(response.url, link).partition("/v2/")[2] if link else None
            except ValueError:
                raise ImageError(f"{where} names a next page that has no address.") from None
            next_page = after if values else None  # an empty page is the last
            if len(found) > MOST_LISTED:
                raise ImageError(f"{where} lists over {MOST_LISTED}. Must be at most that.")
        return found

    def _body(self, response, limit: int, what: str) -> bytes:
        data = bytearray()
        for chunk in self._chunks(response):
            data += chunk
            if len(data) > limit:
                raise ImageError(f"{what} has over {limit} bytes. Must be at most {limit}.")
        return bytes(data)

    def _chunks(self, response) -> Iterator[bytes]:
        import requests

        try:
            with response:
                # Not read(), which waits for a whole chunk, however slowly it arrives.
                # (urllib3 1.26 has nothing better.)
                read = getattr(response.raw, "read1", response.raw.read)
                while chunk := read(_CHUNK, decode_content=False):
                    self._left()
                    yield chunk
        except CaveatError:  # a DeadlineExceeded is an OSError, too
            raise
        except (requests.RequestException, OSError) as problem:
            raise self._unavailable(problem) from None
        except Exception as problem:
            if type(problem).__module__.startswith("urllib3"):
                raise self._unavailable(problem) from None
            raise

    def _left(self) -> float:
        left = self._end - time.monotonic()
        if left <= 0:
            raise self._late()
        return min(left, READ_TIMEOUT_S)

    def _late(self) -> DeadlineExceeded:
        return DeadlineExceeded(f"Registry {self._host} took too long to answer.")

    def _unavailable(self, problem: Exception) -> Unavailable:
        return Unavailable(
            f"Registry {self._host} did not answer correctly ({type(problem).__name__})."
        )

    def _get(self, where: str, *, missing_ok: bool = False, again: bool = True):
        """Return the response to a GET of something below ``/v2/``."""
        import requests

        try:
            response = self._ask(
                f"{self._scheme}://{self._host}/v2/{where}",
                headers={"Accept": _ACCEPT, "Accept-Encoding": "identity"},
            )
        except CaveatError:
            raise
        except (requests.RequestException, OSError, ValueError) as problem:
            raise self._unavailable(problem) from None
        left_https = self._scheme == "https" and urlsplit(response.url).scheme != "https"
        if response.status_code == 200 and not left_https:
            return response
        response.close()
        if left_https:
            raise ImageError(f"Registry {self._host} redirects to plain HTTP. Must be HTTPS.")
        if response.status_code == 401 and again:
            self._authorise(response.headers.get("WWW-Authenticate", ""))
            return self._get(where, missing_ok=missing_ok, again=False)
        if response.status_code == 404 and missing_ok:
            return None
        raise Unavailable(
            f"Registry {self._host} answered {response.status_code} for {names.brief(where)}. "
            "Only images that exist and need no login can be read."
        )

    def _ask(self, url: str, **options):
        """Return the response to a GET if its headers are complete in the time left.

        The timeout of requests applies to each read, and a server may send one
        header per second. So a thread waits for it, and is abandoned if it is late.
        """
        left = self._left()
        answer: queue.Queue = queue.Queue(1)

        def work():
            try:
                answer.put(self._session.get(url, stream=True, timeout=left, **options))
            except Exception as problem:
                answer.put(problem)

        threading.Thread(target=work, name="caveatlib-registry", daemon=True).start()
        try:
            found = answer.get(timeout=left)
        except queue.Empty:
            raise self._late() from None
        if isinstance(found, Exception):
            raise found
        return found

    def _authorise(self, challenge: str) -> None:
        """Fetch the anonymous token that ``Bearer realm="...",service="..."`` asks for."""
        import requests

        fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        try:
            realm = urlsplit(fields.get("realm", ""))
        except ValueError:  # e.g. a bracket without its other half
            realm = urlsplit("")
        # Only a registry on this machine may send us to another service on it without HTTPS.
        local = self._scheme == realm.scheme == "http" and _LOCAL.fullmatch(realm.hostname or "")
        if not challenge.lower().startswith("bearer ") or not (realm.scheme == "https" or local):
            raise Unavailable(f"Registry {self._host} requires a login, which is not supported.")
        query = {key: fields[key] for key in ("service", "scope") if key in fields}
        try:
            # Without the token of before: it was not made for this address.
            answer = self._ask(fields["realm"], params=query, headers={"Authorization": None})
            value = json.loads(self._body(answer, 1 << 20, "The token"))
            token = value.get("token") or value.get("access_token")
        except (requests.RequestException, ValueError, AttributeError, RecursionError) as problem:
            raise self._unavailable(problem) from None
        if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]+", token):
            raise Unavailable(f"Registry {self._host} returned no token.")
        self._session.headers["Authorization"] = f"Bearer {token}"


def references(host: str, *, budget: Budget) -> list[str]:
    """Return ``host/name:tag`` of every image that a registry lists.

    Raises
    ------
    UsageError
        If the host is none.
    Unavailable, DeadlineExceeded
        If the registry lists nothing to whoever has no login, or does not answer in time.
    ImageError
        If what it lists is not names.
    """
    registry = Registry(f"{host}/all", budget=budget)  # no image is asked for by this name
    found = []
    for name in registry.listed("_catalog?n=1000", "repositories"):
        if not _REFERENCE.fullmatch(f"{host}/{name}"):
            raise ImageError(f"Registry {host} lists {names.brief(name)!r}. Must be a name.")
        # Of one whose first push was interrupted there is a name, and no list of tags.
        for tag in registry.listed(f"{name}/tags/list", "tags", missing_ok=True):
            reference = f"{host}/{name}:{tag}"
            if not _REFERENCE.fullmatch(reference):
                raise ImageError(f"Registry {host} lists {names.brief(tag)!r}. Must be a tag.")
            found.append(reference)
    return found


def _digest(path: str) -> str:
    return ":".join(path.split("/")[1:])
