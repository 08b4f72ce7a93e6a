"""COCO mAP: the twelve numbers, per-category figures and precision-recall curves, of masks, boxes and boundaries.

Computed by hotcoco (a port of COCOeval, the same numbers an order of magnitude sooner); pycocotools is the reference
in the tests and the fallback where hotcoco is not installed.
"""

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ..datasets.errors import InputError
from .boundary_iou import boundary_pair_iou
from .coco_engines import run_hotcoco, run_pycocotools
from .federated import PER_PHOTO, Federated, best_of_photos
from .objects import Objects, join_objects, make_objects

__all__ = [
    "COCO_KEYS",
    "CocoMetrics",
    "CocoParams",
    "CocoResult",
    "Federated",
    "Objects",
    "coco_evaluate",
    "coco_numbers",
    "make_objects",
]

COCO_KEYS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
RECALL_STEPS = 101  # COCO reads precision at recall 0, .01, ..., 1

Kind = Literal["segm", "bbox", "boundary"]
Engine = Literal["auto", "hotcoco", "pycocotools"]

_IOU_THRS = tuple(np.linspace(0.5, 0.95, 10).tolist())  # pycocotools' own digits: an IoU can lie exactly on one
_AREAS = {"all": (0.0, 1e10), "small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
_SHORT = {"small": "s", "medium": "m", "large": "l"}


@dataclass(frozen=True)
class CocoParams:
    """iou_thrs: above 0, at most 1, ascending. areas: name -> (lowest, highest) area in px², both included; "all" must
    be among them. max_dets: so many detections of a photo and category (the best scores) count, ascending; AP and the
    numbers by size go by the last."""

    iou_thrs: tuple[float, ...] = _IOU_THRS
    areas: Mapping[str, tuple[float, float]] = field(default_factory=lambda: dict(_AREAS))
    max_dets: tuple[int, ...] = (1, 10, 100)

    def __post_init__(self) -> None:
        thrs, dets = tuple(self.iou_thrs), tuple(self.max_dets)
        if not thrs or not all(0 < t <= 1 for t in thrs) or list(thrs) != sorted(set(thrs)):
            raise InputError(f"iou_thrs is {thrs}; expected numbers above 0, at most 1, ascending, each once.")
        if not dets or not all(int(m) == m and m >= 1 for m in dets) or list(dets) != sorted(set(dets)):
            raise InputError(f"max_dets is {dets}; expected whole numbers of 1 or more, ascending, each once.")
        if "all" not in self.areas:
            raise InputError(f'areas has {list(self.areas)}; expected "all" among them, which AP goes by.')
        for name, (low, high) in self.areas.items():
            if not 0 <= low <= high:
                raise InputError(f"areas: {name} is {(low, high)}; expected 0 <= lowest <= highest, in px².")
            if not name.isidentifier() or name in _SHORT.values():
                raise InputError(f"areas: a range is called {name!r}; expected a word (and not s, m or l).")

    @property
    def standard(self) -> bool:
        """Whether these are COCO's own: only then the numbers are those of COCO_KEYS."""
        return self == CocoParams()


@dataclass(frozen=True)
class CocoResult:
    """numbers: COCO_KEYS at the standard parameters. At others ``AP`` (mean over their IoUs), ``AP<100 * IoU>`` for every
    IoU, ``AP<area>`` (s, m, l for COCO's three), ``AR<max_dets>`` and ``AR<area>``. -1 where there is no truth.

    precision: float64 (T, 101, K, A, M) by IoU, recall 0:.01:1, category, area, max_dets; recall: float64 (T, K, A, M);
    both -1 where a category has no truth of that area. per_category: for every category the numbers of that one
    alone, by the same keys, and ``AR``, that of the last max_dets.
    """

    params: CocoParams
    numbers: dict[str, float]
    precision: np.ndarray
    recall: np.ndarray
    per_category: list[dict[str, float]]

    def curve(self, iou_thr: float = 0.5, category: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Recall 0:.01:1 and the precision at it, float64 (101,) each, at one of the IoUs, any size, most detections;
        the mean over categories that have truth, or of one. Precision is NaN where there is no truth. Raises InputError
        for another IoU."""
        t = _index(self.params.iou_thrs, iou_thr)
        if t is None:
            raise InputError(f"no curve at IoU {iou_thr}; evaluated at {[round(v, 4) for v in self.params.iou_thrs]}.")
        area = list(self.params.areas).index("all")
        precision = self.precision[t, :, :, area, -1]
        precision = precision[:, precision[0] > -1] if category is None else precision[:, [category]]
        precision = np.where(precision > -1, precision, np.nan)
        blank = np.full(RECALL_STEPS, np.nan)
        return np.linspace(0, 1, RECALL_STEPS), precision.mean(axis=1) if precision.shape[1] else blank

    def flat(self, categories: Sequence[str] = ()) -> dict[str, float]:
        """``numbers`` and, for the names given, ``category/<name>/AP``, ``/AP50``, ``/AP75`` and ``/AR``."""
        found = dict(self.numbers)
        for name, one in zip(categories, self.per_category, strict=bool(categories)):
            found |= {f"category/{name}/{key}": one[key] for key in ("AP", "AP50", "AP75", "AR") if key in one}
        return found


def coco_evaluate(
    truth: Objects,
    detections: Objects,
    *,
    sizes: Sequence[tuple[int, int]],
    categories: int,
    kind: Kind = "segm",
    class_agnostic: bool = False,
    params: CocoParams | None = None,
    federated: Federated | None = None,
    engine: Engine = "auto",
) -> CocoResult:
    """COCO's evaluation (Lin et al., 2014; the numbers of pycocotools' COCOeval).

    sizes: (height, width) px of every photo, photos without any instance included. categories: how many there are;
    instances of category -1 take no part, unless ``class_agnostic``, which puts everything into one class.
    kind="boundary": Boundary AP (Cheng et al., 2021), where the IoU of a pair is the lower of mask IoU and boundary IoU
    (band of 2 % of the photo's diagonal); pycocotools' pace. federated: LVIS's evaluation, with ``APr``, ``APc``,
    ``APf`` (rare, common, frequent categories) among the numbers; 300 detections a photo unless ``params`` says
    otherwise; needs hotcoco. Raises InputError for masks asked of boxes only.
    """
    if params is None:
        params = CocoParams() if federated is None else CocoParams(max_dets=(PER_PHOTO,))
    if kind != "bbox" and (truth.rle is None or detections.rle is None):
        side = "truth" if truth.rle is None else "detections"
        raise InputError(f"coco_evaluate: {kind} numbers need masks, but the {side} hold boxes only; ask for bbox.")
    _check_indices(truth, detections, len(sizes), categories)
    # The trap: where results carry `bbox`, loadRes takes the box's area as the detection's area even for masks, and the
    # numbers by size change. So a segm evaluation gets the area of the mask, whatever was given.
    area = detections.xywh[:, 2] * detections.xywh[:, 3] if kind == "bbox" else detections.mask_area
    detections = detections.changed(area=area)
    if class_agnostic:
        categories = 1
        truth = truth.changed(category=np.zeros_like(truth.category))
        detections = detections.changed(category=np.zeros_like(detections.category))
    truth, detections = (_known(objects) for objects in (truth, detections))
    if federated is not None:
        return _federated(truth, detections, sizes, categories, kind, params, federated)
    if engine == "auto":
        engine = "hotcoco" if importlib.util.find_spec("hotcoco") else "pycocotools"
    if kind == "boundary":
        pair_iou = boundary_pair_iou(truth, detections)
        arrays = run_pycocotools(truth, detections, sizes, categories, "segm", params, pair_iou)
    else:
        run = run_hotcoco if engine == "hotcoco" else run_pycocotools
        arrays = run(truth, detections, sizes, categories, kind, params)
    return _result(*arrays, params)


def _federated(truth, detections, sizes, categories: int, kind: Kind, params: CocoParams, federated) -> CocoResult:
    federated.check(len(sizes), categories)
    if kind == "boundary":
        raise InputError("coco_evaluate: no Boundary AP of federated truth; ask for segm or bbox.")
    if not importlib.util.find_spec("hotcoco"):
        raise InputError("coco_evaluate: federated truth needs hotcoco; pip install hotcoco.")
    detections = best_of_photos(detections, params.max_dets[-1])
    found = _result(*run_hotcoco(truth, detections, sizes, categories, kind, params, federated), params)
    for letter in "rcf":
        own = [one["AP"] for one, said in zip(found.per_category, federated.frequency, strict=True) if said == letter]
        found.numbers[f"AP{letter}"] = _mean(np.array(own))
    return found


def coco_numbers(truth: Objects, detections: Objects, **options) -> dict[str, float]:
    """The twelve numbers alone, ``{"AP": ..., ..., "ARl": ...}``: ``coco_evaluate(...).numbers``."""
    return coco_evaluate(truth, detections, **options).numbers


def _check_indices(truth: Objects, detections: Objects, photos: int, categories: int) -> None:
    """An index beyond the end would drop out of the numbers without a word."""
    for side, objects in (("truth", truth), ("detections", detections)):
        for name, values, low, n in (
            ("image", objects.image, 0, photos),
            ("category", objects.category, -1, categories),
        ):
            odd = values[(values < low) | (values >= n)]
            if len(odd):
                raise InputError(f"{side}: {name} index {odd[0]}; expected {low} to {n - 1}.")


def _known(objects: Objects) -> Objects:
    known = objects.category >= 0
    return objects if known.all() else objects.select(known)


def _index(values: Sequence[float], value: float) -> int | None:
    near = np.flatnonzero(np.isclose(values, value, rtol=0, atol=1e-9))
    return int(near[0]) if len(near) else None


def _result(precision: np.ndarray, recall: np.ndarray, params: CocoParams) -> CocoResult:
    numbers = _summary(precision, recall, params)
    per_category = []
    for k in range(precision.shape[2]):
        one = _summary(precision[:, :, k : k + 1], recall[:, k : k + 1], params)
        per_category.append(one | {"AR": one[f"AR{params.max_dets[-1]}"]})
    return CocoResult(params, numbers, precision, recall, per_category)


def _summary(precision: np.ndarray, recall: np.ndarray, params: CocoParams) -> dict[str, float]:
    """COCO's means: over what is not -1, so categories without truth have no say."""
    areas = list(params.areas)
    whole = areas.index("all")
    wanted = (0.5, 0.75) if params.iou_thrs == _IOU_THRS else params.iou_thrs
    found = {"AP": _mean(precision[..., whole, -1])}
    found |= {f"AP{100 * t:g}": _mean(precision[_index(params.iou_thrs, t), ..., whole, -1]) for t in wanted}
    sized = [(_SHORT.get(name, name), a) for a, name in enumerate(areas) if a != whole]
    found |= {f"AP{name}": _mean(precision[..., a, -1]) for name, a in sized}
    found |= {f"AR{m}": _mean(recall[..., whole, i]) for i, m in enumerate(params.max_dets)}
    return found | {f"AR{name}": _mean(recall[..., a, -1]) for name, a in sized}


def _mean(values: np.ndarray) -> float:
    values = values[values > -1]
    return float(values.mean()) if values.size else -1.0


class CocoMetrics:
    """The evaluation as an accumulator: ``update`` per batch, ``merge`` across processes, ``compute`` at the end.

    Plain columns inside: it pickles, so ``torch.distributed.all_gather_object`` carries it from rank to rank.
    Photos with ``image_ids`` count once however often they are seen (a distributed sampler repeats some to give every
    rank the same number), and stand in the order of their ids, so that the numbers do not depend on the sharding even
    where scores are tied; without, in the order seen.
    """

    def __init__(
        self,
        categories: int,
        *,
        kind: Kind = "segm",
        class_agnostic: bool = False,
        params: CocoParams | None = None,
        engine: Engine = "auto",
    ):
        self.categories = categories
        self.options = {"kind": kind, "class_agnostic": class_agnostic, "params": params, "engine": engine}
        self._batches: list[tuple[Objects, Objects, list[tuple[int, int]], list[int] | None]] = []

    def update(
        self,
        truth: Objects,
        detections: Objects,
        sizes: Sequence[tuple[int, int]],
        image_ids: Sequence[int] | None = None,
    ) -> None:
        """Add a batch: ``image`` of the objects indexes the batch's photos, whose (height, width) px are ``sizes``."""
        n = len(sizes)
        if image_ids is not None and len(image_ids) != n:
            raise InputError(f"CocoMetrics: {len(image_ids)} image_ids of {n} photos; give one each.")
        if self._batches and (self._batches[0][3] is None) != (image_ids is None):
            raise InputError("CocoMetrics: image_ids in some batches only; give them in all or in none.")
        _check_indices(truth, detections, n, self.categories)
        ids = None if image_ids is None else [int(i) for i in image_ids]
        self._batches.append((truth, detections, [(int(h), int(w)) for h, w in sizes], ids))

    def merge(self, other: "CocoMetrics") -> "CocoMetrics":
        """Add what ``other`` has seen; returns self. Raises InputError when it measures something else."""
        if (self.categories, self.options) != (other.categories, other.options):
            raise InputError("CocoMetrics: merged with one of other categories or options; make them all alike.")
        self._batches += other._batches
        return self

    def compute(self) -> CocoResult:
        """The figures of everything seen."""
        truth, detections, sizes = self._joined()
        return coco_evaluate(truth, detections, sizes=sizes, categories=self.categories, **self.options)

    def _joined(self) -> tuple[Objects, Objects, list[tuple[int, int]]]:
        counts = [len(sizes) for _, _, sizes, _ in self._batches]
        first = (np.cumsum(counts) - counts).tolist() if counts else []
        truth, detections = (join_objects([batch[side] for batch in self._batches], first) for side in (0, 1))
        sizes = [size for batch in self._batches for size in batch[2]]
        if not self._batches or self._batches[0][3] is None:
            return truth, detections, sizes
        ids = np.array([i for batch in self._batches for i in batch[3]], np.int64)
        kept = np.unique(ids, return_index=True)[1]  # ascending ids, the first sight of each
        place = np.full(len(ids), -1)
        place[kept] = np.arange(len(kept))
        truth, detections = (_moved(objects, place) for objects in (truth, detections))
        return truth, detections, [sizes[i] for i in kept.tolist()]


def _moved(objects: Objects, place: np.ndarray) -> Objects:
    """The instances of the photos that have a place (>= 0), at their new indices, photo by photo."""
    image = place[objects.image]
    rows = np.flatnonzero(image >= 0)
    rows = rows[np.argsort(image[rows], kind="stable")]
    return objects.select(rows).changed(image=image[rows])
