"""What `layers` counts and says, on fakes whose answers are known."""

import re

import pytest
from experiments.layers import fake

from caveatlib import claims, frames, images, plots
from caveatlib import trials as trials_module
from caveatlib.errors import DataError
from caveatlib.experiments import layers
from caveatlib.experiments.layers import designs, generated, on_kernels, workloads
from caveatlib.measuring.experiment import check_trials, complete

pytestmark = pytest.mark.beside

SESSIONS = 10
FAKES = {
    designs.REGISTRY: fake.FakeMoving,
    **dict.fromkeys(on_kernels.PLACES, fake.FakeAnswering),
    **dict.fromkeys(designs.SYSTEMS, fake.FakePublished),
}


def measured(sessions=SESSIONS, machine="m"):
    """Return trials of all designs as the loop would write them."""
    rows = []
    places = {p: FAKES.get(p, fake.FakeWeb)(p) for p in layers.PLACES}
    for session in range(sessions):
        for design in layers.DESIGNS:
            if not design.due(session):
                continue
            for position, arm in enumerate(design.arms):
                outcome = layers.trial(places[arm.place], dict(arm.conditions), seed=0)
                rows.append({
                    "run": "r", "source": "live", "machine": machine, "session": session,
                    "design": design.name, "block": session, "position": position,
                    "place": arm.place, "started_at": "t", "ok": True, "error": "",
                    **arm.conditions, **outcome.measures,
                })  # fmt: skip
    return frames.from_rows(rows, layers.Trials)


@pytest.fixture(scope="module")
def trials():
    # Of seeds one in twenty makes an A/A control fail by chance: this one makes all pass.
    fake.FakeMoving.random.seed(1)
    return measured()


def verdicts(trials, claim):
    return [v for v in claims.judge(trials, layers.DECISIONS) if v.claim == claim]


def one(trials, claim):
    (verdict,) = verdicts(trials, claim)
    return verdict


def test_slopes_are_what_was_put_in(trials):
    """5 s per GB of unpacking (8 in even layers), and half a GB over a link with a limit."""
    table = layers.summarize(trials)["slope_s_per_gb_median"]
    for name, rate in designs.LINKS.items():
        wanted = 5 + (0.5 * 8e9 / rate / 0.957 if rate else 0)
        assert table["image, one big layer", name] == pytest.approx(wanted, rel=0.02), name
        assert table["image, even layers", name] == pytest.approx(wanted + 3, rel=0.02), name
    assert table["image, base layer there", "no limit"] == pytest.approx(5 / 8, rel=0.1)


def parts(trials, claim, spread=""):
    """Return the verdict on each link, of C22 for one way to spread the bytes over layers."""
    found = {v.claim: v for v in claims.judge(trials, layers.DECISIONS)}
    return [found[f"{claim}/{link}{spread}"] for link in designs.LINKS]


def test_bytes_make_most_of_a_pull(trials):
    """Of 0.1 s and 5 s per GB over 42 MB two thirds grow with the bytes; of 1 s and 5 s few do."""
    found = parts(trials, "layers-size")
    assert [v.verdict for v in found] == [claims.HOLDS] * 3
    assert found[0].effect == pytest.approx(0.042 * 5 / (0.1 + 0.042 * 5), abs=0.03)
    assert one(trials, "layers-size").verdict == claims.HOLDS
    fixed = trials.assign(moved_s=trials["moved_s"] + trials["work"].eq("pull") * 20)
    assert [v.verdict for v in parts(fixed, "layers-size")] == [claims.FAILS] * 3
    assert one(fixed, "layers-size").verdict == claims.FAILS


def test_no_more_than_all_of_the_time_grows(trials):
    """A line through the sizes that ends below zero makes no share above one."""
    quick = trials.assign(moved_s=trials["moved_s"] - trials["work"].eq("pull") * 0.105)
    assert layers.moves(quick)["byte_share"].max() == 1


