"""What `applications` counts and says, on fakes whose answers are known."""

import pandas as pd
import pytest
from experiments.applications import fake
from experiments.contract.parts import failed, unavailable

from caveatlib import claims, frames, host, images, plots
from caveatlib import trials as recorded
from caveatlib.errors import DataError
from caveatlib.experiments import applications, layers
from caveatlib.experiments.applications import bench, catalogue, designs, facts, workloads
from caveatlib.experiments.applications import claims as stated
from caveatlib.measuring.experiment import check_trials, complete
from caveatlib.support import shipped

pytestmark = pytest.mark.beside
FULL, MINIMAL = designs.FULL, designs.MINIMAL


def measured(sessions=2):
    """Return trials of all designs as the loop would write them."""
    rows = []
    for session in range(sessions):
        for design in applications.DESIGNS:
            if not design.due(session):
                continue
            for position, arm in enumerate(design.arms):
                place = fake.FakeBench(arm.place)
                outcome = applications.trial(place, dict(arm.conditions), seed=0)
                rows.append({
                    "run": "r", "source": "live", "machine": "m", "session": session,
                    "design": design.name, "block": session, "position": position,
                    "place": arm.place, "started_at": "t", "ok": True, "error": "",
                    **arm.conditions, **outcome.measures,
                })  # fmt: skip
    return frames.from_rows(rows, applications.Trials)


@pytest.fixture(scope="module")
def trials():
    return measured()


def one(trials, claim):
    (verdict,) = [v for v in claims.judge(trials, applications.DECISIONS) if v.claim == claim]
    return verdict


def of(trials, work, base):
    """Return which trials are of one kind of work on one base."""
    return trials["work"].eq(work) & trials["base"].eq(base)


def test_there_are_enough_applications_and_each_is_asked():
    """Eight at least are asked for; names are those of images; each workload counts its answers."""
    assert len(catalogue.ALL) >= facts.FEWEST >= 8
    assert len({a.port for a in catalogue.ALL}) >= 7
    for application in catalogue.ALL:
        assert application.name == application.name.lower()
        assert "answered" in application.workload
        assert "$1" in application.workload
        tools = {"ab": "ask -n" in application.workload, "dns": "dnsperf" in application.workload}
        assert application.clients == any(tools.values()), application.name


def test_the_level_is_of_all_facts():
    """Bonferroni over the facts, and so many applications as an interval needs then."""
    facts_all = [d for d in applications.DECISIONS if isinstance(d, claims.Fact)]
    made = [d for d in facts_all if not d.unfair]
    assert [d.claim.id for d in facts_all if d.unfair] == ["C30"]
    assert len(made) == stated.FACTS
    for n, known in ((facts.FEWEST - 1, False), (facts.FEWEST, True)):
        found = facts.spread(pd.Series(range(n), dtype=float))
        assert (found.low == found.low) is known


def test_what_is_opened_is_what_was_opened(trials):
    """95 files of 2,000 and 10 executables of 200 for the first, by bytes the same share."""
    row = trials[trials["place"].eq("nginx") & of(trials, "workload", FULL)].iloc[0]
    assert row["opened_files"] == 95
    assert row["opened_byte_share"] == pytest.approx(95 / 2000)
    assert row["opened_bytes"] == 95_000
    assert (row["opened_executables"], row["opened_executable_share"]) == (10, 10 / 200)


def test_what_the_image_does_not_hold_is_not_counted():
    """/etc/hosts of the engine, and what the server wrote, are no files of the image."""
    found = workloads.used(bench.Held({}, named()), worked("/a", "/etc/hosts"))
    assert (found["opened_files"], found["opened_bytes"]) == (1, 5)
    assert (found["opened_byte_share"], found["opened_executable_share"]) == (1 / 4, 1 / 3)


def test_a_file_with_two_names_is_opened_by_either():
    """By the name that has no bytes in the archive, too: all of it counts, and each name."""
    for name in ("/perl", "/perl5"):
        found = workloads.used(bench.Held({}, named()), worked(name))
        assert (found["opened_files"], found["opened_bytes"]) == (2, 15)
        assert found["opened_executables"] == 2


