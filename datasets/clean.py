"""The short way into a COCO file that has no defects: typed rows and a few checks over whole columns.

It either finds nothing to say, or says nothing: whatever is not plainly sound is left to the careful way (``document``,
``validate``), which names every defect. So the two never disagree on what a file means; tests hold them against each
other.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

from .document import text_problem
from .rle_batch import compressed_areas
from .schema import Schema
from .segmentations import decoded, segmentation_defects
from .validate import BOX_TOLERANCE_PX, Finder

_TOP = msgspec.json.Decoder(dict[str, msgspec.Raw])
_KEYS = msgspec.json.Decoder(list[_TOP.type])
_ANY = msgspec.json.Decoder()
_MOST_KEYS = 50
_ODD_KEY = re.compile(r'["\\\x00-\x1f]')  # msgspec knows no field of such a name
_FAR = 2.0**53  # beyond it a float no longer counts every integer

_Number = int | float
_KNOWN: dict[str, tuple[Any, Any]] = {
    "id": (int | msgspec.UnsetType, msgspec.UNSET),
    "image_id": (int, msgspec.NODEFAULT),
    "category_id": (int, msgspec.NODEFAULT),
    "segmentation": (msgspec.Raw, msgspec.Raw(b"null")),
    "bbox": (Annotated[list[_Number], msgspec.Meta(min_length=4, max_length=4)] | None, None),
    "area": (_Number | None, None),
    "iscrowd": (int | bool | None, None),
    "attributes": (msgspec.Raw, msgspec.Raw(b"null")),
    "score": (_Number | None, None),
}


class _Rle(msgspec.Struct, forbid_unknown_fields=True):
    size: tuple[int, int]
    counts: str


_RLE = msgspec.json.Decoder(_Rle)


@dataclass
class CleanRows:
    """A file without any defect. ``data``: the top level, without ``annotations``, decoded. ``rows``: annotations as
    structs with the keys of COCO (``segmentation`` and ``attributes`` still text) and, as ``x0``, ``x1``, ..., those
    named in ``extra_keys``, UNSET where a row has none."""

    data: dict[str, Any]
    rows: list[Any]
    extra_keys: tuple[str, ...]
    schema: Schema

    def extra(self, row: Any) -> dict[str, Any]:
        """The unknown keys of a row."""
        if not self.extra_keys:
            return {}
        pairs = ((key, getattr(row, f"x{i}")) for i, key in enumerate(self.extra_keys))
        return {key: value for key, value in pairs if value is not msgspec.UNSET}


def clean_rows(path: Path, text: bytes, *, annotation_ids: bool = True) -> CleanRows | None:
    """The rows of a file in which nothing is wrong, or None. ``annotation_ids=False``: ids of annotations may be any."""
    if text_problem(text):
        return None
    try:
        top = _TOP.decode(text.removeprefix(b"\xef\xbb\xbf"))
        if "annotations" not in top:
            return None
        raw = top.pop("annotations")
        found = _typed(raw)
        data = {key: _ANY.decode(value) for key, value in top.items()}
    except (msgspec.DecodeError, RecursionError):
        return None
    if found is None:
        return None
    rows, extra_keys = found
    finder = Finder(str(path))
    finder.check_head(data)
    finder.check_lists(data)
    if finder.defects or not _sound(rows, finder, annotation_ids):
        return None
    return CleanRows(data, rows, extra_keys, finder.schema)


def _typed(raw: msgspec.Raw) -> tuple[list[Any], tuple[str, ...]] | None:
    """A decoder that knows every key is many times faster than one that must keep any: so the first row tells the keys,
    or, where it does not know all, the whole list. None where it takes the careful way."""
    keys = _first_keys(raw)
    for last in (False, True):
        if len(keys) > _MOST_KEYS or any(_ODD_KEY.search(key) for key in keys):
            return None
        try:
            return _decoder(keys).decode(raw), keys
        except msgspec.ValidationError:
            if last or (keys := _unknown(key for row in _KEYS.decode(raw) for key in row)) == ():
                return None
    return None


def _first_keys(raw: msgspec.Raw) -> tuple[str, ...]:
    head = bytes(memoryview(raw)[:100_000])  # a row is rarely longer; if it is, the whole list is looked at
    end = head.find(b"}")
    while end >= 0:
        try:
            return _unknown(_TOP.decode(head[head.find(b"{") : end + 1]))
        except msgspec.DecodeError:
            end = head.find(b"}", end + 1)
    return ()


def _unknown(keys: Iterable[str]) -> tuple[str, ...]:
    return tuple(key for key in dict.fromkeys(keys) if key not in _KNOWN)  # in the order of the file


@lru_cache(maxsize=64)
def _decoder(extra_keys: tuple[str, ...]) -> msgspec.json.Decoder:
    fields = [(name, kind, default) for name, (kind, default) in _KNOWN.items()]
    fields += [(f"x{i}", Any, msgspec.UNSET) for i in range(len(extra_keys))]
    names = {f"x{i}": key for i, key in enumerate(extra_keys)}
    # gc=False: rows live only until they are made into annotations, and hold no circles.
    row = msgspec.defstruct("Row", fields, rename=names, forbid_unknown_fields=True, kw_only=True, gc=False)
    return msgspec.json.Decoder(list[row])


def _sound(rows: list[Any], finder: Finder, annotation_ids: bool) -> bool:
    """Whether ``Finder.check_annotations`` would find nothing in these rows."""
    if not rows:
        return True
    if annotation_ids:
        ids = [row.id for row in rows]
        if msgspec.UNSET in ids or min(ids) < 1 or max(ids) >= _FAR or len(set(ids)) != len(ids):
            return False
    sizes = [finder.sizes.get(row.image_id) for row in rows]
    if None in sizes or not all(row.category_id in finder.names for row in rows):
        return False
    if not {row.iscrowd for row in rows} <= {None, 0, 1}:
        return False
    areas = np.array([row.area or 0 for row in rows], np.float64)
    scores = np.array([row.score or 0 for row in rows], np.float64)
    if areas.min() < 0 or areas.max() >= _FAR or np.abs(scores).max() >= _FAR:
        return False
    return _boxes_sound(rows, sizes) and _attributes_sound(rows, finder) and _masks_sound(rows, sizes)


def _boxes_sound(rows: list[Any], sizes: list[tuple[int, int]]) -> bool:
    given = [i for i, row in enumerate(rows) if row.bbox is not None]
    boxes = np.array([rows[i].bbox for i in given], np.float64).reshape(-1, 4)
    height, width = np.array([sizes[i] for i in given], np.float64).reshape(-1, 2).T
    x, y, w, h = boxes.T
    slack = BOX_TOLERANCE_PX
    inside = (x >= -slack) & (y >= -slack) & (x + w <= width + slack) & (y + h <= height + slack)
    return bool((inside & (w > 0) & (h > 0)).all())


def _attributes_sound(rows: list[Any], finder: Finder) -> bool:
    """Products share their attributes: each text is looked at once a category."""
    for category_id, text in {(row.category_id, bytes(row.attributes)) for row in rows}:
        value = _ANY.decode(text)
        if value is not None and finder.schema.defects(value, finder.names[category_id]):
            return False
    return True


def _masks_sound(rows: list[Any], sizes: list[tuple[int, int]]) -> bool:
    counts, pixels = [], []
    for row, size in zip(rows, sizes, strict=True):
        try:
            rle = _RLE.decode(row.segmentation)
        except msgspec.DecodeError:
            if not _other_sound(row, size):
                return False
            continue
        if rle.size != size:
            return False
        counts.append(rle.counts)
        pixels.append(size[0] * size[1])
    return not counts or bool((compressed_areas(counts, np.array(pixels)) >= 0).all())


def _other_sound(row: Any, size: tuple[int, int]) -> bool:
    """Polygons, uncompressed runs, or no mask at all."""
    try:
        value = decoded(row.segmentation)
    except (msgspec.DecodeError, RecursionError):
        return False
    if value is None:
        return row.bbox is not None
    return not any(segmentation_defects(value, size, row.bbox))
