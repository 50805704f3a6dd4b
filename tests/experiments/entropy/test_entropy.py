"""Can a neighbour take away my randomness: wrong claims are refuted, and one real trial."""

from dataclasses import replace

import pytest

from caveatlib import claims, stats
from caveatlib.claims import Effect
from caveatlib.errors import DataError
from caveatlib.experiments import entropy
from caveatlib.experiments.entropy.workloads import COMPUTED, DRAINED, GUESTS, HAVEGED, ONE, QUIET
from caveatlib.places import spec

# An A/A control fails by chance in one run of twenty; what is exchanged here is no control.
DECISIONS = [replace(d, null=None) if isinstance(d, Effect) else d for d in entropy.DECISIONS]


@pytest.mark.beside
def test_what_drains_if_the_data_say_so_turns_every_sentence(measured):
    """A kernel of 2016: who drains makes others wait; each word and each sentence is another."""
    rows = measured(entropy)
    before = claims.judge(rows, DECISIONS)
    drained, computed = (stats.match(rows, arm.where()) for arm in (DRAINED, COMPUTED))
    rows.loc[drained, "waits"] = 12.0
    rows.loc[drained, ["call_p99_s", "call_max_s"]] *= 1e6
    rows.loc[stats.match(rows, HAVEGED.where()), "call_p50_s"] /= 2
    for arm in GUESTS:
        rows.loc[stats.match(rows, arm.where()), "first_refused"] = float(arm.place == "guest")
    after = claims.judge(rows, DECISIONS)
    for was, now in zip(before, after, strict=True):
        assert {was.verdict, now.verdict} == {claims.HOLDS, claims.FAILS}, now
        assert was.sentence != now.sentence
    assert entropy.answer(rows) != entropy.answer(measured(entropy))
    by_claim = {v.claim: v.sentence for v in after}
    assert by_claim["entropy-haveged"] not in entropy.answer(rows)
    assert by_claim["entropy-boot"] in entropy.answer(rows)
    # and with the two arms exchanged as they were, it is those who compute that take it away
    rows.loc[drained, "neighbours"], rows.loc[computed, "neighbours"] = "compute", "drain"
    turned = claims.judge(rows, DECISIONS)
    assert [v.verdict for v in turned][:3] == [v.verdict for v in before][:3]


@pytest.mark.beside
def test_the_seconds_of_a_guest_are_not_told(measured):
    """Guests may be emulated: whether a first call had to wait is told, and not for how long."""
    rows = measured(entropy)
    waited = rows["first_s"].where(rows["place"] != "guest-bare", 77.0)
    for verdict in claims.judge(rows.assign(first_s=waited), entropy.DECISIONS):
        assert "77" not in verdict.headline + verdict.sentence + verdict.because
    (boot,) = [v for v in claims.judge(rows, DECISIONS) if v.claim == "entropy-boot"]
    assert "without RDRAND, 0 of" in boot.headline


@pytest.mark.beside
def test_a_quantile_above_the_longest_is_refused():
    """A number read into another's column is no trial."""
    row = {"neighbours": "drain", "first_refused": 0.0, "waits": 0.0, "dry_p50_s": 2e-3,
           "call_p50_s": 1e-6, "call_p99_s": 2e-6, "call_max_s": 3e-6,
           "drained_bit_per_s": 1e9}  # fmt: skip
    entropy.check_row(row)
    for wrong in ({"call_p99_s": 4e-6}, {"drained_bit_per_s": 0.0}, {"waits": float("nan")}):
        with pytest.raises(DataError, match=next(iter(wrong))):
            entropy.check_row(row | wrong)


def test_real_containers(require):
    """A control that is dry for 2 ms is seen to wait; who drains is seen to drain."""
    require("runc")
    require("program draw")
    with spec.opened({"runc": entropy.PLACES["runc"]}, engine="none") as opened:
        alone, beside = (
            entropy.trial(opened["runc"], arm.conditions, seed=1).measures for arm in (QUIET, ONE)
        )
    assert 0.0016 < alone["dry_p50_s"] < 0.02  # at least 0.002 s; a busy machine adds
    assert alone["dry_waits"] >= 13
    assert beside["drained_bit_per_s"] > 1e6
    assert "drained_bit_per_s" not in alone
