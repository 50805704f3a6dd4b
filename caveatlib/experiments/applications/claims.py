"""The claims of `applications`, and what decides each."""

from __future__ import annotations

from caveatlib.claims import Claim, from_ledger
from caveatlib.experiments.applications.designs import FULL, LINKS, MINIMAL

NAME = "applications"
MOSTLY = 0.5
"""What "most" means (ours): more than this share."""
FACTS = 10
LEVEL = 1 - 0.05 / FACTS
"""Of an interval over applications: all facts together err in one run of twenty at most."""
COUNTED = {
    "executables": "executables",
    "packages": "packages",
    "setuid_files": "setuid files",
    "shells": "shells",
}
"""Column -> what it counts, of what an attacker would look for in an image."""
OF_THE_BASE = ("executables", "packages")
"""Columns of `COUNTED` in which the two bases differ by themselves, by about as much as the images
on them do: `layers` reads both with one program more."""
OPENED = {"opened_byte_share": "bytes", "opened_executable_share": "executables"}
"""Column -> what it is the share of."""
_BUILT = "images built from Debian's packages with apt, ten applications, each the unit"
_INTERVAL = f"{LEVEL * 100:.3g} % interval over the applications"

NEVER_OPENED = from_ledger(
    "C27",
    decides=f"{_BUILT}: share of an image on a full Debian that its application opens under a "
    "workload of its kind (pgbench, redis-benchmark, ab and so on), by bytes and by executables",
)
SHARES = {
    column: Claim(
        f"C27/{what}",
        f"most of the {what} of an application's image on a full Debian are never opened",
        "derived",
        f"{_BUILT}: share of the {what} in files that are opened under its workload, {_INTERVAL} "
        f"below {MOSTLY:g} (ours); a file counts whole, and what is opened once a year looks "
        "unnecessary",
        NAME,
    )
    for column, what in OPENED.items()
}
SIZE = from_ledger(
    "C28",
    decides=f"{_BUILT}: time from asking a registry for an image until its server accepts a "
    "connection, a full Debian with what packages recommend over a minimal one without, on links "
    "of two rates",
)
SLOWER = {
    link: Claim(
        f"C28/{link}",
        f"an application on a full Debian takes longer to deploy than on a minimal one at {link}",
        "derived",
        f"{_BUILT}: time to pull and start it, a full Debian over a minimal one, {_INTERVAL} above "
        "1; the A/A control is the minimal one again",
        NAME,
    )
    for link in LINKS
}
SURFACE = from_ledger(
    "C29",
    decides=f"{_BUILT}: counts of what an attacker would look for, on a full Debian with what "
    "packages recommend against a minimal one without (counts, not attacks)",
)
COUNTS = {
    column: Claim(
        f"C29/{what}",
        f"an application's image on a full Debian has more {what} than on a minimal one",
        "derived",
        f"{_BUILT}: number of {what} on a full Debian less that on a minimal one, {_INTERVAL} "
        "above 0",
        NAME,
    )
    for column, what in COUNTED.items()
}
USED = from_ledger(
    "C30",
    decides="share of the bytes that a package owns, in images whose makers had the choice; here "
    f"are only {_BUILT}, and so it is left open: `applications-owned` has what was measured",
)
OWNED = Claim(
    "applications-owned",
    "packages own most of the bytes of images that were installed from packages",
    "ours",
    f"{_BUILT}: share of the bytes that a package owns; that apt installed them makes it likely, "
    "how much nobody owns is what is shown",
    NAME,
)
OWNS = {
    base: Claim(
        f"{OWNED.id}/{base}",
        f"packages own most of the bytes of an application's image on a {base}",
        "ours",
        f"{_BUILT}: share of the bytes of all files that a package owns, {_INTERVAL} above "
        f"{MOSTLY:g} (ours)",
        NAME,
    )
    for base in (FULL, MINIMAL)
}
CLAIMS = (
    NEVER_OPENED,
    *SHARES.values(),
    SIZE,
    *SLOWER.values(),
    SURFACE,
    *COUNTS.values(),
    USED,
    OWNED,
    *OWNS.values(),
)
