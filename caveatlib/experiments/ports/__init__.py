"""Userland proxy or hairpin NAT: which path gains, which loses, which stops working?

The claim (11 April 2016): "if your Linux Kernel > 2.6.x - you need to disable
the userland-proxy on the Docker daemon in favor of Hairpin NAT!" Two engines,
alike but for ``userland-proxy``, are started afresh for every session, so the
session is the unit of replication; a third, with the proxy again, is the null
arm. A published port is called over every path that leads to it: from the host
by three of its addresses, from containers, from outside.

First of all each trial finds out whether the path connects, who served the
connection (by docker-proxy's sockets and the counters of the nat table), and
which source address the server saw. A path that does not connect is a finding,
not a failed trial. Where it connects, iperf3 measures throughput and the CPU
that it takes, and an echo server round trips at a fixed rate and connections.

What would mislead you: congestion control moves the figures as the proxy does,
so it is the same in every namespace and a column of the trials; on a machine of
few cores proxy, client and server compete for the CPU, so there the throughput
is shown and only the CPU per gigabyte is judged; docker-proxy
accepts before anybody listens behind it, so an accepted connection is no
answer; and client, server and engine share one kernel here, a real network
card would be the bottleneck long before either of them.
"""

from __future__ import annotations

import pandas as pd
from pandera.typing.pandas import Series

from caveatlib import frames, plots, stats
from caveatlib.errors import MeasurementError
from caveatlib.experiments.ports import site, traffic
from caveatlib.experiments.ports.claims import controls, paths
from caveatlib.experiments.ports.decisions import (
    AGAIN,
    CLAIMS,
    HAIRPIN,
    NAME,
    PAIRED,
    PRICED,
    PROXY,
    answer,
    contrast,
    known_answers,
    verdicts,
)
from caveatlib.experiments.ports.places import PLACES
from caveatlib.experiments.ports.traffic import GB, STREAM_S
from caveatlib.measuring import machine
from caveatlib.measuring.designs import Arm, Design
from caveatlib.places.base import TrialResult
from caveatlib.stats import guards

QUESTION = "What does the userland proxy cost, path by path, and what breaks without it?"

__all__ = [
    "CLAIMS",
    "NAME",
    "PLACES",
    "answer",
    "controls",
    "known_answers",
    "paths",
    "verdicts",
]  # beside what is defined here

SWAP = ("place", PROXY, HAIRPIN)
"""Two arms whose exchange in the data must change what is said (contract tests)."""
SESSIONS = 15
"""Sessions by default: six comparisons judged together need at least eight, and 1.10x fifteen."""
VERDICT_S = 800
"""About how many seconds of measuring until its verdicts are possible."""
DISK_BYTES = 500 * 2**20
"""Room for the empty data folders of three engines, and a journal."""

COUNTS = (1, 10, PRICED)
TICK_S = 0.01
"""What ``/proc/stat`` counts CPU time in, on every Linux."""


class Trials(frames.Trials):
    """One path under one setting, or one container with many published ports."""

    path: Series[str] = frames.field("the path from client to server")
    congestion: Series[str] = frames.field(
        "congestion control asked for; default is the machine's own", isin=("", "reno", "default")
    )
    load: Series[str] = frames.field(
        "what is measured beyond reachability", isin=("none", "throughput", "full", "price")
    )
    published: Series[int] = frames.field("ports that the priced container publishes", ge=0)
    cores: Series[float] = frames.measure("cores of the machine", ge=1)

    reachable: Series[float] = frames.measure("1 if the server answered", le=1)
    refusal: Series[str] = frames.field("why it did not", nullable=True)
    served_by: Series[str] = frames.field("proxy, nat, process or nobody", nullable=True)
    source_class: Series[str] = frames.field(
        "client's address as the server sees it: own, gateway, loopback, other", nullable=True
    )
    nat_connections: Series[float] = frames.measure("evidence: gain of the DNAT rules' counters")
    proxy_sockets: Series[float] = frames.measure("evidence: docker-proxy's sockets gained")
    accepts_unheard: Series[float] = frames.measure(
        "1 if a published port is accepted on which nobody listens", le=1
    )
    algorithm: Series[str] = frames.field("congestion control that iperf3 saw", nullable=True)
    iperf_version: Series[str] = frames.field("version of iperf3", nullable=True)

    rate_bit_per_s: Series[float] = frames.measure("received, one stream", "bit/s", gt=0)
    rate_4_bit_per_s: Series[float] = frames.measure("received, four streams", "bit/s", gt=0)
    retransmits: Series[float] = frames.measure("segments sent again, one stream")
    retransmits_4: Series[float] = frames.measure("segments sent again, four streams")
    client_cpu: Series[float] = frames.measure("cores that the client used, one stream")
    server_cpu: Series[float] = frames.measure("cores that the server used, one stream")
    cpu_bound: Series[float] = frames.measure("1 if both used 95 % of the cores", le=1)
    cpu_s_per_gb: Series[float] = frames.measure("the machine's CPU per 1e9 bytes", "s/GB")
    cpu_4_s_per_gb: Series[float] = frames.measure("the same with four streams", "s/GB")
    proxy_cpu_s_per_gb: Series[float] = frames.measure("docker-proxy's CPU per 1e9 bytes", "s/GB")
    proxy_cpu_4_s_per_gb: Series[float] = frames.measure("the same with four streams", "s/GB")
    round_trip_p50_s: Series[float] = frames.measure("median from the time it was due", "s")
    round_trip_p99_s: Series[float] = frames.measure("99th percentile of at least 1000", "s")
    connects_per_s: Series[float] = frames.measure("connections made and answered", "1/s")

    start_s: Series[float] = frames.measure("start call of the priced container", "s")
    stop_s: Series[float] = frames.measure("its kill and removal, proxies gone", "s")
    processes: Series[float] = frames.measure("its docker-proxy processes")
    pss_bytes: Series[float] = frames.measure("their proportional memory, summed", "B")
    rss_bytes: Series[float] = frames.measure("their resident memory, shared pages again", "B")


