"""Truth and predictions of one set of photos, brought together: which photo is which, which category is which."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ..datasets import masks
from ..datasets.coco import Annotation, CocoFile, Image, as_read, read_coco
from ..datasets.document import gc_paused, not_finite
from ..datasets.errors import InputError
from ..datasets.rle_batch import compressed_areas
from ..datasets.schema import Schema, listed
from .objects import Objects, make_objects, with_mask_area


class Result(msgspec.Struct):
    """One entry of a COCO results list: ``segmentation`` (polygons or RLE), ``bbox`` (xywh, px) or both."""

    image_id: int
    category_id: int
    score: float
    segmentation: list[list[float]] | dict[str, Any] | None = None
    bbox: list[float] | None = None
    attributes: dict[str, Any] = {}
    probabilities: dict[str, Any] | None = None


@dataclass(frozen=True)
class Predictions:
    """What a prediction file says, ids as in the file.

    images, categories, schema are None for a plain results list: then ids are those of the truth.
    """

    where: str
    images: list[Image] | None
    categories: dict[int, str] | None
    schema: Schema | None
    items: Sequence[Annotation | Result]


@dataclass(frozen=True)
class Pairing:
    """Truth and detections over the truth's photos (``images``) and categories (``categories``, names).

    truth_attributes, detection_attributes: one dict per instance, in the order of ``truth`` and ``detections``.
    detection_probabilities: ``{"category": {name: p}, "color": {value: p}}`` or None per detection, as the file has them.
    detection_categories: the predicted names, also those the truth does not know (their category index is -1).
    missing: file names of photos of the truth that the predictions do not hold; their products count as missed.
    notes: sentences for the reader, each about something that changes what the numbers mean.
    """

    images: list[Image]
    categories: list[str]
    truth: Objects
    detections: Objects
    truth_attributes: list[dict[str, Any]]
    detection_attributes: list[dict[str, Any]]
    detection_categories: list[str]
    schema: Schema
    predicted_schema: Schema | None
    missing: list[str]
    notes: list[str]
    detection_probabilities: list[dict[str, Any] | None]

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """(height, width) px of every photo."""
        return [(image.height, image.width) for image in self.images]

    @property
    def masked(self) -> bool:
        """Whether both sides hold masks; else there are boxes only."""
        return self.truth.rle is not None and self.detections.rle is not None


def read_truth(path: str | Path) -> CocoFile:
    """A COCO file to evaluate on: ``read_coco``, whatever the ids of its annotations. They name nothing here, so one of
    0, which COCOeval never matches, or one given twice, of which it forgets the first, is an instance like any other."""
    return read_coco(path, renumber=True)


def read_predictions(path: str | Path) -> Predictions:
    """A COCO file with scores (``predictions.json``, or the folder that holds it) or a COCO results list.

    Raises InputError for a file that is neither, or is damaged.
    """
    path = Path(path)
    if path.is_dir() and (path / "predictions.json").is_file():
        path = path / "predictions.json"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); expected predictions.json or a results list."
        ) from error
    if data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] != b"[":
        coco = read_coco(path, renumber=True)
        return Predictions(str(path), coco.images, _names(coco), coco.schema, coco.annotations)
    try:
        with gc_paused():
            items = msgspec.json.decode(data, type=list[Result])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: not a COCO results list ({_no_number(data) or error}); expected a list of "
            "{image_id, category_id, score, segmentation and/or bbox}."
        ) from error
    return Predictions(str(path), None, None, None, items)


def _no_number(data: bytes) -> str | None:
    """The first NaN or Infinity, which the standard library reads and JSON does not know."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return next((f"results{where} is {found}, which is no JSON number" for where, found in not_finite(value)), None)


def pair(truth: CocoFile, predictions: Predictions, *, where: str = "truth") -> Pairing:
    """Bring both together. ``where`` names the truth in messages.

    Photos are matched by file name (``match_names``), categories by name; in a results list both by id. Detections on
    photos outside the truth take no part. Raises InputError when the two share no photo, when a file name fits several
    photos, when a photo has another size in the predictions, and for damaged masks or boxes.
    """
    with gc_paused():
        return _pair(truth, predictions, where)


