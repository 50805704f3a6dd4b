"""The claims of `ports`, and how its trials decide them, path by path."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd

from caveatlib import claims, stats
from caveatlib.claims import FAILS, HOLDS, NOT_MEASURED, OPEN, Claim, Verdict
from caveatlib.experiments.ports.claims import controls
from caveatlib.experiments.ports.site import PATHS
from caveatlib.frames import UNAVAILABLE
from caveatlib.instruments.iperf3 import CPU_BOUND_SHARE

NAME = "ports"
PROXY, HAIRPIN, AGAIN = "engine-proxy", "engine-hairpin", "engine-proxy-again"

FEW_CORES = 4
"""Below so many the proxy competes with client and server for the CPU."""
PRICED = 100
PUBLISHED = tuple(n for n, p in PATHS.items() if p.published)
PAIRED = tuple(n for n in PUBLISHED if PATHS[n].loaded and n != "other-network")
"""Loaded paths that connect in both settings, so that there is something to compare."""
ADDRESSED = tuple(n for n in PUBLISHED if n not in ("loopback-ipv6", "gateway"))
"""IPv6 is tried for reachability only; from the gateway, own and gateway are the same."""

_TEXT = {
    "throughput": ("more throughput without the proxy", "received bit/s, one stream, above 1"),
    "cpu": ("less CPU without the proxy", "the machine's CPU seconds per 1e9 bytes, below 1"),
    "address": (
        "the server sees the client's own address without the proxy",
        "the address that the server itself reports",
    ),
    "reachable": ("still connects without the proxy", "the server's own answer in every session"),
}
_EFFECTS = {
    "throughput": ("rate_bit_per_s", "greater", ("More throughput", "Less throughput")),
    "cpu": ("cpu_s_per_gb", "less", ("More CPU per byte", "Less CPU per byte")),
}
_ON = {"reachable": PUBLISHED, "address": ADDRESSED, "throughput": PAIRED, "cpu": PAIRED}


def _claim(path: str, aspect: str) -> Claim:
    text, decides = _TEXT[aspect]
    return Claim(f"C17/{path}/{aspect}", f"{path}: {text}", "derived", decides, NAME)


OVERALL = claims.from_ledger(
    "C17",
    decides="gains and losses over all paths, with reno in every namespace: it holds if there "
    "are gains and no losses",
)
MEMORY = Claim(
    "C17/memory",
    "less memory without the proxy",
    "derived",
    f"PSS of docker-proxy with {PRICED} published ports, difference below 0",
    NAME,
)
EARLY = Claim(
    "ports-accepts-early",
    "docker-proxy accepts on loopback before anybody listens; from outside nothing does",
    "ours",
    "connections to a published port without a listener",
    NAME,
)
CLAIMS = (
    OVERALL,
    *(_claim(path, aspect) for path in PUBLISHED for aspect in _ON if path in _ON[aspect]),
    MEMORY,
    EARLY,
)
_BY_ID = {claim.id: claim for claim in CLAIMS}


def contrast(
    path: str, measure: str, *, arm: str = HAIRPIN, design: str = "paths"
) -> stats.Contrast:
    """Return the comparison of a setting with the proxy on, over one path.

    Engines are what is started afresh for every session, so sessions are compared.
    """
    where = {"design": design, "path": path}
    return stats.Contrast(
        path, measure, {**where, "place": arm}, {**where, "place": PROXY}, pairing="session"
    )


def known_answers(trials: pd.DataFrame) -> pd.DataFrame:
    """Return what the harness reads where the truth is fixed beforehand.

    `AGAIN`, a second engine with the proxy, over the first; and a path that no
    setting touches, since no published port lies on it, without the proxy over
    with it.

    Returns
    -------
    pandas.DataFrame
        As `stats.same_twice`.
    """
    measures = {"CPU": "cpu_s_per_gb", "throughput": "rate_bit_per_s"}
    wanted = {
        f"{path} with the proxy, over itself: {words}": contrast(path, measure, arm=AGAIN)
        for words, measure in measures.items()
        for path in PAIRED
    }
    untouched = "direct, which meets no proxy, without over with: CPU"
    wanted[untouched] = contrast("direct", measures["CPU"])
    return stats.same_twice(trials, wanted)


_PRICE = {"design": "many-ports", "published": PRICED}
PRICE = stats.Contrast(
    "memory",
    "pss_bytes",
    {**_PRICE, "place": HAIRPIN},
    {**_PRICE, "place": PROXY},
    pairing="session",
    kind="difference",
)


def verdicts(trials: pd.DataFrame) -> claims.Verdicts:
    """Judge the claim path by path, and as a whole, machine by machine.

    Effects are adjusted together: CPU on every paired path and memory, and
    throughput where there are cores enough.

    Returns
    -------
    list of Verdict
        The whole first; what two gains and a loss make is "inconclusive", and
        the sentence says that the answer is mixed.
    """
    judged = claims.Verdicts()
    for machine, rows in trials.groupby("machine", sort=True):
        where = {"machine": machine, "source": rows["source"].iloc[0]}
        parts = _facts(rows, where) | _effects(rows, where)
        ordered = [parts[c.id] for c in CLAIMS if c.id in parts]
        judged += [_overall(rows, parts, where), *ordered, _early(rows, where)]
    return judged


def answer(trials: pd.DataFrame) -> str:
    """Say what the trials show as a whole, machine by machine."""
    whole = [v for v in verdicts(trials) if v.claim == OVERALL.id]
    if len(whole) == 1:
        return whole[0].because
    return " ".join(f"{v.machine}: {v.because}" for v in whole)


def _of(rows: pd.DataFrame, path: str, place: str, column: str) -> list:
    """Return a column's values of the trials that ended well, in order of the sessions."""
    kept = rows[(rows["design"] == "paths") & (rows["path"] == path) & (rows["place"] == place)]
    return kept[kept["ok"]].sort_values("session")[column].tolist()


