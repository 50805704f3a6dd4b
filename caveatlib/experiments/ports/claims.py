"""What the paths of `ports` are, in words, and what they were measured under."""

from __future__ import annotations

import pandas as pd

from caveatlib.experiments.ports.site import PATHS

CLIENTS = {
    "host": "the host",
    "server": "the serving container itself",
    "neighbour": "a container on the same network",
    "stranger": "a container on another network",
    "outsider": "a machine outside",
}
TARGETS = {
    "127.0.0.1": "the host's loopback, IPv4",
    "::1": "the host's loopback, IPv6",
    "gateway": "the host's, on the container's network",
    "outside": "the host's, on its link to the outside",
    "container": "the container's own",
}
MEANINGS = {
    "loopback": "what one types on the host: localhost and the published port",
    "loopback-ipv6": "the same by IPv6; only whether it connects",
    "gateway": "the host calls itself by the bridge's address",
    "own-address": "the host calls itself by the address that others use; only whether it connects",
    "hairpin": "a container calls its neighbour by the host's address: up to the host and back",
    "self": "a container calls its own published port: the packets return to where they came from",
    "other-network": "a container calls one of another network by the host's address",
    "outside": "what users of a server do",
    "direct": "the baseline of a bridge alone: no published port on the way",
    "host-network": "the baseline of no bridge either: the server shares the host's network",
}


def paths() -> pd.DataFrame:
    """Return what each path is, in words.

    Returns
    -------
    pandas.DataFrame
        Indexed by path, in the order of `site.PATHS`: ``client`` (who calls),
        ``address`` (which one is called), ``published`` (whether its port is a
        published one; else the path is a baseline), ``meaning``.
    """
    rows = [
        {
            "path": name,
            "client": CLIENTS[path.client],
            "address": TARGETS[path.target],
            "published": path.published,
            "meaning": MEANINGS[name],
        }
        for name, path in PATHS.items()
    ]
    return pd.DataFrame(rows).set_index("path")


def controls(trials: pd.DataFrame) -> pd.DataFrame:
    """Return which congestion control the paths had, and which the machine has by default.

    Returns
    -------
    pandas.DataFrame
        Indexed by machine: ``paths_measured_under`` and ``machines_default``,
        as read back from the namespaces; empty where it was not tried.
    """
    asked = {"paths_measured_under": "reno", "machines_default": "default"}
    found = {}
    for machine, rows in trials.groupby("machine", sort=True):
        found[machine] = {
            column: "/".join(
                sorted(set(rows.loc[rows["congestion"] == name, "algorithm"].dropna()) - {""})
            )
            for column, name in asked.items()
        }
    return pd.DataFrame.from_dict(found, orient="index", columns=list(asked)).rename_axis("machine")
