"""Thirty private facts around a whole live run, and none in anything written or said.

The run has the facts as host name, user, home, folders, machine id, proxies and
tokens of its environment, on the reader's own engine with a stranger's container
that carries the rest (names, labels, environment, addresses, a registry's image).

Its image is built with a build argument, which is what `image` is there to show: on the
terminal, at request, and nowhere else.

Seen to fail: an absolute path given as a source is named in the error, and was found.
"""

import base64
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import canaries
import left
import pytest

from caveatlib.places import netns

pytestmark = pytest.mark.beside

PLANTED = canaries.planted()
# Folders are made below a folder of the test, an engine shows a label's name and value apart.
VALUES = PLANTED | {
    name: Path(PLANTED[name]).name for name in ("home", "working folder", "cache folder")
}
VALUES["label"] = PLANTED["label"].partition("=")[2]
IMAGE = f"{VALUES['registry host']}/{VALUES['private image']}:1"
PORT = 8123
DOCKERFILE = f"""
FROM {{base}}
MAINTAINER {VALUES["full name"]}
ARG {{argument}}
ENV {PLANTED["container environment"]}
RUN echo > /made
"""


@pytest.fixture(scope="module")
def own(require):
    """Return an engine that stands for the reader's own, in a machine of the planted name."""
    require("private-engine")
    with left.reader_engine() as running:
        _plant(running)
        yield running


def _plant(engine) -> None:
    """Put a stranger's image, container with a published port, network and volume on the engine."""
    inspected = canaries.inspected(PLANTED)
    name, _, value = PLANTED["build argument"].partition("=")
    built = engine.api.build(
        fileobj=io.BytesIO(DOCKERFILE.format(base=engine.image(), argument=name).encode()),
        tag=IMAGE,
        buildargs={name: value},
        labels=inspected["Config"]["Labels"],
        network_mode="none",
        rm=True,
    )
    assert b"Successfully built" in b"".join(built)
    container = engine.api.create_container(
        IMAGE,
        ["sleep", "3600"],
        name=VALUES["container name"],
        hostname=VALUES["host name"],
        environment=inspected["Config"]["Env"],
        labels=inspected["Config"]["Labels"] | {"created_by": VALUES["build argument"]},
        working_dir=PLANTED["working folder"],
        ports=[80],
        host_config=engine.api.create_host_config(port_bindings={80: ("127.0.0.1", PORT)}),
    )
    engine.start(container["Id"])
    engine.api.create_network("nachtigall", labels={"owner": VALUES["full name"]})
    engine.api.create_volume("nachtigall", labels={"key": VALUES["cloud key"]})


def _config(home: Path) -> None:
    """Write the settings of the `docker` command that a reader has at home."""
    login = base64.b64encode(f"{VALUES['user']}:{VALUES['registry password']}".encode()).decode()
    proxies = {"httpProxy": VALUES["proxy with password"], "noProxy": VALUES["domain"]}
    config = {
        "auths": {VALUES["registry host"]: {"auth": login}},
        "proxies": {"default": proxies},
        "HttpHeaders": {"X-Meta": VALUES["git token"]},
    }
    (home / ".docker").mkdir(parents=True)
    (home / ".docker" / "config.json").write_text(json.dumps(config))


IN_DISGUISE = """
hostname "$1"
mount --bind "$2" /etc/machine-id 2>/dev/null || true
shift 2
exec "$@"
"""


@pytest.fixture
def run(own, tmp_path):
    """Return a function that runs the command where everything around it is private."""
    base = Path(tempfile.mkdtemp(prefix="cv-"))
    home = base / VALUES["home"]
    folder = base / VALUES["working folder"]
    cache = base / VALUES["cache folder"]
    state = base / "s"
    _config(home)
    for path in (folder, cache, state):
        path.mkdir()
    prepared = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "caveatlib"
    if prepared.is_dir():  # what `make system` prepared; a copy would take long
        (cache / "caveatlib").symlink_to(prepared)
    machine_id = base / "machine-id"
    machine_id.write_text(VALUES["machine id"] + "\n")
    said = tmp_path / "said"
    said.mkdir()
    environment = os.environ | canaries.environment(VALUES, home)
    environment |= {
        "DOCKER_HOST": own.where.url,
        "CAVEATLIB_STATE": str(state),
        "XDG_CACHE_HOME": str(cache),
        "PWD": str(folder),
    }
    for name in ("COLUMNS", "PYTEST_CURRENT_TEST"):
        environment.pop(name, None)
    calls = []

    def call(*words, status=0, timeout_s=300, asked_for=()):
        argv = [
            *("unshare", "--uts", "--mount", "--propagation", "private", "sh", "-ec", IN_DISGUISE),
            *("sh", VALUES["host name"], machine_id),
            *(sys.executable, "-m", "caveatlib.cli", *words),
        ]
        done = subprocess.run(
            netns.argv_in(own.pid, list(map(str, argv))),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            cwd=folder,
            env=environment,
        )
        calls.append(words)
        text = done.stdout + done.stderr
        # Where the reader's engine listens is shown to the reader, and nowhere kept.
        text = "\n".join(x for x in text.splitlines() if not x.startswith("Engine: unix://"))
        for name in asked_for:
            assert VALUES[name] in text
            text = text.replace(VALUES[name], "")
        (said / f"{len(calls)}.txt").write_text(text)
        assert done.returncode == status, text
        return text

    call.folder, call.said, call.state, call.home = folder, said, state, home
    call.engine = own.where
    yield call
    shutil.rmtree(base)