def test_the_second_pull_is_only_a_control(trials):
    """How long the same pull takes the second time changes neither the answer nor the figure."""
    times = trials["moved_s"].where(trials["replicate"] == 0, trials["moved_s"] * 5)
    slow = trials.assign(moved_s=times)
    assert layers.answer(slow) == layers.answer(trials)
    assert plots.describe(layers.plot(slow)) == plots.describe(layers.plot(trials))


def test_an_image_against_a_gzipped_disk(trials):
    """As many bytes on the link and five or eight times the unpacking: slower on every link."""
    for spread in ("/even", "/one"):
        assert [v.verdict for v in parts(trials, "C22", spread)] == [claims.FAILS] * 3
    whole = one(trials, "C22")
    assert whole.verdict == claims.MIXED  # with the base layer there it is faster
    assert "over a disk that is not packed" in whole.because
    for said in ("no operating system", "zlib", "in even layers or in one"):
        assert said in whole.decides
    for part in parts(trials, "C22", "/even"):
        assert "A/A control is the pull of the image with most" in part.decides


def test_the_spread_over_layers_decides_too(trials):
    """Where only the image of even layers is faster, the claim as a whole is mixed."""
    even = trials["work"].eq("pull-even")
    mixed = trials.assign(moved_s=trials["moved_s"].where(~even, trials["moved_s"] / 20))
    assert [v.verdict for v in parts(mixed, "C22", "/even")] == [claims.HOLDS] * 3
    assert [v.verdict for v in parts(mixed, "C22", "/one")] == [claims.FAILS] * 3
    assert one(mixed, "C22").verdict == claims.MIXED


def test_data_without_even_layers_are_still_judged(trials):
    """Older trials lack that image: its parts are not measured, the others are decided."""
    old = trials[trials["work"] != "pull-even"]
    assert {v.verdict for v in parts(old, "C22", "/even")} == {claims.NOT_MEASURED}
    assert [v.verdict for v in parts(old, "C22", "/one")] == [claims.FAILS] * 3
    assert one(old, "C22").verdict == claims.MIXED
    assert "even layers not measured" in one(old, "C22").headline


def test_links_that_disagree_are_mixed(trials):
    """Faster on the slow link alone is mixed for all, and the headline tells of that link."""
    moved = trials["work"].eq("pull") & trials["link_bit_per_s"].eq(1e8)
    mixed = trials.assign(moved_s=trials["moved_s"].where(~moved, trials["moved_s"] / 10))
    assert parts(mixed, "C22", "/one")[2].verdict == claims.HOLDS
    assert one(mixed, "C22").verdict == claims.MIXED
    assert re.search(r"100 Mbit/s: even layers 1\.\d+x, one big layer 0\.\d+x, base",
                     one(mixed, "C22").headline)  # fmt: skip


def test_both_bases_there(trials):
    """An image whose base is there, against a qcow2 on its base: judged apart, and told."""
    assert parts(trials, "C22", "/both")[0].verdict == claims.FAILS  # it unpacks more
    assert "With the base there on both sides: 100 Mbit/s " in one(trials, "C22").because
    there = trials["work"].eq("disk-base-there")
    slow = trials.assign(moved_s=trials["moved_s"].where(~there, trials["moved_s"] * 30))
    assert [v.verdict for v in parts(slow, "C22", "/both")] == [claims.HOLDS] * 3
    old = trials[~there]
    assert {v.verdict for v in parts(old, "C22", "/both")} == {claims.NOT_MEASURED}
    assert "on both sides" not in one(old, "C22").because


def test_both_estimands_are_told(trials):
    """By the byte and of whole moves: what a fixed cost adds is in the second alone."""
    before = one(trials, "C22").because
    assert "Whole moves, fixed costs included" in before
    dear = trials.assign(moved_s=trials["moved_s"] + trials["work"].eq("pull") * 5.0)
    after = one(dear, "C22").because
    by_byte, whole = (
        [said.partition("Whole moves")[i] for said in (before, after)] for i in (0, 2)
    )
    assert by_byte[0] == by_byte[1]
    assert whole[0] != whole[1]


