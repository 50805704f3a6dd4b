"""What the verdicts and the answer of `quota` say follows the trials."""

import re

import pytest
from experiments.quota.made_up import by_claim, measured_rows, trial_row

from caveatlib import claims, frames, plots
from caveatlib.experiments import quota
from caveatlib.experiments.quota import cpu_counts, schema

pytestmark = pytest.mark.beside

THROTTLED = "Throttled share of active periods, bursts of twice the budget"
LIMITED = "Bursts of twice the budget, with the limit against without"


def test_verdicts(runs):
    """Nine blocks decide each claim; bursts are slower by a shorter period, a neighbour is not."""
    found = by_claim(runs)
    for part in ("quota-100ms", "quota-10ms", "docker"):
        assert found[f"C08/{part}"].verdict == "holds"
    assert found["quota-bursts"].verdict == "holds"
    assert found["quota-bursts"].headline.startswith(f"{THROTTLED}: 0.3")
    assert found["quota-period-bursts"].verdict == "does not hold"
    assert "10 against 100 ms periods: slower, 1." in found["quota-period-bursts"].headline
    assert found["quota-period-busy"].verdict == "holds"
    assert "10 against 100 ms periods: faster, " in found["quota-period-busy"].headline


def test_whole_of_quotas_and_weights(runs):
    """C08 is decided by its parts: one quota that leaks makes it mixed, one not measured is named.

    Two blocks of weights leave it undecided.
    """
    assert by_claim(runs)["C08"].verdict == "inconclusive"
    used = runs[runs["design"] != "weights"]
    whole = by_claim(used)["C08"]
    assert (whole.verdict, whole.n) == ("holds", 9)
    assert whole.headline == "Under full load, groups used 99.8 to 100.1 % of their quotas"
    assert "Not measured: weights-2, weights-10. It is about CPU time only: " in whole.because
    docker = used["place"] == "docker"
    leaking = used.assign(used_ratio=used["used_ratio"].where(~docker, used["used_ratio"] * 1.1))
    whole = by_claim(leaking)["C08"]
    assert whole.verdict == "mixed"
    assert whole.headline.startswith("Holds for quota-100ms, quota-10ms; not for docker; ")


def test_a_limit_makes_bursts_wait(runs):
    """Bursts wait longer under a limit than without; with the two exchanged the words turn."""
    verdict = by_claim(runs)["quota-latency"]
    assert verdict.verdict == "holds"
    assert verdict.headline.startswith(f"{LIMITED}: slower, 1.")
    assert re.search(r"a limit of which 51 % is used on average, bursts of twice the quota of a "
                     r"period wait 1\.\d times as long",
                     quota.answer(runs))  # fmt: skip
    free = {"bursts": schema.UNLIMITED, schema.UNLIMITED: "bursts"}
    mine = runs["design"] == "limit"
    swapped = runs.assign(pattern=runs["pattern"].where(~mine, runs["pattern"].replace(free)))
    once = swapped[~(mine & (swapped["replicate"] == 1))]
    again = once[(once["design"] == "limit") & (once["pattern"] == schema.UNLIMITED)]
    rows = once.to_dict("records") + again.assign(replicate=1).to_dict("records")
    verdict = by_claim(frames.from_rows(rows, quota.Trials))["quota-latency"]
    assert verdict.verdict == "does not hold"
    assert verdict.headline.startswith(f"{LIMITED}: faster, 1.")


def test_data_without_the_comparison(runs):
    """Data that lack the design say so; a limit nearly used up answers another question."""
    without = runs[runs["design"] != "limit"]
    verdict = by_claim(without)["quota-latency"]
    assert verdict.verdict == "not measured here"
    assert verdict.because.startswith("No bursts-unlimited: not asked for")
    assert "as without it" not in quota.answer(without)
    verdict = by_claim(runs.assign(used_ratio=0.9))["quota-latency"]
    assert verdict.verdict == "not measured here"
    assert verdict.because == "90 % of the limit was used: nearly all of it."
    assert verdict.effect > 1  # shown, and decides nothing


def test_the_comparison_alone(runs):
    """A run of that design alone is judged, summarised and put into words."""
    alone = runs[runs["design"] == "limit"]
    assert by_claim(alone)["quota-latency"].verdict == "holds"
    assert quota.answer(alone).startswith("With a limit of which 51 % is used on average, bursts")
    assert len(quota.summarize(alone)) == 2


@pytest.fixture(scope="module")
def swept():
    """Return nine blocks of the sweep over sizes of bursts."""
    return frames.from_rows(measured_rows("sizes", 9), quota.Trials)


def test_large_bursts_wait_and_small_ones_do_not(swept):
    """The sweep is decided size by size, and the whole names both sides, workers and cores."""
    found = by_claim(swept)
    assert found["quota-sizes/0.25"].verdict == "does not hold"
    assert found["quota-sizes/4"].verdict == "holds"
    whole = found["quota-sizes"]
    assert whole.verdict == "mixed"
    assert re.match(r"With a limit that is half used, bursts of .* 4 times what it allows in a "
                    r"period wait 1\.\d", whole.headline)  # fmt: skip
    assert "ursts of 0.25" in whole.sentence
    assert "do not wait 10 % longer" in whole.sentence
    assert whole.sentence in quota.answer(swept)
    assert found["quota-sizes/4"].because.endswith(
        "Bursts of 80 requests of 5 ms: 4 times what the quota allows in a period of 100 ms; "
        "4 workers on 2 cores, a quota of 1 CPU."
    )
    assert "4 budgets" in plots.describe(quota.plot_sizes(swept))
    assert quota.summarize(swept).empty


