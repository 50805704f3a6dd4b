"""What `defaults` compares: a container as Docker starts it, and one with something otherwise."""

from __future__ import annotations

from caveatlib.measuring.designs import Arm, Design

DOCKER, USERNS, APPARMOR_OFF, GUEST = "docker", "docker-userns", "docker-apparmor-off", "guest"
"""An engine; one with user namespaces; one where the kernel has AppArmor; guests that have it."""
IPVS_GUEST, QUOTA_GUEST = "guest-ipvs", "guest-quotas"
"""Guests whose kernel has IPVS, or a disk with project quotas."""

PROBE, CALLS, LOG = "probe", "calls", "log"
NETWORK, CLOSE, REAP, NAMES = "network", "close", "reap", "names"
SERVICE, ROOM = "service", "room"
TASKS = (PROBE, CALLS, LOG, NETWORK, CLOSE, REAP, NAMES, SERVICE, ROOM)

DEFAULTS, PRIVILEGED, NO_CONTAINER = "defaults", "privileged", "no-container"
WITHOUT_FILTER, WITHOUT_APPARMOR = "without-filter", "without-apparmor"
APPARMOR_ONLY = "apparmor-only"
ALL_CAPABILITIES, CAP_ADD_ALL = "all-capabilities", "cap-add-all"
NEITHER, UNMASKED, ALL_DEVICES = "neither-filter-nor-capabilities", "unmasked", "all-devices"
ALL_OFF, NO_NEW = "all-off", "no-new-privileges"
LOCAL_LOG, NO_LOG = "local-log", "no-log"
HOST_NETWORK, NAMED_NETWORK = "host-network", "named-network"
PACKAGED_FILES, FEW_FILES, INIT = "packaged-files", "few-files", "init"
WITHOUT_IPVS, SIZE, WITHOUT_QUOTAS = "without-ipvs", "size", "size-without-quotas"

PROBED = (
    DEFAULTS,
    WITHOUT_FILTER,
    ALL_CAPABILITIES,
    CAP_ADD_ALL,
    NEITHER,
    UNMASKED,
    ALL_DEVICES,
    ALL_OFF,
    NO_NEW,
    PRIVILEGED,
    NO_CONTAINER,
)
GUEST_PROBED = (DEFAULTS, WITHOUT_APPARMOR, APPARMOR_ONLY, PRIVILEGED, NO_CONTAINER)
OTHERS = (LOCAL_LOG, NO_LOG, HOST_NETWORK, NAMED_NETWORK, PACKAGED_FILES, FEW_FILES, INIT)
SERVED, ROOMS = (DEFAULTS, WITHOUT_IPVS), (DEFAULTS, SIZE, WITHOUT_QUOTAS)
SETTINGS = tuple(dict.fromkeys((*PROBED, *GUEST_PROBED, *OTHERS, *SERVED, *ROOMS)))
MECHANISMS = {
    "seccomp": (DOCKER, WITHOUT_FILTER),
    "capabilities": (DOCKER, ALL_CAPABILITIES),
    "masked or read-only paths": (DOCKER, UNMASKED),
    "device list": (DOCKER, ALL_DEVICES),
    "AppArmor": (APPARMOR_OFF, WITHOUT_APPARMOR),
}
"""Mechanism -> place and setting in which it alone is off."""
LINES, LOGGED = 50_000, 1_000_000
"""Lines of `LINE_BYTES`: of one that is timed, of what fills a disk."""
LINE_BYTES = 100
"""Of a line that is logged, its end included; of `chores.c`."""
LIMIT_BYTES, ASKED_BYTES, DISK_BYTES = 4 << 20, 8 << 20, 400 << 20
"""What a folder may have, where it is limited; what is then written; the disk of both."""


def arm(
    task: str, setting: str = DEFAULTS, *, place: str = DOCKER, lines: int = 0, replicate: int = 0
) -> Arm:
    """Return an arm with all of its conditions."""
    conditions = {"task": task, "setting": setting, "lines": lines, "replicate": replicate}
    return Arm(place, conditions)


def where(task: str, setting: str = DEFAULTS, **more) -> dict[str, object]:
    """Return the filter of an arm's trials; parameters as for `arm`."""
    return arm(task, setting, **more).where()


def _compared(task: str, default: str, *others: str, **more) -> tuple[Arm, ...]:
    """Return a default, the same again, and what stands against it."""
    return (
        arm(task, default, **more),
        arm(task, default, replicate=1, **more),
        *(arm(task, other, **more) for other in others),
    )


DESIGNS = (
    Design(
        "probe",
        (
            *(arm(PROBE, setting) for setting in PROBED),
            arm(PROBE, place=USERNS),
            arm(PROBE, WITHOUT_APPARMOR, place=APPARMOR_OFF),
        ),
        block_s=7,
        every=5,
        sessions=3,
    ),
    Design("reap", (arm(REAP), arm(REAP, INIT)), block_s=2, every=5, sessions=3),
    Design("names", (arm(NAMES), arm(NAMES, NAMED_NETWORK)), block_s=5, every=5, sessions=3),
    Design(
        "calls",
        (*_compared(CALLS, DEFAULTS, WITHOUT_FILTER), arm(CALLS, place=USERNS)),
        block_s=3,
        blocks_per_session=2,
    ),
    Design(
        "log", _compared(LOG, DEFAULTS, LOCAL_LOG, NO_LOG, lines=LINES), block_s=4,
        blocks_per_session=2,
    ),
    Design("network", _compared(NETWORK, DEFAULTS, HOST_NETWORK), block_s=3, blocks_per_session=2),
    Design(
        "close", _compared(CLOSE, PACKAGED_FILES, FEW_FILES), block_s=2,
        blocks_per_session=2, optional=True,
    ),
    Design(
        "logged", tuple(arm(LOG, s, lines=LOGGED) for s in (DEFAULTS, LOCAL_LOG)), block_s=15,
        sessions=1, optional=True,
    ),
    Design(
        "guest", tuple(arm(PROBE, s, place=GUEST) for s in GUEST_PROBED), block_s=60, every=4,
        sessions=2, optional=True,
    ),
    Design(
        "guest-ipvs", tuple(arm(SERVICE, s, place=IPVS_GUEST) for s in SERVED), block_s=18,
        every=4, sessions=2, optional=True,
    ),
    Design(
        "guest-quotas", tuple(arm(ROOM, s, place=QUOTA_GUEST) for s in ROOMS), block_s=40,
        every=4, sessions=2, optional=True,
    ),
)  # fmt: skip
"""Containers are started afresh for each trial, so a block is the unit of replication; what two
engines differ in is replicated by session. Answers that are not times are asked for three times."""
