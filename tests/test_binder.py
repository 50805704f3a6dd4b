"""What Binder makes of this repository, as far as that can be seen without a registry.

repo2docker's own parser reads the tree. What `environment.yml` asks for, and nothing else, is
laid out as an environment of its own: those distributions that pip has resolved for this one,
by their own metadata, under the names that PyPI has for conda's. In it nbval compares every
notebook and JupyterLab starts, as nobody, without a network, below 2 GB on one CPU, as Binder
gives them.

Seen to fail: with `scipy` left out of `environment.yml`.
"""

import importlib.metadata
import os
import re
import secrets
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import tried
from packaging.requirements import Requirement
from repo2docker.app import Repo2Docker
from repo2docker.buildpacks.conda import CondaBuildPack
from ruamel.yaml import YAML

from caveatlib.places.cgroups import cgroupfs

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
PYPI = {"docker-py": "docker", "matplotlib-base": "matplotlib", "python-isal": "isal",
        "pandera-pandas": "pandera[pandas]"}  # fmt: skip
MEMORY_BYTES, READY_S = 2_000_000_000, 30


def asked() -> list[str]:
    """Return what `environment.yml` lists, under PyPI's names."""
    listed = YAML(typ="safe").load((ROOT / "environment.yml").read_text())["dependencies"]
    names = [re.split(r"[>=]", e)[0] for e in listed if isinstance(e, str)]
    return [PYPI.get(name, name) for name in names if name not in ("python", "pip")]


def resolved(names: list[str]) -> dict[str, importlib.metadata.Distribution]:
    """Return the distributions that these and what they depend on come to here."""
    found, seen, ahead = {}, set(), [Requirement(name) for name in names]
    while ahead:
        wanted = ahead.pop()
        if (key := (wanted.name.lower(), frozenset(wanted.extras))) in seen:
            continue
        seen.add(key)
        held = importlib.metadata.distribution(wanted.name)
        found[held.name.lower()] = held
        for needed in map(Requirement, held.requires or ()):
            extras = ("", *wanted.extras)
            if not needed.marker or any(needed.marker.evaluate({"extra": e}) for e in extras):
                ahead.append(needed)
    return found


def place(source: Path, target: Path) -> None:
    """Let a file be in another place, too, with its time, by which its bytecode is known."""
    try:
        target.hardlink_to(source)
    except OSError:  # another file system
        shutil.copy2(source, target)


def lay_out(folder: Path, tree: Path) -> Path:
    """Make an environment of what is asked for, with caveatlib from a tree; return its Python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=60)
    site = Path(sysconfig.get_path("purelib"))
    there = folder / site.relative_to(sys.prefix)
    for held in resolved(asked()).values():
        for file in held.files:
            source, target = site / file, Path(os.path.normpath(there / file))
            if source.is_file() and not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                place(source, target)
    (there / "caveatlib.pth").write_text(f"{tree}\n")  # as `pip install -e .` does
    return folder / "bin" / "python"


@contextmanager
def small_group() -> Iterator[dict[str, Path]]:
    """Make a control group of Binder's size; yield its folders by controller."""
    name, made = f"caveatlib-binder-{secrets.token_hex(4)}", {}
    limits = {
        "memory": {1: ("memory.limit_in_bytes", MEMORY_BYTES), 2: ("memory.max", MEMORY_BYTES)},
        "cpu": {1: ("cpu.cfs_quota_us", 100_000), 2: ("cpu.max", "100000 100000")},
    }
    try:
        for controller, files in limits.items():
            where = cgroupfs.locate(controller)
            folder = where.top / name
            folder.mkdir(exist_ok=True)
            made[controller] = folder
            file, value = files[where.version]
            (folder / file).write_text(str(value))
        yield made
    finally:
        for folder in set(made.values()):
            folder.rmdir()


@pytest.fixture(scope="module")
def binder(require, lacking):
    """Return a function that runs a Python script as Binder would, and the group it runs in."""
    require("cage")
    with tempfile.TemporaryDirectory(prefix="caveatlib-binder-") as made, ExitStack() as stack:
        base = Path(made)
        base.chmod(0o755)
        tree, home = base / "tree", base / "home"
        skip = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints", "tests")
        for name in ("caveatlib", "data", "notebooks", "tools"):
            shutil.copytree(ROOT / name, tree / name, ignore=skip)
        for name in ("pyproject.toml", "constraints.txt", "environment.yml"):
            shutil.copy(ROOT / name, tree / name)
        home.mkdir()
        try:
            groups = stack.enter_context(small_group())
        except OSError as error:
            lacking(f"no control group of memory and CPU time can be made: {error.strerror}")
        python = lay_out(base / "env", tree)
        subprocess.run([python, "-m", "compileall", "-q", tree], check=False, timeout=300)
        subprocess.run(["chown", "-R", "65534:65534", tree, home], check=True, timeout=60)
        joins = "".join(
            f"echo $$ > {shlex.quote(str(g / 'cgroup.procs'))}; " for g in set(groups.values())
        )

        inside = f'{joins}ip link set lo up; cd "$1"; shift; exec "$@"'
        command = [*tried.CAGE, "sh", "-ec", inside, "sh", tree]
        command += [*tried.NOBODY, "--no-new-privs", "--", python]
        environment = {
            "PATH": f"{python.parent}:/usr/bin:/bin",
            "HOME": str(home),
            "TMPDIR": str(home),
            "LANG": "C.UTF-8",
        }

        def run(*arguments, timeout_s):
            return subprocess.run(
                [*command, *arguments],
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
                env=environment,
            )

        if run("-c", "import sys", timeout_s=60).returncode:
            lacking("this Python is not readable for other users")
        run.groups = groups
        yield run


