"""A full and a minimal Debian as tar archives, made once of the main archive alone, and kept."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path

from caveatlib.errors import EngineError
from caveatlib.places import cache, debian
from caveatlib.places.base import Capability
from caveatlib.places.engines import belongings
from caveatlib.places.engines.engine import Engine
from caveatlib.support import programs

BASES = {"full": (), "minimal": ("--variant=minbase",)}
"""debootstrap's options of the two Debians; without a variant it adds what is "important"."""
INCLUDE = "busybox"
EMPTIED = ("var/cache/apt/archives", "var/lib/apt/lists")
BUILD_S = 900.0
IMPORT_S = 300.0


def _build(out: Path) -> None:
    debootstrap = programs.need("debootstrap", "debootstrap")
    suite, mirror = debian.archive()
    packages = out / "packages"  # downloaded once for both
    packages.mkdir()
    for kind, options in BASES.items():
        tree = out / kind
        # In namespaces of its own, so that what it mounts and starts ends with it.
        apart = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
        settings = (f"--cache-dir={packages}", f"--include={INCLUDE}", *options)
        argv = [*apart, debootstrap, *settings, suite, str(tree), mirror]
        programs.run(argv, timeout_s=BUILD_S, what="debootstrap")
        for folder in EMPTIED:
            shutil.rmtree(tree / folder)
            (tree / folder).mkdir()
        (tree / "etc/resolv.conf").unlink(missing_ok=True)
        (tree / "etc/hostname").write_text("image\n")
        archive = str(out / f"{kind}.tar")
        argv = ["tar", "--numeric-owner", "--sort=name", "-C", str(tree), "-cf", archive, "."]
        programs.run(argv, timeout_s=BUILD_S)
        shutil.rmtree(tree)
    shutil.rmtree(packages)


def _recipe() -> dict[str, str]:
    options = {kind: " ".join(options) for kind, options in BASES.items()}
    return options | {"include": INCLUDE, "emptied": " ".join(EMPTIED)}


ARTEFACT = cache.Artefact(
    "web-bases",
    "The full and the minimal Debian of the web application's images",
    _recipe,
    _build,
    download_bytes=80_000_000,
    disk_bytes=1_000_000_000,
    needs_root=True,
)


@functools.cache
def probe() -> Capability:
    """Return whether the Debians are prepared."""
    if cache.path(ARTEFACT).is_dir():
        return Capability("web-bases", True, "a full and a minimal Debian are prepared")
    return Capability("web-bases", False, "not prepared", cache.PREPARE)


def imported(engine: Engine, kind: str) -> str:
    """Import one of the Debians into an engine and return its name there.

    Raises
    ------
    Unavailable
        If they are not prepared.
    EngineError
        If the engine refuses it.
    """
    repository = f"{belongings.REPOSITORIES}{kind}"
    archive = cache.find(ARTEFACT) / f"{kind}.tar"
    take = engine.api.import_image_from_file
    options = {"repository": repository, "tag": engine.run}
    reply = engine.call("import", take, str(archive), timeout_s=IMPORT_S, **options)
    if '"error"' in reply:
        raise EngineError(f"import: the engine refused the image {kind!r}")
    return f"{repository}:{engine.run}"