def named():
    """Return the files of an image: one of 5 bytes, and one of 15 that has two names."""
    paths = ["/a", "/perl", "/perl5"]
    columns = {"size_bytes": [5, 15, 0], "executable": True, "file": ["/a", "/perl", "/perl"]}
    return pd.DataFrame(columns, index=paths)


def worked(*paths):
    """Return what came of a workload that opened these."""
    return bench.Worked(1, 0.1, 0.1, frozenset(paths), 3)


def test_an_image_is_counted_as_the_reader_reads_it():
    """Counts and files of a real archive: hidden files are in neither."""
    image = images.read(shipped.folder("data") / "images/bloated.tar", olives=True)
    found = bench.held(image)
    assert found.counts["visible_bytes"] == found.files["size_bytes"].sum()
    assert found.counts["executables"] == found.files["executable"].sum()
    assert found.counts["size_bytes"] > found.counts["visible_bytes"]
    assert found.files.index.is_unique
    assert set(found.files["file"]) <= set(found.files.index)


def test_most_is_never_opened(trials):
    """About 5 % of each image is below the half; nine tenths are not; half of them are open."""
    assert one(trials, "C27").verdict == claims.HOLDS
    said = one(trials, "C27/bytes")
    assert said.verdict == claims.HOLDS
    assert said.n == len(catalogue.ALL)
    assert "From 4.75 % (nginx)" in said.because
    assert "On a minimal Debian" in said.because
    full = of(trials, "workload", FULL)
    most = trials.assign(opened_byte_share=trials["opened_byte_share"].mask(full, 0.9))
    assert one(most, "C27/bytes").verdict == claims.FAILS
    assert one(most, "C27").verdict == claims.MIXED
    half = full & trials["place"].isin([a.name for a in catalogue.ALL[::2]])
    split = trials.assign(opened_byte_share=trials["opened_byte_share"].mask(half, 0.9))
    assert one(split, "C27/bytes").verdict == claims.OPEN


def test_the_application_is_the_unit(trials):
    """A hundred sessions of seven applications are seven: too few, and it says so."""
    few = trials[trials["place"].isin([a.name for a in catalogue.ALL[:7]])]
    many = pd.concat([few.assign(session=s, block=s) for s in range(50)], ignore_index=True)
    for claim in ("C27/bytes", "C28/1 Gbit/s", "C29/packages", f"applications-owned/{FULL}"):
        verdict = one(many, claim)
        assert (verdict.verdict, verdict.n) == (claims.OPEN, 7)
        assert "Too few for an interval: 9 are needed." in verdict.because


def test_more_is_more_in_the_centre(trials):
    """More executables, packages and setuid files; as many shells in all is not more."""
    found = {what: one(trials, f"C29/{what}").verdict for what in stated.COUNTED.values()}
    assert found == {
        "executables": claims.HOLDS,
        "packages": claims.HOLDS,
        "setuid files": claims.HOLDS,
        "shells": claims.FAILS,
    }
    assert one(trials, "C29").verdict == claims.MIXED
    assert "not attacks" in one(trials, "C29/packages").because
    other = {FULL: MINIMAL, MINIMAL: FULL}
    swapped = trials.assign(base=trials["base"].replace(other))
    assert one(swapped, "C29/packages").verdict == claims.FAILS


def test_the_full_one_takes_longer(trials):
    """Twice the bytes take longer on both links; where they do not, or shrink, it does not hold."""
    assert one(trials, "C28").verdict == claims.HOLDS
    for link in designs.LINKS:
        assert one(trials, f"C28/{link}").verdict == claims.HOLDS
        assert "Median of their ratios 1." in one(trials, f"C28/{link}").because
    full = of(trials, "deployment", FULL) & trials["link"].eq("100 Mbit/s")
    quick = trials["deployed_s"].where(~full, trials["deployed_s"] / 3)
    found = trials.assign(deployed_s=quick)
    assert one(found, "C28/100 Mbit/s").verdict == claims.FAILS
    assert one(found, "C28").verdict == claims.MIXED


