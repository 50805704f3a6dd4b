"""Which engine is the reader's own."""

import hashlib
import json

import pytest

from caveatlib.errors import Unavailable, UsageError
from caveatlib.places.engines import endpoint

pytestmark = pytest.mark.beside


@pytest.fixture
def env(tmp_path, monkeypatch):
    """Return an environment with an empty Docker configuration and no default socket."""
    monkeypatch.setattr(endpoint, "DEFAULT_SOCKET", str(tmp_path / "default.sock"))
    (tmp_path / "config").mkdir()
    return {"HOME": str(tmp_path), "DOCKER_CONFIG": str(tmp_path / "config")}


def _context(tmp_path, name, host):
    folder = tmp_path / "config/contexts/meta" / hashlib.sha256(name.encode()).hexdigest()
    folder.mkdir(parents=True)
    meta = {"Name": name, "Metadata": {}, "Endpoints": {"docker": {"Host": host}}}
    (folder / "meta.json").write_text(json.dumps(meta))


def test_order(env, tmp_path):
    """Each source is used only where those before it say nothing."""
    _context(tmp_path, "one", "unix:///one.sock")
    _context(tmp_path, "two", "unix:///two.sock")
    (tmp_path / "default.sock").touch()
    assert endpoint.resolve(env=env).url.endswith("default.sock")
    (tmp_path / "config/config.json").write_text('{"currentContext": "two", "auths": {}}')
    assert endpoint.resolve(env=env).url == "unix:///two.sock"
    env["DOCKER_CONTEXT"] = "one"
    assert endpoint.resolve(env=env).url == "unix:///one.sock"
    env["DOCKER_HOST"] = "unix:///host.sock"
    assert endpoint.resolve(env=env).url == "unix:///host.sock"
    assert endpoint.resolve("unix:///named.sock", env=env).url == "unix:///named.sock"


def test_sockets_in_order(env, tmp_path):
    """Rootless and Desktop sockets are found, the default socket goes before them."""
    env["XDG_RUNTIME_DIR"] = str(tmp_path / "run")
    for path in (".docker/desktop/docker.sock", ".docker/run/docker.sock", "run/docker.sock"):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).touch()
        assert endpoint.resolve(env=env).url == f"unix://{tmp_path / path}"
    (tmp_path / "default.sock").touch()
    assert endpoint.resolve(env=env).origin == "default socket"


def test_none(env):
    """No socket anywhere is said with the fix."""
    with pytest.raises(Unavailable, match=r"no socket found.*make system"):
        endpoint.resolve(env=env)


def test_default_context_is_the_default_socket(env, tmp_path):
    """The context named default stands for the default socket."""
    (tmp_path / "default.sock").touch()
    env["DOCKER_CONTEXT"] = "default"
    assert endpoint.resolve(env=env).origin == "default socket"


@pytest.mark.parametrize("by_config", [False, True])
def test_unknown_context(env, tmp_path, by_config):
    """An unknown context is an error even though a default socket exists."""
    (tmp_path / "default.sock").touch()
    if by_config:
        (tmp_path / "config/config.json").write_text('{"currentContext": "prod"}')
    else:
        env["DOCKER_CONTEXT"] = "prod"
    with pytest.raises(UsageError, match="Unknown Docker context 'prod'"):
        endpoint.resolve(env=env)


@pytest.mark.parametrize(
    "host", ["tcp://10.0.0.1:2375", "ssh://me@there", "https://there", "there:2375"]
)
def test_remote_is_refused(env, host):
    """A remote engine from the environment is refused, and the source is named."""
    env["DOCKER_HOST"] = host
    with pytest.raises(UsageError, match=r"Remote engine .* \(from DOCKER_HOST\)"):
        endpoint.resolve(env=env)


def test_remote_context_is_refused(env, tmp_path):
    """A remote engine from a context is refused."""
    _context(tmp_path, "prod", "ssh://prod")
    env["DOCKER_CONTEXT"] = "prod"
    with pytest.raises(UsageError, match=r"Remote engine 'ssh://prod' \(from DOCKER_CONTEXT prod"):
        endpoint.resolve(env=env)


def test_remote_is_used_when_named(env):
    """An engine that the caller names may be remote."""
    found = endpoint.resolve("tcp://127.0.0.1:2375", env=env)
    assert not found.local
    assert found.address == ("127.0.0.1", 2375)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"currentContext": 7}',
        "[" * 100_000,
        b"\xff",
    ],
)
def test_broken_config(env, tmp_path, text):
    """A broken configuration is one clear line, never a guess."""
    path = tmp_path / "config/config.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    (tmp_path / "default.sock").touch()
    with pytest.raises(UsageError, match=r"config\.json") as caught:
        endpoint.resolve(env=env)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("host", [None, 7, "", "no-scheme"])
def test_context_without_engine(env, tmp_path, host):
    """A context that names no engine is an error."""
    _context(tmp_path, "odd", host)
    env["DOCKER_CONTEXT"] = "odd"
    with pytest.raises(UsageError, match=r"'odd'.*names no engine"):
        endpoint.resolve(env=env)


@pytest.mark.parametrize(
    "url", ["unix://", "unix://relative/path", "ssh://there", "tcp://h:port", "tcp://[h"]
)
def test_malformed(env, url):
    """An address that cannot be used says which forms can."""
    with pytest.raises(UsageError, match="Must be unix:///PATH or tcp://HOST:PORT"):
        _ = endpoint.resolve(url, env=env).address