def _pair(truth: CocoFile, predictions: Predictions, where: str) -> Pairing:
    if not truth.images:
        raise InputError(f"{where}: holds no images; there is nothing to evaluate on.")
    notes: list[str] = []
    if any("neg_category_ids" in image.extra for image in truth.images):
        notes.append(
            "The truth is in LVIS's form: not every category was looked for in every photo. COCO's numbers count such "
            "detections as wrong; segattr.seg.federated measures as LVIS does."
        )
    row_of, seen = _photos(truth, predictions, where, notes)
    names = [category.name for category in truth.categories]
    if len(set(names)) != len(names):
        raise InputError(f"{where}: two categories share a name ({listed(names)}); expected each name once.")
    index = {name: i for i, name in enumerate(names)}
    truth_names, row = _names(truth), {image.id: i for i, image in enumerate(truth.images)}
    truth_objects = _objects(
        truth.annotations,
        [row[one.image_id] for one in truth.annotations],
        [index[truth_names[one.category_id]] for one in truth.annotations],
        truth.images,
        where,
        scored=False,
    )
    kept = predictions.items
    if not {one.image_id for one in kept} <= row_of.keys():
        kept = [one for one in kept if one.image_id in row_of]
        notes.append(
            f"{_count(len(predictions.items) - len(kept), 'detection')} on photos outside the truth took no part."
        )
    predicted_names = predictions.categories or truth_names
    ids = [one.category_id for one in kept]
    name_of = {i: predicted_names.get(i, f"id {i}") for i in set(ids)}
    found_names = [name_of[i] for i in ids]
    category_of = {i: index.get(name, -1) for i, name in name_of.items()}
    detections = _objects(
        kept,
        [row_of[one.image_id] for one in kept],
        [category_of[i] for i in ids],
        truth.images,
        predictions.where,
        scored=True,
    )
    notes += _detection_notes(kept, found_names, truth_objects, detections)
    return Pairing(
        images=truth.images,
        categories=names,
        truth=truth_objects,
        detections=detections,
        truth_attributes=[one.attributes for one in truth.annotations],
        detection_attributes=[one.attributes for one in kept],
        detection_categories=found_names,
        schema=truth.schema,
        predicted_schema=predictions.schema,
        missing=[image.file_name for i, image in enumerate(truth.images) if i not in seen],
        notes=notes,
        detection_probabilities=_probabilities(kept),
    )


def match_names(truth: Sequence[str], predicted: Sequence[str]) -> dict[int, int]:
    """predicted index -> truth index of the same photo.

    Two names are the same photo when they are equal or one is the tail of the other in whole folder names
    (``images/a.jpg`` and ``a.jpg``). Equal names go first, then the longest shared tail. Raises InputError when a name
    fits several photos equally well.
    """
    left, right = [_parts(name) for name in truth], [_parts(name) for name in predicted]
    by_tail: dict[tuple[str, ...], list[int]] = {}
    for i, parts in enumerate(left):
        for start in range(len(parts)):
            by_tail.setdefault(parts[start:], []).append(i)
    candidates: list[tuple[float, int, int]] = []  # (shared length, predicted, truth)
    for j, parts in enumerate(right):
        candidates += [(_shared(left[i], parts), j, i) for i in by_tail.get(parts, ())]
        for start in range(1, len(parts)):
            tail = parts[start:]
            candidates += [(len(tail), j, i) for i in by_tail.get(tail, ()) if left[i] == tail]
    found: dict[int, int] = {}
    taken: set[int] = set()
    for level in sorted({shared for shared, _, _ in candidates}, reverse=True):
        open_pairs = [(j, i) for shared, j, i in candidates if shared == level and j not in found and i not in taken]
        _refuse_ambiguous(open_pairs, truth, predicted)
        found.update(open_pairs)
        taken.update(i for _, i in open_pairs)
    return found


def _parts(name: str) -> tuple[str, ...]:
    return tuple(part for part in name.replace("\\", "/").split("/") if part not in ("", "."))