def _words(values: list) -> str:
    return " or ".join(sorted({str(v) for v in values if isinstance(v, str) and v}))


def _facts(rows: pd.DataFrame, where: dict) -> dict[str, Verdict]:
    found = {}
    for path in PUBLISHED:
        on, off = (_of(rows, path, place, "reachable") for place in (PROXY, HAIRPIN))
        found[f"C17/{path}/reachable"] = _reachable(rows, path, on, off, where)
        if path in ADDRESSED:
            found[f"C17/{path}/address"] = _address(rows, path, on, off, where)
    return found


def _reachable(rows, path: str, on: list, off: list, where: dict) -> Verdict:
    claim = _BY_ID[f"C17/{path}/reachable"]
    if not on or not off:
        return claims.not_measured(claim, _missing(rows, path), **where)
    if not any(on):
        return claims.not_measured(claim, "It does not connect with the proxy either.", **where)
    how = [_how(rows, path, place) for place in (PROXY, HAIRPIN)]
    fact = None if len({*off}) > 1 or len({*on}) > 1 else bool(off[0])
    evidence = f"With the proxy: {how[0]}. Without: {how[1]}. {_share(off)} connected without."
    return claims.by_fact(claim, fact, evidence=evidence, n=len(off), **where)


_SERVES = {
    "proxy": "docker-proxy serves it",
    "nat": "a NAT rule serves it",
    "process": "the process itself serves it",
    "both": "docker-proxy and a NAT rule serve it",
}


def _how(rows: pd.DataFrame, path: str, place: str) -> str:
    """Return who serves a path under a setting, or why it does not connect."""
    words = [_SERVES.get(v, "") for v in _of(rows, path, place, "served_by")]
    return _words(words + _of(rows, path, place, "refusal"))


def _share(values: list) -> str:
    return f"{int(sum(values))} of {len(values)} session{'' if len(values) == 1 else 's'}"


def _address(rows, path: str, on: list, off: list, where: dict) -> Verdict:
    claim = _BY_ID[f"C17/{path}/address"]
    if not on or not off:
        return claims.not_measured(claim, _missing(rows, path), **where)
    if not any(off):
        return claims.not_measured(claim, "It does not connect without the proxy.", **where)
    kept, before = (_seen(rows, path, place) for place in (HAIRPIN, PROXY))
    fact = None if len(kept) > 1 else kept == {"own"}
    evidence = (
        f"The server sees {_sees(kept)} without the proxy, {_sees(before) or 'nobody'} with it."
    )
    return claims.by_fact(claim, fact, evidence=evidence, n=len(off), **where)


_SEES = {
    "own": "the client's own address",
    "loopback": "a loopback address",
    "gateway": "the gateway's address",
    "other": "some other address",
}


def _seen(rows, path: str, place: str) -> set[str]:
    return {v for v in _of(rows, path, place, "source_class") if isinstance(v, str) and v}


def _sees(classes: set[str]) -> str:
    return " or ".join(_SEES.get(c, c) for c in sorted(classes))


def _missing(rows: pd.DataFrame, path: str) -> str:
    """Return why a path has no trial under one of the settings: its first error."""
    for place in (PROXY, HAIRPIN):
        if not _of(rows, path, place, "reachable"):
            tried = rows[(rows["path"] == path) & (rows["place"] == place)]
            error = tried["error"].iloc[0] if len(tried) else "it was not asked for"
            return f"No {place}: {error.removeprefix(UNAVAILABLE).rstrip('.')}."
    return "No session in which both settings were tried."


