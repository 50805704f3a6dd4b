"""How verdicts follow from intervals, what a card shows, and the ledger behind it."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from caveatlib import claims, stats
from caveatlib.claims import FAILS, HOLDS, MIXED, NOT_MEASURED, OPEN, Claim, rules, statements
from caveatlib.errors import DataError, StorageError, UsageError
from caveatlib.support import shipped

pytestmark = pytest.mark.beside

FAST = Claim("C99", "containers are quick", "ours", "time of b over time of a", "startup")


def row(estimate=8.2, low=7.5, high=9.0, *, n=20, **more):
    """Build a row as `stats.contrasts` gives it; plain and adjusted interval are the same."""
    return {
        "machine": "m", "source": "recorded", "name": "b over a", "measure": "x_s",
        "kind": "ratio", "pairing": "block", "threshold": 1.0, "n": n, "failed_arm": 0,
        "failed_baseline": 0, "estimate": estimate, "low": low, "high": high,
        "low_adjusted": low, "high_adjusted": high, "p": 0.0, "p_adjusted": 0.0,
        "detectable": 1.1, "note": "",
    } | more  # fmt: skip


def null(low, high, *, n=20):
    """Build what `stats.aa_control` gives for a control with this interval."""
    control = {"name": "a again", "n": n, "pairing": "block", "estimate": (low * high) ** 0.5}
    control |= {"low": low, "high": high, "passes": low <= 1 <= high, "note": "No interval."}
    return pd.DataFrame([control], index=pd.Index(["m"], name="machine"))


def decide(found, direction="greater", **more):
    """Decide the claim by a row."""
    return claims.by_effect(FAST, found, direction=direction, words=("Faster", "Slower"), **more)


@pytest.mark.parametrize(
    ("low", "high", "greater", "less"),
    [
        (1.01, 1.5, HOLDS, FAILS),
        (0.5, 0.99, FAILS, HOLDS),
        (0.9, 1.2, OPEN, OPEN),
        (1.0, 1.2, OPEN, OPEN),
        (0.8, 1.0, OPEN, OPEN),
        (math.nan, math.nan, OPEN, OPEN),
    ],
)
def test_the_whole_interval_decides(low, high, greater, less):
    """Beyond the threshold holds, short of it does not, anything else is inconclusive."""
    found = row(1.1, low, high)
    assert decide(found, "greater").verdict == greater
    assert decide(found, "less").verdict == less


def test_the_adjusted_interval_decides():
    """A plain interval beyond the threshold is not enough among many claims."""
    found = row(1.1, 1.02, 1.2) | {"low_adjusted": 0.99, "high_adjusted": 1.22}
    assert decide(found).verdict == OPEN


@pytest.mark.parametrize(
    ("found", "control", "verdict"),
    [
        ((1.08, 1.3), (0.95, 1.05), HOLDS),
        ((1.02, 1.04), (0.95, 1.05), HOLDS),  # inside of what the control's interval spans
        ((1.02, 1.04), (0.94, 1.04), OPEN),  # five times as vague as the effect
        ((1.05, 1.10), (0.94, 1.08), HOLDS),  # vaguer than 5 %, but not beside the effect
        ((1.30, 1.32), (0.80, 1.25), HOLDS),  # vague, but the effect lies beyond all of it
        ((1.24, 1.26), (0.80, 1.25), OPEN),
        ((0.77, 0.79), (0.80, 1.25), FAILS),
        ((0.79, 0.81), (0.80, 1.25), OPEN),
        ((7.5, 9.0), (1.001, 1.02), OPEN),
        ((0.5, 0.9), (0.90, 0.999), OPEN),
        ((0.9, 1.2), (0.95, 1.05), OPEN),
        ((1.08, 1.3), (math.nan, math.nan), OPEN),
    ],
)
def test_the_aa_control_passes_or_nothing_is_judged(found, control, verdict):
    """One that passes leaves the word to the effect's own interval, unless it is too vague."""
    assert decide(row(1.1, *found), null=null(*control)).verdict == verdict