def test_a_control_that_fails_judges_nothing(trials):
    """Where the minimal one takes a tenth longer the second time, nothing is said of the full."""
    again = trials["replicate"].eq(1) & trials["link"].eq("100 Mbit/s")
    off = trials.assign(deployed_s=trials["deployed_s"].where(~again, trials["deployed_s"] * 1.1))
    verdict = one(off, "C28/100 Mbit/s")
    assert verdict.verdict == claims.OPEN
    assert "Not judged: The A/A control fails:" in verdict.because
    table = complete(applications).calibrate(off).set_index("check")["passes"]
    assert table.tolist() == ["yes", "yes", "no"]


def test_a_control_that_is_blind_judges_nothing(trials):
    """One whose interval holds 1 because it is wide vouches for no effect within it."""
    again = trials["replicate"].eq(1) & trials["link"].eq("100 Mbit/s")
    places = [application.name for application in catalogue.ALL]
    factor = trials["place"].map({p: 4.0 if n % 2 else 0.25 for n, p in enumerate(places)})
    blind = trials.assign(
        deployed_s=trials["deployed_s"].where(~again, trials["deployed_s"] * factor)
    )
    verdict = one(blind, "C28/100 Mbit/s")
    assert verdict.verdict == claims.OPEN
    assert "Not judged: The A/A control is too imprecise for effects below" in verdict.because
    assert one(blind, "C28/1 Gbit/s").verdict == claims.HOLDS


def test_a_link_is_not_outrun(trials):
    """A pull faster than its bytes take on the link is refused."""
    row = trials[trials["work"].eq("deployment")].iloc[:1]
    check_trials(complete(applications), row)
    with pytest.raises(DataError, match="less than its bytes take"):
        check_trials(complete(applications), row.assign(pulled_s=0.001))


def test_packages_own_most(trials):
    """85 % of the bytes are most, on each base by itself; 40 % are not."""
    owned = stated.OWNED.id
    assert one(trials, owned).verdict == claims.HOLDS
    minimal = of(trials, "contents", MINIMAL)
    less = trials.assign(owned_share=trials["owned_share"].mask(minimal, 0.4))
    assert one(less, f"{owned}/{MINIMAL}").verdict == claims.FAILS
    assert one(less, f"{owned}/{FULL}").verdict == claims.HOLDS
    assert one(less, owned).verdict == claims.MIXED


def test_what_is_built_in_decides_nothing_of_the_post(trials):
    """Whatever packages own of what apt installed, C30 is open and says why; ours are no parts."""
    for share in (0.1, 0.85):
        found = one(trials.assign(owned_share=share), "C30")
        assert (found.verdict, found.n) == (claims.NOT_MEASURED, 0)
        assert "follows from how it was made" in found.headline
        assert "decides applications-owned" in found.because
    (prospect,) = [p for p in host.prospects(applications) if p.claim == "C30"]
    assert "how it was made" in prospect.lacks
    parts = [c for c in stated.CLAIMS if c.id.startswith(stated.OWNED.id)]
    assert len(parts) == 3
    assert {c.kind for c in parts} == {"ours"}


def test_the_bases_alone_differ_by_as_much(trials):
    """Cards of what is counted say that there is one pair of bases, and what is nearly all theirs.

    `layers` reads the same two bases with one program more: their own difference lies in the
    interval over the applications.
    """
    for column, what in stated.COUNTED.items():
        said = one(trials, f"C29/{what}").because
        assert "the interval is conditional on it." in said
        theirs = f"Nearly all of the difference in {what} is that of the bases." in said
        assert theirs is (column in stated.OF_THE_BASE)
    assert "executables and packages is that of the bases." in one(trials, "C29").because
    bases = recorded.get(layers, source="recorded")
    bases = bases[bases["design"] == "contents"].groupby("place")[list(stated.OF_THE_BASE)].median()
    images = recorded.get(applications, source="recorded")
    for column in stated.OF_THE_BASE:
        full, minimal = (facts.by_application(images, r) for r in facts.counts_of(column))
        over = facts.spread(full - minimal)
        alone = bases.loc["app-full", column] - bases.loc["app-minimal", column]
        assert over.low < alone < over.high
        assert alone == pytest.approx(over.median, rel=0.1)


