"""Applications installed, asked and watched for real; what apt and the engine are asked for."""

import subprocess

import pytest

from caveatlib import images, prepare
from caveatlib.errors import MeasurementError
from caveatlib.experiments.applications import bench, catalogue, designs, installing, workloads
from caveatlib.places import cache, debians


@pytest.mark.beside
def test_each_application_is_an_artefact_of_its_own():
    """Named, large, made by root, and never without being asked for."""
    names = [artefact.name for artefact in installing.ARTEFACTS]
    applications = [f"application-{name}" for name in (catalogue.CLIENTS, *catalogue.BY_NAME)]
    assert names == applications
    assert set(installing.ARTEFACTS) <= set(prepare.ON_REQUEST)
    assert not set(installing.ARTEFACTS) & set(prepare.ARTEFACTS)
    assert all(a.needs_root and a.download_bytes for a in installing.ARTEFACTS)
    assert len({cache.checksum(a) for a in installing.ARTEFACTS}) == len(names)


@pytest.mark.beside
def test_apt_is_asked_by_the_bases_own_list(tmp_path, monkeypatch):
    """Download only, by the base's packages, from one archive; recommended ones on full alone."""
    tree = tmp_path / "tree"
    (tree / installing.STATUS).parent.mkdir(parents=True)
    (tree / installing.STATUS).write_text("Package: base-files\n")
    subprocess.run(["tar", "-C", tree, "-cf", tmp_path / "base.tar", "."], check=True)
    asked, run = [], installing.programs.run

    def noted(argv, **options):
        if argv[0] == "apt-get":
            asked.append(argv)
            return ""
        return run(argv, **options)

    monkeypatch.setattr(installing.programs, "run", noted)
    monkeypatch.setattr(installing.debian, "archive", lambda: ("stable", "http://mirror.invalid"))
    for base, recommended in (("full", "true"), ("minimal", "false")):
        out = tmp_path / base
        installing._fetch(catalogue.REDIS, base, tmp_path / "base.tar", out)
        update, install = asked[-2:]
        assert "update" in update
        assert install[-2:] == ["install", "redis-server"]
        assert "--download-only" in install
        assert f"APT::Install-Recommends={recommended}" in install
        assert f"Dir::State::status={out / installing.STATUS}" in install
        assert (out / installing.STATUS).read_text() == "Package: base-files\n"
        line = (out / "sources.list").read_text()
        assert line.endswith("http://mirror.invalid stable main\n")


@pytest.mark.beside
@pytest.mark.parametrize("application", catalogue.ALL, ids=lambda a: a.name)
def test_scripts_are_what_a_shell_reads(application, tmp_path):
    """Setup and workload are free of syntax errors, with all that is put around them."""
    setup = installing._INSTALL.format(
        options="", packages="a b", marks=5, told="told:", setup=application.setup
    )
    for script in (setup, application.workload):
        found = subprocess.run(["sh", "-n"], input=script, text=True, capture_output=True)
        assert (found.returncode, found.stderr) == (0, "")


@pytest.mark.beside
def test_whoever_asks_for_nothing_known_is_told(capsys):
    """One line that lists what there is, status 2; an experiment's name is all that it has."""
    assert prepare.main(["application-none"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("Nothing to prepare is called 'application-none'.")
    assert "application-redis" in said
    every = (debians.ARTEFACT, *installing.ARTEFACTS)
    assert prepare.named(["applications"]) == every
    assert prepare.named(["application-redis", "applications"]) == every, "none of them twice"
    assert prepare.named(["application-redis"]) == (installing.artefact_of("redis"),)


@pytest.fixture(scope="module")
def redis(require):
    """Return the bench of the smallest application, whose images are made if they are not there."""
    for name in ("private-engine", "fanotify", "registry", "web-bases", "zstd"):
        require(name)
    with pytest.MonkeyPatch.context() as patch:
        # As for users: the engine does not see what others have below /run.
        patch.delenv("CAVEATLIB_STATE", raising=False)
        cache.ensure(installing.artefact_of("redis"))
        yield bench.Bench(catalogue.REDIS)


@pytest.mark.slow
@pytest.mark.engine
def test_redis_is_installed_on_both(redis):
    """Two layers, the base below; full has more packages; apt's indexes are not in the image."""
    held = {base: redis.held(base) for base in installing.RECOMMENDS}
    assert held["full"].counts["packages"] > held["minimal"].counts["packages"]
    for base, found in held.items():
        image = images.read(installing.archive_of("redis", base))
        assert len(image.layers) == 2
        assert "redis-server" in set(image.packages["name"])
        assert found.counts["owned_share"] > 0.5
        assert not [p for p in found.files.index if p.startswith("/var/cache/apt/archives/redis")]
        assert not [p for p in found.files.index if p.endswith("pkgcache.bin")]
        assert {f"/srv/marks/{n}" for n in range(1, 6)} <= set(found.files.index)
    assert "redis-server" in redis.metadata()["packages"]


@pytest.mark.slow
@pytest.mark.engine
@pytest.mark.parametrize("base", designs.BASES)
def test_redis_is_asked_and_watched(redis, base):
    """It answers its benchmark; program and libc are opened, most is not, marks are told apart."""
    outcome = workloads.trial(redis, {"work": designs.WORKLOAD, "base": base}, seed=0)
    measures = outcome.measures
    assert measures["answered"] >= 30_000
    assert measures["marks_seen"] == catalogue.MARKED
    assert 1 <= measures["opened_executables"] < 20
    assert 0 < measures["opened_byte_share"] < 0.3


@pytest.mark.slow
@pytest.mark.engine
def test_redis_is_deployed(redis):
    """Over 100 Mbit/s in no less than its bytes take; the base's bytes are among them."""
    found = redis.deploy("minimal", 1e8)
    least = (found["moved_bytes"] - 128 * 1024) * 8 / 1e8
    assert least < found["pulled_s"] < found["deployed_s"]
    assert found["moved_bytes"] > 30e6


@pytest.mark.slow
@pytest.mark.engine
def test_a_workload_that_fails_is_no_trial(redis):
    """A server that is asked what it does not know fails the trial, with the client's words."""
    from dataclasses import replace

    wrong = replace(catalogue.REDIS, workload='echo "no, $1"; redis-cli -h "$1" ping | grep never')
    with pytest.raises(MeasurementError, match="Redis was asked in vain: no, 198"):
        bench.Bench(wrong).work("minimal")
    gone = replace(catalogue.REDIS, argv=("redis-server", "/nowhere"))
    with pytest.raises(MeasurementError, match="The server ended"):
        bench.Bench(gone).work("minimal")
