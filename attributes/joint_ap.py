"""AP of masks and attributes together: a detection is right only where both its mask and its attributes are.

The idea is Fashionpedia's AP_{IoU+F1} (Jia et al., ECCV 2020): a detection may take a true instance of its category only
if their IoU reaches t_iou *and* the F1 of their attributes reaches t_f1; the rest is COCO's AP. Our definition:

- F1 of a pair is that of the present values, 2 |T & P| / (|T| + |P|), over the attributes known of the true instance;
  1 where both sets are empty. So it does not depend on how many values the schema lists.
- An instance of which no attribute is known asks nothing of the attributes; a category without any known attribute
  therefore counts as in COCO's AP. Numbers (lengths, prices) take no part.
- Every category weighs the same. Crowds, areas, ties and the 100 detections are COCO's, and of several free instances
  that reach both thresholds a detection takes the one with the highest IoU.

``fashionpedia_eval`` has the published evaluator, which differs in each of these points.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from ..datasets import masks
from ..datasets.errors import InputError
from ..datasets.schema import Attribute
from ..seg.coco_eval import CocoParams
from ..seg.objects import Objects, make_objects
from ..seg.pairing import Pairing
from .joint_cells import Cells, MatchTable, join_tables, judge, match_table
from .joint_match import Grid, candidate_pairs, match_grid, outside, rank_detections
from .joint_sets import AttributeSets, Sets, attribute_sets, pair_f1, schema_sets

_F1_THRS = tuple(np.linspace(0.5, 0.95, 10).tolist())
_SHORT = {"small": "s", "medium": "m", "large": "l"}


@dataclass(frozen=True)
class JointApParams:
    """coco: IoU thresholds, area ranges and detections per photo. f1_thrs: above 0, at most 1, ascending."""

    coco: CocoParams = field(default_factory=CocoParams)
    f1_thrs: tuple[float, ...] = _F1_THRS

    @property
    def grid(self) -> Grid:
        """F1 threshold 0 of the grid is "no constraint"."""
        return Grid(tuple(self.coco.iou_thrs), (-1.0, *self.f1_thrs))


@dataclass(frozen=True)
class JointApResult:
    """numbers: see ``joint_ap``. cells: AP and recall by IoU threshold, F1 threshold (the first: no constraint), category
    and area. per_category: for every category ``AP``, ``AP50``, ``AP75`` and ``AR``, and ``constrained``: whether any of its
    true instances has known attributes."""

    params: JointApParams
    numbers: dict[str, float]
    cells: Cells
    per_category: list[dict[str, float]]


def joint_ap(
    truth: Objects,
    detections: Objects,
    truth_sets: AttributeSets | Sets,
    detection_sets: AttributeSets | Sets,
    *,
    sizes: Sequence[tuple[int, int]],
    categories: int,
    kind: Literal["segm", "bbox"] = "segm",
    params: JointApParams | None = None,
) -> dict[str, float]:
    """The joint numbers; -1 where there is no truth to measure on. With t_iou and t_f1 each .50:.05:.95 by default:

    AP: mean over t_iou, t_f1 and categories. AP50, AP75: t_iou fixed, mean over t_f1. AP_F150, AP_F175: t_f1 fixed (.50,
    .75), mean over t_iou. AP_IOU50_F150, ...: both fixed. APs, APm, APl: as AP, of small, medium, large instances.
    AR1, AR10, AR100: recall with so many detections a photo and category, mean over t_iou, t_f1, categories; ARs, ARm,
    ARl: by size. APattr: AP over the categories that carry the constraint, those with any known attribute in the truth
    (it does not drown in the others); categories_with_attributes: how many these are.

    truth_sets, detection_sets: tokens per instance (``schema_sets`` makes them); a detection without any predicts none.
    sizes, categories, kind, params.coco: as in ``coco_evaluate``.
    """
    metric = JointApMetrics(categories, kind=kind, params=params)
    metric.update(truth, detections, truth_sets, detection_sets, sizes)
    return metric.compute().numbers


class JointApMetrics:
    """The joint AP as an accumulator: ``update`` per batch, ``merge`` across processes, ``compute`` at the end.

    It keeps matches, not masks (some 200 bytes a detection), and pickles. Photos with ``image_ids`` count once however
    often they are seen, and the numbers do not depend on how they were shared out; without, in the order seen.
    """

    def __init__(self, categories: int, *, kind: Literal["segm", "bbox"] = "segm", params: JointApParams | None = None):
        self.categories, self.kind, self.params = categories, kind, params or JointApParams()
        self.constrained = np.zeros(categories, bool)
        self._batches: list[tuple[MatchTable, int, list[int] | None]] = []

    def update(
        self,
        truth: Objects,
        detections: Objects,
        truth_sets: AttributeSets | Sets,
        detection_sets: AttributeSets | Sets,
        sizes: Sequence[tuple[int, int]],
        image_ids: Sequence[int] | None = None,
    ) -> None:
        """Add a batch: ``image`` of the objects indexes the batch's photos, whose (height, width) px are ``sizes``.
        Raises InputError for masks asked of boxes only, and for columns of different lengths."""
        if image_ids is not None and len(image_ids) != len(sizes):
            raise InputError(f"joint AP: {len(image_ids)} image_ids of {len(sizes)} photos; give one each.")
        if self._batches and (self._batches[0][2] is None) != (image_ids is None):
            raise InputError("joint AP: image_ids in some batches only; give them in all or in none.")
        truth_sets, detection_sets = _as_sets(truth_sets, detection_sets)
        for side, objects, sets in (("truth", truth, truth_sets), ("detections", detections, detection_sets)):
            if len(objects) != len(sets.stated):
                raise InputError(
                    f"joint AP: {len(objects)} {side}, {len(sets.stated)} sets of attributes; give one each."
                )
            if self.kind == "segm" and objects.rle is None:
                raise InputError(f"joint AP: segm numbers need masks, but the {side} hold boxes only; ask for bbox.")
            _check(side, objects, len(sizes), self.categories)
        known = truth_sets.stated & (truth.category >= 0)
        self.constrained |= np.bincount(truth.category[known], minlength=self.categories).astype(bool)
        table = _table(truth, detections, truth_sets, detection_sets, self.categories, self.kind, self.params)
        self._batches.append((table, len(sizes), None if image_ids is None else [int(i) for i in image_ids]))

    def merge(self, other: "JointApMetrics") -> "JointApMetrics":
        """Add what ``other`` has seen; returns self. Raises InputError when it measures something else."""
        if (self.categories, self.kind, self.params) != (other.categories, other.kind, other.params):
            raise InputError("joint AP: merged with one of other categories or parameters; make them all alike.")
        self._batches += other._batches
        self.constrained |= other.constrained
        return self

    def table(self) -> MatchTable:
        """Every match of everything seen: what the figures are made of."""
        photos = np.cumsum([0] + [n for _, n, _ in self._batches])
        ids = [one for _, n, keys in self._batches for one in (keys if keys is not None else [None] * n)]
        place = np.arange(len(ids))
        if ids and ids[0] is not None:
            place = np.full(len(ids), -1)
            kept = np.unique(np.array(ids, np.int64), return_index=True)[1]  # by id, the first sight of each
            place[kept] = np.arange(len(kept))
        tables = [
            table.renumbered(place[start : start + n])
            for (table, n, _), start in zip(self._batches, photos.tolist(), strict=False)
        ]
        if not tables:
            nothing, none = make_objects([], [], rle=[]), attribute_sets([], 1)
            tables = [_table(nothing, nothing, none, none, self.categories, self.kind, self.params)]
        return join_tables(tables)

    def compute(self) -> JointApResult:
        """The figures of everything seen."""
        coco = self.params.coco
        found = judge(self.table(), self.params.grid, self.categories, coco.max_dets)
        numbers = _numbers(found, self.params, self.constrained)
        per_category = []
        for k in range(self.categories):
            row = _numbers(found.of(k), self.params, self.constrained[k : k + 1])
            row = {key: row[key] for key in ("AP", "AP50", "AP75") if key in row} | {
                "AR": row[f"AR{coco.max_dets[-1]}"]
            }
            per_category.append(row | {"constrained": float(self.constrained[k])})
        return JointApResult(self.params, numbers, found, per_category)


def _as_sets(truth: AttributeSets | Sets, found: AttributeSets | Sets) -> tuple[AttributeSets, AttributeSets]:
    if isinstance(truth, AttributeSets) and isinstance(found, AttributeSets):
        if truth.present.shape[1] != found.present.shape[1]:
            raise InputError("joint AP: AttributeSets over different tokens; make both with the same number of tokens.")
        return truth, found
    if isinstance(truth, AttributeSets) or isinstance(found, AttributeSets):
        raise InputError("joint AP: AttributeSets on one side only; give both sides in the same form.")
    tokens = 1 + max((token for one in (*truth, *found) for token in one or ()), default=0)
    return attribute_sets(truth, tokens), attribute_sets(found, tokens)


def _check(side: str, objects: Objects, photos: int, categories: int) -> None:
    for name, values, low, n in (("image", objects.image, 0, photos), ("category", objects.category, -1, categories)):
        odd = values[(values < low) | (values >= n)]
        if len(odd):
            raise InputError(f"joint AP: {side} with {name} index {odd[0]}; expected {low} to {n - 1}.")


def _table(truth, detections, truth_sets, detection_sets, categories: int, kind: str, params) -> MatchTable:
    """Match one batch."""
    grid, coco = params.grid, params.coco
    areas = list(coco.areas.values())
    ranking = rank_detections(detections, categories, coco.max_dets[-1])
    rows = ranking.rows
    pairs = candidate_pairs(truth, detections, ranking, categories, kind=kind, min_iou=min(grid.iou_thrs) - 1e-9)
    f1 = pair_f1(truth_sets, detection_sets, pairs.truth, rows[pairs.detection])
    out = truth.crowd[:, None] | outside(truth.area, areas)
    chosen, excused = match_grid(pairs, f1, ranking, grid, ignored=out, reusable=truth.crowd)
    # Where results carry `bbox`, the area is still the mask's (pycocotools would take the box's: numbers by size change).
    size = (
        masks.areas([detections.rle[j] for j in rows.tolist()])
        if kind == "segm"
        else detections.xywh[rows, 2:].prod(axis=1)
    )
    return match_table(truth, detections, ranking, pairs, chosen, excused, counts=~out, outside=outside(size, areas))


def _numbers(found: Cells, params: JointApParams, constrained: np.ndarray) -> dict[str, float]:
    """Means over what is not -1, as COCO's: categories without truth have no say."""
    coco = params.coco
    areas = list(coco.areas)
    whole = areas.index("all")
    ap, recall = found.ap[:, 1:, :, whole], found.recall[:, 1:, :, whole]
    ious = [(t, i) for i, t in enumerate(coco.iou_thrs) if _named(t, coco.iou_thrs)]
    f1s = [(f, i) for i, f in enumerate(params.f1_thrs) if _named(f, params.f1_thrs)]
    numbers = {"AP": _mean(ap)}
    numbers |= {f"AP{_percent(t)}": _mean(ap[i]) for t, i in ious}
    numbers |= {f"AP_F1{_percent(f)}": _mean(ap[:, j]) for f, j in f1s}
    numbers |= {f"AP_IOU{_percent(t)}_F1{_percent(f)}": _mean(ap[i, j]) for t, i in ious for f, j in f1s}
    sized = [(_SHORT.get(name, name), a) for a, name in enumerate(areas) if a != whole]
    numbers |= {f"AP{name}": _mean(found.ap[:, 1:, :, a]) for name, a in sized}
    numbers |= {f"AR{m}": _mean(recall[..., i]) for i, m in enumerate(coco.max_dets)}
    numbers |= {f"AR{name}": _mean(found.recall[:, 1:, :, a, -1]) for name, a in sized}
    return numbers | {
        "APattr": _mean(ap[..., constrained]),
        "categories_with_attributes": float(constrained.sum()),
    }