def _shared(left: tuple[str, ...], right: tuple[str, ...]) -> float:
    return float("inf") if left == right else len(right)


def _refuse_ambiguous(pairs: list[tuple[int, int]], truth: Sequence[str], predicted: Sequence[str]) -> None:
    for side, names, others, where in ((0, predicted, truth, "the truth"), (1, truth, predicted, "the predictions")):
        first: dict[int, int] = {}
        for pair_ in pairs:
            mine, other = pair_[side], pair_[1 - side]
            if mine in first:
                both = f"{others[first[mine]]!r} and {others[other]!r}"
                raise InputError(
                    f"photo {names[mine]!r} fits two photos of {where}, {both}; give both files names relative to the "
                    "same folder."
                )
            first[mine] = other


def _photos(truth: CocoFile, predictions: Predictions, where: str, notes: list[str]) -> tuple[dict[int, int], set[int]]:
    """Prediction image id -> row of the truth's photo, and the rows that the predictions hold."""
    if predictions.images is None:
        row_of = {image.id: i for i, image in enumerate(truth.images)}
        seen = {row_of[one.image_id] for one in predictions.items if one.image_id in row_of}
        if predictions.items and not seen:
            ids = f"{predictions.items[0].image_id} there, {truth.images[0].id} here"
            raise InputError(
                f"{predictions.where} and {where} share no images: no image_id of the results is an image of the truth "
                f"(first ids: {ids}); expected results made for this truth."
            )
        return row_of, seen
    names = [image.file_name for image in truth.images]
    pairs = match_names(names, [image.file_name for image in predictions.images])
    if not pairs:
        there = repr(predictions.images[0].file_name) if predictions.images else "no images at all"
        raise InputError(
            f"{predictions.where} and {where} share no images: photos are matched by file name (first names: {there} "
            f"and {names[0]!r}); expected predictions of the photos in the truth."
        )
    for j, i in pairs.items():
        _same_size(predictions.images[j], truth.images[i], predictions.where, where)
    if more := len(predictions.images) - len(pairs):
        notes.append(f"{_count(more, 'photo')} of the predictions {'is' if more == 1 else 'are'} not in the truth.")
    return {predictions.images[j].id: i for j, i in pairs.items()}, set(pairs.values())


def _same_size(predicted: Image, truth: Image, predicted_where: str, where: str) -> None:
    sizes = [(image.width, image.height) for image in (predicted, truth)]
    if sizes[0] != sizes[1]:
        raise InputError(
            f"{predicted.file_name} is {sizes[0][0]} x {sizes[0][1]} px in {predicted_where} but {sizes[1][0]} x "
            f"{sizes[1][1]} px in {where}; masks of two sizes cannot be compared: predict on the photos of the truth."
        )


def _objects(
    items: Sequence[Annotation | Result],
    rows: list[int],
    categories: list[int],
    images: list[Image],
    where: str,
    scored: bool,
) -> Objects:
    """Columns; masks only where every instance has one."""

    def spot(i: int) -> str:
        return f"{where}: instance {i + 1} of {len(items)}, on {images[rows[i]].file_name}"

    checked = not scored and all(map(as_read, items))  # the truth needs no second look, nor its masks' areas
    segmentations = [one.segmentation for one in items]
    masked = all(segmentations)
    sizes = [[image.height, image.width] for image in images]
    rle = _rles(segmentations, [sizes[row] for row in rows], spot) if masked else None
    pixels = np.array([image.height * image.width for image in images])[rows] if rows else np.zeros(0, np.int64)
    mask_area = _checked_areas(rle, pixels, spot) if masked and not checked else None
    xywh = _boxes([one.bbox or None for one in items], rle, spot)
    crowd = score = None
    if scored:
        area = xywh[:, 2] * xywh[:, 3] if mask_area is None else mask_area
        score = [one.score for one in items]
        score = [1.0 if one is None else one for one in score] if None in score else score
    else:
        area = [one.area for one in items]
        crowd = [bool(one.iscrowd) for one in items]
    objects = make_objects(rows, categories, xywh=xywh, rle=rle, area=area, crowd=crowd, score=score)
    return objects if mask_area is None else with_mask_area(objects, mask_area)


