"""What single tests need of the machine beyond what its places need: tried, as probes try it."""

import os
import subprocess
import tempfile
from functools import cache

from caveatlib.places.base import Capability
from caveatlib.places.privileges import refused

MOUNTS = ("unshare", "--mount", "--propagation", "private")
ANYBODY = ("unshare", "--user", "--map-root-user", *MOUNTS[1:])
CAGE = ("unshare", "--net", *MOUNTS[1:])
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all")


@cache
def mounts() -> Capability:
    """Return whether file systems can be mounted, in a mount namespace of one's own."""
    return _tried("mounts", *MOUNTS, "mount", "-t", "tmpfs", "t", "/mnt")


@cache
def anybodys_mounts() -> Capability:
    """Return whether the same can be done in a user namespace."""
    return _tried("anybody's mounts", *ANYBODY, "mount", "-t", "tmpfs", "t", "/mnt")


@cache
def cage() -> Capability:
    """Return whether somebody else can be run with a network and mounts of their own."""
    return _tried("cage", *CAGE, *NOBODY, "true")


@cache
def owners() -> Capability:
    """Return whether files can be given to somebody else."""
    with tempfile.NamedTemporaryFile() as file:
        try:
            os.chown(file.name, 1, 1)
        except OSError as error:
            return refused("owners", f"chown: {error.strerror}")
    return Capability("owners", True)


def _tried(name: str, *argv: str) -> Capability:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=10)
    except OSError as error:
        return refused(name, str(error))
    if done.returncode:
        return refused(name, done.stderr.strip(), needs=["CAP_SYS_ADMIN"])
    return Capability(name, True)


ALL = (mounts, anybodys_mounts, cage, owners)
