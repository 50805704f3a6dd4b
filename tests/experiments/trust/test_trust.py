"""What the trials of `trust` decide follows the trials: arms exchanged, tools that change."""

import pytest

from caveatlib import claims, plots, stats
from caveatlib.claims import FAILS, HOLDS, MIXED, NOT_MEASURED, OPEN
from caveatlib.experiments import trust
from caveatlib.experiments.trust import designs, tampering
from caveatlib.experiments.trust.claims import PARTS, QUARTER_DAYS
from caveatlib.experiments.trust.tampering import DIGEST, MOVED, NOTHING, TAG
from caveatlib.measuring.experiment import complete

pytestmark = pytest.mark.beside


def judged(rows):
    """Return the verdicts by claim."""
    return {verdict.claim: verdict for verdict in claims.judge(rows, trust.DECISIONS)}


def test_tag_and_digest_exchanged(measured):
    """With what was asked for by tag told as by digest, the parts change places."""
    rows = measured(trust)
    before = judged(rows)
    words = [before[PARTS[part].id].verdict for part in ("digest", "manifest", "tag")]
    assert words == [HOLDS, MIXED, FAILS]
    swapped = rows["form"].replace({TAG: DIGEST, DIGEST: TAG})
    after = judged(rows.assign(form=swapped))
    assert after[PARTS["digest"].id].verdict == MIXED
    assert after[PARTS["manifest"].id].verdict == HOLDS
    assert after[PARTS["tag"].id].verdict == NOT_MEASURED  # no digest can be moved
    assert after["C13"].sentence != before["C13"].sentence
    assert trust.answer(rows.assign(form=swapped)) != trust.answer(rows)
    assert trust.highlights(rows.assign(form=swapped)) != trust.highlights(rows)


def test_tampered_and_untouched_exchanged(measured):
    """Tools that refuse what nobody touched decide nothing, and the calibration says so."""
    rows = measured(trust)
    turned = {"nothing": "layer", "layer": "nothing"}
    after = rows.assign(part=rows["part"].replace(turned))
    assert judged(after)[PARTS["layer"].id].verdict == OPEN
    table = complete(trust).calibrate(after).set_index("check")["passes"]
    assert list(table[:2]) == ["no", "no"]
    assert set(complete(trust).calibrate(rows)["passes"]) == {"yes"}


def test_planted_and_clean_exchanged(measured):
    """A tool that names what is not there has named nothing."""
    rows = measured(trust)
    assert judged(rows)["C11"].verdict == HOLDS
    alarmed = rows.assign(false_alarms=rows["false_alarms"].where(rows["named"].isna(), 1.0))
    assert judged(alarmed)["C11"].verdict == OPEN
    assert judged(alarmed)["trust-reading"].verdict == FAILS
    seen = rows.assign(named=rows["named"].where(rows["named"].isna(), 4.0))
    assert judged(seen)["C11"].verdict == FAILS


def test_an_older_image_that_is_noticed(measured):
    """If whoever verifies noticed it, a rollback would be noticed, and C13 mixed still."""
    rows = measured(trust)
    older = (rows["design"] == designs.VERIFYING) & (rows["tampering"] == MOVED)
    rows.loc[older, ["accepted", "same_content"]] = [0.0, float("nan")]
    rows.loc[older, "check"] = "signature"
    after = judged(rows)
    assert after[PARTS["rollback"].id].verdict == HOLDS
    assert after["C13"].verdict == MIXED


def test_one_trial_of_six_is_enough_to_have_been_fooled(measured):
    """A tampered image that one trial took was not noticed by that tool."""
    rows = measured(trust)
    where = designs.fetched(designs.SKOPEO, TAG, "layer-damaged")
    rows.loc[rows.index[stats.match(rows, where)][0], "accepted"] = 1.0
    found = judged(rows)[PARTS["layer"].id]
    assert found.verdict == MIXED
    assert "17 of 18" in found.headline
    assert "skopeo: one byte of a layer as it is stored (tag)" in found.because


def test_an_old_image_says_nothing_of_a_fresh_one(measured):
    """Packages of last year's cache lack updates, which is no news of images built today.

    Either way it is news of the main archive, and of none of the post's statements.
    """
    rows = measured(trust)
    day = stats.match(rows, designs.arm(designs.DEBIAN, trust.schema.UPDATES).where())
    before = judged(rows)
    assert before["trust-main-alone"].verdict == HOLDS
    rows.loc[day, "index_pending"] = 7.0
    assert judged(rows)["trust-main-alone"].verdict == FAILS
    assert "from main alone" in judged(rows)["trust-main-alone"].headline
    rows.loc[day, "built_age_s"] = 30 * designs.DAY_S
    assert judged(rows)["trust-main-alone"].verdict == OPEN
    assert repr(judged(rows)["C15"]) == repr(before["C15"])


def test_what_was_built_to_hold_decides_no_statement_of_the_post(measured):
    """C15 follows the aged image alone; its card says whose packages these are."""
    rows = measured(trust)
    quarter = designs.arm(
        designs.DEBIAN, trust.schema.UPDATES, image_age_s=QUARTER_DAYS * designs.DAY_S
    )
    aged = stats.match(rows, quarter.where())
    for share, word in ((0.9, FAILS), (0.1, HOLDS)):
        rows.loc[aged, "lacking_share"] = share
        found = judged(rows)["C15"]
        assert found.verdict == word
        assert "made here from the main archive alone, not of an official image" in found.because
    assert not [name for name in judged(rows) if name.startswith("C15/")]


def test_cards_say_what_their_images_and_tools_were(measured):
    """Histories are ours, attempts are no images, Docker is one engine with one store."""
    found = judged(measured(trust))
    assert "both histories here are ours" in found["C11"].because
    assert "where it names the steps" in found["C11"].headline
    assert "as built" not in found["C11"].because + found["trust-reading"].because
    assert "26.1.5" in found["C13"].because
    assert "from Engine 29 new installations use containerd's" in found["C13"].because
    layers = found[PARTS["layer"].id].headline
    assert layers == "18 of 18 attempts with a tampered image were refused"


def test_tables_and_figures_tell_what_each_tool_did(measured):
    """Each cell in words; the figure counts them without the untouched images."""
    rows = measured(trust)
    table = trust.matrix(rows)
    assert table.loc[(designs.DOCKER, TAG), "manifest-other-layer"] == "diff_id"
    assert table.loc[(designs.SKOPEO, DIGEST), MOVED] == ""
    assert table.loc[(designs.COSIGN, TAG), NOTHING] == "accepted"
    line = trust.answers(rows).loc[(designs.DOCKER, TAG)]
    assert "diff_id: manifest-other-layer" in line["refused"].split("; ")
    assert all(
        what in "; ".join(line)
        for what in table.loc[(designs.DOCKER, TAG)].index
        if table.loc[(designs.DOCKER, TAG), what] and what not in tampering.CONTROLS
    )
    assert line["accepted"].startswith(f"{NOTHING}, {NOTHING} (index)")
    assert "cosign verify, digest: 0 of 7 refused" in plots.describe(trust.plot(rows))
    assert set(trust.left(rows)["left_most"]) == {0.0, 1.0}
    hidden = trust.hidden(rows)
    assert hidden.loc[(designs.READER, "history made up"), "named"] == 4
    assert hidden.loc[(designs.DOCKER, "history that names the steps"), "named"] == 4
    assert list(trust.ages(rows).index) == [0, 7, 30, 90, 180, 365]
    assert set(tampering.PART) == set(tampering.MEANINGS)