def peak_bytes(folder: Path) -> int:
    """Return the most memory that a group had, the page cache of its files included."""
    version_1 = folder / "memory.max_usage_in_bytes"
    return int((version_1 if version_1.exists() else folder / "memory.peak").read_text())


def killed(folder: Path) -> int:
    """Return how many processes of a group were ended for want of memory."""
    version_1 = folder / "memory.oom_control"
    said = (version_1 if version_1.exists() else folder / "memory.events").read_text()
    return int(re.search(r"^oom_kill (\d+)", said, re.M)[1])


def test_repo2docker_reads_the_tree():
    """The environment decides, nothing else that lies about; it is made where the package is."""
    app = Repo2Docker()
    before = Path.cwd()
    os.chdir(ROOT)
    try:
        packs = [pack(app.base_image) for pack in app.buildpacks]
        chosen = next(pack for pack in packs if pack.detect())
        assert type(chosen) is CondaBuildPack
        chosen.platform = "linux/amd64"
        assert chosen.python_version == "3.13"
        rendered = chosen.render()
        assert chosen.get_post_build_scripts() == ["postBuild"]
        assert os.access("postBuild", os.X_OK)
    finally:
        os.chdir(before)
    # The package is there when `-e .` installs it.
    assert rendered.index("src/ ${REPO_DIR}") < rendered.index('--file "environment.yml"')


FEW = ("notebooks/00-start-here.ipynb", "notebooks/04-cpu-quota.ipynb")
"""Those that need most; `make test` and the report run all of them in the whole environment."""


@pytest.mark.parametrize("paths", [FEW, pytest.param(("notebooks",), marks=pytest.mark.long)])
def test_notebooks_run_on_binder(binder, paths, bars):
    """All outputs are as they are kept, by nobody, without a network, in 2 GB on one CPU."""
    mode = binder("tools/nbval_mode.py", timeout_s=60)
    assert mode.stdout.startswith("--nbval"), mode.stderr
    began = time.monotonic()
    done = binder(
        *(
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            mode.stdout.strip(),
            "--nbval-current-env",
            *paths,
        ),
        timeout_s=500,
    )
    took_s = time.monotonic() - began
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    peak = peak_bytes(binder.groups["memory"])
    bars.append(("binder: nbval on one CPU", f"{took_s:.0f} s", "(none)"))
    bars.append(
        (
            "binder: most memory of all together",
            f"{peak / 1e6:.0f} MB",
            f"< {MEMORY_BYTES / 1e6:.0f} MB",
        )
    )
    assert killed(binder.groups["memory"]) == 0


LAB = """
import subprocess, sys, time, urllib.request
began = time.monotonic()
lab = subprocess.Popen([sys.executable, "-m", "jupyterlab", "--no-browser", "--port=8888",
                        "--ServerApp.token=t"], stderr=subprocess.DEVNULL)
try:
    while time.monotonic() < began + 120:
        try:
            page = urllib.request.urlopen("http://127.0.0.1:8888/lab/tree/notebooks/00-start-here.ipynb?token=t")
            break
        except OSError:
            time.sleep(0.1)
    assert b"jupyter-config-data" in page.read()
    print(time.monotonic() - began)
finally:
    lab.terminate()
    lab.wait()
"""


@pytest.mark.timed
def test_jupyterlab_is_ready_soon(binder, bars):
    """From its start to the page of the first notebook, on the same CPU."""
    done = binder("-c", LAB, timeout_s=150)
    assert done.returncode == 0, done.stderr[-2000:]
    ready_s = float(done.stdout)
    bars.append(("binder: JupyterLab ready", f"{ready_s:.1f} s", f"<= {READY_S} s"))
    assert ready_s <= READY_S


def test_the_group_is_as_small_as_it_says(binder):
    """More memory than that is refused by the kernel, and nobody is reached."""
    taken = binder(
        "-c", f"bytearray({MEMORY_BYTES}) and None; x = b'x' * {MEMORY_BYTES}", timeout_s=60
    )
    assert taken.returncode == -9 or taken.returncode == 137
    assert killed(binder.groups["memory"]) >= 1
    out = binder(
        "-c", "import socket; socket.create_connection(('192.0.2.1', 80), 1)", timeout_s=60
    )
    assert "unreachable" in out.stderr
