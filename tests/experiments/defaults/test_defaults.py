"""What defaults stop and cost: who stops what, what is a row, sentences that turn with the data.

Seen to fail: with the device list's setting exchanged in `MECHANISMS`, and with `possible` left out
of `stopped_by`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from experiments.defaults import fake

from caveatlib import claims, plots, stats, trials
from caveatlib.errors import DataError, MeasurementError, Unavailable
from caveatlib.experiments import defaults, storage
from caveatlib.experiments.defaults import (
    calibration,
    containers,
    designs,
    facts,
    figures,
    guests,
    ipvs,
    operations,
    prices,
    room,
    schema,
    tables,
    workloads,
)
from caveatlib.experiments.defaults.claims import COSTS, MANY_FILES, OPEN_FILES, PRICES
from caveatlib.experiments.defaults.designs import DISK_BYTES, LINE_BYTES
from caveatlib.experiments.kit.sentences import CLASSIC_STORE
from caveatlib.measuring.experiment import complete

beside = pytest.mark.beside
SOURCE, SOURCE_OF_CHORES = (
    Path(containers.__file__).with_name(name).read_text() for name in ("attempt.c", "chores.c")
)


def judged(rows) -> dict[str, claims.Verdict]:
    """Return the verdicts by claim, whatever the A/A controls: one fails by chance in twenty."""
    alone = [
        replace(d, null=None) if isinstance(d, claims.Effect) else d for d in defaults.DECISIONS
    ]
    return {v.claim: v for v in claims.judge(rows, alone)}


# What attempts come to


@beside
def test_the_program_tries_what_is_named():
    """Each operation has its words, and each name its operation; there are thirty at least."""
    names = re.findall(r'^    \{"([\w-]+)", t_\w+\},$', SOURCE, re.MULTILINE)
    assert names == list(operations.OPERATIONS)
    assert len(names) >= 30
    assert len(set(operations.OPERATIONS.values())) == len(names)


@beside
def test_each_mechanism_is_told_from_the_others(measured):
    """Alone, two of which each is enough, several, the kernel itself, nothing."""
    by = facts.stopped_by(measured(defaults))
    expected = {
        "seccomp alone": fake.FILTERED,
        "capabilities alone": fake.NEEDS_RIGHTS,
        "seccomp and capabilities, each": fake.BOTH,
        "masked or read-only paths alone": fake.MASKED,
        "device list alone": fake.DEVICES,
        "several, each": fake.REST,
        "AppArmor alone": ("read-kcore",),
        facts.BY_KERNEL: fake.ABSENT[designs.DOCKER],
    }
    expected["seccomp alone"] = [n for n in fake.FILTERED if n not in fake.ABSENT[designs.DOCKER]]
    for what, names in expected.items():
        assert {name for name, said in by.items() if said == what} == set(names), what
    assert by["chroot"] == "nothing"
    counts = tables.stops(measured(defaults))["operations"]
    assert counts.sum() == len(operations.OPERATIONS)


@beside
def test_what_a_kernel_lacks_is_no_refusal(measured):
    """The matrix says so in each of its columns, for this machine and for guests apart."""
    table = tables.matrix(measured(defaults))
    kexec, vsock = (table.loc[operations.OPERATIONS[n]] for n in ("kexec", "vsock"))
    of_guest = [name for name in table.columns if name.startswith("guest: ")]
    here = table.columns.difference([*of_guest, tables.STOPPED_BY])
    assert set(kexec[here]) == {tables.LACKING}
    assert set(kexec[of_guest]) == {"allowed"}
    assert set(vsock[of_guest]) == {tables.LACKING}
    assert vsock["defaults"] == "EPERM"
    assert table.loc[operations.OPERATIONS["read-timers"], "defaults"] == "hidden"


@beside
def test_the_figure_counts_what_is_allowed(measured):
    """A row of operations that a mechanism stops alone is full where that one is off."""
    ax = defaults.plot_matrix(measured(defaults))
    shown = {text.get_position(): text.get_text() for text in ax.texts}
    rows, columns = (
        [tick.get_text() for tick in ticks]
        for ticks in (ax.get_yticklabels(), ax.get_xticklabels())
    )
    for by, off in (
        ("seccomp alone", "seccomp off"),
        ("capabilities alone", "capabilities off"),
        ("masked or read-only paths alone", "systempaths=unconfined"),
        ("seccomp and capabilities, each", "both off"),
    ):
        (row,) = (i for i, name in enumerate(rows) if name.startswith(f"{by} ("))
        assert f"{by} ({shown[columns.index(off), row]})" == rows[row]
        assert shown[columns.index("defaults"), row] == "0"
    column = columns.index("both off")
    total = sum(int(shown[column, row]) for row in range(len(rows)))
    assert f"both off {total}," in plots.describe(ax)


@beside
def test_an_attempt_that_broke_off_is_a_failure():
    """Whatever is missing of its answers; lines of a guest end in a carriage return."""
    with pytest.raises(MeasurementError, match=r"53 operations were not tried, 'acct' first"):
        workloads.probed("seen seccomp 1\n= mount 1\nKilled")
    whole = "".join(f"= {name} 0\r\n" for name in operations.OPERATIONS)
    found = workloads.probed(f"seen apparmor 1\r\n{whole}")
    assert (found["refused"], found["refusals"], found["seen_apparmor"]) == ("nothing", 0, 1)


@beside
def test_refusals_survive_writing_and_reading():
    """Names and numbers, those of what hangs, too; what is allowed is not among them."""
    said = {"mount": 1, "chroot": 0, "vsock": 97, "iopl": -2}
    assert operations.read(operations.listed(said)) == {"mount": 1, "vsock": 97, "iopl": -2}
    assert operations.read(operations.listed({"chroot": 0})) == {}
    assert [operations.named(n) for n in (0, 1, 61, -1, 9999)] == [
        "allowed", "EPERM", "hidden", "hangs", "9999",
    ]  # fmt: skip


@beside
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"refused": "mount=1"}, "2 of 54 operations refused, 1 named"),
        ({"refused": "mount=1 fly=1"}, "Operation 'fly'"),
        ({"tried": 53.0}, "2 of 53 operations"),
        ({"seen_seccomp": float("nan")}, "'seen_seccomp' is missing"),
        ({"task": "calls", "getppid_s": 2e-7, "open_s": 4.0}, "Value 4 of 'open_s'"),
        ({"task": "log", "log_bytes": 9.0}, "'line_s' is missing"),
        ({"task": "close", "open_files": 9.0, "close_all_s": 0.0}, "Value 0 of 'close_all_s'"),
        (
            {"task": "service", "service_error": 0.0, "answered_directly": 0.0, "answered": 0.0},
            "Value 0 of 'answered_directly'",
        ),
        (
            {
                "task": "room",
                "limit_error": 0.0,
                "written_bytes": 9e6,
                "write_error": 0.0,
                "beside_bytes": 0.0,
            },
            "Value 9e\\+06 of 'written_bytes'",
        ),
    ],
)
def test_a_row_that_cannot_be_is_refused(changes, said):
    """Counts that disagree, names of nothing, calls that take seconds, what is missing."""
    row = dict.fromkeys([n for names in schema.NEEDS.values() for n in names])
    row |= dict.fromkeys(schema.POSITIVE)
    row |= {"task": "probe", "setting": "defaults", "refused": "mount=1 acct=1", "refusals": 2.0,
            "tried": 54.0, "kept_lines": None, "first_output_s": 0.1}  # fmt: skip
    row |= {f"seen_{name}": 1.0 for name in schema.SEEN}
    defaults.check_row(row)
    with pytest.raises(DataError, match=said):
        defaults.check_row(row | changes)


# Verdicts


@beside
def test_prices_turn_with_their_arms(measured):
    """With each default exchanged for what stands against it nothing is dear, and it says so."""
    rows = measured(defaults)
    before = judged(rows)
    assert before["C19"].verdict == claims.HOLDS
    for task, default, other, lines in {price[:4] for price in (*PRICES.values(), MANY_FILES)}:
        arms = (designs.where(task, s, lines=lines) for s in (default, other))
        here, there = (stats.match(rows, where) for where in arms)
        rows = rows.assign(setting=rows["setting"].mask(here, other).mask(there, default))
    after = judged(rows)
    assert after["C19"].verdict == claims.FAILS
    dear = [c for c in (*COSTS.values(), OPEN_FILES) if before[c.id].verdict == claims.HOLDS]
    assert len(dear) == 6
    for claim in dear:
        assert after[claim.id].verdict == claims.FAILS
        assert before[claim.id].sentence != after[claim.id].sentence
    assert defaults.answer(rows) != defaults.answer(measured(defaults))


def recorded():
    """Return what version 2 recorded, the trials and the facts of its places."""
    run = trials.open(defaults, source="recorded")
    return run.trials, run.table("conditions")


@beside
def test_what_was_recorded_is_named():
    """Versions that cards name are those of the recorded engines, which have the classic store."""
    facts_of = recorded()[1]
    facts_of = facts_of[facts_of["place"] == designs.DOCKER].set_index("name")["value"]
    assert f"Docker {facts_of['engine_version'].partition('+')[0]})" in CLASSIC_STORE
    assert facts_of["storage_driver"] == "overlay2"  # containerd's store names a snapshotter
    version = facts_of["containerd_version"].partition("~")[0]
    assert f"containerd {version};" in OPEN_FILES.decides
    drivers = trials.open(storage, source="recorded").table("conditions")
    versions = drivers.loc[drivers["name"] == "engine_version", "value"].unique()
    assert [f"Docker {version})" in CLASSIC_STORE for version in versions] == [True]
    found = {d.claim.id: d.claim for d in (*defaults.DECISIONS, *storage.DECISIONS)}
    assert all(CLASSIC_STORE in found[name].decides for name in ("C16", "C19", "C20"))


@beside
def test_open_files_are_no_default_and_their_number_is_the_data_s(measured):
    """The card says how many, and whether that is the machine's limit or the package's."""
    rows = measured(defaults)
    found = judged(rows)
    assert OPEN_FILES.id == "defaults-open-files"
    assert OPEN_FILES.text not in found["C19"].because
    assert "descriptor" not in found["C19"].because + found["C19"].sentence
    said = "Closing all descriptors, 20,000 open files, all that this machine allows, over 1,024: "
    assert found[OPEN_FILES.id].headline.startswith(said)
    assert found[OPEN_FILES.id].sentence.startswith(said)
    assert "limit, 1,048,576, was not measured" in found[OPEN_FILES.id].because
    more = rows.assign(open_files=rows["open_files"].replace(20_000.0, 1048576.0))
    after = judged(more)[OPEN_FILES.id]
    assert "1,048,576 open files, the package's limit, over 1,024: " in after.headline
    assert "not measured" not in after.because
    alone = [d for d in defaults.DECISIONS if d.claim.id.startswith("C19/")]
    assert [d.claim.id for d in alone] == [claim.id for claim in COSTS.values()]
    without = rows.assign(open_files=float("nan"), packaged_files=float("nan"))
    assert judged(without)[OPEN_FILES.id].headline.startswith("Closing all descriptors, most open")


@beside
def test_a_length_of_line_is_told_at_which_the_logs_cost_alike(measured):
    """Computed from the bytes measured: there the ratio is what counts as dear, by both drivers."""
    rows = recorded()[0]
    said = judged(rows)[COSTS["log-disk"].id].because
    by_default, other = (
        claims.values_of(rows, where, "log_bytes").median() / designs.LINES
        for where in (designs.where(designs.LOG, s, lines=designs.LINES)
                      for s in (designs.DEFAULTS, designs.LOCAL_LOG))
    )  # fmt: skip
    at = int(re.search(r"dearer at (\d+) bytes", said)[1])
    ratio = (at + by_default - LINE_BYTES) / (at + other - LINE_BYTES)
    assert ratio == pytest.approx(1.1, rel=1e-3)
    assert re.search(r"Repetitions differ by at most 0\.014 %", said)
    fewer = rows.assign(log_bytes=rows["log_bytes"].where(
        rows["setting"] != designs.DEFAULTS, rows["log_bytes"] * 0.9))  # fmt: skip
    assert int(re.search(r"at (\d+) bytes", judged(fewer)[COSTS["log-disk"].id].because)[1]) < at
    assert "bytes and local" not in judged(measured(defaults))[COSTS["log-disk"].id].because
    assert f"LINE = {LINE_BYTES}," in SOURCE_OF_CHORES
    assert all(f"{LINE_BYTES} bytes" in PRICES[part].label for part in ("log-disk", "log-time"))


@beside
def test_a_ratio_is_not_told_with_medians_that_say_otherwise(measured):
    """Two groups of times, of which each driver met another; and what a million lines took."""
    name = COSTS["log-time"].id
    found = judged(recorded()[0])[name]
    assert found.effect < 1
    assert "against" not in found.sentence
    assert "0.71 times as much by the Hodges-Lehmann estimate over pairs" in found.sentence
    assert "1.00 times in the median pair" in found.sentence
    assert re.search(r"two groups, 26 up to 1\.74 µs and 4 from 2\.46 µs with json-file and 16 up "
                     r"to 1\.32 µs and 14 from 2\.38 µs with local", found.because)  # fmt: skip
    assert "1,000,000 lines each took 2.12 µs with json-file (n = 1) and 1.68 µs" in found.because
    rows = measured(defaults)
    plain = judged(rows)[name]
    assert " against " in plain.sentence
    assert "two groups" not in plain.because
    slow = stats.match(rows, designs.where(designs.LOG, lines=designs.LINES))
    slow &= rows["block"] % 2 == 0
    apart = rows.assign(line_s=rows["line_s"].mask(slow, rows["line_s"] * 3))
    assert "two groups" in judged(apart)[name].because
    assert prices.groups(rows["line_s"].iloc[:0]) is None


@beside
def test_docker_info_is_held_against_containers_with_the_defaults(measured):
    """Those with other settings are counted beside it, and what is off everywhere is not tested."""
    found = judged(recorded()[0])["defaults-info"]
    assert "Not tested: AppArmor, off in both" in found.because
    assert "12 of 27 containers with another setting are otherwise than it says" in found.because
    assert found.verdict == claims.HOLDS
    rows = measured(defaults)
    assert "Not tested" not in judged(rows)["defaults-info"].because
    alike = rows.assign(**{f"info_{name}": rows[f"seen_{name}"] for name in schema.SEEN})
    assert "another setting" not in judged(alike)["defaults-info"].because


@beside
def test_what_is_written_fills_no_disk():
    """The claim names the bytes that were asked for and the disk, and not that it is filled."""
    assert room.FORMAT.size_bytes == DISK_BYTES
    assert DISK_BYTES > 10 * designs.ASKED_BYTES
    (claim,) = (d.claim for d in defaults.DECISIONS if d.claim.id == QUOTAS)
    assert "8 MiB are not refused" in claim.text
    assert "400 MiB" in claim.decides


@beside
def test_without_the_kernel_s_own_word_no_container_is_said_to_be_free(measured):
    """The positive control is not measured, rather than passed, where root was not asked."""
    rows = measured(defaults)
    bare = stats.match(rows, facts.at(designs.DOCKER, designs.NO_CONTAINER))
    table = complete(defaults).calibrate(rows[~bare]).set_index("check")
    name = calibration.KNOWN[0].name
    assert table.loc[name, "passes"] == "not measured"
    refused = rows.assign(refused=rows["refused"].mask(
        stats.match(rows, facts.EVERY), "chroot=1"))  # fmt: skip
    assert complete(defaults).calibrate(refused).set_index("check").loc[name, "passes"] == "no"
    assert complete(defaults).calibrate(rows).set_index("check").loc[name, "passes"] == "yes"


@beside
def test_other_experiments_prices_stand_beside(measured):
    """Ratios of an alternative over a default are turned round; other claims are left out."""
    verdict = claims.Verdict("C17/loopback/cpu", "ports", claims.HOLDS, effect=0.5, low=0.4,
                             high=0.625, unit="x", n=9, threshold=0.8, band_low=0.64,
                             band_high=1.0)  # fmt: skip
    others = (
        replace(verdict, claim="C17/loopback/throughput", effect=7.0),
        replace(verdict, claim="C17/hairpin/cpu", verdict=claims.OPEN, effect=9.0),
        replace(verdict, claim="C20", effect=200.0, low=150.0, high=300.0, threshold=1.0),
    )
    proxy = SimpleNamespace(verdicts=lambda: [verdict, *others])
    words = plots.describe(defaults.plot(measured(defaults), beside=[proxy]))
    assert "userland proxy over none 2 [1.6, 2.5]" in words
    assert "userland proxy over none 0.8 to 1.25" in words
    assert "overlay2 on ext4 over XFS 200 [150, 300]" in words
    assert " 0.143 " not in words
    assert " 0.111 " not in words


@beside
def test_storage_drivers_are_priced_as_defaults(measured):
    """Each of its ratios has overlay2 on ext4 above the line."""
    measured(storage)
    drivers = trials.open(storage, source=measured.folder)
    found = {v.claim: v for v in drivers.verdicts()}
    words = plots.describe(defaults.plot(measured(defaults), beside=[drivers]))
    named = {claim: said for claim, said in figures.ELSEWHERE.items() if claim in found}
    assert len(named) == 5
    for claim, (what, _) in named.items():
        (decided,) = (d for d in storage.DECISIONS if d.claim.id == claim)
        above = decided.contrast.arm["place"] == storage.designs.EXT4
        price = found[claim].effect if above else 1 / found[claim].effect
        assert f"{what} {price:.3g} [" in words


# What is told to engines and guests


@beside
def test_a_guest_is_told_what_docker_told():
    """Rights, filter, masked paths and devices stay; files and hooks of the machine go."""
    told = {
        "ociVersion": "1.2.0",
        "process": {"user": {"uid": 0, "gid": 0}, "capabilities": {"effective": ["CAP_CHOWN"]},
                    "args": ["sleep", "60"], "apparmorProfile": "other", "oomScoreAdj": 0},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"},
                   {"destination": "/etc/hosts", "type": "bind", "source": "/var/lib/x"}],
        "hooks": {"prestart": [{"path": "/proc/1/exe"}]},
        "linux": {"namespaces": [{"type": "network", "path": "/x"}], "seccomp": {"x": 1},
                  "maskedPaths": ["/proc/kcore"], "cgroupsPath": "/theirs",
                  "resources": {"devices": [{"allow": False}], "cpu": {"shares": 0}}},
    }  # fmt: skip
    found = guests.adapted(told, profile="docker-default")
    assert found["process"]["capabilities"] == told["process"]["capabilities"]
    assert found["process"]["apparmorProfile"] == "docker-default"
    assert found["linux"]["seccomp"] == {"x": 1}
    assert found["linux"]["maskedPaths"] == ["/proc/kcore"]
    assert found["linux"]["resources"] == {"devices": [{"allow": False}]}
    assert found["linux"]["namespaces"] == [{"type": "network"}]
    assert [mount["destination"] for mount in found["mounts"]] == ["/proc"]
    assert "hooks" not in found
    assert guests.adapted(told, profile="")["process"]["apparmorProfile"] == ""


@beside
@pytest.mark.parametrize(
    ("text", "limit"),
    [("LimitNOFILE=1024:524288\n", 1024), ("[Service]\nLimitNOFILE=infinity\n", None)],
)
def test_the_packaged_limit_is_read(text, limit, tmp_path, monkeypatch):
    """The soft limit of a unit; without any unit there is no such default here."""
    monkeypatch.setattr(containers, "UNIT_FOLDERS", (tmp_path,))
    with pytest.raises(Unavailable, match="states a LimitNOFILE"):
        containers.packaged_files()
    (tmp_path / "docker.service").write_text(text)
    most = int(Path("/proc/sys/fs/nr_open").read_text())
    assert containers.packaged_files() == (limit or most)


# What guests are asked of their kernel


IPVS, QUOTAS = "defaults-service-address", "defaults-size"


@beside
def test_guests_answer_what_their_kernel_has(measured):
    """Both hold, with the errors by name; a table has them beside AppArmor, yes or no."""
    rows = measured(defaults)
    found = judged(rows)
    assert found[IPVS].verdict == found[QUOTAS].verdict == claims.HOLDS
    assert found[IPVS].headline.endswith(
        "2 of 2 connections to the address of a service of IPVS were answered, without its module "
        "0 of 2"
    )
    assert "refuses the address (ENOPROTOOPT)" in found[IPVS].because
    assert found[QUOTAS].headline == (
        "In a guest 8 MiB of 8 MiB could be written without a limit, 4 MiB under a limit of 4 MiB"
    )
    assert "(ENOSPC), then 8 MiB beside it" in found[QUOTAS].because
    assert "refuses the limit (ENOSYS). There 8 MiB could be written" in found[QUOTAS].because
    table = tables.guest_kernels(rows)
    assert list(table["answer"]) == ["no", "yes", "yes"]
    assert table.iloc[1]["found"] == found[IPVS].headline
    assert found[IPVS].headline in defaults.answer(rows)
    before = rows[~rows["task"].isin([designs.SERVICE, designs.ROOM])]
    assert set(tables.guest_kernels(before)["answer"][1:]) == {"not measured"}
    assert "service" not in defaults.answer(before)


@beside
@pytest.mark.parametrize(
    ("claim", "setting", "changes"),
    [
        (IPVS, designs.DEFAULTS, {"answered": 0.0}),
        (IPVS, designs.WITHOUT_IPVS, {"answered": 1.0}),
        (QUOTAS, designs.DEFAULTS, {"written_bytes": float(designs.LIMIT_BYTES)}),
        (QUOTAS, designs.SIZE, {"written_bytes": float(designs.ASKED_BYTES)}),
        (QUOTAS, designs.SIZE, {"written_bytes": 0.0}),
        (QUOTAS, designs.SIZE, {"beside_bytes": float(designs.LIMIT_BYTES)}),
        (QUOTAS, designs.WITHOUT_QUOTAS, {"limit_error": 0.0}),
    ],
)
def test_one_guest_that_answers_otherwise_turns_the_verdict(measured, claim, setting, changes):
    """A disk that was full for all, a limit that stops everybody, an address that is anybody's."""
    rows = measured(defaults)
    place = designs.IPVS_GUEST if claim == IPVS else designs.QUOTA_GUEST
    first = rows.index[(rows["place"] == place) & (rows["setting"] == setting)][0]
    rows = rows.assign(**{name: rows[name].copy() for name in changes})
    rows.loc[first, list(changes)] = list(changes.values())
    after = judged(rows)[claim]
    assert after.verdict == claims.FAILS
    assert after.because != judged(measured(defaults))[claim].because


@beside
def test_what_a_guest_s_programs_write_is_read():
    """As columns; lines of a guest may end in a carriage return. Too few lines are a failure."""
    said = "SeaBIOS\r\n= 92 1 0\r\n"
    assert ipvs.read(said) == {"service_error": 92, "answered_directly": 1, "answered": 0}
    found = room.read("= 4194304 0\n= 4190208 28\n= 8388608 0\n")
    assert found == {"limit_error": 0, "written_bytes": 4190208, "write_error": 28,
                     "beside_bytes": 8388608}  # fmt: skip
    with pytest.raises(MeasurementError, match="heard 1 times, not 3"):
        room.read("= 4194304 0\n")
    with pytest.raises(MeasurementError, match="listen: Address in use"):
        ipvs.read("listen: Address in use\n")


@beside
def test_what_guests_lack_is_told_with_its_remedy(fresh_probes, monkeypatch, tmp_path):
    """Without the modules of their kernel neither is asked, and the probe names what prepares."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for kernel in (ipvs, room):
        found = kernel.probe()
        assert not found.available
        assert found.reason.endswith("is not prepared.")
        assert "make system" in found.fix
