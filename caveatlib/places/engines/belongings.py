"""What is ours on an engine: labels, the busybox image, and removing just that."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping

from caveatlib.errors import EngineError, Unavailable
from caveatlib.places import rootfs
from caveatlib.places.engines import answers
from caveatlib.places.engines.connection import CALL_S, Connection
from caveatlib.support import processes

LABEL, RUN_LABEL, OWNER_LABEL = "caveatlib", "caveatlib.run", "caveatlib.owner"
MACHINE_LABEL = "caveatlib.machine"
# Containers inherit their image's labels, so an image has labels of its own: a
# container that somebody else makes from it must not look like ours.
IMAGE_PREFIX = "caveatlib.image"
REPOSITORIES = "caveatlib/"
"""Every image that we make is tagged ``caveatlib/<what>:<run>``."""
PULL_FIX = "docker pull busybox"


def labels(run: str) -> dict[str, str]:
    """Return the labels of everything that one run makes."""
    made = {LABEL: "1", RUN_LABEL: run, OWNER_LABEL: processes.owner_token()}
    machine = processes.machine()
    return made | ({MACHINE_LABEL: machine} if machine else {})


def image_labels(run: str) -> dict[str, str]:
    """Return the labels of every image that one run makes."""
    return {IMAGE_PREFIX + name.removeprefix(LABEL): value for name, value in labels(run).items()}


def is_orphaned(found: Mapping[str, str]) -> bool:
    """Return whether labels name an owner of this machine, and it is dead.

    Several machines may share an engine: an owner elsewhere cannot be judged from here.
    """
    owner = found.get(OWNER_LABEL)
    return owner is not None and _is_of_this_machine(found) and not processes.owner_alive(owner)


def is_undecided(found: Mapping[str, str]) -> bool:
    """Return whether labels name an owner that may be another machine's."""
    return OWNER_LABEL in found and not _is_of_this_machine(found)


def _is_of_this_machine(found: Mapping[str, str]) -> bool:
    made_on, here = found.get(MACHINE_LABEL), processes.machine()
    if made_on and here:
        return made_on == here
    # One of the two has no id, or a version made this that did not tell: a boot is one machine's.
    return processes.of_this_boot(found[OWNER_LABEL])


def labelled(engine: Connection, kind: str, **options) -> list[dict]:
    """Return an engine's entries with our label.

    Parameters
    ----------
    kind : {"containers", "networks"}
    options
        As docker-py's function of that name takes them.
    """
    listing = getattr(engine.api, kind)
    found = engine.call(kind, listing, filters={"label": f"{LABEL}=1"}, **options)
    # Asked again here: an engine that ignores the filter must not lose anything.
    return [thing for thing in answers.as_list(found) if _labels(thing).get(LABEL) == "1"]


def remove(engine: Connection, is_ours: Callable[[Mapping[str, str]], bool]) -> list[str]:
    """Remove containers, networks and images with our label that a function picks.

    Parameters
    ----------
    is_ours : callable
        Says, for the labels of a thing, whether it goes.

    Returns
    -------
    removed : list of str
        ``"container 1f2e3d4c5b6a"``, one for each thing removed.
    """
    removed = []
    networks = labelled(engine, "networks")
    for thing in labelled(engine, "containers", all=True):
        if is_ours(_labels(thing)):
            remove_container(engine, answers.text(thing, "Id"))
            removed.append(f"container {thing['Id'][:12]}")
    for thing in networks:
        if is_ours(_labels(thing)):
            engine.call("network", engine.api.remove_network, answers.text(thing, "Id"))
            removed.append(f"network {thing['Id'][:12]}")
    return removed + _remove_images(engine, is_ours)


def sweep(engine: Connection) -> list[str]:
    """Remove from an engine what runs of dead owners left on it; return as `remove` does."""
    return remove(engine, is_orphaned)