def test_a_card_says_why_its_aa_control_vouches_for_nothing():
    """It names the arm with its numbers, and is silent where the control passes."""
    for found in (row(), row(1.03, 0.9, 1.2), row(1.03, 1.02, 1.04)):
        assert "A/A" not in decide(found, null=null(0.96, 1.04)).because
    line = "Not judged: 8.2x (95 % CI 7.5 to 9.0, n = 20 blocks). "
    told = "a again, which should be equal, {}x, 95 % CI {} to {}, n = 20 blocks."
    fails = decide(row(), null=null(1.01, 1.05))
    assert fails.headline == "Not judged: 8.2x [7.5, 9.0], n = 20"
    told_of = told.format("1.030", "1.010", "1.050")
    assert fails.because == f"{line}The A/A control differs from 1x: {told_of}"
    assert decide(row(1.03, 0.9, 1.2), null=null(1.01, 1.05)).because.endswith(told_of)
    vague = decide(row(1.24, 1.23, 1.25), null=null(0.80, 1.25))
    assert vague.because.endswith(
        "The A/A control is too imprecise for effects below 1.25x: "
        + told.format("1.000", "0.800", "1.250")
    )
    assert decide(row(), null=null(math.nan, math.nan)).because == f"{line}No interval."
    unknown = decide(row(machine="other"), null=null(0.95, 1.05))
    assert unknown.verdict == OPEN
    assert unknown.because == f"{line}The A/A control was not measured."


def test_the_control_is_drawn_around_the_threshold():
    """Against 2x a control from 0.95 to 1.06 reaches from 1.9 to 2.12; without one, no band."""
    found = decide(row(threshold=2.0), null=null(0.95, 1.06))
    assert (found.band_low, found.band_high) == pytest.approx((1.9, 2.12))
    without = decide(row(threshold=2.0))
    assert (without.band_low, without.band_high) == (2.0, 2.0)


def test_a_card_says_what_would_have_been_found():
    """On an undecided card, on the side on which the claim would hold."""
    words = "at 80 % power."
    found = row(1.02, 0.98, 1.06, detectable=1.07)
    for control in (None, null(0.93, 1.08)):
        assert f"Minimum detectable effect 1.07x {words}" in decide(found, null=control).because
        down = decide(found, "less", null=control).because
        assert f"Minimum detectable effect 1.07x {words}" in down
    against = row(2.0, 1.9, 2.1, threshold=2.0, detectable=2.5)
    assert decide(against).because == (
        "Undecided: 2.0x (95 % CI 1.9 to 2.1, n = 20 blocks, threshold 2x). "
        f"Minimum detectable effect 2.5x {words}"
    )
    assert f"Minimum detectable effect 1.6x {words}" in decide(against, "less").because
    seconds = row(0.0, -0.1, 0.1, kind="difference", threshold=0.0, detectable=0.15)
    assert f"Minimum detectable effect 150 ms {words}" in decide(seconds, unit="s").because
    ahead = seconds | {"threshold": 0.05, "detectable": 0.08}
    assert f"effect 20 ms {words}" in decide(ahead, "less", unit="s").because


def test_equal_readings_tell_of_no_effect_that_would_be_found():
    """An interval without width is no promise to find the least effect."""
    said = decide(row(1.0, 1.0, 1.0, detectable=1.0))
    assert said.verdict == OPEN
    assert said.because == "No difference detected: 1.00x (95 % CI 1.00 to 1.00, n = 20 blocks)."


def test_a_margin_says_no_more_than():
    """An interval short of the margin is an answer: the effect is no more than that."""
    found = row(1.01, 0.99, 1.03, threshold=1.1)
    said = decide(found, "greater", margin=True)
    assert said.verdict == FAILS
    assert said.headline == "No more than the margin: 1.01x [0.99, 1.03], n = 20"
    assert decide(row(1.3, 1.2, 1.4, threshold=1.1), margin=True).verdict == HOLDS
    assert decide(row(1.1, 1.0, 1.2, threshold=1.1), margin=True).verdict == OPEN


def test_few_pairs_are_inconclusive_and_said():
    """Fewer than six pairs: inconclusive, with the words of the note."""
    verdict = decide(row(8.2, math.nan, math.nan, n=3, note="Too few: 3 blocks."))
    assert verdict.verdict == OPEN
    assert verdict.because == "Undecided: 8.2x (n = 3 blocks). Too few: 3 blocks."


