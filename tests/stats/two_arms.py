"""Made-up trials of two arms, and the one row of one contrast of them."""

import numpy as np
import pandas as pd

from caveatlib import stats


def trials(values, *, session=None, machine="m", source="live", design="d"):
    """Build a table of trials from ``{place: values by block}``; NaN is a failed trial."""
    rows = []
    for place, column in values.items():
        for block, value in enumerate(column):
            row = {"run": "r", "source": source, "machine": machine, "design": design}
            row |= {"session": block if session is None else session[block], "block": block}
            row |= {"position": len(rows) % 2, "place": place, "started_at": "t"}
            failed = np.isnan(value)
            row |= {"ok": not failed, "error": "boom" if failed else "", "x_s": value}
            row |= {"busy_per_cpu": 0.0, "stolen_share": 0.0}
            rows.append(row)
    return pd.DataFrame(rows)


def noisy(n, ratio=2.0, seed=0, sd=0.05):
    """Build two noisy arms, "a" and "b", the second `ratio` times the first."""
    rng = np.random.default_rng(seed)
    return trials({"a": np.exp(rng.normal(0, sd, n)), "b": ratio * np.exp(rng.normal(0, sd, n))})


B_OVER_A = stats.Contrast("b over a", "x_s", {"place": "b"}, {"place": "a"})


def only(frame, contrast=B_OVER_A, **options):
    """Return the one row of one contrast."""
    (row,) = stats.contrasts(frame, [contrast], **options).to_dict("records")
    return row