def undecided(engine: Connection) -> list[str]:
    """Return what a sweep leaves on an engine as it may be another machine's; as `remove` does."""
    found = [("container", thing) for thing in labelled(engine, "containers", all=True)]
    found += [("network", thing) for thing in labelled(engine, "networks")]
    named = [
        f"{kind} {answers.text(thing, 'Id')[:12]}"
        for kind, thing in found
        if is_undecided(_labels(thing))
    ]
    images = [thing for thing, labels in _images(engine) if is_undecided(labels)]
    return named + [f"image {_short(thing)}" for thing in images]


def remove_container(engine: Connection, container: str, *, timeout_s: float = CALL_S) -> None:
    """End and remove a container; one that is gone already is not an error."""
    remove = engine.api.remove_container
    with answers.ignoring(404, 409):  # 409: its removal is under way
        engine.call("remove", remove, container, force=True, v=True, timeout_s=timeout_s)


def image(engine: Connection) -> str:
    """Return the name of a busybox image: ours, or one that the engine has.

    Raises
    ------
    Unavailable
        If neither can be had.
    """
    info = engine.info()
    ours = platform.system().lower(), platform.machine()
    if rootfs.probe().available and (info.get("OSType"), info.get("Architecture")) == ours:
        return _import(engine)
    found = answers.as_list(engine.call("images", engine.api.images, name="busybox"))
    for thing in found:
        for tag in thing.get("RepoTags") or []:
            if isinstance(tag, str) and tag.startswith("busybox:"):
                return tag
    raise Unavailable(f"No busybox image for this engine. Mend it with: {PULL_FIX}")


def _import(engine: Connection) -> str:
    # Named for the run, so that no other run's clean-up can take it away.
    changes = " ".join(f"{name}={value}" for name, value in image_labels(engine.run).items())
    said = engine.call(
        "import",
        engine.api.import_image_from_data,
        rootfs.image_tar(),
        repository=f"{REPOSITORIES}busybox",
        tag=engine.run,
        changes=[f"LABEL {changes}"],
    )
    # {"status":"sha256:1f2e..."} or {"errorDetail":{...},"error":"..."}
    if '"error"' in said:
        raise EngineError("import: the engine refused the busybox image")
    return f"{REPOSITORIES}busybox:{engine.run}"


def _remove_images(engine: Connection, is_ours: Callable[[Mapping[str, str]], bool]) -> list[str]:
    removed = []
    for thing, found in _images(engine):
        # By the names that were given here: any other name of it stays.
        names = [name for name in thing.get("RepoTags") or [] if name != "<none>:<none>"]
        if not names and is_ours(found):  # one whose name a later build took
            with answers.ignoring(404, 409):
                engine.call("image", engine.api.remove_image, answers.text(thing, "Id"))
                removed.append(f"image {_short(thing)}")
        for name in names:
            ours = name.startswith(REPOSITORIES) and name.endswith(f":{found.get(RUN_LABEL)}")
            if ours and is_ours(found):
                with answers.ignoring(409):  # somebody else's container uses it
                    engine.call("image", engine.api.remove_image, name)
                    removed.append(f"image {name}")
    return removed


def _images(engine: Connection) -> Iterator[tuple[dict, dict[str, str]]]:
    """Yield an engine's images with our label, and its labels as those of other things."""
    label = {"label": f"{IMAGE_PREFIX}=1"}
    for thing in answers.as_list(engine.call("images", engine.api.images, filters=label)):
        yield (
            thing,
            {
                LABEL + name.removeprefix(IMAGE_PREFIX): value
                for name, value in _labels(thing).items()
                if name.startswith(IMAGE_PREFIX)
            },
        )


def _short(image: dict) -> str:
    return answers.text(image, "Id").removeprefix("sha256:")[:12]


def _labels(thing: dict) -> dict[str, str]:
    found = thing.get("Labels")
    labels = found if isinstance(found, dict) else {}
    return {name: value for name, value in labels.items() if isinstance(value, str)}