def test_nothing_to_compare_is_not_measured():
    """No pair at all is no verdict but "not measured here", with the reason."""
    verdict = decide(row(math.nan, math.nan, math.nan, n=0, note="Nothing to compare."))
    assert (verdict.verdict, verdict.because) == (NOT_MEASURED, "Nothing to compare.")


def test_the_card_leads_with_the_size():
    """Sizes are told from 1x upwards, with the word that the data choose."""
    assert decide(row()).because == "Faster: 8.2x (95 % CI 7.5 to 9.0, n = 20 blocks)."
    slower = decide(row(1 / 8.2, 1 / 9.0, 1 / 7.5))
    assert slower.because == "Slower: 8.2x (95 % CI 7.5 to 9.0, n = 20 blocks)."
    assert slower.effect == pytest.approx(1 / 8.2)
    against = decide(row(threshold=2.0, pairing="session", n=8))
    assert against.because == "8.2x (95 % CI 7.5 to 9.0, n = 8 sessions, threshold 2x)."


def test_an_interval_that_other_claims_widened_says_so():
    """It is no plain one of 95 %; which way round it is told makes no difference."""
    wide = {"low_adjusted": 7.3, "high_adjusted": 9.2}
    told = "8.2x (adjusted 95 % CI 7.3 to 9.2, n = 20 blocks)."
    assert decide(row(**wide)).because == f"Faster: {told}"
    turned = {"low_adjusted": 1 / 9.2, "high_adjusted": 1 / 7.3}
    assert decide(row(1 / 8.2, 1 / 9.0, 1 / 7.5, **turned)).because == f"Slower: {told}"


def test_the_card_begins_with_what_is_compared():
    """Decided or not, and where the threshold is not "no effect"."""
    label, what = "a pull against a copy", "A pull against a copy"
    assert decide(row(), label=label).headline == f"{what}: faster, 8.2x [7.5, 9.0], n = 20"
    for end, lead in ((1.05, "no difference detected"), (0.98, "not judged")):
        said = decide(row(1.0, 0.9, 1.1), label=label, null=null(0.95, end))
        assert said.headline.startswith(f"{what}: {lead}, 1.")
        assert said.because.startswith(f"{what}: {lead}, 1.")
    few = decide(row(low=math.nan, high=math.nan, n=2), label=label)
    assert few.headline == f"{what}: undecided, 8.2x, n = 2"
    assert decide(row(threshold=2.0), label=label).headline == f"{what}: 8.2x [7.5, 9.0], n = 20"


@pytest.mark.parametrize("told", ["One of two. The other is not.", ""])
def test_the_first_sentence_of_what_is_told_is_the_headline_of_a_whole(told):
    """Where nothing is told, the parts are counted."""
    parts = [Claim(f"C99/{name}", name, "derived", "it", "startup") for name in "ab"]
    words = {"C99/a": HOLDS, "C99/b": FAILS}
    decisions = [
        claims.Fact(
            claim=part,
            readings=(),
            find=lambda rows, word=words[part.id]: claims.Finding(word, "It is", "It is so."),
        )
        for part in parts
    ]
    whole = claims.Whole(claim=FAST, parts=tuple(words), tell=lambda rows, found: told)
    rows = pd.DataFrame({"machine": ["m"], "source": ["live"]})
    found = claims.judge(rows, [whole, *decisions])[0]
    assert found.verdict == MIXED
    assert found.headline == ("One of two" if told else "Holds for a; not for b")
    assert found.because == (told or "a: It is; b: It is.")


@pytest.mark.parametrize(
    ("words", "mixed", "one"),
    [
        ((HOLDS, FAILS), MIXED, HOLDS),
        ((HOLDS, OPEN), OPEN, HOLDS),
        ((FAILS, OPEN), OPEN, OPEN),
        ((FAILS, FAILS), FAILS, FAILS),
        ((FAILS, NOT_MEASURED), FAILS, OPEN),
        ((MIXED, FAILS), MIXED, MIXED),
    ],
)
def test_one_part_may_be_enough(words, mixed, one):
    """Where one suffices, what does not hold takes nothing away from one that does."""
    parts = {f"C99/{name}": word for name, word in zip("ab", words, strict=True)}
    decisions = [
        claims.Fact(
            claim=Claim(part, part, "derived", "it", "startup"),
            readings=(),
            find=lambda rows, word=word: claims.Finding(word, "It is", "It is so."),
        )
        for part, word in parts.items()
    ]
    rows = pd.DataFrame({"machine": ["m"], "source": ["live"]})
    for suffices, word in ((False, mixed), (True, one)):
        whole = claims.Whole(claim=FAST, parts=tuple(parts), one_suffices=suffices)
        assert claims.judge(rows, [whole, *decisions])[0].verdict == word


