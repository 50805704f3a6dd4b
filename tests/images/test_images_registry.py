"""Images read from a registry: a real one on loopback, and servers that misbehave."""

import contextlib
import http.server
import io
import json
import socket
import subprocess
import threading
import time

import imagebuild as build
import pytest
import requests
from serving import send, serving

from caveatlib import images
from caveatlib.errors import CaveatError, DeadlineExceeded, ImageError, Unavailable, UsageError
from caveatlib.images import checks, registry
from caveatlib.images.limits import Budget
from caveatlib.images.registry import Registry

LAYERS = [
    [build.file("a", b"1" * 3000), build.folder("d/"), build.file("d/f", b"2" * 9)],
    [build.file("d/.wh.f")],
]


@pytest.fixture(scope="module")
def real_registry(require, tmp_path_factory):
    """Return ``127.0.0.1:port`` of Debian's docker-registry, ended with the module."""
    require("docker-registry")
    folder = tmp_path_factory.mktemp("registry")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    (folder / "config.yml").write_text(
        f"version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {folder}/data\n"
        f"http:\n  addr: 127.0.0.1:{port}\nlog:\n  level: error\n"
    )
    process = subprocess.Popen(
        ["docker-registry", "serve", str(folder / "config.yml")],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        end = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert time.monotonic() < end, "docker-registry did not come up"
            time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.beside
def test_same_as_the_layout_that_was_pushed(real_registry, tmp_path, require):
    """An image that skopeo pushed reads as its layout does, by tag and by digest."""
    require("skopeo")
    build.write_layout(
        build.oci([{"name": "v1", "layers": LAYERS, "codec": "gzip"}]), tmp_path / "oci"
    )
    subprocess.run(
        ["skopeo", "copy", "--dest-tls-verify=false", "oci:oci:v1",
         f"docker://{real_registry}/some/app:v1"],
        cwd=tmp_path, check=True, timeout=60, capture_output=True,
    )  # fmt: skip
    expected = images.read(tmp_path / "oci")
    found = images.read(f"registry://{real_registry}/some/app:v1")
    assert found.layers.equals(expected.layers)
    assert found.files.equals(expected.files)
    assert found.digest == expected.digest
    again = images.read(f"registry://{real_registry}/some/app@{found.digest}")
    assert again.layers.equals(expected.layers)
    # A tag is vouched for by nobody, a digest in the reference is what all else hangs on.
    assert list(found.checks["against"][:2]) == [checks.NOTHING, checks.MANIFEST]
    assert list(again.checks["against"][:2]) == [checks.REFERENCE, checks.MANIFEST]
    assert "nothing vouches for the tag" in checks.told(found.checked, found.digest)
    assert "nothing" not in checks.told(again.checked, again.digest)


@pytest.mark.beside
def test_all_that_a_registry_lists(real_registry, tmp_path, require):
    """Each repository, each tag, over several pages; then each image, as it reads alone."""
    require("skopeo")
    folder = tmp_path / "oci"
    build.write_layout(build.oci([{"name": "v1", "layers": LAYERS, "codec": "gzip"}]), folder)
    names = [f"{real_registry}/listed/n{number}:t{number}" for number in range(3)]
    for name in names:
        subprocess.run(
            ["skopeo", "copy", "--dest-tls-verify=false", "oci:oci:v1", f"docker://{name}"],
            cwd=tmp_path, check=True, timeout=60, capture_output=True,
        )  # fmt: skip
    registry = Registry(names[0], budget=Budget(images.DEFAULTS))
    listed = registry.listed("_catalog?n=2", "repositories")
    assert {"listed/n0", "listed/n1", "listed/n2"} <= set(listed)
    found = images.survey([f"registry://{real_registry}"], progress=False)
    assert {f"registry://{name}" for name in names} <= set(found.images["reference"])
    assert found.images["ok"].all()
    assert found.layers["images"].max() >= 3


@pytest.mark.parametrize(
    ("page", "told"),
    [
        ({"repositories": ["../escape"]}, "Must be a name"),
        ({"repositories": [7]}, "Must be strings"),
        ({"repositories": "a"}, "Must be a list"),
        ([], "Must be an object"),
    ],
)
@pytest.mark.beside
def test_a_registry_that_lists_nonsense(page, told):
    """One line, and nothing of it is asked for."""
    asked = []

    class Lists(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            send(self, json.dumps(page).encode())

        def log_message(self, *_):
            pass

    with serving(Lists) as where, pytest.raises(ImageError, match=told):
        images.survey([f"registry://{where}"], progress=False)
    assert len(asked) == 1


@pytest.mark.beside
def test_what_is_not_there(real_registry):
    """An unknown image, tag or registry is Unavailable, in one line."""
    for reference in ("no/such:v1", "some/app:v9"):
        with pytest.raises(Unavailable, match="answered 404"):
            images.read(f"registry://{real_registry}/{reference}")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with pytest.raises(Unavailable, match="did not answer"):
        images.read(f"registry://127.0.0.1:{port}/a:b")


@pytest.mark.parametrize(
    "reference",
    ["", "host", "host/", "host/UPPER", "host/a b", "host/a:tag:tag", "h/../x", "host:port/a",
     "user:secret@host/a", "h/a?x=1", "h/a#x", "h/a@sha256:12", "127.0.0.1\n/a",
     "h/a/../b", "h/a/./b", "h/a//b", "../x"],
)  # fmt: skip
@pytest.mark.beside
def test_invalid_references(reference):
    """An invalid reference is a UsageError before any request."""
    with pytest.raises(UsageError):
        Registry(reference, budget=Budget())


@pytest.mark.beside
def test_plain_http_for_loopback_only():
    """Plain HTTP is used for this machine's loopback addresses only."""
    schemes = {
        host: Registry(f"{host}/a", budget=Budget())._scheme
        for host in ("localhost", "127.0.0.1:5000", "127.9.9.9", "[::1]:5000", "r.invalid",
                     "127.0.0.1.r.invalid", "localhost.r.invalid", "10.0.0.1")
    }  # fmt: skip
    plain = [host for host, scheme in schemes.items() if scheme == "http"]
    assert plain == ["localhost", "127.0.0.1:5000", "127.9.9.9", "[::1]:5000"]


@contextlib.contextmanager
def server(answer):
    """Serve GET requests with `answer(handler)` on loopback; yield ``host:port``."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            with contextlib.suppress(OSError):
                answer(self)

        def log_message(self, *_):
            pass

    with serving(Handler) as address:
        yield address


def files_by_url() -> dict[str, bytes]:
    """Return what a registry would answer, by the end of the path."""
    files = build.oci([{"layers": LAYERS, "codec": "gzip"}])
    out = {}
    for name, data in files.items():
        if name.startswith("blobs/"):
            out[f"/blobs/{build.digest(data)}"] = out[f"/manifests/{build.digest(data)}"] = data
    manifest = json.loads(files["index.json"])["manifests"][0]
    out["/manifests/latest"] = out[f"/blobs/{manifest['digest']}"]
    return out


def serve_files(handler, files=None, change=lambda path, data: data) -> None:
    files = files or files_by_url()
    path = handler.path.removeprefix("/v2/a")
    if path in files:
        send(handler, change(path, files[path]))
    else:
        send(handler, b"", 404)


@pytest.mark.beside
def test_anonymous_token():
    """If a registry asks for a token, the anonymous one is fetched and sent."""

    def answer(handler):
        if handler.path.startswith("/token?"):
            assert "service=reg" in handler.path
            return send(handler, b'{"token": "t0ken"}')
        if handler.headers["Authorization"] != "Bearer t0ken":
            challenge = f'Bearer realm="http://{address}/token",service="reg",scope="s"'
            return send(handler, b"", 401, WWW_Authenticate=challenge)
        return serve_files(handler)

    with server(answer) as address:
        image = images.read(f"registry://{address}/a")
    assert image.layers["size_bytes"].tolist() == [3009, 0]


@pytest.mark.parametrize("absent", ["", "/manifests/latest"])
@pytest.mark.beside
def test_every_response_is_closed(monkeypatch, absent):
    """A page that comes with a 401, 404 or 500 is closed, and so is what was read."""
    ask, asked = Registry._ask, []

    def noted(self, *args, **options):
        asked.append(ask(self, *args, **options))
        return asked[-1]

    monkeypatch.setattr(Registry, "_ask", noted)
    page, files = b"<p>" * 50_000, files_by_url()

    def answer(handler):
        if handler.path.startswith("/token?"):
            return send(handler, b'{"token": "t0ken"}')
        if handler.headers["Authorization"] != "Bearer t0ken":
            challenge = f'Bearer realm="http://{address}/token",service="reg",scope="s"'
            return send(handler, page, 401, WWW_Authenticate=challenge)
        path = handler.path.removeprefix("/v2/a")
        missing = path == absent or ("/blobs/" in path and len(files[path]) < 1000)
        return send(handler, page, 404) if missing else serve_files(handler, files)

    with server(answer) as address, contextlib.suppress(Unavailable):
        images.read(f"registry://{address}/a")
    assert {response.status_code for response in asked} == {200, 401, 404}
    assert [r.status_code for r in asked if not r.raw.closed] == []


@pytest.mark.parametrize(
    "challenge",
    ['Basic realm="x"', "", 'Bearer realm="http://r.invalid/t"', 'Bearer realm="file:///etc/x"'],
)
@pytest.mark.beside
def test_logins_are_refused(challenge):
    """A login, or a token from an address that is neither HTTPS nor loopback, is Unavailable."""
    with server(lambda h: send(h, b"", 401, WWW_Authenticate=challenge)) as address:
        with pytest.raises(Unavailable, match="requires a login"):
            images.read(f"registry://{address}/a")


def tampered(path: str, data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1]) if path.startswith("/blobs/") else data


MISBEHAVING = {
    "tampered blobs": lambda h: serve_files(h, change=tampered),
    "cut blobs": lambda h: serve_files(h, change=lambda p, d: d[:-5] if "blobs" in p else d),
    "a page": lambda h: send(h, b"<html>", 200),
    "huge manifest": lambda h: send(h, b" " * (5 << 20)),
    "null": lambda h: send(h, b"null"),
    "error 500": lambda h: send(h, b"", 500),
    "length lies": lambda h: send(h, b"{}", Content_Length="999"),
    "no HTTP": lambda h: h.wfile.write(b"SSH-2.0-x\r\n\r\n"),
    "redirect for ever": lambda h: send(h, b"", 302, Location=h.path),
    "redirect to a file": lambda h: send(h, b"", 302, Location="file:///etc/passwd"),
}


@pytest.mark.parametrize("name", MISBEHAVING)
@pytest.mark.beside
def test_misbehaving_registries(name):
    """Each ends in a CaveatError of one printable line."""
    with server(MISBEHAVING[name]) as address, pytest.raises(CaveatError) as caught:
        images.read(f"registry://{address}/a").layers  # noqa: B018
    assert str(caught.value).isprintable()
    if name == "tampered blobs":
        assert isinstance(caught.value, ImageError)


@pytest.mark.beside
def test_a_tag_whose_manifest_is_not_the_one_that_the_registry_names():
    """What it says that the tag stands for must be what it sends, which is asked for only once."""
    files, asked = files_by_url(), []
    latest = build.digest(files["/manifests/latest"])

    def answer(handler):
        asked.append(handler.path)
        path = handler.path.removeprefix("/v2/a")
        send(handler, files[path], Docker_Content_Digest=latest)

    with server(answer) as address:
        assert images.read(f"registry://{address}/a").digest == latest
        assert not any(path.endswith(latest) for path in asked)
        files["/manifests/latest"] += b" "
        with pytest.raises(ImageError, match=f"The manifest has the digest .* Must be {latest}"):
            images.read(f"registry://{address}/a")


@pytest.mark.beside
def test_a_redirect_to_another_machine(monkeypatch):
    """Without HTTPS it is refused before anybody is asked."""
    where = "http://registry.invalid/v2/"
    asked, lookup = [], socket.getaddrinfo

    def noted(host, *args, **options):
        asked.append(host)
        return lookup(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", noted)
    with (
        server(lambda h: send(h, b"", 302, Location=where)) as address,
        pytest.raises(Unavailable, match="redirects to plain HTTP on another machine"),
    ):
        images.read(f"registry://{address}/a")
    assert set(asked) == {"127.0.0.1"}


@pytest.mark.parametrize("where", ["headers", "body"])
def test_total_deadline(where):
    """A registry that sends slowly ends at the deadline, whatever it keeps sending."""

    def answer(handler):
        if where == "headers":
            handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        else:
            handler.send_response(200)
            handler.end_headers()
        for _ in range(100):
            handler.wfile.write(b"X-A: b\r\n" if where == "headers" else b" ")
            time.sleep(0.1)

    start = time.monotonic()
    with server(answer) as address:
        with pytest.raises(DeadlineExceeded, match="took too long"):
            Registry(f"{address}/a", budget=Budget(), deadline_s=1).root()
        assert time.monotonic() - start < 8


def elsewhere(handler, files, *, body: bytes = b"", **headers) -> None:
    """Redirect each blob to another path of the same server, where it lies."""
    path = handler.path.removeprefix("/v2/a").removeprefix("/elsewhere")
    if path.startswith("/blobs/") and not handler.path.startswith("/elsewhere"):
        length = str(len(body))
        send(handler, body, 307, Location=f"/elsewhere{path}", Content_Length=length, **headers)
    elif path in files:
        send(handler, files[path])
    else:
        send(handler, b"", 404)


@pytest.mark.beside
def test_a_redirect_gets_no_password_of_the_environment(monkeypatch, tmp_path):
    """What netrc has for a host, or for any, is sent nowhere, also not after a redirect."""
    (tmp_path / "netrc").write_text(
        "machine 127.0.0.1 login me password secret\ndefault login me password secret\n"
    )
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    files, sent = files_by_url(), []

    def answer(handler):
        sent.append((handler.path, handler.headers["Authorization"]))
        elsewhere(handler, files)

    with server(answer) as address:
        images.read(f"registry://{address}/a")
    assert any(path.startswith("/elsewhere/") for path, _ in sent)
    assert {header for _, header in sent} == {None}


@pytest.mark.beside
def test_the_body_of_a_redirect_is_not_read():
    """However long it says that it is: it may be a bomb, or never end."""
    files = files_by_url()

    def answer(handler):
        elsewhere(handler, files, body=b"not gzip", Content_Encoding="gzip")

    def endless(handler):
        path = handler.path.removeprefix("/v2/a").removeprefix("/elsewhere")
        if handler.path.startswith("/elsewhere") or path not in files:
            return elsewhere(handler, files)
        handler.send_response(307)
        handler.send_header("Location", f"/elsewhere{path}")
        handler.end_headers()
        for _ in range(400):
            handler.wfile.write(bytes(1000))
            time.sleep(0.05)

    for kind in (answer, endless):
        start = time.monotonic()
        with server(kind) as address:
            image = images.read(f"registry://{address}/a")
            assert time.monotonic() - start < 10
        assert image.layers["size_bytes"].tolist() == [3009, 0]


@pytest.mark.beside
def test_no_redirect_from_https_to_this_machine():
    """A registry elsewhere may not choose what is asked of a service here."""
    session = registry._session_type()()

    def answered(url, target):
        found = requests.Response()
        found.status_code, found.url, found.raw = 307, url, io.BytesIO()
        found.headers["Location"] = target
        return found

    for target in ("http://127.0.0.1:2375/x", "http://[::1]/x", "http://r.invalid/x"):
        with pytest.raises(Unavailable, match="redirects to plain HTTP"):
            session.get_redirect_target(answered("https://r.invalid/v2/a", target))
    for url, target in (
        ("https://r.invalid/v2/a", "https://other.invalid/x"),
        ("http://[::1]:5000/v2/a", "http://[::1]:5000/x"),
        ("http://127.0.0.1:5000/v2/a", "/x"),
    ):
        assert session.get_redirect_target(answered(url, target)) == target


@pytest.mark.beside
def test_a_registry_on_the_loopback_address_of_version_6():
    """Without HTTPS, as on the one of version 4."""
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")

    class Server(http.server.ThreadingHTTPServer):
        address_family = socket.AF_INET6

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            serve_files(self)

        def log_message(self, *_):
            pass

    try:
        httpd = Server(("::1", 0), Handler)
    except OSError:
        pytest.skip("no IPv6 here")
    with httpd:
        thread = threading.Thread(target=httpd.serve_forever, args=(0.05,))
        thread.start()
        try:
            image = images.read(f"registry://[::1]:{httpd.server_port}/a")
        finally:
            httpd.shutdown()
            thread.join()
    assert image.layers["size_bytes"].tolist() == [3009, 0]


@pytest.mark.beside
def test_a_repository_without_tags_hides_no_other():
    """An interrupted push leaves a name whose tags are answered with 404."""
    files = files_by_url()
    pages = {
        "/v2/_catalog": {"repositories": ["a", "pushed/half"]},
        "/v2/a/tags/list": {"name": "a", "tags": ["latest"]},
    }

    def answer(handler):
        path = handler.path.partition("?")[0]
        if path in pages:
            send(handler, json.dumps(pages[path]).encode())
        else:
            serve_files(handler, files)

    with server(answer) as address:
        found = images.survey([f"registry://{address}"], progress=False).images
    assert found["reference"].tolist() == [f"registry://{address}/a:latest"]
    assert found["ok"].all()


@pytest.mark.beside
def test_addresses_that_cannot_be_parsed():
    """In a challenge, a redirect or a link to the next page: one line each."""
    realm = 'Bearer realm="https://[",service="x"'
    with server(lambda h: send(h, b"", 401, WWW_Authenticate=realm)) as address:
        with pytest.raises(Unavailable, match="requires a login"):
            images.read(f"registry://{address}/a")
    with server(lambda h: send(h, b"", 302, Location="http://[")) as address:
        with pytest.raises(Unavailable, match="did not answer correctly"):
            images.read(f"registry://{address}/a")
    page = json.dumps({"repositories": ["a"]}).encode()
    with server(lambda h: send(h, page, Link='<http://[>; rel="next"')) as address:
        with pytest.raises(ImageError, match="has no address"):
            images.survey([f"registry://{address}"], progress=False)