def test_no_verdict_within_the_noise(trials):
    """Where the same pull twice differs twentyfold, no image is called slower than a disk."""
    noisy = trials.copy()
    noisy.loc[noisy["replicate"] == 1, "moved_s"] *= 20
    for spread in ("/even", "/one"):
        assert {v.verdict for v in parts(noisy, "C22", spread)} == {claims.OPEN}


def test_the_base_layer_there(trials):
    """With seven eighths there already an image beats the disk; twenty times slower it does not."""
    assert [v.verdict for v in parts(trials, "C22", "/base")] == [claims.HOLDS] * 3
    there = trials["work"].eq("pull-base-there")
    slow = trials.assign(moved_s=trials["moved_s"].where(~there, trials["moved_s"] * 20))
    assert [v.verdict for v in parts(slow, "C22", "/base")] == [claims.FAILS] * 3
    assert one(slow, "C22").verdict == claims.FAILS


def test_a_session_that_lacks_a_size_is_no_session(trials):
    """One failed pull makes the whole session's slope fail, and it is counted."""
    broken = trials.copy()
    moved = broken["work"].eq("pull") & broken["replicate"].eq(0) & broken["session"].eq(3)
    row = broken.index[moved & broken["link_bit_per_s"].eq(0)][0]
    broken.loc[row, ["moved_s", "moved_bytes"]] = float("nan")
    broken.loc[row, "ok"], broken.loc[row, "error"] = False, "It broke."
    table = layers.summarize(broken)
    assert table.loc[("image, one big layer", "no limit"), ["n", "failed"]].tolist() == [10, 1]
    for fewer in (broken, trials.drop(row)):
        assert parts(fewer, "layers-size")[0].n == SESSIONS - 1


def test_a_line_that_falls_has_no_price(trials):
    """One slow small pull lets a session's slope fail: it refuses no run, and is counted."""
    slow = trials.copy()
    pulled = slow["work"].eq("pull") & slow["replicate"].eq(0) & slow["session"].eq(3)
    rows = slow[pulled & slow["link_bit_per_s"].eq(0)]
    slow.loc[rows["content_bytes"].idxmin(), "moved_s"] = rows["moved_s"].max() * 100
    check_trials(complete(layers), slow)
    table = layers.summarize(slow)
    assert table.loc[("image, one big layer", "no limit"), ["n", "failed"]].tolist() == [10, 1]
    assert parts(slow, "layers-size")[0].n == SESSIONS - 1


def test_most_is_never_opened(trials):
    """A program of 0.8 MB of 300 MB is a small share; of 2 MB it would be too; of itself not."""
    assert one(trials, "layers-opened").verdict == claims.HOLDS
    all_of_it = trials.assign(opened_byte_share=trials["opened_byte_share"].notna() * 0.9)
    assert one(all_of_it, "layers-opened").verdict == claims.FAILS


def test_a_server_without_its_page_shows_nothing(trials):
    """Sessions whose page did not come do not count; without any that came it is open."""
    full = trials["work"].eq("opened") & trials["place"].eq(designs.FULL)
    failed = full & trials["session"].eq(3)
    once = trials.assign(
        served=trials["served"].where(~failed, 0),
        opened_byte_share=trials["opened_byte_share"].where(~failed, 0.9),
    )
    assert one(once, "layers-opened").verdict == claims.HOLDS
    assert one(trials.assign(served=trials["served"] * 0), "layers-opened").verdict == claims.OPEN


def test_the_figure_splits_the_bytes(trials):
    """0.8 of 300 MB are in files that were opened, the rest is not counted twice."""
    said = plots.describe(layers.plot_opened(trials))
    assert "full Debian: opened 0.763, never opened 285;" in said


def test_images_alone_are_judged(trials):
    """Without a single move the share is judged, and no trial is said to have failed."""
    verdict = one(trials[trials["place"] != designs.REGISTRY], "layers-opened")
    assert verdict.verdict == claims.HOLDS
    assert "failed" not in verdict.because


