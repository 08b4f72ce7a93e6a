"""Fashionpedia's published evaluator: its numbers, digit by digit, from files in its own form.

For comparing with published figures (Jia et al., ECCV 2020; github.com/KMnP/fashionpedia-api). Its definition differs
from that of ``joint_ap`` in ways that one would not choose again:

- F1 of a pair is the mean of the F1 of "present" and the F1 of "absent" over all attributes of the file, so it grows
  with the length of the list: of 294 attributes, truth {0, 1, 2} against {} still gives 0.497.
- Only 18 fixed categories carry the F1 constraint, each with ten F1 thresholds in the mean where every other category
  stands once: they weigh ten times as much.
- In those 18 a crowd region takes one detection only, and a detection that goes through several instances in file order
  moves on only where neither IoU nor F1 falls.
- An annotation of id 0 is never found; where the first result has a ``bbox``, all areas are those of the boxes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from ..datasets import masks
from ..datasets.document import gc_paused
from ..datasets.errors import InputError
from ..seg.coco_eval import CocoParams
from ..seg.objects import Objects, make_objects
from .joint_cells import Cells, judge, match_table
from .joint_match import Grid, candidate_pairs, match_grid, outside, rank_detections
from .joint_sets import AttributeSets, attribute_sets, token_counts

WITH_ATTRIBUTES = frozenset((*range(13), 28, 29, 31, 32, 33))
SUPER_CATEGORIES = {"outerwear": range(13), "accessory": range(13, 27), "part": range(27, 46)}
_LETTERS = {"o": "outerwear", "a": "accessory", "p": "part"}
_THRS = tuple(np.linspace(0.5, 0.95, 10).tolist())
_GRID = Grid((-1.0, *_THRS), (-1.0, *_THRS))
_FREE, _SWEPT = [0], list(range(1, 11))
_FIXED = {"50": [1], "75": [6]}
_COCO = CocoParams()


@dataclass(frozen=True)
class FashionpediaResult:
    """numbers: ``fashionpedia/<part>/<row>``, the rows by the published names; -1 where undefined. Parts: ``iou_f1`` (both
    constraints), ``iou`` and ``f1`` (only this one). Rows: AP, AP_IOU50, AP_F175, AP_IOU50_F175, ..., APo, APa, APp
    (outerwear, accessory, part), APs, APm, APl, AR@1, AR@10, AR@100, ARs@100, ... And all of them per super-category,
    ``fashionpedia/supercls-<name>/<part>/<row>``.

    per_category: name -> part -> row -> number. notes: sentences for the reader.
    """

    numbers: dict[str, float]
    per_category: dict[str, dict[str, dict[str, float]]]
    notes: list[str] = field(default_factory=list)


def fashionpedia_numbers(
    truth: str | Path, results: str | Path, *, kind: Literal["segm", "bbox"] = "segm"
) -> dict[str, float]:
    """``fashionpedia_evaluate(...).numbers``."""
    return fashionpedia_evaluate(truth, results, kind=kind).numbers


def fashionpedia_evaluate(
    truth: str | Path, results: str | Path, *, kind: Literal["segm", "bbox"] = "segm"
) -> FashionpediaResult:
    """Evaluate a results list on a ground truth, both in Fashionpedia's form (ids from 0, ``attribute_ids``, no
    ``bbox``). Raises InputError for files that are not, with what is missing."""
    notes: list[str] = []
    data = _read_truth(Path(truth))
    with gc_paused():
        found = _read_results(Path(results), notes)
        truth_objects, detections, sets = _columns(data, found, str(truth), str(results), kind, notes)
    ids = np.array([one.id for one in data.annotations], np.int64)
    names = {one.id: one.name for one in data.categories}
    if zero := int((ids == 0).sum()):
        notes.append(f"{zero} annotation of id 0: the published evaluator never finds it. Number from 1 to count it.")
    if gaps := [i for i in range(46) if i not in names]:
        notes.append(
            f"{len(gaps)} of Fashionpedia's 46 categories are not in {truth} (the first: {gaps[0]}): here they are empty, "
            "the published evaluator would mix up the others or stop."
        )
    categories = max(46, *names) + 1
    one = _cells(truth_objects, detections, *sets, len(data.attributes), categories, ids == 0, kind)
    return FashionpediaResult(
        _all_numbers(one, categories), {name: _category_numbers(one, k) for k, name in sorted(names.items())}, notes
    )


def macro_f1(both: np.ndarray, truth: np.ndarray, predicted: np.ndarray, attributes: int) -> np.ndarray:
    """Mean F1 of the classes present and absent, float64 (p,), of sets with ``truth`` and ``predicted`` members, ``both``
    in common, among ``attributes``. A class that neither side has takes no part (so {} against {} is 1)."""
    present, absent = truth + predicted, 2 * attributes - truth - predicted
    scores = [
        np.divide(2 * hits, total, out=np.zeros(len(both)), where=total > 0)
        for hits, total in ((both, present), (attributes - truth - predicted + both, absent))
    ]
    return (scores[0] + scores[1]) / np.maximum((present > 0).astype(int) + (absent > 0), 1)


def _cells(
    truth: Objects,
    detections: Objects,
    truth_sets: AttributeSets,
    detection_sets: AttributeSets,
    attributes: int,
    categories: int,
    never_found: np.ndarray,
    kind: str,
) -> Cells:
    constrained = np.isin(np.arange(categories), sorted(WITH_ATTRIBUTES))
    ranking = rank_detections(detections, categories, _COCO.max_dets[-1])
    pairs = candidate_pairs(truth, detections, ranking, categories, kind=kind, min_iou=-1.0)
    counts = token_counts(truth_sets, detection_sets, pairs.truth, ranking.rows[pairs.detection])
    f1 = np.where(constrained[truth.category[pairs.truth]], macro_f1(*counts, attributes), np.inf)
    areas = list(_COCO.areas.values())
    out = truth.crowd[:, None] | outside(truth.area, areas)
    reusable = truth.crowd & ~constrained[truth.category]
    chosen, excused = match_grid(pairs, f1, ranking, _GRID, ignored=out, reusable=reusable, both_must_rise=True)
    chosen[never_found[pairs.truth]] = 0
    far = outside(detections.area[ranking.rows], areas)
    table = match_table(truth, detections, ranking, pairs, chosen, excused, counts=~out, outside=far)
    return judge(table, _GRID, categories, _COCO.max_dets)


def _all_numbers(one: Cells, categories: int) -> dict[str, float]:
    numbers: dict[str, float] = {}
    for part, iou, f1 in (("iou_f1", True, True), ("iou", True, False), ("f1", False, True)):
        found = {
            f"AP{letter}": _ap(one, SUPER_CATEGORIES[name], _SWEPT if iou else _FREE, _SWEPT if f1 else _FREE)
            for letter, name in _LETTERS.items()
            if not (f1 and name == "accessory")  # accessories carry no F1 constraint
        }
        found |= _rows(one, range(categories), iou, f1)
        numbers |= {f"fashionpedia/{part}/{row}": value for row, value in found.items()}
    for name, members in SUPER_CATEGORIES.items():
        for part, iou, f1 in (("iou_f1", True, True), ("iou", True, False), ("f1", False, True)):
            if not (f1 and name == "accessory"):
                found = _rows(one, members, iou, f1)
                numbers |= {f"fashionpedia/supercls-{name}/{part}/{row}": value for row, value in found.items()}
    return numbers


def _category_numbers(one: Cells, k: int) -> dict[str, dict[str, float]]:
    found = {"iou": _rows(one, [k], True, False)}
    if k in WITH_ATTRIBUTES:
        found |= {"iou_f1": _rows(one, [k], True, True), "f1": _rows(one, [k], False, True)}
    return found


def _rows(one: Cells, members: Iterable[int], iou: bool, f1: bool) -> dict[str, float]:
    """The published rows of a set of categories."""
    members = list(members)
    t, f = _SWEPT if iou else _FREE, _SWEPT if f1 else _FREE
    rows = {"AP": _ap(one, members, t, f)}
    if iou:
        rows |= {f"AP_IOU{name}": _ap(one, members, fixed, f) for name, fixed in _FIXED.items()}
    if f1:
        rows |= {f"AP_F1{name}": _ap(one, members, t, fixed) for name, fixed in _FIXED.items()}
    if iou and f1:
        rows |= {f"AP_IOU{a}_F1{b}": _ap(one, members, at, af) for a, at in _FIXED.items() for b, af in _FIXED.items()}
    sizes = [(letter, list(_COCO.areas).index(n)) for letter, n in (("s", "small"), ("m", "medium"), ("l", "large"))]
    rows |= {f"AP{letter}": _ap(one, members, t, f, a) for letter, a in sizes}
    rows |= {f"AR@{m}": _mean(one.recall[..., i], members, t, f, 0) for i, m in enumerate(_COCO.max_dets)}
    return rows | {f"AR{letter}@100": _mean(one.recall[..., -1], members, t, f, a) for letter, a in sizes}


def _ap(one: Cells, members: Iterable[int], t: list[int], f: list[int], area: int = 0) -> float:
    return _mean(one.ap, members, t, f, area)


def _mean(values: np.ndarray, members: Iterable[int], t: list[int], f: list[int], area: int) -> float:
    """Mean of what is not -1 of values (T, F, K, A): with ten F1 slices of a category that carries attributes, one
    of every other."""
    slices = [values[:, :, k, area][np.ix_(t, f if k in WITH_ATTRIBUTES else _FREE)].ravel() for k in members]
    flat = np.concatenate(slices)
    flat = flat[flat > -1]
    return float(flat.mean()) if len(flat) else -1.0


class _Image(msgspec.Struct):
    id: int
    height: int
    width: int


class _Category(msgspec.Struct):
    id: int
    name: str


class _Attribute(msgspec.Struct):
    id: int


class _Annotation(msgspec.Struct):
    id: int
    image_id: int
    category_id: int
    segmentation: list[list[float]] | dict[str, Any] | None = None
    bbox: list[float] | None = None
    area: float | None = None
    iscrowd: int = 0
    attribute_ids: list[int] | None = None


class _Truth(msgspec.Struct):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]
    attributes: list[_Attribute]


class _Result(msgspec.Struct):
    image_id: int
    category_id: int
    score: float
    segmentation: list[list[float]] | dict[str, Any] | None = None
    bbox: list[float] | None = None
    attribute_ids: list[int] | None = None


class _Dataset(msgspec.Struct):
    annotations: list[_Result]


def _bytes(path: Path, expected: str) -> bytes:
    try:
        return path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); expected {expected}.") from error


def _read_truth(path: Path) -> _Truth:
    expected = "a file in Fashionpedia's form: images, categories, attributes, annotations with attribute_ids"
    try:
        with gc_paused():
            data = msgspec.json.decode(_bytes(path, expected), type=_Truth)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}; expected {expected}.") from error
    for name, rows in (("images", data.images), ("categories", data.categories), ("annotations", data.annotations)):
        _once([one.id for one in rows], f"{path}: {name}")
    _once([one.id for one in data.attributes], f"{path}: attributes")
    if not data.images or not data.attributes:
        raise InputError(f"{path}: no {'images' if not data.images else 'attributes'}; expected {expected}.")
    if min(one.id for one in data.categories) < 0:
        raise InputError(f"{path}: a category of id below 0; expected Fashionpedia's ids, from 0.")
    return data


def _once(ids: list[int], where: str) -> None:
    if len(set(ids)) < len(ids):
        twice = next(one for i, one in enumerate(ids) if one in ids[:i])
        raise InputError(f"{where}: id {twice} stands there twice; expected each once.")


def _read_results(path: Path, notes: list[str]) -> list[_Result]:
    expected = "a list of {image_id, category_id, score, attribute_ids, segmentation}"
    data = _bytes(path, expected)
    try:
        if data.lstrip()[:1] != b"{":
            found = msgspec.json.decode(data, type=list[_Result])
        else:
            found = msgspec.json.decode(data, type=_Dataset).annotations
            notes.append(f"{path} is a whole dataset: its annotations were taken as the results list.")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}; expected {expected}.") from error
    if odd := sum(not 0 <= one.score <= 1 for one in found):
        notes.append(f"{odd:,} scores outside 0..1: only their order matters, but check where they come from.")
    return found


def _columns(data: _Truth, found: list[_Result], where: str, results: str, kind: str, notes: list[str]):
    """(truth, detections, (truth sets, detection sets)); photos in the order of their ids."""
    images = sorted(data.images, key=lambda one: one.id)
    photo = {one.id: i for i, one in enumerate(images)}
    known = {one.id for one in data.categories}
    for i, one in enumerate(data.annotations):
        if one.image_id not in photo or one.category_id not in known:
            raise InputError(f"{where}: annotations[{i}] is of an image or category that the file does not have.")
    for i, one in enumerate(found):
        if one.image_id not in photo:
            raise InputError(f"{results}: [{i}].image_id is {one.image_id}; expected an image of {where}.")
    kept = [one for one in found if one.category_id in known]
    if len(kept) < len(found):
        notes.append(f"{len(found) - len(kept):,} results of categories that {where} does not have took no part.")
    sets = _sets(data, data.annotations, where), _sets(data, kept, results)
    rows = [_row(one, images[photo[one.image_id]], f"{where}: annotation {one.id}", kind) for one in data.annotations]
    area = [
        mask_area if one.area is None else one.area
        for one, (_, _, mask_area) in zip(data.annotations, rows, strict=True)
    ]
    if filled := sum(one.area is None for one in data.annotations):
        notes.append(f"{filled:,} annotations without an area: taken from the mask.")
    truth = _objects(data.annotations, rows, photo, area, crowd=[bool(one.iscrowd) for one in data.annotations])
    spot = [f"{results}: result {i}" for i in range(len(kept))]
    rows = [_row(one, images[photo[one.image_id]], s, kind) for one, s in zip(kept, spot, strict=True)]
    boxed = bool(found and found[0].bbox)
    if boxed and kind == "segm":
        notes.append("The first result has a bbox: as in the published evaluator all areas are those of the boxes.")
    area = [box[2] * box[3] if boxed else mask_area for _, box, mask_area in rows]
    return truth, _objects(kept, rows, photo, area, score=[one.score for one in kept]), sets


def _row(one: _Annotation | _Result, image: _Image, spot: str, kind: str) -> tuple[dict | None, Sequence[float], float]:
    """(mask, box, area) of one instance; a result with a box alone is that rectangle, as in loadRes."""
    box = one.bbox or None
    if box is not None and (len(box) != 4 or min(box[2:]) < 0):
        raise InputError(f"{spot}: bbox is {box}; expected [x, y, width, height].")
    if not one.segmentation and box is None:
        raise InputError(f"{spot}: neither a segmentation nor a bbox; expected one of them.")
    if not one.segmentation and kind == "bbox":
        return None, box, box[2] * box[3]
    x, y, w, h = box or (0, 0, 0, 0)
    try:
        stored = one.segmentation or [[x, y, x, y + h, x + w, y + h, x + w, y]]
        rle = masks.to_rle(stored, image.height, image.width)
    except InputError as error:
        raise InputError(f"{spot}: {error}.") from error
    return rle, box or masks.xywh(rle), float(masks.area(rle))


def _objects(items, rows, photo: dict[int, int], area: list[float], **columns) -> Objects:
    return make_objects(
        [photo[one.image_id] for one in items],
        [one.category_id for one in items],
        xywh=[box for _, box, _ in rows],
        rle=None if any(rle is None for rle, _, _ in rows) else [rle for rle, _, _ in rows],
        area=area,
        **columns,
    )


def _sets(data: _Truth, items: Sequence[_Annotation | _Result], where: str) -> AttributeSets:
    token = {one.id: i for i, one in enumerate(data.attributes)}
    sets = []
    for i, one in enumerate(items):
        if one.attribute_ids is None and one.category_id in WITH_ATTRIBUTES:
            raise InputError(
                f"{where}: instance {i} (category {one.category_id}) has no attribute_ids; expected a list, empty where it "
                "has none."
            )
        try:
            sets.append({token[attribute] for attribute in one.attribute_ids or ()})
        except KeyError as error:
            raise InputError(
                f"{where}: instance {i} has attribute id {error.args[0]}; expected one of the file's attributes."
            ) from None
    return attribute_sets(sets, len(token))