def _named(threshold: float, thresholds: Sequence[float]) -> bool:
    """Of the usual ten thresholds .50 and .75 have a number of their own, of others each has."""
    return tuple(thresholds) != _F1_THRS or threshold in (0.5, 0.75)


def _percent(threshold: float) -> str:
    return f"{100 * threshold:g}"


def _mean(values: np.ndarray) -> float:
    values = values[values > -1]
    return float(values.mean()) if values.size else -1.0


def pairing_joint_ap(
    pairing: Pairing,
    attributes: Sequence[Attribute],
    *,
    kind: Literal["segm", "bbox"] = "segm",
    class_agnostic: bool = False,
    params: JointApParams | None = None,
) -> JointApResult:
    """The joint AP of ``pairing``, judged by ``attributes`` (those that truth and predictions share; numbers take no
    part). ``class_agnostic`` puts everything into one class."""
    return pairing_metrics(pairing, attributes, kind=kind, class_agnostic=class_agnostic, params=params).compute()


def pairing_metrics(
    pairing: Pairing,
    attributes: Sequence[Attribute],
    *,
    kind: Literal["segm", "bbox"] = "segm",
    class_agnostic: bool = False,
    params: JointApParams | None = None,
) -> JointApMetrics:
    """The accumulator that has seen this pairing; arguments as ``pairing_joint_ap``'s."""
    truth, detections = pairing.truth, pairing.detections
    if class_agnostic:
        truth, detections = (replace(one, category=np.zeros_like(one.category)) for one in (truth, detections))
    metric = JointApMetrics(1 if class_agnostic else len(pairing.categories), kind=kind, params=params)
    metric.update(
        truth,
        detections,
        schema_sets(attributes, pairing.truth_attributes),
        schema_sets(attributes, pairing.detection_attributes, predicted=True),
        pairing.sizes,
    )
    return metric