def test_facts_follow_the_counts(trials):
    """Counts and ownership hold; with the images exchanged they do not."""
    facts = ("layers-surface", "layers-owned")
    assert {c: one(trials, c).verdict for c in facts} == dict.fromkeys(facts, claims.HOLDS)
    full, scratch = designs.FULL, designs.SCRATCH
    swapped = trials.assign(place=trials["place"].replace({full: scratch, scratch: full}))
    assert {c: one(swapped, c).verdict for c in facts} == dict.fromkeys(facts, claims.FAILS)
    more = trials["setuid_files"].where(trials["place"] != scratch, 99)
    assert one(trials.assign(setuid_files=more), "layers-surface").verdict == claims.FAILS


def test_a_page_that_does_not_come(trials):
    """A server on scratch that answers in nine of ten sessions does not do what is claimed."""
    assert one(trials, "C32").verdict == claims.HOLDS
    tried = trials["work"].eq("opened") & trials["place"].eq(designs.SCRATCH)
    broken = trials.copy()
    row = broken.index[tried][3]
    measures = [c for c in broken if c.startswith("opened") or c == "served"]
    broken.loc[row, measures] = float("nan")
    broken.loc[row, "ok"], broken.loc[row, "error"] = False, "No answer within 20 s."
    assert one(broken, "C32").verdict == claims.FAILS
    assert "in 9 of 10 sessions" in one(broken, "C32").because
    broken.loc[row, "error"] = "unavailable: app-scratch: no engine"  # was not tried
    assert "in 9 of 9 sessions" in one(broken, "C32").because


def test_a_hidden_olive_fails(trials):
    """The planted shell is found; where it is not, our claim does not hold."""
    ours = "layers-planted-shell"
    assert one(trials, ours).verdict == claims.HOLDS
    unseen = trials.assign(shell_olives=trials["shell_olives"] * 0)
    assert one(unseen, ours).verdict == claims.FAILS
    assert "was not found" in one(unseen, ours).because
    always = trials.assign(olives=trials["olives"] + 1)
    assert one(always, ours).verdict == claims.OPEN


def test_claims_are_quoted_or_not():
    """A quotation is the ledger's, word for word; what is judged in parts is derived from it."""
    quotes = claims.ledger().set_index("id")["quote"]
    for claim in layers.CLAIMS:
        if claim.kind == "quoted":
            assert claim.text == quotes[claim.id]
        if "/" in claim.id:
            assert claim.kind == "derived"


@pytest.mark.parametrize(
    ("claim", "said"),
    [("layers-opened", "one image of our making"), ("layers-size", "to start is not measured"),
     ("layers-size", "of the largest image"), ("layers-surface", "no surprise"),
     ("layers-owned", "were made of packages")],
)  # fmt: skip
def test_what_decides_says_what_was_not_shown(trials, claim, said):
    """Where a claim could hardly fail, its card says so."""
    assert said in one(trials, claim).decides


def test_ties_are_told(trials):
    """Full and minimal Debian have as many shells; with one shell less nothing is a tie."""
    assert "Full and minimal Debian tie in shells." in one(trials, "layers-surface").because
    fewer = trials["place"].eq(designs.MINIMAL) & trials["work"].eq("contents")
    other = trials.assign(shells=trials["shells"].where(~fewer, 3.0))
    assert "tie" not in one(other, "layers-surface").because


def test_calibration(trials):
    """The link, the base layer and the A/A controls are laid beside their truth."""
    table = complete(layers).calibrate(trials).set_index("check")
    assert len(table) == 8
    base = table.loc["bytes moved with the base layer there, over all of them"]
    assert (base["truth"], base["passes"]) == (0.125, "yes")
    for link in designs.LINKS:
        again = table.loc[f"the same pull twice, {link}"]
        assert again["estimate"] == pytest.approx(1, abs=0.03)
        assert (again["n"], again["passes"]) == (SESSIONS, "yes")
    twice = trials["replicate"].eq(1)
    noisy = trials.assign(moved_s=trials["moved_s"].where(~twice, trials["moved_s"] * 1.2))
    noisy = complete(layers).calibrate(noisy).set_index("check")
    assert noisy.loc["the same pull twice, no limit", "passes"] == "no"
    assert "A/A control fails: 1.2" in noisy.loc["the same pull twice, no limit", "note"]


