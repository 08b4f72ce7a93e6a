"""Label maps to compare: painted from the instances of a pairing, or read from two folders of PNG files."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..datasets import masks
from ..datasets.errors import InputError
from ..datasets.images import load_labels
from ..datasets.schema import listed
from .coco_eval import Objects
from .pairing import Pairing
from .semantic_eval import SemanticMetrics, SemanticResult

BACKGROUND = "(background)"
IGNORE = 65535  # in painted maps: pixels of crowd regions
_MOST_LABELS = 256  # of PNG files


def label_maps(objects: Objects, sizes: Sequence[tuple[int, int]], photo: int, categories: int) -> np.ndarray:
    """uint16 (h, w), the labels of one photo: 0 background, c + 1 for category c, ``categories`` + 1 for category -1,
    65535 for crowd regions. Smaller instances lie over larger ones, all over crowd regions. Objects need masks."""
    return _paint(objects, np.flatnonzero(objects.image == photo), sizes[photo], categories)


def _paint(objects: Objects, rows: np.ndarray, size: tuple[int, int], categories: int) -> np.ndarray:
    labels = np.zeros(size, np.uint16)
    rles = {int(i): objects.rle[i] for i in rows}
    for i in sorted(rles, key=lambda i: (not objects.crowd[i], -masks.area(rles[i]))):
        category = int(objects.category[i])
        label = IGNORE if objects.crowd[i] else category + 1 if category >= 0 else categories + 1
        labels[masks.decode(rles[i]).view(bool)] = label
    return labels


def semantic_from_pairing(pairing: Pairing, *, score_thr: float = 0.5, boundary_px: int | None = 3) -> SemanticResult:
    """The instances of a pairing as label maps: what a pixel is, whatever instance it belongs to.

    Classes are the background and the truth's categories; both sides are painted by the same rule (``label_maps``).
    Detections below ``score_thr`` are left out (a detector's many weak guesses would cover the photo), those of a
    category that the truth does not know are wrong wherever they lie. Photos without predictions are all background.
    Raises InputError where one side has no masks.
    """
    if not pairing.masked:
        side = "truth" if pairing.truth.rle is None else "predictions"
        raise InputError(f"semantic metrics need masks, but not every instance of the {side} has one.")
    k = len(pairing.categories)
    metrics = SemanticMetrics((BACKGROUND, *pairing.categories), ignore_index=IGNORE, boundary_px=boundary_px)
    weak = pairing.detections.score < score_thr
    rows = [_by_photo(pairing.truth.image, len(pairing.images))]
    rows += [_by_photo(np.where(weak, -1, pairing.detections.image), len(pairing.images))]
    for size, true, found in zip(pairing.sizes, *rows, strict=True):
        truth = _paint(pairing.truth, true, size, k)
        metrics.update(_paint(pairing.detections, found, size, k), truth)
    notes = (
        [f"Label maps: {int(weak.sum()):,} detections below the score {score_thr:g} left out."] if weak.any() else []
    )
    return replace(metrics.compute(), notes=notes)


def _by_photo(image: np.ndarray, photos: int) -> list[np.ndarray]:
    """Rows of every photo; -1 is none."""
    order = np.argsort(image, kind="stable")
    return np.split(order, np.searchsorted(image[order], np.arange(photos + 1)))[1:-1]


def semantic_from_folders(
    truth_dir: str | Path,
    pred_dir: str | Path,
    *,
    classes: Sequence[str] | None = None,
    ignore_index: int | None = 255,
    background: int | None = 0,
    boundary_px: int | None = 3,
) -> SemanticResult:
    """Two folders of label maps: PNG files (8 or 16 bit grey, or a palette), matched by their path within the folder.

    classes: the names of labels 0..K - 1; by default the labels that occur, by their numbers (at most 256). background:
    the label that is no product, for ``foreground_iou``; None where there is none. Raises InputError for a folder
    without PNG files, a truth without its prediction, maps of two sizes, colours, and labels outside the classes.
    Predictions without a truth are noted.
    """
    truth_dir, pred_dir = Path(truth_dir), Path(pred_dir)
    truth, pred = _pngs(truth_dir), _pngs(pred_dir)
    if lacking := [name for name in truth if name not in pred]:
        raise InputError(
            f"{pred_dir}: no prediction for {len(lacking):,} of the {len(truth):,} label maps of {truth_dir} "
            f"({listed(lacking, 3)}); expected a PNG file of the same name for each."
        )
    metrics = SemanticMetrics(
        [str(i) for i in range(_MOST_LABELS)] if classes is None else classes,
        ignore_index=ignore_index,
        background=background,
        boundary_px=boundary_px,
    )
    for name, path in truth.items():
        maps = load_labels(pred[name]), load_labels(path)
        try:
            metrics.update(*maps)
        except InputError as error:
            raise InputError(f"{path} and {pred[name]}: {error}.") from error
    found = metrics.compute() if classes is not None else _occurring(metrics.compute())
    extra = len(pred) - len(truth)
    notes = [f"{extra:,} label map{'s' if extra > 1 else ''} of {pred_dir} without a truth took no part."]
    return replace(found, notes=notes if extra else [])


def _pngs(folder: Path) -> dict[str, Path]:
    """Path within the folder, without suffix -> file; hidden files left out."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected one of label maps (PNG files).")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() == ".png")
    names = {path.relative_to(folder): path for path in paths}
    found = {
        name.with_suffix("").as_posix(): path
        for name, path in names.items()
        if not any(part.startswith(".") for part in name.parts)
    }
    if not found:
        raise InputError(f"{folder}: holds no PNG files; expected label maps.")
    return found


def _occurring(result: SemanticResult) -> SemanticResult:
    """Without the classes that neither truth nor prediction holds; no figure changes."""
    k = len(result.classes)
    kept = np.flatnonzero(result.confusion.sum(axis=1) + result.confusion.sum(axis=0)[:k])
    return replace(
        result,
        classes=tuple(result.classes[i] for i in kept),
        iou=result.iou[kept],
        accuracy=result.accuracy[kept],
        boundary_f=result.boundary_f[kept],
        confusion=result.confusion[np.ix_(kept, np.r_[kept, k])],
        table=result.table[:, np.r_[(np.arange(5)[:, None] * k + kept).ravel(), 5 * k, 5 * k + 1]],
    )
