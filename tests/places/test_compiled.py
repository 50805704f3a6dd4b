"""Programs in C: built static once, found by workloads, and said to be missing where they are."""

import shutil

import pytest

from caveatlib.errors import MeasurementError, Unavailable, UsageError
from caveatlib.places import cache, compiled, rootfs
from caveatlib.places.base import Workload
from caveatlib.places.engines.containers import EnginePlace
from caveatlib.places.engines.private_engine import private_engine
from caveatlib.places.machines.vm import vm_place
from caveatlib.places.output import await_lines
from caveatlib.places.process import process_place
from caveatlib.places.runc import runc_place
from caveatlib.support import programs

pytestmark = pytest.mark.beside

GREET = '#include <stdio.h>\nint main(void) { return puts("compiled") < 0; }\n'


@pytest.fixture
def greet(tmp_path, require):
    """Return a program that says a word; it does not stay in the cache."""
    require("gcc")
    source = tmp_path / "greet-for-a-test.c"
    source.write_text(GREET)
    artefact = compiled.program(source)
    yield artefact
    shutil.rmtree(cache.path(artefact), ignore_errors=True)


def test_a_program_is_built_once_and_needs_nothing(greet, tmp_path):
    """It is static, runs, and is not built again; another source is another program."""
    path = compiled.path(greet)
    assert programs.run([str(path)]) == "compiled\n"
    assert rootfs._is_static(path)
    built = path.stat().st_mtime_ns
    assert compiled.path(greet).stat().st_mtime_ns == built
    before = cache.checksum(greet)
    (tmp_path / "greet-for-a-test.c").write_text(GREET.replace("compiled", "changed"))
    assert cache.checksum(greet) != before
    shutil.rmtree(path.parent)


def test_a_header_is_part_of_the_source(tmp_path, require):
    """It is found, and another header is another program."""
    require("gcc")
    source, header = tmp_path / "greet-for-a-test.c", tmp_path / "words.h"
    include = '#include "words.h"\n'
    source.write_text(include + GREET.replace('"compiled"', "WORDS"))
    header.write_text('#define WORDS "shared"\n')
    artefact = compiled.program(source, header)
    try:
        assert programs.run([str(compiled.path(artefact))]) == "shared\n"
        before = cache.checksum(artefact)
        header.write_text('#define WORDS "other"\n')
        assert cache.checksum(artefact) != before
        assert programs.run([str(compiled.path(artefact))]) == "other\n"
    finally:
        shutil.rmtree(cache.path(artefact), ignore_errors=True)


def test_what_does_not_compile_says_where(tmp_path, monkeypatch, require):
    """A warning is an error, and the compiler's words are told; nothing is kept."""
    require("gcc")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    source = tmp_path / "wrong.c"
    source.write_text("int main(void) { int unused; return 0; }\n")
    with pytest.raises(MeasurementError, match=r"gcc wrong\.c failed"):
        compiled.path(compiled.program(source))
    assert not list(cache.folder().glob("program-*"))


def test_without_a_compiler_the_fix_is_named(tmp_path, monkeypatch):
    """What is prepared is found all the same; what is not says what to install."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    source = tmp_path / "greet.c"
    source.write_text(GREET)
    artefact = compiled.program(source)
    monkeypatch.setattr(programs, "find", lambda name: None)
    with pytest.raises(Unavailable, match="apt-get install gcc libc6-dev"):
        compiled.path(artefact)
    ability = compiled.probe(artefact)
    assert (ability.name, ability.available) == ("program greet", False)
    assert ability.fix
    cache.path(artefact).mkdir(parents=True)
    assert compiled.path(artefact) == cache.path(artefact) / "greet"


def _says(place, artefact, timeout_s):
    instance = place.create(Workload(compiled.name(artefact), programs=(artefact,)))
    try:
        instance.start()
        await_lines(instance.output, ["compiled"], timeout_s)
    finally:
        instance.remove()


def test_containers_have_it(greet, require):
    """By name, under an OCI runtime alone and in an engine."""
    require("runc")
    with runc_place() as place:
        _says(place, greet, 10)
    require("private-engine")
    with private_engine() as engine:
        _says(EnginePlace(engine), greet, 10)


@pytest.mark.slow
def test_a_guest_has_it(greet, require):
    """By name, with no file of it on the host but the cache's."""
    require("microvm")
    with vm_place("microvm") as place:
        _says(place, greet, 60)


def test_a_bare_process_takes_none(greet):
    """Rather than not finding it there."""
    with process_place() as place, pytest.raises(UsageError, match="with programs"):
        place.create(Workload("greet", programs=(greet,)))
