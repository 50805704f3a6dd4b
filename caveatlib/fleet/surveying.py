"""Images read on a cluster: a task per image's documents, per distinct layer, and per image.

Layers stay on the workers and are handed from one to the other; what comes back is a row and
two short frames per image. Dask runs the tasks of a lost worker again, which is safe: reading
an image changes nothing. Only so many images are in the cluster at a time that neither the
scheduler nor a worker holds them all.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import IO

from caveatlib.fleet.connecting import answering, connected, hosts
from caveatlib.images import surveying as steps
from caveatlib.images.limits import DEFAULTS, Limits
from caveatlib.images.surveying import Finished, Planned, Survey, Tally
from caveatlib.support.paths import storage_error

AT_ONCE = 500
"""Images in the cluster at a time, at least: enough that workers do not wait for a client that is
at work, and few enough that the scheduler does not hold a million of them."""


def survey(
    client,
    sources: str | os.PathLike | Sequence[str | os.PathLike],
    *,
    platform: str | None = None,
    limits: Limits = DEFAULTS,
    progress: bool = True,
) -> Survey:
    """Read many images on the workers of a cluster; each distinct layer is read once.

    Folders and archives are read where the workers are, so that they must be there by the
    same path; a registry must answer from there.

    Parameters
    ----------
    client : distributed.Client
    sources, platform, limits, progress
        As for `caveatlib.images.survey`, which does the same without a cluster.

    Returns
    -------
    Survey
        An image that cannot be read is a row with the reason.

    Raises
    ------
    UsageError
        If a source is none.
    Unavailable, DeadlineExceeded
        If there is no worker, or one has another version of caveatlib; if the scheduler ends;
        if a registry does not list its images.
    StorageError
        If there is no room for the images' documents in the folder for temporary files, or a
        folder of sources cannot be read.
    """
    from tqdm.auto import tqdm

    hosts(client)  # of the same version, or none is asked
    references = steps.expand(sources, limits)
    tally, uses = Tally(), Counter()
    with (
        tempfile.TemporaryFile(prefix="caveatlib-survey-") as planned,
        tqdm(total=len(references), desc="images", disable=not progress) as bar,
    ):
        for image in _planned(client, references, platform, limits):
            uses.update(image.layer_keys())
            _keep(image, planned)
        planned.seek(0)
        images = (pickle.load(planned) for _ in references)
        for number, found in _finished(client, images, uses, limits):
            tally.add(number, found)
            bar.update()
    return tally.survey()


def _keep(image: Planned, file: IO[bytes]) -> None:
    """Write an image down until it is its turn; a million of them have no room in memory."""
    try:
        pickle.dump(image, file, pickle.HIGHEST_PROTOCOL)
        file.flush()
    except OSError as error:
        raise storage_error("write to", tempfile.gettempdir(), error) from None


def _at_once(client) -> int:
    """Return how many images are in the cluster at a time: two for each thread of a large one."""
    return max(AT_ONCE, 2 * sum(answering(client).values()))


def _planned(client, references, platform, limits) -> Iterator[Planned]:
    """Yield the images by their documents, in their order."""
    from distributed import as_completed

    step = _at_once(client)
    for start in range(0, len(references), step):
        part = references[start : start + step]
        with connected(client):
            futures = [client.submit(steps.plan, r, platform, limits, pure=False) for r in part]
        found = dict(_results(client, as_completed(futures, loop=client.loop)))
        for reference, future in zip(part, futures, strict=True):
            one = found[future]
            yield one if isinstance(one, Planned) else Planned(reference, error=_told(one))


def _finished(
    client, images: Iterator[Planned], uses: Counter, limits: Limits
) -> Iterator[tuple[int, Finished]]:
    """Yield each image as it is read with its number, in whatever order."""
    from distributed import as_completed

    layers: dict[str, object] = {}
    waiting: dict[object, tuple[int, Planned]] = {}
    left = enumerate(images)
    done = as_completed([], loop=client.loop)

    def submit() -> bool:
        number, image = next(left, (0, None))
        if image is None:
            return False
        scans = []
        with connected(client):
            for key, part in zip(image.layer_keys(), image.parts, strict=True):
                if key not in layers:
                    name = f"caveatlib-layer-{hashlib.sha256(key.encode()).hexdigest()}"
                    layers[key] = client.submit(steps.scan, image, part, limits, key=name)
                scans.append(layers[key])
            future = client.submit(steps.finish, image, scans, limits, pure=False)
        waiting[future] = number, image
        done.add(future)
        return True

    for _ in range(_at_once(client)):
        if not submit():
            break
    for future, one in _results(client, done):
        number, image = waiting.pop(future)
        lost = not isinstance(one, Finished)
        yield number, steps.failed_row(image.reference, _told(one)) if lost else one
        for key in image.layer_keys():
            uses[key] -= 1
            if not uses[key]:
                del uses[key], layers[key]  # no worker needs to keep it any longer
        submit()


def _results(client, ended) -> Iterator[tuple[object, object]]:
    """Yield each task that ends with its result, or with the exception that it ended with.

    Those that have ended are asked for together: one by one each would be a round trip. Not by
    `as_completed` itself, which waits without end for a result that it fails to fetch.

    Raises
    ------
    Unavailable
        If the scheduler was lost: no image that is left will be read.
    """
    for batch in ended.batches():
        with connected(client, batch):
            found = client.gather(dict(enumerate(batch)), errors="skip")
        for number, future in enumerate(batch):
            yield future, future.exception() if found[number] is None else found[number]


def _told(error: object) -> str:
    """Return why a task has no result: an error of ours, or a worker that was lost too often."""
    return f"{type(error).__name__}: {error}"
