"""Published figures to lay beside one's own, each with its source and its "but"."""

from __future__ import annotations

from functools import lru_cache

import pandas as pd
from pandera.typing.pandas import Series

from caveatlib.errors import DataError, UsageError
from caveatlib.frames import Table, field, validate
from caveatlib.support import shipped
from caveatlib.support.quantities import format_quantity

SI = {
    "s": (1, "s"),
    "ms": (1e-3, "s"),
    "us": (1e-6, "s"),
    "ns": (1e-9, "s"),
    "bytes": (1, "B"),
    "KB": (1024, "B"),  # of ps, which prints KiB and calls them KB
    "MiB": (2**20, "B"),
    "MB": (1e6, "B"),
    "GB": (1e9, "B"),
    "MB/s": (8e6, "bit/s"),
    "Mbit/s": (1e6, "bit/s"),
    "Gbit/s": (1e9, "bit/s"),
    "req/s": (1, "1/s"),
    "IOPS": (1, "1/s"),
    "GFLOPS": (1e9, "1/s"),
    "x": (1, "1"),
    "%": (1e-2, "1"),
    "findings": (1, "1"),
    "release": (1, "1"),
    "resources": (1, "1"),
    "processes": (1, "1"),
    "syscalls": (1, "1"),
}
"""Factor and SI unit (bytes for sizes) of each unit in the file."""


class Figures(Table):
    """One published figure per row."""

    id: Series[str] = field("short name", unique=True, str_matches=r"^\w+$")
    source: Series[str] = field("who published it", str_length={"min_value": 1})
    year: Series[str] = field("year, as far as known")
    area: Series[str] = field("what it is about", str_length={"min_value": 1})
    quantity: Series[str] = field("what was measured", str_length={"min_value": 1})
    setting: Series[str] = field("on what and with what")
    stat: Series[str] = field("statistic: median, mean, point ...", str_length={"min_value": 1})
    value: Series[float] = field("the figure, in its own unit", gt=0)
    unit: Series[str] = field("unit as published", isin=tuple(SI))
    n: Series[float] = field("sample size; empty if unknown", nullable=True, ge=1)
    how_exact_where: Series[str] = field("where it stands, and how exact it is")
    kind: Series[str] = field(
        "how close to the source", isin=("primary", "secondary", "chart", "user_report")
    )
    use: Series[str] = field("whether it may be plotted", isin=("compare", "context_only"))
    not_comparable_because: Series[str] = field(
        "why a measurement here cannot be compared with it", str_length={"min_value": 1}
    )


BOOTS = (
    "firecracker-microvm/nsdi2020-data @cf1b30f (Agache et al., NSDI 2020; Apache-2.0), "
    "quantiles computed here of data/*/raw/boot-serial-*.dat"
)
"""Source of `boots`, with its licence."""
HOSTS = {
    "m5d.metal": "AWS m5d.metal",
    "rn.haswell": "a Haswell",
    "rn.nehalem": "a Nehalem",
}
MONITORS = {
    "chv": "Cloud Hypervisor",
    "chv-bz": "Cloud Hypervisor, bzImage",
    "chv-net": "Cloud Hypervisor, network",
    "fc-api": "Firecracker, by its API",
    "fc-file": "Firecracker, from a file",
    "fc-net-api": "Firecracker, network",
    "fc-nopci-api": "Firecracker, without PCI",
    "qboot": "QEMU, qboot",
    "qboot-net": "QEMU, qboot, network",
    "qemu": "QEMU, minimal kernel",
    "qemu-uvm": "QEMU, Ubuntu's kernel",
}


class Boots(Table):
    """Quantiles of one monitor's boots on one machine, from its start to its exit."""

    machine: Series[str] = field("machine, by its name in the source", isin=tuple(HOSTS))
    vmm: Series[str] = field("monitor and how it was used", isin=tuple(MONITORS))
    n: Series[int] = field("boots, one after the other", ge=1)
    min_s: Series[float] = field("shortest", gt=0)
    p01_s: Series[float] = field("quantile 0.01", gt=0)
    p05_s: Series[float] = field("quantile 0.05", gt=0)
    p25_s: Series[float] = field("quantile 0.25", gt=0)
    p50_s: Series[float] = field("median", gt=0)
    p75_s: Series[float] = field("quantile 0.75", gt=0)
    p95_s: Series[float] = field("quantile 0.95", gt=0)
    p99_s: Series[float] = field("quantile 0.99", gt=0)
    max_s: Series[float] = field("longest", gt=0)