def _effects(rows: pd.DataFrame, where: dict) -> dict[str, Verdict]:
    few = rows["cores"].max() < FEW_CORES
    judged = ["cpu"] if few else ["cpu", "throughput"]
    wanted = {f"C17/{p}/{a}": contrast(p, _EFFECTS[a][0]) for a in judged for p in PAIRED}
    wanted["C17/memory"] = PRICE
    table = stats.contrasts(rows, list(wanted.values())).to_dict("records")
    found = {}
    for name, row in zip(wanted, table, strict=True):
        if name == "C17/memory":
            less = ("More memory", "Less memory")
            found[name] = claims.by_effect(MEMORY, row, direction="less", words=less, unit="B")
            continue
        _, path, aspect = name.split("/")
        measure, direction, words = _EFFECTS[aspect]
        null = stats.null_band(rows, contrast(path, measure, arm=AGAIN))
        decided = claims.by_effect(_BY_ID[name], row, direction=direction, words=words, null=null)
        found[name] = _with(decided, _controlled(rows, path, aspect), _bound(rows, path, aspect))
    return found | (_shown(rows, where) if few else {})


def _with(verdict: Verdict, *sentences: str) -> Verdict:
    """Return the verdict with sentences that qualify it; one without numbers needs none."""
    if not verdict.n:
        return verdict
    return replace(verdict, because=" ".join(filter(None, (verdict.because, *sentences))))


def _elsewhere(rows: pd.DataFrame, path: str, measure: str) -> tuple[str, float]:
    """Return the machine's own congestion control and the effect under it, NaN if not tried."""
    control = controls(rows).iloc[0]
    tried = (rows["design"] == "congestion") & (rows["path"] == path)
    if not tried.any() or control["machines_default"] in ("", control["paths_measured_under"]):
        return "", math.nan
    row = stats.contrasts(rows, [contrast(path, measure, design="congestion")]).iloc[0]
    return control["machines_default"], row["estimate"]


def _controlled(rows: pd.DataFrame, path: str, aspect: str) -> str:
    """Say under which congestion control that was, and what it was under the machine's own."""
    used = controls(rows).iloc[0]["paths_measured_under"]
    other, effect = _elsewhere(rows, path, _EFFECTS[aspect][0])
    if math.isnan(effect):
        return f"With {used}."
    return f"With {used}; with {other}, the machine's own, {_changed(effect)}, which is not judged."


def _changed(effect: float) -> str:
    """Return ``1.52x less`` for 0.66."""
    return f"{max(effect, 1 / effect):.2f}x {'less' if effect < 1 else 'more'}"


def _bound(rows: pd.DataFrame, path: str, aspect: str) -> str:
    """Say where client and server alone used the cores up: there the rate is the CPU's."""
    if aspect != "throughput":
        return ""
    counts = []
    for place, words in ((PROXY, "with the proxy"), (HAIRPIN, "without")):
        flags = [v for v in _of(rows, path, place, "cpu_bound") if v == v]
        if any(flags):
            counts.append(f"{int(sum(flags))} of {len(flags)} trials {words}")
    if not counts:
        return ""
    return (
        f"Client and server alone used {CPU_BOUND_SHARE:.0%} of the cores in {', '.join(counts)}."
    )


def _shown(rows: pd.DataFrame, where: dict) -> dict[str, Verdict]:
    """Show throughput without judging it: too few cores for a fair comparison."""
    table = stats.contrasts(rows, [contrast(p, "rate_bit_per_s") for p in PAIRED])
    found = {}
    for row in table.to_dict("records"):
        claim = _BY_ID[f"C17/{row['name']}/throughput"]
        reason = (
            f"On {rows['cores'].max():.0f} cores proxy, client and server compete for the CPU, "
            "so the throughput is shown and not judged"
        )
        if row["n"]:
            reason += f": {row['estimate']:.2f}x without the proxy ({row['n']} sessions)"
        seen = {"effect": row["estimate"], "n": int(row["n"]), "unit": "x"}
        shown = claims.not_measured(claim, f"{reason}.", **where, **seen)
        qualified = (f(rows, row["name"], "throughput") for f in (_controlled, _bound))
        found[claim.id] = _with(shown, *qualified)
    return found


def _early(rows: pd.DataFrame, where: dict) -> Verdict:
    loopback, outside = (_of(rows, p, PROXY, "accepts_unheard") for p in ("loopback", "outside"))
    if not loopback or not outside:
        return claims.not_measured(EARLY, _missing(rows, "loopback"), **where)
    evidence = (
        "Accepted with the proxy though nobody listened: on loopback in "
        f"{_share(loopback)}, from outside in {_share(outside)}."
    )
    mixed = len({*loopback}) > 1 or len({*outside}) > 1
    fact = None if mixed else bool(loopback[0] and not outside[0])
    return claims.by_fact(EARLY, fact, evidence=evidence, n=len(loopback), **where)