@pytest.mark.parametrize("control", [None, null(0.99, 1.01), null(0.8, 1.3)])
@pytest.mark.parametrize(("low", "high"), [(0.98, 1.09), (0.5, 1.2), (1.0, 1.1)])
def test_only_what_is_decided_leads_with_a_direction(control, low, high):
    """Neither word stands in a card whose interval does not decide between them."""
    said = decide(row(1.02, low, high), null=control).because
    assert said.startswith("No difference detected: 1.0")
    assert "Faster" not in said
    assert "Slower" not in said


def test_failures_are_told_whatever_was_found():
    """Failed trials are counted on decided and undecided cards alike."""
    for found in (row(), row(1.0, 0.9, 1.1)):
        said = decide(found | {"failed_arm": 1, "failed_baseline": 2}).because
        assert said.endswith(
            " 1 trial of what is compared failed. 2 trials of the baseline failed."
        )


def test_a_row_of_a_table_is_judged():
    """The numbers of a row that comes out of a table are NumPy's; it may have failed trials."""
    failed = row() | {"failed_arm": 1, "failed_baseline": 0}
    said = decide(pd.DataFrame([failed, failed]).iloc[0])
    assert said.verdict == HOLDS
    assert said.because.endswith("1 trial of what is compared failed.")


def test_bytes_are_told_in_mebibytes():
    """Bytes are what is stored, MiB what is read."""
    found = row(-226046464, -226500000, -225700000, kind="difference", threshold=0.0)
    less = claims.by_effect(
        FAST, found, direction="less", words=("More memory", "Less memory"), unit="B"
    )
    assert less.because == "Less memory: 215.6 MiB (95 % CI 215.2 to 216.0, n = 20 blocks)."
    assert (less.effect, less.unit) == (-226046464, "B")


def test_a_difference_has_its_unit():
    """A difference is told in the measure's unit, with the word for its sign."""
    found = row(0.1002, 0.0981, 0.1023, kind="difference", threshold=0.0)
    words = ("Later", "Earlier")
    later = claims.by_effect(FAST, found, direction="greater", words=words, unit="s")
    assert (later.verdict, later.unit) == (HOLDS, "s")
    assert later.because == "Later: 100 ms (95 % CI 98 to 102, n = 20 blocks)."
    found = row(-0.1002, -0.1023, -0.0981, kind="difference", threshold=0.0)
    earlier = claims.by_effect(FAST, found, direction="greater", words=words, unit="s")
    assert earlier.verdict == FAILS
    assert earlier.because == "Earlier: 100 ms (95 % CI 98 to 102, n = 20 blocks)."


def test_a_bound_is_never_rounded_to_the_threshold():
    """An interval that just clears 1 is not printed as if it touched it."""
    assert "CI 1.004 to " in decide(row(1.1, 1.004, 1.2)).because


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ((1.337707, 1.337700, 1.337714), "1.33771x (95 % CI 1.33770 to 1.33771, "),
        ((0.99947, 0.99936, 0.99954), "0.9995x (95 % CI 0.9994 to 0.9995, "),
        ((1.0, 0.9997, 1.0001), "1.0000x (95 % CI 0.9997 to 1.0001, "),
        ((98123.4, 98100.2, 98190.1), "98,123x (95 % CI 98,100 to 98,190, "),
        ((20.0, 20.0, 20.0), "20.0x (95 % CI 20.0 to 20.0, "),
        ((2.2, 2.2, 2.2 + 1e-12), "2.200x (95 % CI 2.200 to 2.200, "),
    ],
)
def test_a_narrow_interval_is_told_in_four_digits(found, said):
    """More are told only where both ends would print alike, and then no more than needed."""
    because = decide(row(*found, threshold=1.1)).because
    assert said in because, because