def test_the_first_screen_reads_as_the_card(trials):
    """The share of the bytes that are opened has the same digits in both."""
    (shown,) = applications.highlights(trials)
    assert f"opened {shown.number} of the bytes" in one(trials, "C27").sentence
    card = one(trials, "C27/bytes").because
    assert all(f"{bar.text} ({bar.label})" in card for bar in shown.bars)


def test_an_application_that_failed_is_left_out(trials):
    """One that could not be asked, or is not prepared, leaves nine; the sentence counts nine."""
    gone = trials["place"].eq("bind") & of(trials, "workload", FULL)
    for lacking in (failed(applications, trials, gone), unavailable(applications, trials, gone)):
        verdict = one(lacking, "C27/bytes")
        assert (verdict.verdict, verdict.n) == (claims.HOLDS, len(catalogue.ALL) - 1)
    nothing = unavailable(applications, trials, trials["ok"])
    assert one(nothing, "C27").verdict == claims.NOT_MEASURED
    assert "no such thing here" in one(nothing, "C27").because


def test_cards_say_what_the_images_are():
    """Built from Debian's packages: not just images."""
    assert "here are only images built" in stated.USED.decides
    for claim in stated.CLAIMS:
        assert "images built from Debian's packages" in claim.decides


def test_marks_are_a_known_answer(trials):
    """Three of five files are opened in the server's container; four, in one trial, do not pass."""
    row = complete(applications).calibrate(trials).to_dict("records")[0]
    assert (row["truth"], row["passes"], row["n"]) == (3, "yes", 40)
    more = trials["marks_seen"].where(trials.index != trials["marks_seen"].last_valid_index(), 4)
    row = complete(applications).calibrate(trials.assign(marks_seen=more)).to_dict("records")[0]
    assert row["passes"] == "no"


def test_tables_and_figures_have_each_application(trials):
    """A row for each application, or each of its images; nginx has 95,000 B opened of 2,000,000."""
    assert len(applications.opened(trials)) == len(applications.contents(trials)) == 20
    said = plots.describe(applications.plot(trials))
    assert "nginx, full Debian: opened 0.0906, never opened 1.82 (4.75 %)" in said
    programs = plots.describe(applications.plot_executables(trials))
    assert "nginx, full Debian: opened 10, never opened 190 (5 %)" in programs
    at_100 = plots.describe(applications.plot_deployed(trials))
    for application in catalogue.ALL:
        for shown in (said, programs, at_100):
            assert application.title in shown
    names = [tick.get_text() for tick in applications.plot(trials).get_yticklabels()]
    assert names[:3] == ["nginx, full Debian", "minimal Debian", "Apache with PHP, full Debian"]


def test_both_bases_stand_side_by_side(trials):
    """Each number is of its measure, its base and its application; one that failed is empty."""
    table = applications.beside(trials, "packages", "opened_bytes")
    assert list(table.index) == list(catalogue.TITLES.values())
    assert table.loc["nginx"].to_dict() == {
        "full: packages": 180, "minimal: packages": 90,
        "full: opened_bytes": 95_000, "minimal: opened_bytes": 95_000,
    }  # fmt: skip
    gone = failed(applications, trials, trials["place"].eq("nginx") & of(trials, "contents", FULL))
    lacking = applications.beside(gone, "packages")
    assert lacking["full: packages"].isna().tolist() == [True] + 9 * [False]
    assert lacking["minimal: packages"].tolist() == 10 * [90]
    assert len(applications.beside(trials).columns) == 2 * 8


