"""iMaterialist Fashion 2019 and 2020: a CSV with a row an instance, and ``label_descriptions.json``.

``EncodedPixels`` are pairs "start length ..." over the pixels counted from 1, down the columns (as in COCO, whose runs
count from 0 and alternate). 2019 puts attributes behind the class (``ClassId`` "6_1_4"), and gives them for a part of the
rows: no suffix says nothing. 2020 has a column ``AttributesIds`` ("115,136") for every row: an empty one says "none".
``ImageId`` has a suffix in 2019 and none in 2020, where the photos are .jpg.
"""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from .. import masks
from ..coco import Annotation, Category, CocoFile, Image
from ..errors import InputError
from ..images import IMAGE_SUFFIXES
from ..paths import file_name_defect
from ..schema import shown
from ..segmentations import FARTHEST_PX
from ..validate import MAX_PIXELS
from .fashionpedia import from_fashionpedia
from .notes import Notes, Track, untracked
from .ontology import IDS

_COLUMNS = ("ImageId", "EncodedPixels", "Height", "Width", "ClassId")
_LONGEST = 1 << 30  # characters of a field: an outline of a large photo is longer than the csv module allows


class _Row(NamedTuple):
    where: str
    file_name: str
    height: int
    width: int
    category: int
    attribute_ids: list[int] | None
    pixels: str


def read(path: Path, notes: Notes, labels: Path | None = None, track: Track = untracked) -> CocoFile:
    """The CSV as a file of ours. ``labels``: label_descriptions.json; left out, the one beside the CSV. Raises InputError
    for what cannot be read."""
    labels = labels or path.parent / "label_descriptions.json"
    description = _description(labels)
    rows = list(_rows(path, notes))
    return from_imaterialist(rows, description, notes, str(labels), track)


def _description(path: Path) -> dict[str, Any]:
    kind = "categories and attributes of iMaterialist (label_descriptions.json)"
    try:
        found = msgspec.json.decode(path.read_bytes())
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); expected the {kind}: name it with --labels."
        ) from None
    except msgspec.DecodeError as error:
        raise InputError(f"{path}: not JSON ({error}); expected the {kind}.") from None
    categories = found.get("categories") if isinstance(found, dict) else None
    if not isinstance(categories, list):
        raise InputError(f"{path}: no list of categories; expected the {kind}.")
    for i, one in enumerate(categories):
        good = isinstance(one, dict) and type(one.get("id")) is int and isinstance(one.get("name"), str)
        if not good or one["id"] < 0 or not one["name"]:
            raise InputError(
                f"{path}: categories[{i}]: found {shown(one)}, expected an object {{id, name}}, id from 0."
            )
    if len({one["id"] for one in categories}) < len(categories):
        raise InputError(f"{path}: categories: an id stands twice; expected each id once.")
    return found


def _rows(path: Path, notes: Notes) -> Iterator[_Row]:
    before = csv.field_size_limit(_LONGEST)
    try:
        with open(path, newline="", encoding="utf-8-sig") as handle:
            table = csv.DictReader(handle)
            if missing := [name for name in _COLUMNS if name not in (table.fieldnames or ())]:
                raise InputError(
                    f"{path}: no column {missing[0]}; expected {', '.join(_COLUMNS)} and, of 2020, AttributesIds."
                )
            for row in table:
                yield _row(row, f"{path}, line {table.line_num}")
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); expected the CSV of iMaterialist.") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path}: no CSV ({error}); expected the CSV of iMaterialist.") from None
    finally:
        csv.field_size_limit(before)


def _row(row: dict[str, str | None], where: str) -> _Row:
    said = {name: (row[name] or "").strip() for name in _COLUMNS}
    category, *suffix = said["ClassId"].split("_")
    ids: list[int] | None = [_whole(v, where, "ClassId") for v in suffix] or None
    if row.get("AttributesIds") is not None:
        column = str(row["AttributesIds"]).strip()
        ids = [_whole(v, where, "AttributesIds") for v in column.split(",") if v.strip()] if column != "nan" else []
    name = said["ImageId"]
    if why := file_name_defect(name):
        raise InputError(f"{where}: ImageId {shown(name)} {why}; expected the name of a photo.")
    height = _whole(said["Height"], where, "Height", 1, FARTHEST_PX)
    width = _whole(said["Width"], where, "Width", 1, FARTHEST_PX)
    if height * width > MAX_PIXELS:
        raise InputError(f"{where}: found {width} x {height} px; expected at most 2**31 px in all.")
    return _Row(
        where=where,
        file_name=name if Path(name).suffix.lower() in IMAGE_SUFFIXES else name + ".jpg",
        height=height,
        width=width,
        category=_whole(category, where, "ClassId"),
        attribute_ids=ids,
        pixels=said["EncodedPixels"],
    )