def test_swapped_arms_flip_the_verdict_and_its_words():
    """Exchanging two arms in the data flips verdict and sentence; with no effect they go."""
    rng = np.random.default_rng(0)
    rows = []
    for block in range(10):
        for place, time in (("a", 1.0), ("b", 3.0)):
            rows.append(
                {
                    "run": "r", "source": "live", "machine": "m", "session": 0, "design": "d",
                    "block": block, "place": place, "ok": True, "x_s": time * rng.normal(1, 0.02),
                }
            )  # fmt: skip
    frame = pd.DataFrame(rows)
    contrast = stats.Contrast("c", "x_s", {"place": "b"}, {"place": "a"})

    def said(places):
        table = stats.contrasts(frame.assign(place=frame["place"].map(places)), [contrast])
        return decide(table.iloc[0])

    kept, swapped = said({"a": "a", "b": "b"}), said({"a": "b", "b": "a"})
    assert (kept.verdict, swapped.verdict) == (HOLDS, FAILS)
    assert kept.because.startswith("Faster: 3.0")
    assert swapped.because.startswith("Slower: 3.0")
    assert said({"a": "a", "b": "gone"}).verdict == NOT_MEASURED


# ---- the other kinds -------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.97, 1.03, HOLDS), (0.97, 1.06, OPEN), (1.06, 1.20, FAILS), (0.5, 0.94, FAILS)],
)
def test_equality_within_a_tolerance(low, high, verdict):
    """Equal means the whole interval inside the tolerance, unequal all of it outside."""
    found = claims.by_equality(FAST, row(1.0, low, high), tolerance=0.05, what="Used of allowed")
    assert found.verdict == verdict
    assert found.because.startswith("Used of allowed: 1.00x (95 % CI ")
    undecided = "Values below 0.864 or above 1.16 are found unequal at 80 % power."
    assert found.because.endswith(
        undecided if verdict == OPEN else "Values from 0.95 to 1.05 count as equal."
    )


def test_equality_without_data():
    """Too few values are inconclusive, none at all not measured, no tolerance an error."""
    few = row(1.0, math.nan, math.nan, n=3, note="Too few: 3 blocks.")
    assert claims.by_equality(FAST, few, tolerance=0.05, what="w").verdict == OPEN
    none = row(n=0, note="Nothing to compare.")
    assert claims.by_equality(FAST, none, tolerance=0.05, what="w").verdict == NOT_MEASURED
    with pytest.raises(UsageError, match="Invalid tolerance 0"):
        claims.by_equality(FAST, row(), tolerance=0, what="w")


@pytest.mark.parametrize(
    ("found", "n", "verdict"),
    [(40, 40, HOLDS), (2, 40, FAILS), (38, 40, OPEN), (0, 0, NOT_MEASURED)],
)
def test_share_of_trials(found, n, verdict):
    """The exact interval of a share decides against the least share."""
    said = claims.by_share(
        FAST, found, n, at_least=0.9, what="Survivors", machine="m", source="live"
    )
    assert said.verdict == verdict
    assert said.n == n
    assert ("A true share of 73 % or less would be detected" in said.because) == (verdict == OPEN)


def test_so_few_trials_that_no_share_is_found_short():
    """A single trial, even if it fails, does not show that fewer than half survive."""
    said = claims.by_share(FAST, 1, 1, at_least=0.5, what="S", machine="m", source="live")
    assert said.because.endswith("1 trial is too few to detect any share below it.")


def test_the_end_of_a_share_is_never_rounded_to_the_least_share():
    """19 of 27 are at least 49.8 %: undecided against a half, and not printed as a half."""
    for found, n, verdict in ((19, 27, OPEN), (8, 27, OPEN), (27, 27, HOLDS)):
        said = claims.by_share(FAST, found, n, at_least=0.5, what="S", machine="m", source="live")
        assert said.verdict == verdict
        assert " [50 %, " not in said.headline
        assert ", 50 %], " not in said.headline
        assert said.headline.endswith("], against 50 %")
    assert "100 % [87 %, 100 %], against 50 %" in said.headline


@pytest.mark.parametrize("word", [HOLDS, FAILS, OPEN])
def test_finding_with_evidence(word):
    """A finding's word is the verdict; the evidence is shown."""
    found = claims.Finding(word, "", "nproc says 2")
    said = rules.by_finding(FAST, found, machine="m", source="live")
    assert (said.verdict, said.because) == (word, "nproc says 2")