def test_nothing_passes_without_moves(trials):
    """Without a single move no case of the calibration passes, and none fails."""
    table = complete(layers).calibrate(trials[trials["design"] != "moving"])
    assert set(table["passes"]) == {"not measured"}


def test_the_recorded_disk_takes_what_the_link_takes():
    """Recorded: a disk at 100 Mbit/s reads the goodput of its frames, and base there an eighth."""
    table = complete(layers).calibrate(recorded()).set_index("check")
    assert table["passes"].iloc[:2].tolist() == ["yes", "yes"]


@pytest.mark.parametrize("rate", designs.LINKS.values(), ids=designs.LINKS)
def test_nothing_there_takes_no_less_than_the_base_there(rate):
    """Recorded: a cold pull is not faster than one that finds the base; with labels exchanged."""
    found = recorded()
    check_trials(complete(layers), found)
    labels = {"pull": "pull-base-there", "pull-base-there": "pull"}
    exchanged = found["work"].replace(labels).where(found["link_bit_per_s"] == rate, found["work"])
    # few bytes: else the guard of the link would be the first to break
    few = (found["content_bytes"] * 0.02).where(found["content_bytes"] > 0, found["moved_bytes"])
    exchanged = found.assign(work=exchanged, moved_bytes=few)
    with pytest.raises(DataError, match=r"^Cold .* of warm in 'slope_s_per_gb'"):
        check_trials(complete(layers), exchanged)


def test_a_run_whose_cold_pulls_are_faster_is_no_package(tmp_path, monkeypatch):
    """The guard holds where a run's tables are finished; what was measured stays in the journal."""
    pull = fake.FakeMoving.pull
    monkeypatch.setattr(
        fake.FakeMoving,
        "pull",
        lambda self, *args, base_there, **kind: pull(self, *args, base_there=not base_there),
    )
    options = {"sessions": 6, "seed": 5, "specs": fake.PLACES, "progress": False}
    with pytest.raises(DataError, match=r"^Cold "):
        trials_module.measure(layers, out=tmp_path, places=[designs.REGISTRY], **options)
    assert [path.name for path in (tmp_path / layers.NAME).iterdir()] == ["journal.jsonl"]


def recorded():
    return trials_module.get(layers, source="recorded")


def test_a_place_that_is_missing_says_why(trials):
    """Without a registry what moves is not measured here, and the reason is its error."""
    lacking = trials.copy()
    gone = lacking["place"] == designs.REGISTRY
    lacking.loc[gone, ["moved_s", "moved_bytes"]] = float("nan")
    lacking.loc[gone, "ok"] = False
    lacking.loc[gone, "error"] = "unavailable: registry: missing: docker-registry"
    for claim in ("C22", "C22/no limit/base", "layers-size", "layers-size/no limit"):
        for verdict in verdicts(lacking, claim):
            assert verdict.verdict == claims.NOT_MEASURED
            assert verdict.because == "No registry: registry: missing: docker-registry."
    assert one(lacking, "layers-surface").verdict == claims.HOLDS


def test_what_the_engine_adds_is_not_the_images():
    """/etc/hosts is opened and is no file of the image; the library is an other, the page not."""
    full = workloads.served(fake.FakeWeb(designs.FULL))
    assert full.measures["opened_files"] == 3
    assert full.measures["opened_others"] == 1
    assert [row["path"] for row in full.tables["opened"]] == [
        "/bin/busybox", "/usr/lib/libc.so.6", "/www/index.html",
    ]  # fmt: skip
    assert workloads.served(fake.FakeWeb(designs.SCRATCH)).measures["opened_others"] == 0