def _assert_nothing_leaked(run) -> int:
    searched, values = 0, VALUES | canaries.machine() | {"engine": run.engine.address}
    for place in (run.folder, run.said):
        searched += canaries.assert_absent(place, values)
    assert not list(run.state.iterdir())
    return searched


def test_the_disguise_holds(run):
    """The command really sees the planted facts: else their absence would say nothing."""
    script = (
        "import os, socket, json, pathlib, docker, getpass;"
        "c = docker.APIClient(base_url=os.environ['DOCKER_HOST']);"
        "box = c.containers()[0];"
        "print(json.dumps([dict(os.environ), socket.gethostname(), os.getcwd(), getpass.getuser(),"
        "pathlib.Path('/etc/machine-id').read_text(),"
        "pathlib.Path('~/.docker/config.json').expanduser().read_text(),"
        "c.inspect_container(box['Id']), c.networks(), c.volumes()]))"
    )
    module = "caveatlib.cli"
    original = subprocess.run

    def instead(argv, **options):
        at = argv.index(module)
        return original([*argv[: at - 1], "-c", script], **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess, "run", instead)
        seen = run("x")
    missing = set(VALUES) - set(canaries.found(seen.encode(), VALUES))
    # The boot is the real one, which is searched for as well: owners are told apart by it.
    # The engine has addresses and an id of its own; no network, no iperf3.
    assert missing <= {"boot id","address v6", "hardware address", "engine id", "iperf3 cookie",
                       "address v4, client", "address v6, client"}  # fmt: skip


@pytest.mark.engine
def test_a_broken_login_is_one_line(run):
    """A config.json that docker-py chokes on is named, without what stands in it."""
    path = run.home / ".docker" / "config.json"
    path.write_text(json.dumps({"auths": {VALUES["registry host"]: {"auth": "abc"}}}))
    said = run("measure", "startup", "--engine", "own", status=2)
    assert said.strip().count("\n") == 0
    assert "config.json" in said
    assert not canaries.found(said.encode(), VALUES)


@pytest.mark.engine
@pytest.mark.slow
def test_a_short_run_leaks_nothing(run, bars):
    """Measured, summarised, judged, diagnosed, refused: neither files nor words tell."""
    run("measure", "startup", "--engine", "own", "--places", "process,runc,docker-runc",
        "--budget-s", "0.1", "--out", "out")  # fmt: skip
    run("measure", "startup", "--engine", run.engine.url, "--places", "process",
        "--budget-s", "0.1", "--out", "named")  # fmt: skip
    run("image", f"docker://{IMAGE}", asked_for=["build argument"])
    run("why", f"127.0.0.1:{PORT}")
    run("doctor", "--json")
    run("scorecard", "--source", "out")
    run("measure", "startup", "--places", "nonesuch", status=2)
    run("scorecard", "--source", "nonesuch", status=2)
    run("clean")
    searched = _assert_nothing_leaked(run)
    assert searched >= 12
    bars.append(("privacy: facts found of 30, in files and words", f"0 in {searched}", "0"))


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.long
def test_a_whole_run_and_its_report_leak_nothing(run, bars):
    """Experiments of every kind of place, failures among them, and the page of executed notebooks.

    Those that take minutes store no text that these do not.
    """
    names = ("startup", "ports", "quota", "entropy", "platform", "trust")
    run("measure", *names, "--engine", "own", "--budget-s", "15", "--out", "out", timeout_s=900)
    run("report", "--source", "out", "--out", "page", timeout_s=400)
    run("scorecard", "--source", "out")
    run("doctor")
    assert (run.folder / "page" / "index.html").stat().st_size > 100_000
    assert {p.name for p in (run.folder / "out").iterdir()} == set(names)
    searched = _assert_nothing_leaked(run)
    bars.append(("privacy: whole run and report", f"0 in {searched} files", "0"))
