"""How good label maps are: IoU of classes, pixel accuracy, boundary F; over batches and processes."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from ..datasets.errors import InputError
from ..datasets.schema import listed
from .bootstrap import bootstrap
from .metrics import boundary_f


@dataclass(frozen=True)
class SemanticResult:
    """Figures of K classes over ``photos`` photos; NaN where there is nothing to measure.

    iou, accuracy (the share of the class's true pixels that are labelled right), boundary_f: float64 (K,); iou is NaN
    for a class that neither truth nor prediction holds, boundary_f is the mean over the photos where one of them does.
    miou, mean_boundary_f: means over the classes that have one; mean_accuracy: over the classes that occur in the
    truth; weighted_iou: IoU weighted by the true pixels. pixel_accuracy: share of all counted pixels. foreground_iou:
    all classes but the background taken as one; NaN where no class is the background. confusion: int64 (K, K + 1)
    pixels, rows truth, the last column "none of the classes". table: float64 (photos, 5 K + 2), of whose sums the
    figures are made (``semantic_statistics``). notes: sentences for the reader.
    """

    classes: tuple[str, ...]
    photos: int
    miou: float
    mean_accuracy: float
    weighted_iou: float
    pixel_accuracy: float
    foreground_iou: float
    mean_boundary_f: float
    iou: np.ndarray
    accuracy: np.ndarray
    boundary_f: np.ndarray
    confusion: np.ndarray
    table: np.ndarray
    notes: list[str] = field(default_factory=list)

    def flat(self) -> dict[str, float]:
        """``semantic/miou``, ``semantic/boundary_f``, ``semantic/category/<name>/iou`` and so on."""
        found = {"semantic/photos": self.photos, "semantic/boundary_f": self.mean_boundary_f}
        for name in ("miou", "mean_accuracy", "weighted_iou", "pixel_accuracy", "foreground_iou"):
            found[f"semantic/{name}"] = getattr(self, name)
        for k, name in enumerate(self.classes):
            for figure in ("iou", "accuracy", "boundary_f"):
                found[f"semantic/category/{name}/{figure}"] = float(getattr(self, figure)[k])
        return found


@dataclass(frozen=True)
class _Photo:
    """One photo's counts. cells, pixels: int64 (c,), the cells of the confusion matrix that are not 0. labels, edges:
    (l,), the classes that occur and the boundary F of each."""

    image_id: int | None
    cells: np.ndarray
    pixels: np.ndarray
    labels: np.ndarray
    edges: np.ndarray


class SemanticMetrics:
    """Label maps over many batches: ``update`` per photo, ``merge`` across processes, ``compute``.

    classes: the names of labels 0..K - 1. ignore_index: true pixels of this label do not count. background: the label
    that is no product, or None. boundary_px: tolerance of the boundary F, None to leave it out. It keeps some dozens of
    numbers a photo and no pixels, and can be pickled (``torch.distributed.all_gather_object``). Photos with ids count
    once however often they are seen (distributed samplers repeat some).
    """

    def __init__(
        self,
        classes: Sequence[str],
        *,
        ignore_index: int | None = 255,
        background: int | None = 0,
        boundary_px: int | None = 3,
    ):
        k = len(classes)
        if not k or len(set(classes)) != k or not (background is None or 0 <= background < k):
            raise InputError(
                f"semantic metrics of the classes {listed(list(classes)) or 'none'} with background {background}; "
                "expected at least one, each name once, and the background's label or None."
            )
        if boundary_px is not None and boundary_px < 1:
            raise InputError(f"boundary_px is {boundary_px}; expected at least 1, or None.")
        self.options = {"ignore_index": ignore_index, "background": background, "boundary_px": boundary_px}
        self.classes = tuple(classes)
        self._photos: list[_Photo] = []

    def update(self, pred: np.ndarray, truth: np.ndarray, image_id: int | None = None) -> None:
        """Add the label maps (h, w) of one photo, whole numbers.

        A predicted ``ignore_index`` or K is "none of the classes": wrong wherever the truth counts. Raises InputError
        for maps of two sizes, for other labels outside 0..K - 1, and for ids of some photos only.
        """
        pred, truth = np.asarray(pred), np.asarray(truth)
        if pred.shape != truth.shape or pred.ndim != 2 or {pred.dtype.kind, truth.dtype.kind} - set("iub"):
            raise InputError(
                f"a predicted label map {pred.shape} of {pred.dtype} and a truth {truth.shape} of {truth.dtype}; expected "
                "two of one (h, w), whole numbers"
            )
        k, ignore, tolerance_px = len(self.classes), self.options["ignore_index"], self.options["boundary_px"]
        counted = truth != ignore if ignore is not None else np.ones(truth.shape, bool)
        pred, truth = (labels.astype(np.int32, copy=False) for labels in (pred, truth))
        if ignore is not None:
            pred = np.where(pred == ignore, k, pred)
        self._check("truth", truth[counted], k - 1)
        self._check("prediction", pred[counted], k)
        pixels = np.bincount(truth[counted].astype(np.int64) * (k + 1) + pred[counted])
        cells = np.flatnonzero(pixels)
        labels = np.unique(np.concatenate(np.divmod(cells, k + 1)))
        labels = labels[labels < k] if tolerance_px is not None else labels[:0]
        edges = [_class_boundary_f(pred == label, truth == label, counted, tolerance_px) for label in labels]
        self._add(_Photo(image_id, cells, pixels[cells], labels, np.array(edges, np.float64)))

    def _check(self, side: str, labels: np.ndarray, highest: int) -> None:
        if labels.size and not (labels.min() >= 0 and labels.max() <= highest):
            raise InputError(
                f"the {side} has labels {labels.min()}..{labels.max()}; expected 0..{len(self.classes) - 1}"
                + (f" or {self.options['ignore_index']} (ignored)" if self.options["ignore_index"] is not None else "")
            )

    def _add(self, photo: _Photo) -> None:
        if self._photos and (self._photos[0].image_id is None) != (photo.image_id is None):
            raise InputError("semantic metrics: image_id of some photos only; give it for all or for none.")
        self._photos.append(photo)

    def merge(self, other: "SemanticMetrics") -> "SemanticMetrics":
        """Add what another one (another process's, say) has seen; returns self. Raises InputError for other classes or
        options."""
        if (self.classes, self.options) != (other.classes, other.options):
            raise InputError("semantic metrics with different classes or options cannot be merged; use the same.")
        for photo in other._photos:
            self._add(photo)
        return self

    def compute(self) -> SemanticResult:
        """The figures of all seen so far; the rows of ``table`` in the order of the ids, else in that seen."""
        k, photos = len(self.classes), self._photos
        if photos and photos[0].image_id is not None:
            first = {photo.image_id: photo for photo in reversed(photos)}
            photos = [first[image_id] for image_id in sorted(first)]
        table = np.array([self._row(photo) for photo in photos]).reshape(-1, 5 * k + 2)
        confusion = np.zeros(k * (k + 1), np.int64)
        for photo in photos:
            confusion[photo.cells] += photo.pixels
        sums = table.sum(axis=0)
        right, true, found, f_sum, f_count = sums[: 5 * k].reshape(5, k)
        figures = {name: float(value) for name, value in semantic_statistics(sums).items()}
        mean_boundary_f = figures.pop("boundary_f")
        with np.errstate(divide="ignore", invalid="ignore"):
            return SemanticResult(
                classes=self.classes,
                photos=len(photos),
                mean_boundary_f=mean_boundary_f,
                iou=right / (true + found - right),
                accuracy=right / true,
                boundary_f=f_sum / f_count,
                confusion=confusion.reshape(k, k + 1),
                table=table,
                **figures,
            )

    def _row(self, photo: _Photo) -> np.ndarray:
        """Per class: right, true and predicted pixels, boundary F, whether it has one; intersection and union of all
        that is not background."""
        k, background = len(self.classes), self.options["background"]
        true, found = np.divmod(photo.cells, k + 1)
        hit = true == found
        edges = np.zeros((2, k))
        edges[0, photo.labels], edges[1, photo.labels] = photo.edges, 1
        products = [] if background is None else [true != background, found != background]
        return np.concatenate(
            [
                np.bincount(true[hit], photo.pixels[hit], k),
                np.bincount(true, photo.pixels, k),
                np.bincount(found, photo.pixels, k + 1)[:k],
                *edges,
                [photo.pixels[products[0] & products[1]].sum() if products else 0],
                [photo.pixels[products[0] | products[1]].sum() if products else 0],
            ]
        )


def semantic_statistics(sums: np.ndarray) -> dict[str, np.ndarray]:
    """miou, mean_accuracy, weighted_iou, pixel_accuracy, foreground_iou, boundary_f of column sums float64
    (..., 5 K + 2) of a table: arrays (...), NaN where there is nothing to measure."""
    k = (sums.shape[-1] - 2) // 5
    right, true, found, f_sum, f_count = np.moveaxis(sums[..., : 5 * k].reshape(*sums.shape[:-1], 5, k), -2, 0)
    union = true + found - right
    with np.errstate(divide="ignore", invalid="ignore"):
        iou = right / union
        return {
            "miou": _mean(iou, union > 0),
            "mean_accuracy": _mean(right / true, true > 0),
            "weighted_iou": np.where(true > 0, true * iou, 0).sum(axis=-1) / true.sum(axis=-1),
            "pixel_accuracy": right.sum(axis=-1) / true.sum(axis=-1),
            "foreground_iou": sums[..., -2] / sums[..., -1],
            "boundary_f": _mean(f_sum / f_count, f_count > 0),
        }


def _mean(values: np.ndarray, occurs: np.ndarray) -> np.ndarray:
    return np.where(occurs, values, 0).sum(axis=-1) / occurs.sum(axis=-1)


def semantic_intervals(
    result: SemanticResult, groups: Sequence[Hashable] | None = None, *, resamples: int = 1000, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """95 % intervals by the keys of ``result.flat()`` for the means over classes: a bootstrap over photos, or over
    ``groups`` (one per row of ``result.table``)."""
    groups = range(len(result.table)) if groups is None else groups
    found = bootstrap(groups, {"semantic": (result.table, semantic_statistics)}, resamples=resamples, seed=seed)
    return {key: pair for key, pair in found.items() if np.isfinite(pair).all()}


def _class_boundary_f(pred: np.ndarray, truth: np.ndarray, counted: np.ndarray, tolerance_px: int) -> float:
    """Inside the two masks' common box, grown so far that no pixel within the tolerance is cut off."""
    x, y, w, h = cv2.boundingRect((pred | truth).view(np.uint8))
    margin = tolerance_px + 2
    window = np.s_[max(y - margin, 0) : y + h + margin, max(x - margin, 0) : x + w + margin]
    return boundary_f(pred[window], truth[window], tolerance_px, ~counted[window])