class Reports(frames.Table):
    """What iperf3 itself reported, without names, addresses and cookie."""

    run: Series[str] = frames.field("the run, as its start in UTC")
    design: Series[str] = frames.field("the design within the experiment")
    block: Series[int] = frames.field("complete block, counted within the design", ge=0)
    place: Series[str] = frames.field("where the workload ran")
    path: Series[str] = frames.field("the path")
    congestion: Series[str] = frames.field("congestion control asked for")
    streams: Series[int] = frames.field("parallel connections", ge=1)
    report: Series[str] = frames.field("iperf3's JSON report, stripped")


TABLES = {"iperf3": Reports}


def _arm(place: str, path: str = "", congestion: str = "", load: str = "none", published: int = 0):
    return Arm(
        place, {"path": path, "congestion": congestion, "load": load, "published": published}
    )


def _path_arms() -> tuple[Arm, ...]:
    """Every path under either setting; the null arm where a claim is judged."""
    arms = [
        _arm(place, path, "reno", "full" if site.PATHS[path].loaded else "none")
        for place in (PROXY, HAIRPIN)
        for path in site.PATHS
        if (place, path) != (HAIRPIN, "host-network")  # no engine's matter
    ]
    return (*arms, *(_arm(AGAIN, path, "reno", "throughput") for path in PAIRED))


DESIGNS = (
    Design("paths", _path_arms(), block_s=65),
    Design(
        "congestion",
        tuple(
            _arm(place, path, "default", "throughput")
            for place in (PROXY, HAIRPIN)
            for path in ("loopback", "hairpin", "outside")
        ),
        block_s=8,
        optional=True,
    ),
    Design(
        "many-ports",
        tuple(_arm(p, load="price", published=n) for p in (PROXY, HAIRPIN) for n in COUNTS),
        block_s=15,
    ),
)
"""``paths`` is what the claims are judged by, ``many-ports`` the one about memory."""


def trial(place: site.Site, conditions: dict, *, seed: int) -> TrialResult:
    """Measure one path of an opened site, or the price of published ports.

    Parameters
    ----------
    place : Site
    conditions : dict
        ``path``, ``congestion``, ``load``, ``published``. With load
        ``"price"`` any number of ports may be asked for, 500 say.
    seed : int
        Unused: nothing in a trial is random.

    Returns
    -------
    TrialResult
        A path that does not connect has ``reachable`` 0 and a ``refusal``.
    """
    cores = {"cores": machine.cores()}
    if conditions["load"] == "price":
        return TrialResult(cores | traffic.price(place, conditions["published"]))
    path, load = conditions["path"], conditions["load"]
    algorithm = site.congest(place, conditions["congestion"])
    measures = cores | {"algorithm": algorithm} | traffic.reach(place, path)
    reports = []
    if measures["reachable"] and load != "none":
        for streams in (1, 4) if load == "full" else (1,):
            found, report = traffic.throughput(place, path, streams=streams, **cores)
            measures |= _columns(found, streams, algorithm)
            named = {"path": path, "congestion": conditions["congestion"], "streams": streams}
            reports.append(named | {"report": report})
    if measures["reachable"] and load == "full":
        measures |= traffic.round_trips(place, path) | traffic.connects(place, path)
    said = {name: value for name, value in measures.items() if value != ""}
    return TrialResult(said, {"iperf3": reports})


