"""What one writes by hand for each keeper, to be read and counted."""

from __future__ import annotations


def _command(*words: str) -> str:
    return " \\\n    ".join(words)


_RUN = ("docker run --detach", "--network host")
_CHECK = (
    "--health-cmd 'serve ask'",
    "--health-interval 1s",
    "--health-timeout 1s",
    "--health-retries 2",
)
_CHECKED = _command(*_RUN, "--restart always", *_CHECK, "serve")
_LOOP = """while sleep 1; do
    docker ps --quiet --filter health=unhealthy |
        xargs --no-run-if-empty docker restart --time 1
done &"""
_SWARM = """docker swarm init --advertise-addr ADDRESS
docker swarm join --token TOKEN MANAGER
docker swarm join --token TOKEN MANAGER"""
_SERVICE = _command(
    "docker service create",
    "--network host",
    "--replicas 3",
    *_CHECK,
    "--stop-grace-period 1s",
    "serve",
)
CONFIGURATION = {
    "nobody": "serve &",
    "runsv": "#!/bin/sh\nexec serve\nrunsv ./serve &",
    **{
        policy: _command(*_RUN, f"--restart {policy}", "serve")
        for policy in ("on-failure", "always", "unless-stopped")
    },
    "health": _CHECKED,
    "autoheal": f"{_CHECKED}\n{_LOOP}",
    "swarm": f"{_SWARM}\n{_SERVICE}",
}
"""Keeper -> its lines. The volume, which all have alike, is left out."""
