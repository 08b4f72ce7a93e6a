"""The extraction core: photos in, journal records out. `extract` and `annotate` are two faces of it."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..datasets.errors import InputError
from ..datasets.images import list_images
from ..datasets.paths import file_name_defect
from .decode_ahead import DecodeAhead
from .extraction_log import Journal, PhotoError, Record, pack_embedding
from .progress import Progress

if TYPE_CHECKING:
    from ..attributes.predictor import Predictor
    from ..attributes.results import Items
    from .given_masks import GivenMasks

BATCH_PX = 64_000_000  # a batch ends early at so many pixels: sixteen phone photos at once would be half a gigabyte
FAILURES_IN_A_ROW = 64  # photos the model may fail on one after the other before the run is given up


class OutsideError(InputError):
    """A photo that does not lie under the folder its file name should start from."""


@dataclass(frozen=True)
class Photo:
    """A photo on disk. path: absolute. file_name: relative to the scanned root, with "/". size in bytes."""

    path: Path
    file_name: str
    size: int
    mtime_ns: int


@dataclass
class Scan:
    """What was found. photos and errors (file_name, why) are sorted by file_name; root: what file_names start from."""

    root: Path
    photos: list[Photo] = field(default_factory=list)
    errors: list[tuple[str, PhotoError]] = field(default_factory=list)


def scan(paths: Sequence[Path], root: Path | None = None) -> Scan:
    """The photos under `paths`: folders recursively by suffix, named files whatever their suffix.

    root: what file names are relative to; by default the folder given, or the common parent of several. Raises
    InputError for no paths, a missing one or a folder without photos, OutsideError for a photo outside `root`.
    """
    if not paths:
        raise InputError("no photos named; expected one or more folders or image files.")
    files = {Path(os.path.abspath(path)) for path in list_images(paths)}
    if root is None:
        folders = [path if path.is_dir() else path.parent for path in paths]
        root = Path(os.path.commonpath([os.path.abspath(folder) for folder in folders]))
    found = Scan(root)
    for path in files:
        try:
            name = path.relative_to(root).as_posix()
        except ValueError as error:
            raise OutsideError(f"{path}: lies outside {root}, the folder that file names start from.") from error
        try:
            name.encode()
        except UnicodeEncodeError:
            name = name.encode(errors="surrogateescape").decode(errors="backslashreplace")
            found.errors.append((name, PhotoError("name", "the file name is not UTF-8; rename the file")))
            continue
        if defect := file_name_defect(name):
            found.errors.append((name, PhotoError("name", f"the file name {defect} for COCO readers; rename the file")))
            continue
        try:
            stat = path.stat()
        except OSError as error:
            found.errors.append((name, PhotoError("photo", f"cannot be read: {error.strerror}")))
            continue
        found.photos.append(Photo(path, name, stat.st_size, stat.st_mtime_ns))
    found.photos.sort(key=lambda photo: photo.file_name)
    found.errors.sort(key=lambda pair: pair[0])
    return found


def process(
    photos: Sequence[Photo],
    predictor: Predictor,
    journal: Journal,
    *,
    batch_size: int,
    what: str = "extract",
    masks: GivenMasks | None = None,
) -> None:
    """Run the model over the photos that the journal lacks, in order, and write each batch to the journal.

    masks: describe these instead of what the model's segmenter finds. Photos are decoded ahead in threads and records
    written beside the model. A photo that cannot be decoded, that its masks do not fit or that the model fails on gets a
    record with its error. Raises InputError when the journal cannot be written.
    """
    if batch_size < 1:
        raise InputError(f"--batch-size {batch_size}: expected a whole number of at least 1.")
    todo = _to_do(photos, journal)
    category_ids = {name: number for number, name in enumerate(predictor.categories, start=1)}
    decoder = DecodeAhead(list(todo), ahead=max(8, 2 * batch_size))

    def write(batch: list[tuple[Photo, Items | PhotoError]]) -> None:
        records = [_record(photo, outcome, category_ids) for photo, outcome in batch]
        journal.append(records)
        progress.advance(len(records), sum(record.error is not None for record in records))

    def read(batch: list[tuple[Photo, np.ndarray]]) -> list[Items]:
        images = [image for _, image in batch]
        if masks is None:
            return predictor(images)
        found = predictor.describe(images, [masks.segments(photo.file_name, image) for photo, image in batch])
        for item in (item for items in found for item in items):
            item.score = item.category_prob  # nothing was found that could be more or less certain
        return found

    failures = _FailuresInARow(max(FAILURES_IN_A_ROW, 2 * batch_size))
    with (
        Progress(len(todo), what=what) as progress,
        closing(iter(decoder)) as decoded,
        ThreadPoolExecutor(1, thread_name_prefix="journal") as writer,
    ):
        pending: deque[Future] = deque()
        try:
            for batch in _batches(decoded, batch_size):
                found = iter(_predict(read, [(todo[path], got) for path, got in batch if isinstance(got, np.ndarray)]))
                outcomes = [
                    (todo[path], next(found) if isinstance(got, np.ndarray) else _decode_error(path, got))
                    for path, got in batch
                ]
                failures.count(outcomes)
                pending.append(writer.submit(write, outcomes))
                while len(pending) > 4:
                    pending.popleft().result()
        finally:
            for future in pending:  # what the model has done is kept, also when the user stops the run
                future.result()


def _to_do(photos: Sequence[Photo], journal: Journal) -> dict[Path, Photo]:
    """The photos still to do, those that failed before last: the batches of the others stay what they were."""
    todo = [photo for photo in photos if not journal.has(str(photo.path), photo.size, photo.mtime_ns)]
    todo.sort(key=lambda photo: journal.error(str(photo.path)) is not None)
    return {photo.path: photo for photo in todo}


class _FailuresInARow:
    """Ends a run whose model has stopped working (a lost GPU), before it writes off the whole catalog."""

    def __init__(self, limit: int):
        self._limit, self._row = limit, 0

    def count(self, outcomes: list[tuple[Photo, Items | PhotoError]]) -> None:
        for photo, outcome in outcomes:
            if not isinstance(outcome, PhotoError):
                self._row = 0
            elif outcome.kind == "model":
                self._row += 1
            if self._row >= self._limit:
                raise InputError(
                    f"the model failed on {self._row} photos in a row, the last one {photo.file_name} "
                    f"({outcome.message}); what was done before is kept: mend that and start the same command again."
                )


def _batches(
    decoded: Iterator[tuple[Path, np.ndarray | Exception]], batch_size: int
) -> Iterator[list[tuple[Path, np.ndarray | Exception]]]:
    """Consecutive photos, broken ones included: where a batch ends depends on the photos alone."""
    batch, batch_px = [], 0
    for path, image in decoded:
        batch.append((path, image))
        batch_px += image.shape[0] * image.shape[1] if isinstance(image, np.ndarray) else 0
        if len(batch) == batch_size or batch_px >= BATCH_PX:
            yield batch
            batch, batch_px = [], 0
    if batch:
        yield batch


def _predict(
    read: Callable[[list[tuple[Photo, np.ndarray]]], list[Items]], batch: list[tuple[Photo, np.ndarray]]
) -> list[Items | PhotoError]:
    """One outcome a photo. A batch that fails is tried photo by photo, so that one photo cannot take others along."""
    if not batch:
        return []
    try:
        results = list(read(batch))
        if len(results) != len(batch):
            raise RuntimeError(f"the model gave {len(results)} results for {len(batch)} photos")
        return results
    except Exception as error:  # CUDA out of memory, a bug on an odd photo: never the end of the run
        if len(batch) == 1:
            if isinstance(error, InputError):
                return [PhotoError("photo", str(error))]
            return [PhotoError("model", f"{type(error).__name__}: {error}")]
    return [outcome for one in batch for outcome in _predict(read, [one])]


def _decode_error(path: Path, error: Exception) -> PhotoError:
    if isinstance(error, InputError):
        message = str(error)
    elif isinstance(error, OSError):
        message = f"cannot be read: {error.strerror or error}"
    else:
        message = f"cannot be decoded: {type(error).__name__}: {error}"
    # The line in errors.jsonl names the file already; an absolute path in front of the reason would only hide it.
    return PhotoError("photo", message.removeprefix(f"{path}: "))


def _record(photo: Photo, outcome: Items | PhotoError, category_ids: dict[str, int]) -> Record:
    record = Record(str(photo.path), photo.size, photo.mtime_ns)
    if isinstance(outcome, PhotoError):
        record.error = outcome
        return record
    try:
        record.items = [item.to_annotation(0, 0, category_ids[item.category]) for item in outcome]
        if all(item.embedding is not None for item in outcome):
            record.embeddings = [pack_embedding(item.embedding) for item in outcome]
    except Exception as error:
        failure = PhotoError("model", f"{type(error).__name__}: {error}")
        return Record(record.file, record.size, record.mtime_ns, error=failure)
    record.width, record.height = outcome.width, outcome.height
    return record