def check(trials: pd.DataFrame) -> None:
    """Hold trials against what cannot be, one row or many.

    Raises
    ------
    DataError
        CPU time that the machine does not have (a lost unit of the rate or of
        the ticks), quantiles out of order, a zero where nothing takes no time,
        or, from 6 trials on, a clock of whole milliseconds.
    """
    trials = trials[["ok", *_GUARDED]]  # copies of all columns would take as long as the guards
    gb_per_s = trials["rate_bit_per_s"] / 8 / GB
    used = trials["cpu_s_per_gb"] * gb_per_s / trials["cores"]
    guards.inside(trials.assign(share_of_cores=used), ["share_of_cores"], most=MOST_OF_CORES)
    guards.increasing(trials, ["round_trip_p50_s", "round_trip_p99_s"])
    guards.no_zeros(trials, ["cpu_s_per_gb", "round_trip_p50_s", "start_s", "stop_s"])
    guards.finer_than(trials, ["round_trip_p50_s", "start_s", "stop_s"], tick=1e-3)


_GUARDED = ["rate_bit_per_s", "cpu_s_per_gb", "cores", "round_trip_p50_s", "round_trip_p99_s"]
_GUARDED += ["start_s", "stop_s"]
MOST_OF_CORES = 1.1
"""The machine's CPU time is read before and after the second that iperf3 measures."""


def _columns(found: dict, streams: int, algorithm: str) -> dict:
    """Name a test's figures by its streams; the trial's algorithm must be what it used."""
    if found["algorithm"] != algorithm:
        raise MeasurementError(
            f"iperf3 saw congestion control {found['algorithm']!r}. Must be {algorithm!r}."
        )
    if streams == 1:
        return found
    return {name.replace("_", "_4_", 1): found[name] for name in _WITH_4} | {
        "retransmits_4": found["retransmits"],
        "proxy_cpu_4_s_per_gb": found["proxy_cpu_s_per_gb"],
    }


_WITH_4 = ("rate_bit_per_s", "cpu_s_per_gb")
_SHOWN = (
    "rate_bit_per_s",
    "rate_4_bit_per_s",
    "cpu_s_per_gb",
    "proxy_cpu_s_per_gb",
    "round_trip_p50_s",
    "round_trip_p99_s",
    "connects_per_s",
)
_SETTINGS = {PROXY: "proxy", HAIRPIN: "no proxy", AGAIN: "proxy again"}


