"""One static program on several kernels: on the host's, in a container there, and in a guest.

The files are the same everywhere (`places.rootfs`): one busybox, which is shell, server and client,
and the page. It serves the page on loopback and fetches it, and names the kernel that it runs on.
"""

from __future__ import annotations

import re
import secrets
import socket

import pandas as pd

from caveatlib import stats
from caveatlib.claims import Reading, counted
from caveatlib.experiments.kit.sentences import listed
from caveatlib.experiments.kit.tables import per_machine
from caveatlib.frames import UNAVAILABLE
from caveatlib.places import rootfs, standard
from caveatlib.places.base import Place, Workload
from caveatlib.places.output import text_before

PLACES = {
    "host-process": standard.PROCESS,
    "host-container": standard.RUNC,
    "guest": standard.machine("microvm"),
}
HOST, _, GUEST = PLACES
NAMES = {
    "host-process": "a process of the host",
    "host-container": "a container of the host",
    "guest": "a guest",
}
ANSWER_S = 120.0
"""An emulated guest is slow to boot."""
SCRIPT = """
echo {nonce} begins; uname -r
httpd -f -p 127.0.0.1:{port} -h www & server=$!
until wget -q -O - http://127.0.0.1:{port}/index.html; do sleep 0.05; done
kill $server; echo; echo {nonce} ends
"""


def answered(place: Place) -> dict:
    """Let the program serve its page to itself; return whether it came, and on which kernel.

    Raises
    ------
    DeadlineExceeded, MeasurementError
        If the program does not come to its end.
    """
    nonce = secrets.token_hex(8)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    instance = place.create(Workload(SCRIPT.format(nonce=nonce, port=port)))
    try:
        instance.start()
        said = text_before(instance.output, f"{nonce} ends", ANSWER_S)
    finally:
        instance.remove()
    said = said.partition(f"{nonce} begins")[2].replace("\r", "")
    release = re.search(r"^(\d+\.\d+)", said.lstrip())
    return {
        "served": float(rootfs.PAGE.decode().strip() in said),
        "kernel": release[1] if release else None,
    }


def where(place: str) -> dict:
    """Return the filter of the answers in one place."""
    return {"work": "answer", "place": place}


READINGS = tuple(
    reading
    for place in PLACES
    for reading in (
        Reading(where(place), "served", optional=True, failures=True),
        Reading(where(place), "kernel", optional=True),
    )
)
"""What C32 reads of them, where they were tried."""


@per_machine
def kernels(trials: pd.DataFrame) -> pd.DataFrame:
    """Return where the same static program was run, on which kernel, and how often it served.

    Returns
    -------
    pandas.DataFrame
        Indexed by place: `kernel` (release, its first two numbers), `sessions` in which it was
        tried, `served`: those in which the page came.
    """
    told = {}
    for place in PLACES:
        rows = trials[stats.match(trials, where(place))]
        rows = rows[~rows["error"].str.startswith(UNAVAILABLE)]
        if len(rows):
            releases = sorted(set(rows.loc[rows["ok"], "kernel"].dropna()))
            served = int((rows["ok"] & (rows["served"] == 1)).sum())
            told[place] = [", ".join(releases), len(rows), served]
    columns = ["kernel", "sessions", "served"]
    return pd.DataFrame.from_dict(told, orient="index", columns=columns).rename_axis("place")


def failing(here: pd.DataFrame) -> list[str]:
    """Return the places of one machine in which the program does not run.

    A kernel runs it or does not. So a session that failed beside others in which the page came is
    one that failed for another reason (e.g. a guest that hung while it booted); an answer that
    is not the page is none.
    """
    found = []
    for place, row in kernels(here).iterrows():
        wrong = here[stats.match(here, where(str(place)))]
        if not row["served"] or (wrong["ok"] & (wrong["served"] == 0)).any():
            found.append(str(place))
    return found


def told(here: pd.DataFrame) -> str:
    """Say in which places of one machine it ran, on which kernel; "" if it was tried in none."""
    table = kernels(here)
    parts = [
        f"{NAMES[str(place)]}{f' (Linux {row.kernel})' if row.kernel else ''} in "
        f"{row.served} of {counted(row.sessions, 'session')}"
        for place, row in table.iterrows()
    ]
    if not parts:
        return ""
    said = f" The same files served their page as {listed(parts)}."
    releases = table["kernel"].to_dict()
    if releases.get(GUEST) and releases[GUEST] == releases.get(HOST):
        said += " The guest's kernel is the host's release, so no other kernel was tried."
    return said