def _whole(text: str, where: str, column: str, least: int = 0, most: int = 2**31 - 2) -> int:
    """A whole number, also one that went through a float ("6.0")."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not number.is_integer() or not least <= number <= most:
        raise InputError(f"{where}: {column}: found {shown(text)}, expected a whole number from {least} to {most}.")
    return int(number)


def from_imaterialist(
    rows: list[_Row], description: dict[str, Any], notes: Notes, where: str, track: Track = untracked
) -> CocoFile:
    """Rows and label descriptions as a file of ours. Category ids are the ClassIds raised by one, attributes as in
    Fashionpedia."""
    coco = CocoFile(info=description.get("info") or {}, licenses=description.get("licenses") or [])
    coco.categories = [
        Category(c["id"] + 1, c["name"], {k: v for k, v in c.items() if k not in ("id", "name")})
        for c in description["categories"]
    ]
    coco.extra["attributes"] = description.get("attributes") or []
    known = {category.id for category in coco.categories}
    images: dict[str, Image] = {}
    for row in track(rows, "annotations"):
        image = images.setdefault(row.file_name, Image(len(images) + 1, row.file_name, row.width, row.height))
        rle = _mask(row, image, notes)
        if row.category + 1 not in known:
            notes.add("rows left out (ClassId is not in label_descriptions.json)", row.where)
        elif rle is not None:
            extra = {} if row.attribute_ids is None else {IDS: row.attribute_ids}
            box, area = list(masks.xywh(rle)), float(masks.area(rle))
            coco.annotations.append(
                Annotation(len(coco.annotations) + 1, image.id, row.category + 1, rle, box, area, extra=extra)
            )
    coco.images = list(images.values())
    return from_fashionpedia(coco, notes, where)


def _mask(row: _Row, image: Image, notes: Notes) -> masks.Rle | None:
    if (row.height, row.width) != (image.height, image.width):
        notes.add("rows left out (another size than the photo's first row)", row.where)
        return None
    try:
        rle, clipped = decode_pixels(row.pixels, row.height, row.width)
    except InputError as error:
        notes.add("rows left out (EncodedPixels are no runs)", f"{row.where}: {error}")
        return None
    if clipped:
        notes.add("masks with runs beyond the photo, cut off there", row.where)
    if not masks.area(rle):
        notes.add("rows left out (no pixel)", row.where)
        return None
    return rle


def decode_pixels(text: str, height: int, width: int) -> tuple[masks.Rle, bool]:
    """The RLE of ``EncodedPixels``, and whether runs were cut off at the end of the photo. Runs may overlap and stand in
    any order. Raises InputError for what are no pairs of whole numbers, start 1 or more and length 0 or more."""
    if height < 1 or width < 1:
        raise InputError(f"a photo of {width} x {height} px")
    try:
        numbers = np.array(text.split(), dtype=np.int64)
    except (ValueError, OverflowError):
        raise InputError(f"found {shown(text, 30)}, expected pairs of whole numbers") from None
    if len(numbers) % 2:
        raise InputError(f"found {len(numbers)} numbers, expected pairs of start and length")
    starts, lengths = numbers[::2] - 1, numbers[1::2]
    if len(starts) and (starts.min() < 0 or lengths.min() < 0):
        raise InputError("found a start below 1 or a length below 0, expected pixels counted from 1")
    order = np.argsort(starts, kind="stable")
    total = height * width
    starts = np.minimum(starts[order], total)
    ends = starts + np.minimum(lengths[order], total + 1)  # a start and a length of 2**62 would not add up
    clipped = bool((ends > total).any())
    ends = np.minimum(ends, total)
    reach = np.maximum.accumulate(ends) if len(ends) else ends
    # A new run of ones begins where all before have ended: touching ones are one run.
    first = np.flatnonzero(starts > np.r_[-1, reach[:-1]]) if len(starts) else starts
    begins, stops = starts[first], reach[np.r_[first[1:] - 1, len(reach) - 1]] if len(first) else starts
    real = stops > begins
    edges = np.stack([begins[real], stops[real]], 1).ravel()
    counts = np.diff(edges, prepend=0, append=total)
    if len(edges) and edges[-1] == total:
        counts = counts[:-1]
    return masks.to_rle({"size": [height, width], "counts": counts.tolist()}, height, width), clipped