def test_not_measured_may_show_what_was_seen():
    """A comparison that would be unfair shows the time that was seen, and no verdict."""
    said = claims.not_measured(FAST, "The VM was emulated.", machine="m", effect=3.1, unit="s")
    assert (said.verdict, said.effect, said.because) == (NOT_MEASURED, 3.1, "The VM was emulated.")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Claim("C1", "t", "rumour", "d", "e"), "Unknown kind 'rumour'"),
        (lambda: claims.Verdict("C1", "e", "maybe"), "Unknown verdict 'maybe'"),
        (lambda: decide(row(), "up"), "Unknown direction 'up'"),
    ],
)
def test_unknown_words_are_refused(make, message):
    """A kind, verdict or direction that does not exist is named."""
    with pytest.raises(UsageError, match=message):
        make()


# ---- cards -----------------------------------------------------------------------


def test_repr_is_deterministic_and_plain():
    """Three lines of text, the same every time, without an address of an object."""
    text = (
        "C99 holds. Faster: 8.2x (95 % CI 7.5 to 9.0, n = 20 blocks).\n"
        f"  What decides: {FAST.decides}.\n  (startup, recorded, m)"
    )
    assert repr(decide(row())) == repr(decide(row())) == text
    assert decide(row())._repr_html_() == decide(row())._repr_html_()


def test_as_dict_is_json_and_comes_back():
    """Exactly the agreed keys, null for what is no number, and the same verdict back."""
    verdict = decide(row(math.nan, math.nan, math.inf, n=0, note="Nothing."))
    stored = verdict.as_dict()
    keys = "claim experiment verdict effect low high unit n machine source because"
    assert list(stored) == keys.split()
    assert stored["effect"] is None
    json.dumps(stored, allow_nan=False)
    again = claims.Verdict(**json.loads(json.dumps(decide(row()).as_dict())))
    assert again.as_dict() == decide(row()).as_dict()
    assert math.isnan(claims.Verdict(**stored).effect)


def test_numbers_of_numpy_are_json_too():
    """A verdict from a frame's own scalars can be written as JSON."""
    found = pd.DataFrame([row()]).iloc[0]
    stored = decide(found).as_dict()
    assert json.loads(json.dumps(stored))["n"] == 20
    counted = claims.Finding(HOLDS, "", "e", np.int64(3))
    said = rules.by_finding(FAST, counted, machine="m", source="live")
    assert said.verdict == HOLDS
    assert json.dumps(said.as_dict()["n"]) == "3"


PAYLOADS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "' onmouseover='alert(1)",
    "</div></body><iframe src=//x>",
    "&lt;b&gt;",
]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_cards_escape_everything(payload):
    """Whatever text comes from outside, no tag, quote or entity of it survives as markup."""
    names = "claim experiment machine source because quote kind decides unit"
    verdict = claims.Verdict(**dict.fromkeys(names.split(), payload), verdict=HOLDS)
    card = claims.ThenAndNow(*[payload] * 6)
    plain = claims.Verdict(**dict.fromkeys(names.split(), "x"), verdict=HOLDS)
    for html, model in ((verdict._repr_html_(), plain._repr_html_()), (card._repr_html_(), None)):
        assert payload not in html
        if model is not None:
            assert html.count("<") == model.count("<")
            assert html.count('"') == model.count('"')


def test_nothing_steers_the_terminal():
    """Escape sequences, line ends and direction marks from outside are spelled out."""
    said = claims.not_measured(FAST, "evil \x1b[2J\u202egnp.exe\nC99 holds.", machine="m")
    assert "\\x1b[2J\\u202egnp.exe\\nC99 holds." in repr(said)
    assert repr(said).count("\n") == 2
    assert "\u202e" not in said._repr_html_()


def test_cards_load_nothing():
    """A card has inline style only: no script, no address, no class of somebody else's."""
    html = decide(row())._repr_html_() + claims.then_and_now("C31")._repr_html_()
    for word in ("<script", "src=", "href=", "url(", "class=", "@import"):
        assert word not in html


# ---- the ledger ------------------------------------------------------------------


