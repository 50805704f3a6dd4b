"""The claims of `layers`, and what decides each."""

from __future__ import annotations

from caveatlib.claims import Claim, from_ledger
from caveatlib.experiments.layers.designs import LINKS, on_link

NAME = "layers"
MOSTLY = 0.5
"""What "most" means (ours): more than this share."""
COUNTED = {
    "setuid_files": "setuid files",
    "shells": "shells",
    "executables": "executables",
    "packages": "packages",
}
"""What an attacker would look for in an image, and its column."""
PULLED = {
    "even": "an image of eight even layers",
    "one": "an image with most of its bytes in one layer",
    "base": "an image whose base layer is there already",
}
_CONTROL = (
    "the A/A control is the pull of the image with most of its bytes in one layer, over this link"
)

PLANTED = Claim(
    "layers-planted-shell",
    "a script in the place of /bin/sh is found by reading the image",
    "ours",
    "a script planted as /bin/sh of the minimal Debian image is found, and before that nothing is",
    NAME,
)
MOVING = from_ledger(
    "C22",
    decides="seconds per GB of files to pull an image over those to fetch a gzipped disk, ratio "
    "below 1 on every link: for a whole image, in even layers or in one, and for one whose base "
    "layer (seven eighths) is there, against a whole disk and against a qcow2 on a base that is "
    "there; the disk holds the same files, no operating system, unpacked by zlib; both are flushed "
    "to the host's disk",
)
PUBLISHED = Claim(
    "layers-published",
    "an image of a distribution is less to move than a virtual machine of it that others publish",
    "ours",
    "bytes sent over the link, image below machine, for one published Alpine; the image holds the "
    "root file system of that machine without kernel, modules and firmware, in one layer packed by "
    "the engine; the machine is a compressed qcow2, kernel, initial RAM file system",
    NAME,
)
AGAINST_DISK = {
    (link, what): Claim(
        f"C22/{link}/{what}",
        f"{image} is moved faster than a gzipped disk of the same files {on_link(link)}",
        "derived",
        "seconds per GB of files to pull the image over those to fetch the gzipped disk, ratio "
        f"below 1; {_CONTROL}",
        NAME,
    )
    for link in LINKS
    for what, image in PULLED.items()
}
ON_BASES = {
    link: Claim(
        f"C22/{link}/both",
        "an image whose base layer is there is moved faster than a disk whose base is there "
        f"{on_link(link)}",
        "derived",
        "seconds per GB of files to pull the image over those to fetch a gzipped qcow2 that holds "
        f"what is not on its base, ratio below 1; {_CONTROL}",
        NAME,
    )
    for link in LINKS
}
NEVER_OPENED = Claim(
    "layers-opened",
    "most of the bytes of a full Debian are in files that a small web server never opens",
    "ours",
    decides="share of the bytes of one image of our making, a small web server on a full "
    f"Debian, in files that are opened while it serves one page, below {MOSTLY:g} (ours)",
    experiment=NAME,
)
SIZE = Claim(
    "layers-size",
    "most of the time of a pull grows with the bytes of the image",
    "ours",
    decides="share of the time of a pull (of the largest image measured, where it is greatest) "
    f"that grows with its bytes, above {MOSTLY:g} (ours) on every link; how long the container "
    "then takes to start is not measured",
    experiment=NAME,
)
GROWS = {
    link: Claim(
        f"{SIZE.id}/{link}",
        f"most of the time of a pull grows with the bytes of the image {on_link(link)}",
        "derived",
        "share of the time of a pull, of the largest image measured, that grows with its bytes, "
        f"above {MOSTLY:g} (ours)",
        NAME,
    )
    for link in LINKS
}
SURFACE = Claim(
    "layers-surface",
    "a web server on a full Debian has more around it than on nothing",
    "ours",
    decides="the full Debian image has more setuid files, shells, executables and packages than "
    "the one on scratch (counts, not attacks; that scratch has fewer than a Debian is no surprise, "
    "how many fewer is what is shown)",
    experiment=NAME,
)
OWNED = Claim(
    "layers-owned",
    "packages own most of the bytes of Debians that were made of packages",
    "ours",
    decides=f"packages own more than {MOSTLY:g} (ours) of the bytes of both Debians, which were "
    "made of packages: it shows what their databases account for",
    experiment=NAME,
)
STATIC = from_ledger(
    "C32",
    decides="a static program on an image with nothing else serves its page; so do the same files, "
    "where that was tried, as a process and as a container of the host, and in a guest with a "
    "kernel of its own",
)
CLAIMS = (
    PLANTED,
    MOVING,
    *AGAINST_DISK.values(),
    *ON_BASES.values(),
    PUBLISHED,
    SIZE,
    *GROWS.values(),
    NEVER_OPENED,
    SURFACE,
    OWNED,
    STATIC,
)
