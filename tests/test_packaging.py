"""What a stranger installs: light to import, whole in a wheel, same in every list."""

import importlib.util
import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.beside

ROOT = Path(__file__).parents[1]
HEAVY = ("docker", "matplotlib", "scipy", "pandas", "pandera")
CONDA = {"docker": "docker-py", "matplotlib": "matplotlib-base", "isal": "python-isal",
         "pandera": "pandera-pandas"}  # fmt: skip


def python(*arguments, **options):
    """Run this interpreter and return what it printed."""
    run = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=300, **options
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_import_is_light():
    """`import caveatlib` imports none of the heavy packages."""
    loaded = python("-c", "import caveatlib, json, sys; print(json.dumps(sorted(sys.modules)))")
    assert not {m.partition(".")[0] for m in json.loads(loaded)} & set(HEAVY)


def test_modules_are_there_when_asked_for():
    """Every name that the package announces can be had."""
    import caveatlib

    assert all(getattr(caveatlib, name) for name in caveatlib.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = caveatlib.nothing


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """Build the wheel and unpack it into a folder of its own."""
    out = tmp_path_factory.mktemp("wheel")
    python("-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT))
    site = out / "site"
    zipfile.ZipFile(next(out.glob("*.whl"))).extractall(site)
    return site


@pytest.mark.parametrize(
    ("command", "says"),
    [
        pytest.param(["scorecard"], "C23", marks=pytest.mark.slow),
        (["doctor", "--json"], '"ability"'),
    ],
)
def test_the_wheel_works_in_an_empty_folder(wheel, tmp_path, command, says):
    """Without the checkout, scorecard and doctor find their data."""
    code = (
        "import caveatlib, sys; from caveatlib.cli import main;"
        f"assert caveatlib.__file__.startswith({str(wheel)!r}), caveatlib.__file__; main()"
    )
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    printed = python(
        "-c", code, *command, cwd=tmp_path, env=environment | {"PYTHONPATH": str(wheel)}
    )
    assert says in printed
    assert not list(tmp_path.iterdir())


def test_data_and_notebooks_are_in_the_wheel(wheel):
    """Both folders travel whole."""
    for folder in ("data", "notebooks"):
        here = {p.relative_to(ROOT / folder) for p in (ROOT / folder).rglob("*") if p.is_file()}
        there = wheel / "caveatlib" / "_shipped" / folder
        shipped = {p.relative_to(there) for p in there.rglob("*") if p.is_file()}
        ignored = {p for p in here if {".ipynb_checkpoints", "__pycache__"} & set(p.parts)}
        assert shipped >= here - ignored


def test_what_the_makefile_calls_is_in_the_sdist(tmp_path):
    """Who unpacks it can run the commands that README names."""
    python("-m", "build", "--sdist", "--no-isolation", "--outdir", str(tmp_path), str(ROOT))
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    called = set(re.findall(r"\btools/[\w.]+", (ROOT / "Makefile").read_text()))
    assert len(called) >= 3
    assert called <= held
    assert {"Makefile", "constraints.txt", "pyproject.toml", "environment.yml"} <= held


@pytest.mark.parametrize("status", [0, 3])
def test_what_root_made_is_handed_back_where_a_command_fails(require, tmp_path, status):
    """A report whose notebook failed belongs to whoever called sudo, as any other."""
    require("make")
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "caveatlib"
    command.write_text(f"#!/bin/sh\nexit {status}\n")
    command.chmod(0o755)
    (tmp_path / "installed").touch()
    words = ["make", "-C", str(ROOT), "report", f"VENV={tmp_path}", "HAND_BACK=echo handed back"]
    environment = {name: value for name, value in os.environ.items() if name != "MAKEFLAGS"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode == 0) == (status == 0)
    assert done.stdout.splitlines().count("handed back") == 1


def test_readme_names_commands_as_they_are_typed():
    """The command is in .venv/bin: sudo, and a shell before it is activated, find no other."""
    text = (ROOT / "README.md").read_text()
    assert "sudo caveatlib" not in text
    assert "sudo .venv/bin/caveatlib measure" in text
    assert ". .venv/bin/activate" in text
    # Kernels run in notebooks/, where a relative folder is another.
    assert re.findall(r"CAVEATLIB_SOURCE=(.{6})", text) == ['"$PWD/']


def test_the_readme_and_its_pictures_follow_the_data(recorded_entries, monkeypatch):
    """Picture, findings, notebooks and commands are what `tools/readme.py` makes of the data."""
    spec = importlib.util.spec_from_file_location("readme", ROOT / "tools" / "readme.py")
    readme = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(readme)
    monkeypatch.setattr(readme.scorecard, "entries", lambda source: recorded_entries)
    made = readme.parts()
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme.filled(text, made) == text
    for name in ("picture", "findings", "notebooks", "commands"):
        assert made[name] in text
    for path in readme.PICTURES.values():
        assert made[str(path)] == path.read_text(encoding="utf-8")


def test_environment_yml_agrees_with_pyproject():
    """Conda's list has every dependency, under conda's name and with the same bound."""
    from repo2docker.buildpacks.conda import CondaBuildPack
    from ruamel.yaml import YAML

    previous = Path.cwd()
    os.chdir(ROOT)
    try:
        pack = CondaBuildPack("base-image")
        assert pack.detect()
        assert pack.python_version == "3.13"
        listed = YAML(typ="safe").load(Path(pack.binder_path("environment.yml")).read_text())
    finally:
        os.chdir(previous)
    entries = [e for e in listed["dependencies"] if isinstance(e, str)]
    conda = dict(
        re.fullmatch(r"([\w.-]+)(?:>=?=?([\w.]+))?", e).groups()
        for e in entries
        if not e.startswith("python=")
    )
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["notebooks"]
    for line in wanted:
        name, bound = re.match(r"([\w.-]+)(?:\[\w+\])?>=([\w.]+)", line).groups()
        assert conda[CONDA.get(name, name)] == bound, line
    assert listed["dependencies"][-1] == {"pip": ["-e ."]}


def test_constraints_pin_what_the_project_needs():
    """The pinned environment names an exact version of every dependency."""
    pins = (ROOT / "constraints.txt").read_text().lower()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for line in project["dependencies"] + project["optional-dependencies"]["notebooks"]:
        name = re.match(r"[\w.-]+", line).group()
        assert re.search(rf"^{re.escape(name)}==\S+$", pins, re.M), name