def test_ledger_is_complete():
    """37 ledger, numbered without a gap; the quoted ones are quoted word for word."""
    table = claims.ledger()
    assert list(table["id"]) == [f"C{i:02d}" for i in range(1, 38)]
    assert table.loc[table["id"] == "C23", "quote"].item() == (
        "can start ... very quickly compared to VMs"
    )
    assert table["kind"].isin(["measurable", "derived", "advice", "then-now"]).all()


def test_ledger_hands_out_copies():
    """Changing the returned table does not change the ledger."""
    table = claims.ledger()
    table.loc[0, "quote"] = "nonsense"
    assert claims.ledger().loc[0, "quote"] != "nonsense"


def test_claims_come_from_the_ledger():
    """A claim takes quote, kind and experiment from its row; an unknown one is named."""
    claim = claims.from_ledger("C25", decides="boot plus first container")
    assert (claim.kind, claim.experiment) == ("derived", "startup")
    assert claims.from_ledger("C23", decides="d").kind == "quoted"
    with pytest.raises(UsageError, match="Unknown statement 'C38'"):
        claims.from_ledger("C38", decides="d")


def test_every_then_and_now_has_a_card_with_sources():
    """Each row that no measurement answers has its card; one that is measured may have one."""
    table = claims.ledger()
    for number in [*table.loc[table["kind"] == "then-now", "id"], "C09", "C10"]:
        card = claims.then_and_now(number)
        assert card.date == "2016-04-11"
        assert "http" in card.source
        assert card.then in repr(card)
        assert card.now in repr(card)
    with pytest.raises(UsageError, match="No card for 'C23'"):
        claims.then_and_now("C23")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,section\nC01,x\n", "lacks"),
        (
            "id,section,quote,kind,experiment,tests\nC01,s,q,rumour,,t\n",
            "'rumour' of column 'kind'",
        ),
        ("id,section,quote,kind,experiment,tests\nX,s,q,derived,,t\n", "'X' of column 'id'"),
        (
            "id,section,quote,kind,experiment,tests\nC01,s,q,derived,,t\nC01,s,q,derived,,t\n",
            "'C01' of column 'id' in row 0 .*unique",
        ),
        ("", "cannot be read"),
    ],
)
def test_a_broken_ledger_is_one_clear_error(tmp_path, monkeypatch, text, message):
    """A ledger that breaks its contract is named with the value, or as unreadable."""
    (tmp_path / "ledger.csv").write_text(text)
    monkeypatch.setattr(statements.shipped, "folder", lambda name: tmp_path)
    monkeypatch.setattr(statements, "_table", statements._table.__wrapped__)
    with pytest.raises(DataError, match=message):
        claims.ledger()


def test_shipped_prefers_the_wheel(tmp_path, monkeypatch):
    """In a wheel the folders lie inside the package; what did not come along is named."""
    package = tmp_path / "caveatlib"
    (package / "_shipped" / "data").mkdir(parents=True)
    (tmp_path / "data").mkdir()
    monkeypatch.setattr(shipped, "__file__", str(package / "support" / "shipped.py"))
    assert shipped.folder("data") == package / "_shipped" / "data"
    (package / "_shipped" / "data").rmdir()
    assert shipped.folder("data") == tmp_path / "data"
    with pytest.raises(StorageError, match="'notebooks'"):
        shipped.folder("notebooks")
    with pytest.raises(StorageError, match=r"'\.\.'"):
        shipped.folder("..")


def test_a_prediction_is_laid_beside_what_is_measured():
    """Its interval, its day, its reasoning; what is measured lies in it or not."""
    told = claims.predicted("C23")
    assert told.low < told.high < 1
    assert "published" in told.reasoning.lower()
    assert claims.predicted("C01") is None
    told = claims.Prediction("C23", "a over b", 0.1, 0.3, "because", "2026-11-28")
    assert told.met(0.1, 0.3) == "inside"
    assert told.met(0.31, 0.4) == told.met(0.01, 0.09) == "outside"
    assert told.met(0.2, 0.4) == "across its end"


def test_predictions_are_of_the_claims_that_only_kvm_decides():
    """Each is of a statement of `startup`, in an interval around its own reasoning."""
    rows = pd.read_csv(shipped.folder("data") / "predictions.csv")
    assert list(rows["id"]) == ["C23", "C24", "C25"]
    assert (rows["low"] < rows["high"]).all()