def _paths(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the trials that the claims are judged by, paths in their order."""
    rows = trials[trials["design"] == "paths"]
    order = {name: number for number, name in enumerate(site.PATHS)}
    return rows.sort_values("path", key=lambda c: c.map(order), kind="stable")


def summarize(trials: pd.DataFrame) -> pd.DataFrame:
    """Summarise every path under every setting, sessions replicated.

    Returns
    -------
    pandas.DataFrame
        Indexed by path and place: n, failed; `served_by`, `source_class` and
        `refusal` (more than one is joined by "/"); per measure the median of
        the sessions' values with its interval, in the measure's unit.
    """
    rows = _paths(trials)
    keys = ["path", "place"] if rows["machine"].nunique() < 2 else ["machine", "path", "place"]
    table = stats.summarize(rows, list(_SHOWN), by=keys, unit="session")
    table = table.drop(columns=[c for c in table if c.endswith(("_p10", "_p90", "_p99"))])
    facts = rows[rows["ok"]].groupby(keys)[["served_by", "source_class", "refusal"]].agg(_joined)
    table = table[["n", "failed"]].join(facts).join(table.drop(columns=["n", "failed"]))
    order = {name: number for number, name in enumerate((*site.PATHS, *PLACES))}
    return table.sort_index(key=lambda level: level.map(lambda x: order.get(x, x)))


def _joined(values: pd.Series) -> str:
    return "/".join(sorted(set(_text(values)) - {""}))


def reachability(trials: pd.DataFrame) -> pd.DataFrame:
    """Say in words what each path does under each setting.

    Returns
    -------
    pandas.DataFrame
        Indexed by path, one column per setting: ``"proxy, sees gateway"``, or
        why it does not connect; empty where it was not tried.
    """
    rows = _paths(trials[trials["ok"] & trials["place"].isin([PROXY, HAIRPIN])])
    words = _text(rows["served_by"]) + ", sees " + _text(rows["source_class"])
    words = words.where(rows["reachable"] == 1, _text(rows["refusal"]))
    cells = rows.assign(words=words).groupby(["path", "place"], sort=False)["words"].agg(_joined)
    table = cells.unstack().reindex(
        index=[p for p in site.PATHS if p in set(rows["path"])], columns=[PROXY, HAIRPIN]
    )
    return table.astype(object).fillna("").rename(columns=_SETTINGS)


def _text(column: pd.Series) -> pd.Series:
    return column.astype(object).where(column.notna(), "")


def effects(trials: pd.DataFrame, measure: str = "cpu_s_per_gb") -> pd.DataFrame:
    """Compare the settings path by path: without the proxy over with it.

    Parameters
    ----------
    trials : pandas.DataFrame
    measure : str
        A measured column of `Trials`.

    Returns
    -------
    pandas.DataFrame
        As `stats.contrasts`, indexed by path, the session as unit.
    """
    wanted = [contrast(path, measure) for path in PAIRED]
    table = stats.contrasts(trials, wanted).rename(columns={"name": "path"})
    return table.set_index("path")


def congestion(trials: pd.DataFrame, measure: str = "rate_bit_per_s") -> pd.DataFrame:
    """Return medians of a measure by path, algorithm and setting, one stream."""
    rows = trials[trials["design"].isin(["paths", "congestion"]) & trials[measure].notna()]
    rows = rows[rows["place"].isin([PROXY, HAIRPIN])]
    both = rows.groupby("path")["algorithm"].transform("nunique") > 1
    table = rows[both].groupby(["path", "algorithm", "place"])[measure].median()
    return table.unstack().reindex(columns=[PROXY, HAIRPIN]).rename(columns=_SETTINGS)


def cpu_tick(trials: pd.DataFrame) -> float:
    """Return the resolution of `cpu_s_per_gb` in s/GB.

    The kernel tells CPU time in hundredths of a second (USER_HZ); what one of
    them makes per gigabyte is most where least was moved.
    """
    return TICK_S / (trials["rate_bit_per_s"].min() / 8 * STREAM_S / GB)


def prices(trials: pd.DataFrame) -> pd.DataFrame:
    """Return what published ports cost: medians by number of ports and setting."""
    rows = trials[(trials["design"] == "many-ports") & trials["ok"]]
    columns = ["start_s", "stop_s", "processes", "pss_bytes", "rss_bytes"]
    return rows.groupby(["published", "place"])[columns].median()


def plot(trials: pd.DataFrame, ax=None):
    """Draw the CPU that a gigabyte takes, one dot per session, a row per path and setting."""
    rows = _paths(trials[trials["place"].isin([PROXY, HAIRPIN])])
    setting = rows["place"].map(_SETTINGS)
    rows = rows.assign(row=rows["path"] + ", " + setting, setting=setting)
    order = [f"{path}, {_SETTINGS[place]}" for path in site.PATHS for place in (PROXY, HAIRPIN)]
    label = "CPU time of the whole machine per GB (1e9 bytes)"
    return plots.dots(
        rows, "cpu_s_per_gb", by="row", unit="s", label=label, order=order, hue="setting", ax=ax
    )


def plot_effects(trials: pd.DataFrame, measure: str = "cpu_s_per_gb", ax=None):
    """Draw the effect of disabling the proxy on a measure, path by path.

    The intervals are those that the verdicts use, over the bands in which the
    same setting twice moves: what meets its band is not decided.
    """
    what = frames.columns(Trials)[measure].metadata["meaning"]
    table = effects(trials, measure)
    judged = table.assign(low=table["low_adjusted"], high=table["high_adjusted"])
    label = f"{what}: without the proxy over with it, adjusted intervals"
    ax = plots.effects(judged, label=label, ax=ax)
    words = []
    for row, path in enumerate(judged.index[judged["estimate"].notna()]):
        band = stats.null_band(trials, contrast(path, measure, arm=AGAIN)).iloc[0]
        ends = [band["band_low"], band["band_high"]]
        ax.plot(ends, [row, row], **_BAND)
        words.append(f"{path} {ends[0]:.3g} to {ends[1]:.3g}")
    return plots.say(ax, f"Grey, where the proxy over itself moves: {', '.join(words)}.")


_BAND = {"color": "#888888", "alpha": 0.35, "lw": 12, "solid_capstyle": "butt", "zorder": 0}


def plot_prices(trials: pd.DataFrame, ax=None):
    """Draw the memory of docker-proxy over the number of published ports."""
    rows = trials[(trials["design"] == "many-ports") & trials["ok"]]
    return plots.lines(
        rows.assign(setting=rows["place"].map(_SETTINGS), pss_mb=rows["pss_bytes"] / 1e6),
        "published",
        "pss_mb",
        by="setting",
        unit="MB",
        xlabel="published ports",
        ylabel="memory of docker-proxy (PSS)",
        ax=ax,
    )