def test_hidden_files_count_for_nothing():
    """A file that a later layer hides is in neither part of the share."""
    web = fake.FakeWeb(designs.SCRATCH)
    web.image.files["hidden_by"] = [float("nan"), float("nan"), float("nan"), 1.0]
    assert workloads.served(web).measures["opened_byte_share"] == 1.0


def test_faster_than_the_link(trials):
    """10 MB within 0.1 s over 100 Mbit/s is refused with the row; without a limit it is not."""
    row = trials[trials["work"].eq("pull")].iloc[:1].assign(moved_s=0.1, moved_bytes=1e7)
    check_trials(complete(layers), row.assign(link_bit_per_s=0.0))
    with pytest.raises(DataError, match="less than 1e\\+07 bytes take on the link"):
        check_trials(complete(layers), row.assign(link_bit_per_s=1e8))


def test_olives_of_the_real_reader():
    """The count of planted shells is of the reader's own rows."""
    from caveatlib.support import shipped

    sample = images.read(shipped.folder("data") / "images/olive.tar", olives=True)
    assert workloads.planted(sample)["shell_olives"] >= 1
    lean = images.read(shipped.folder("data") / "images/lean.tar", olives=True)
    assert workloads.planted(lean) == {"olives": 0.0, "shell_olives": 0.0}


def test_the_answer_names_sizes_and_links(trials):
    """Share of bytes, price per gigabyte and the disk are in the answer."""
    said = layers.answer(trials)
    assert "on full Debian" in said
    assert re.search(r"Per GB of files, pulling .* s at 100 Mbit/s", said)
    assert "At 100 Mbit/s, an image of eight even layers takes" in said
    assert "times as long as a gzipped disk" in said


def test_sizes_are_exact():
    """The conditions' bytes are those of the generated files."""
    sizes = {arm.conditions["content_bytes"] for arm in layers.DESIGNS[2].arms}
    assert sizes == {generated.content_bytes(s) for s in (2, 3, 5, 8, 12, 18, 26, 40)}
    assert len(sizes) >= 8


def test_published_machines_are_told_beside_images(trials):
    """An image without kernel and modules is 20 of 86 MB, the whole one 80; C22 says so beside."""
    found = one(trials, "layers-published")
    assert found.verdict == claims.HOLDS
    assert (
        found.headline == "Alpine 3.23 is 19.1 MiB to move as an image, 82 MiB as a virtual machine"
    )
    said = "without kernel and modules has 23 % (Alpine 3.23; 93 % with them)."
    assert said in found.because
    assert said in one(trials, "C22").because
    table = layers.systems(trials)
    machine = table.loc[("Alpine 3.23", "virtual machine, as published")]
    assert machine["moved_bytes"] == 86e6
    assert machine["stored_bytes"] == 85e6
    wanted = 86e6 * (8 / 1e8 / 0.957 + 1e-9)
    assert machine["moved_s, 100 Mbit/s"] == pytest.approx(wanted, rel=0.03)


def test_published_machines_decide_by_their_bytes(trials):
    """An image that is more to move than the machine refutes it."""
    larger = trials.copy()
    larger.loc[(trials["work"] == "pull-container") & trials["ok"], "moved_bytes"] *= 10
    assert one(larger, "layers-published").verdict == claims.FAILS


def test_published_machines_alone_are_an_answer(trials):
    """A run of nothing else says what it measured."""
    alone = layers.answer(trials[trials["design"] == "published"])
    assert alone.startswith("Of the bytes of a virtual machine that others publish, an image")


def test_without_published_machines_nothing_is_said_of_them(trials):
    """Data from before, and machines where none was prepared: C22 is judged as ever."""
    before = trials[trials["design"] != "published"]
    assert one(before, "layers-published").verdict == claims.NOT_MEASURED
    told = one(before, "C22")
    assert "published" not in told.because
    assert (told.verdict, told.n) == (one(trials, "C22").verdict, one(trials, "C22").n)
    assert layers.systems(before).empty