def test_what_is_spread_is_over_applications(trials):
    """Median, least and most of ten, whatever the sessions; a base that lacks has none."""
    table = applications.spread(trials)
    assert table.index.tolist() == [
        (base, of) for base in (FULL, MINIMAL) for of in ("median", "least", "most")
    ]
    for base, kind in designs.BASES.items():
        sizes = pd.Series([fake.held(a.name, kind).counts["visible_bytes"] for a in catalogue.ALL])
        expected = [sizes.median(), sizes.min(), sizes.max()]
        assert table.loc[base, "visible_bytes"].tolist() == expected
    assert table.loc[FULL, "packages"].tolist() == [180, 180, 180]
    only = applications.spread(trials[trials["base"] == MINIMAL])
    assert set(only.index.get_level_values("base")) == {MINIMAL}


def test_sessions_that_differ_are_seen(trials):
    """The least and the most of the sessions stand beside their median."""
    one_session = of(trials, "workload", FULL) & trials["session"].eq(1)
    more = trials["opened_byte_share"].where(~one_session, trials["opened_byte_share"] + 0.02)
    row = applications.opened(trials.assign(opened_byte_share=more)).loc[("nginx", FULL)]
    found = [row[f"opened_byte_share{end}"] for end in ("", "_low", "_high")]
    assert found == pytest.approx([0.0575, 0.0475, 0.0675])


def test_deployments_stand_beside_their_ratio(trials):
    """Two links, two bases, and full over minimal."""
    table = applications.deployed(trials)
    assert table.shape == (10, 6)
    row = table.loc["nginx"]
    ratio = row["100 Mbit/s, full_s"] / row["100 Mbit/s, minimal_s"]
    assert row["100 Mbit/s, ratio"] == ratio > 1
    one_base = applications.deployed(trials[~of(trials, "deployment", FULL)])
    assert list(one_base.columns) == [f"{link}, minimal_s" for link in designs.LINKS]


def test_ends_that_read_alike_are_told_once(trials):
    """90 packages more for each, and not 90 to 90; a middle of two counts keeps its half."""
    said = one(trials, "C29/packages").because
    assert "The full one has 90 more. 99.5 % CI of the pseudomedian (Hodges-Lehmann) 90." in said
    assert "85 % for each." in one(trials, f"applications-owned/{FULL}").because
    assert "A full Debian has 204.5 executables" in one(trials, "C29/executables").headline


def test_the_answer_has_both_bases(trials):
    """Medians of ten, on either base; none where nothing was asked."""
    said = applications.answer(trials)
    assert "of its image on a full Debian (medians of 10)" in said
    assert "On a minimal Debian it opened 13.4 % of the bytes" in said
    assert "times as long as on a minimal one at 1 Gbit/s and 1." in said
    assert "4 shells on a full Debian; 104.5 executables, 90 packages" in said
    assert "packages own 85 % on a full Debian and 80 % on a minimal Debian" in said
    read = applications.answer(trials[trials["work"] == "contents"])
    assert read.startswith("An image has 204.5 executables")
    assert applications.answer(trials.iloc[:0]) == "Nothing was measured."


def test_cards_of_wholes_say_numbers(trials):
    """Each of the four says aloud what its parts found."""
    for claim, words in {
        "C27": "An application opened 6.85 % of the bytes",
        "C28": "Deploying on a full Debian takes 1.",
        "C29": "An image has 204.5 executables, 180 packages, 9 setuid files and 4 shells on",
        "applications-owned": "Of an image's bytes packages own 85 %",
    }.items():
        assert one(trials, claim).sentence.startswith(words)


def test_a_trial_that_opened_nothing_is_none(trials):
    """Without a byte opened, or an answer, a trial has failed."""
    row = trials[of(trials, "workload", FULL)].iloc[:1]
    check_trials(complete(applications), row)
    for name in ("opened_bytes", "answered"):
        with pytest.raises(DataError, match=name):
            check_trials(complete(applications), row.assign(**{name: 0.0}))