def _rles(segmentations: list, sizes: list[list[int]], spot: Callable[[int], str]) -> list[dict]:
    """RLE of segmentations of any form, on photos of these [height, width]. Compressed counts are not looked into."""
    try:
        said = [one["size"] for one in segmentations]
        texts = {type(one["counts"]) for one in segmentations} <= {str} and set(map(len, segmentations)) <= {2}
        if texts and said == sizes and {(type(h), type(w)) for h, w in said} <= {(int, int)}:
            return segmentations
    except (TypeError, KeyError):
        pass  # some are polygons
    return [_checked_rle(one, size, spot(i)) for i, (one, size) in enumerate(zip(segmentations, sizes, strict=True))]


def _checked_areas(rles: list[dict], pixels: np.ndarray, spot: Callable[[int], str]) -> np.ndarray:
    """Areas float64 (n,), px, of compressed RLEs of photos of so many pixels, int64 (n,), all checked, together: what is
    read from a file may not be what was meant, and libraries read past the end of garbled counts."""
    areas = compressed_areas([one["counts"] for one in rles], pixels)
    for i in np.flatnonzero(areas < 0)[:1]:
        _checked_rle(rles[i], rles[i]["size"], spot(i))
    return areas.astype(np.float64)


def _checked_rle(segmentation: list | dict, size: list[int], where: str) -> dict:
    try:
        return masks.to_rle(segmentation, *size)
    except InputError as error:
        raise InputError(f"{where}: {error}.") from error


def _boxes(boxes: list, rle: list[dict] | None, spot: Callable[[int], str]) -> np.ndarray | None:
    """xywh float64 (n, 4), px; where some have none, that of the mask; None where all have masks and no box."""
    without = [i for i, box in enumerate(boxes) if box is None]
    if rle is not None and without:
        if len(without) == len(boxes):
            return None
        own = masks.boxes([rle[i] for i in without]).tolist()
        for i, box in zip(without, own, strict=True):
            boxes[i] = box
    for i, box in enumerate(boxes):
        if box is None or len(box) != 4:
            raise InputError(f"{spot(i)}: bbox is {box}; expected [x, y, width, height] (some instances have no mask).")
    xywh = np.array(boxes, np.float64).reshape(-1, 4)
    odd = np.flatnonzero((xywh[:, 2:] < 0).any(axis=1) | ~np.isfinite(xywh).all(axis=1))
    if len(odd):
        raise InputError(
            f"{spot(odd[0])}: bbox is {boxes[odd[0]]}; expected [x, y, width, height] with both 0 or more."
        )
    return xywh


def _probabilities(items: Sequence[Annotation | Result]) -> list[dict[str, Any] | None]:
    if {type(one) for one in items} <= {Result}:
        return [one.probabilities for one in items]
    return [one.probabilities if isinstance(one, Result) else one.extra.get("probabilities") for one in items]


def _detection_notes(kept, names: list[str], truth: Objects, found: Objects) -> list[str]:
    notes = []
    if unknown := [names[i] for i in np.flatnonzero(found.category < 0).tolist()]:
        notes.append(
            f"{_count(len(unknown), 'detection')} of a category that the truth does not know "
            f"({listed(sorted(set(unknown)), 5)}): left out of the COCO numbers by category, kept in the class-agnostic."
        )
    if unscored := [one.score for one in kept].count(None):
        notes.append(f"{_count(unscored, 'detection')} without a score: taken as 1.0.")
    if odd := int(((found.score < 0) | (found.score > 1)).sum()):
        notes.append(
            f"{_count(odd, 'score')} outside 0..1: only their order matters to COCO, but check where they come from."
        )
    for side, objects in (("truth", truth), ("predictions", found)):
        if objects.rle is None:
            notes.append(f"Not every instance of the {side} has a mask: boxes are compared, no segm numbers.")
    return notes


def _names(coco: CocoFile) -> dict[int, str]:
    return {category.id: category.name for category in coco.categories}


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