def boots() -> pd.DataFrame:
    """Return what others measured of boots of virtual machines under KVM (source: `BOOTS`).

    Times are from the start of the monitor's process to its *exit*: the guest's end is
    part of them, and for arms with an API a client that polls. Guests are minimal, of 1
    CPU and 256 MiB; no container was measured. The Haswell machine shows a tick of 4 ms.

    Returns
    -------
    pandas.DataFrame
        As `Boots`, seconds, with `host` and `monitor` in words; 33 rows.

    Raises
    ------
    DataError
        If the file breaks its contract.
    """
    return _boots().copy()


def figures(area: str | None = None) -> pd.DataFrame:
    """Return the cited figures.

    Parameters
    ----------
    area : str, optional
        ``"startup"``, ``"userland_proxy"``, ``"cpu_quota"``, ...; all if not given.

    Returns
    -------
    pandas.DataFrame
        `Figures` and the same value in SI units or bytes: `value_si`, `unit_si`.

    Raises
    ------
    UsageError
        If no figure is about the area.
    DataError
        If the file breaks its contract.
    """
    table = _table()
    if area is None:
        return table.copy()
    if area not in set(table["area"]):
        known = ", ".join(repr(a) for a in sorted(set(table["area"])))
        raise UsageError(f"Unknown area {area!r}. Must be one of {known}.")
    return table[table["area"] == area].reset_index(drop=True)


def beside(area: str) -> pd.DataFrame:
    """Return the figures of an area that may stand beside a measurement.

    Returns
    -------
    pandas.DataFrame
        Those whose `use` is ``"compare"``, with the columns that a reader
        needs: quantity, setting, stat, value_si, unit_si, n,
        not_comparable_because, and the source with its year and the place in it.

    Raises
    ------
    UsageError
        If no figure is about the area.
    """
    table = figures(area)
    table = table[table["use"] == "compare"].reset_index(drop=True)
    year = table["year"].replace("n/a", "undated")
    cited = table["source"] + ", " + year + ": " + table["how_exact_where"]
    shown = "quantity setting stat value_si unit_si n not_comparable_because"
    return table[shown.split()].assign(source=cited)


def cited(area: str) -> pd.DataFrame:
    """Return the figures of `beside` as they are read: what, how much, on what, but, source."""
    table = beside(area)
    units = table["unit_si"].replace("1", "")
    values = [
        f"{format_quantity(value, unit) if unit else f'{value:,g}'} ({stat})"
        for value, unit, stat in zip(table["value_si"], units, table["stat"], strict=True)
    ]
    shown = table[["quantity", "setting", "not_comparable_because", "source"]]
    shown.insert(1, "value", values)
    return shown.rename(columns={"not_comparable_because": "not comparable because"})


@lru_cache
def _boots() -> pd.DataFrame:
    table = validate(pd.read_csv(shipped.folder("data") / "vm-boots.csv"), Boots)
    return table.assign(host=table["machine"].map(HOSTS), monitor=table["vmm"].map(MONITORS))


@lru_cache
def _table() -> pd.DataFrame:
    path = shipped.folder("data") / "literature.csv"
    try:
        raw = pd.read_csv(path, dtype=str, keep_default_na=False)
        numbers = {c: pd.to_numeric(raw[c].replace("", None)) for c in ("value", "n")}
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"File 'literature.csv' cannot be read: {error}") from None
    table = validate(raw.assign(**numbers), Figures)
    factors = table["unit"].map(SI)
    # 8.03 Gbit/s is 8030000000 bit/s, not 8029999999.999999
    value = (table["value"] * factors.str[0].astype(float)).map(lambda v: float(f"{v:.12g}"))
    return table.assign(value_si=value, unit_si=factors.str[1])