def _overall(rows: pd.DataFrame, parts: dict[str, Verdict], where: dict) -> Verdict:
    """Weigh gains against losses and say both in one sentence each."""
    gains, losses = _sides(rows, parts)
    measured = [v for v in parts.values() if v.verdict != NOT_MEASURED]
    if not measured:
        return claims.not_measured(OVERALL, _missing(rows, "loopback"), **where)
    verdict = OPEN
    if gains and not losses:
        verdict = HOLDS
    elif losses and not gains:
        verdict = FAILS
    said = ["Mixed."] if gains and losses else []
    if gains:
        said.append(f"Without the proxy you gain: {'; '.join(gains)}.")
    if losses:
        said.append(f"Without the proxy you lose: {'; '.join(losses)}.")
    if not gains and not losses:
        said.append("Neither gain nor loss was found.")
    open_paths = [c.split("/")[1] for c, v in parts.items() if c.endswith("cpu") and _open(v)]
    if open_paths:
        said.append(f"No verdict on CPU for {', '.join(open_paths)}.")
    if rows["cores"].max() < FEW_CORES:
        said.append(f"Throughput is not judged on {rows['cores'].max():.0f} cores.")
    said.append(_all_controlled(rows, parts))
    n = max(v.n for v in measured)
    whole = claims.by_fact(OVERALL, None, evidence=" ".join(filter(None, said)), n=n, **where)
    return replace(whole, verdict=verdict)


def _all_controlled(rows: pd.DataFrame, parts: dict[str, Verdict]) -> str:
    """Say what the CPU was under the machine's own congestion control, where it was judged."""
    decided = [p for p in PAIRED if parts[f"C17/{p}/cpu"].verdict in (HOLDS, FAILS)]
    found = {p: _elsewhere(rows, p, "cpu_s_per_gb") for p in decided}
    told = [f"{p} {_changed(effect)}" for p, (_, effect) in found.items() if effect == effect]
    if not told:
        return ""
    other = next(name for name, effect in found.values() if effect == effect)
    return f"CPU per byte with {other}, the machine's own, not judged: {', '.join(told)}."


def _open(verdict: Verdict) -> bool:
    return verdict.verdict == OPEN


_MORE = {
    "cpu": ("less CPU per byte", "more CPU per byte"),
    "throughput": ("more throughput", "less throughput"),
}


def _sides(rows: pd.DataFrame, parts: dict[str, Verdict]) -> tuple[list[str], list[str]]:
    """Return what is gained and what is lost without the proxy, in words."""
    sides: tuple[list[str], list[str]] = ([], [])
    for aspect, words in _MORE.items():
        for side, decided in enumerate((HOLDS, FAILS)):
            found = [
                f"{p} {_times(parts[name])}"
                for p in PAIRED
                if (name := f"C17/{p}/{aspect}") in parts and parts[name].verdict == decided
            ]
            if found:
                used = controls(rows).iloc[0]["paths_measured_under"]
                sides[side].append(f"{words[side]} (with {used}: {', '.join(found)})")
    memory = parts["C17/memory"]
    if memory.verdict in (HOLDS, FAILS):
        side = memory.verdict == FAILS
        size = f"{abs(memory.effect) / 1e6:.0f} MB with {PRICED} published ports"
        sides[side].append(f"{('less', 'more')[side]} memory ({size})")
    for side, (one, other) in enumerate(((HAIRPIN, PROXY), (PROXY, HAIRPIN))):
        kept = [
            p
            for p in ADDRESSED
            if _seen(rows, p, one) == {"own"} and _seen(rows, p, other) - {"own"}
        ]
        if kept:
            sides[side].append(f"the client's own address ({', '.join(kept)})")
        only = [p for p in PUBLISHED if _always(rows, p, one) and _never(rows, p, other)]
        if only:
            sides[side].append(f"paths that connect ({', '.join(only)})")
    return sides


def _times(verdict: Verdict) -> str:
    effect = verdict.effect if verdict.effect >= 1 else 1 / verdict.effect
    return f"{effect:.2g}x"


def _always(rows: pd.DataFrame, path: str, place: str) -> bool:
    values = _of(rows, path, place, "reachable")
    return bool(values) and all(values)


def _never(rows: pd.DataFrame, path: str, place: str) -> bool:
    values = _of(rows, path, place, "reachable")
    return bool(values) and not any(values)