def test_every_burst_is_named_on_its_card(runs):
    """Cards about bursts name their size, workers and cores; C08 says that it is CPU only."""
    found = by_claim(runs)
    for claim in ("quota-bursts", "quota-latency", "quota-period-bursts"):
        said = "40 requests of 5 ms: 2 times what the quota allows in a period of 100 ms; 4 workers"
        assert f"{said} on 2 cores" in found[claim].because
        assert "bursts of twice what the quota allows" in found[claim].quote
        assert "4 workers" in found[claim].quote
    assert "Requests of 5 ms beside a busy thread; 4 workers" in found["quota-period-busy"].because
    assert "CPU time only" in found["C08"].because
    assert "CPU time only" in found["C08"].decides


def test_prose_follows_data(runs):
    """With the periods swapped every sentence and verdict on them flips."""
    swapped = runs.copy()
    other = {0.01: 0.1, 0.1: 0.01}
    mine = swapped["pattern"].isin(("bursts", "beside-busy")) & (swapped["load"] != 0.2)
    swapped.loc[mine, "period_s"] = swapped.loc[mine, "period_s"].map(other)
    # the A/A control belongs to the baseline, wherever that is now
    swapped = swapped[~((swapped["replicate"] == 1) & mine)]
    slow = (swapped["period_s"] == 0.1) & (swapped["load"] == 0.5)
    null = swapped[slow & (swapped["pattern"] == "bursts")]
    swapped = frames.from_rows(
        swapped.to_dict("records") + null.assign(replicate=1).to_dict("records"), quota.Trials
    )
    found = by_claim(swapped)
    assert ": faster, 1." in found["quota-period-bursts"].headline
    assert found["quota-period-bursts"].verdict == "holds"
    assert ": slower, " in found["quota-period-busy"].headline
    assert found["quota-period-busy"].verdict == "does not hold"


def test_answer(runs):
    """The answer names what helps and what harms, as the data have it."""
    told = quota.answer(runs)
    assert re.search(r"Under full load, groups used 99\.8 to 100\.1 % of their quotas\.", told)
    assert re.search(r"period that average 20 % of it, 3\d % of the active periods", told)
    assert re.search(r"bursts take 1\.\d times as long \(p90\)\.", told)
    assert re.search(r"requests beside a busy thread take 0\.\d+ times as long \(p90\)\.", told)
    busy = (runs["pattern"] == "beside-busy") & (runs["period_s"] == 0.01)
    both = quota.answer(runs.assign(p90_s=runs["p90_s"].where(~busy, runs["p90_s"] * 100)))
    assert re.search(r"requests beside a busy thread take \d+ times as long", both)


def test_undecided_sentences_have_a_subject(runs):
    """A sentence that is undecided reads as one: never "Throttled in Undecided: 0.37"."""
    few = runs[runs["block"] < 5]
    for verdict in claims.judge(few, quota.DECISIONS):
        for text in (verdict.headline, verdict.because, verdict.sentence):
            assert not re.search(r"\S Undecided", text), text
    found = by_claim(few)
    assert found["quota-bursts"].verdict == "inconclusive"
    assert found["quota-bursts"].headline.startswith(f"{THROTTLED}: undecided, 0.")
    assert re.fullmatch(
        r"With bursts of twice the quota of a period that average 20 % of it, \d\d % of the "
        r"active periods were throttled, undecided\.",
        found["quota-bursts"].sentence,
    )
    assert "5 blocks; an interval needs 6." in found["quota-period-busy"].because


def test_a_failed_control_is_in_the_sentence(runs):
    """Read aloud, the card says why so large an effect decides nothing."""
    again = (runs["pattern"] == schema.UNLIMITED) & (runs["replicate"] == 1)
    apart = runs.assign(p90_s=runs["p90_s"].where(~again, runs["p90_s"] * 1.5))
    found = by_claim(apart)["quota-latency"]
    assert found.verdict == "inconclusive"
    assert found.sentence.endswith("; not judged, since two equal arms differ as well.")


def test_not_far_below_the_quota(runs):
    """A service that used most of its quota says nothing about idle ones."""
    used = runs["used_ratio"].where(runs["load"] != 0.2, 0.7)
    verdict = by_claim(runs.assign(used_ratio=used))["quota-bursts"]
    assert verdict.verdict == "not measured here"
    assert verdict.because == "70 % of the quota was used: not far below it."


def test_nothing_could_run():
    """Where no arm can run every verdict says so and why."""
    rows = [
        trial_row(design.name, arm, 0, i, ok=False, error="unavailable: cgroup-cpu: run as root")
        for design in quota.DESIGNS(2)
        for i, arm in enumerate(design.arms)
    ]
    found = by_claim(frames.from_rows(rows, quota.Trials))
    assert {v.verdict for v in found.values()} == {"not measured here"}
    asked = {f"C07/{tool}" for tool in cpu_counts.installed()}
    for claim, verdict in found.items():
        where = "run as root" if claim in asked or "/" not in claim else "run as root|not asked"
        assert re.search(where, verdict.because), claim


def test_only_the_places_wanted(runs):
    """Without a Docker arm its part is not measured, and the whole says so."""
    found = by_claim(runs[runs["place"] == "cgroup"])
    assert found["C08/docker"].verdict == "not measured here"
    assert found["C08/docker"].because.startswith("No docker: not asked for")
    assert "Not measured: docker. " in found["C08"].because


def test_every_claim_is_judged_without_tools(runs):
    """Where no tool was asked each has a verdict all the same."""
    assert set(by_claim(runs)) == {decision.claim.id for decision in quota.DECISIONS}
    assert by_claim(runs)["C07/nproc"].because.startswith("No nproc: not asked for")
