"""Masks: RLE <-> bitmap <-> polygons, box, area, IoU. The one rasteriser of the project is pycocotools'.

An RLE here is ``{"size": [h, w], "counts": str}``: column-major runs, zeros first, compressed as COCO does it. Every
function also takes counts as bytes or as an uncompressed list of run lengths. Bitmaps are (h, w), row-major, 0 or 1.
Polygons are in continuous pixel coordinates, x before y: pixel (row r, column c) covers [c, c + 1] x [r, r + 1].
"""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from .errors import InputError

Rle = dict[str, Any]

# pycocotools walks every edge in steps of 0.2 px: a stray 1e9 would take gigabytes. No photo is this wide.
_FARTHEST_PX = 1e5


def to_rle(segmentation: list | dict, height: int, width: int) -> Rle:
    """A COCO ``segmentation`` as RLE of an image of ``height`` x ``width`` px.

    Takes polygons ``[[x0, y0, x1, y1, ...], ...]`` (their union), compressed RLE or uncompressed RLE. Raises InputError
    for a polygon that is none, and for an RLE of another size or whose runs do not add up.
    """
    if isinstance(segmentation, dict):
        size = _size(segmentation)
        if size != (height, width):
            raise InputError(f"an RLE of size {list(size)} in an image of [height, width] = {[height, width]}")
        return _canonical(segmentation)
    rings = [_ring(points) for points in segmentation]
    if not rings:
        return _empty(height, width)
    return _as_text(coco_mask.merge(coco_mask.frPyObjects(rings, height, width)))


def encode(mask: np.ndarray) -> Rle:
    """RLE of a bitmap (h, w) of bool or of numbers (not 0 = inside)."""
    # The transpose is twice as fast as np.asfortranarray.
    return _as_text(coco_mask.encode(cv2.transpose(_bitmap(mask, 2)).T))


def encode_crop(mask: np.ndarray, x: int, y: int, height: int, width: int) -> Rle:
    """RLE of an image of ``height`` x ``width`` px that is empty but for a bitmap (h, w) whose top left pixel lies at
    (x, y). Takes time by the bitmap, not by the image. Raises InputError where it does not fit."""
    mask = _bitmap(mask, 2)
    h, w = mask.shape
    if x < 0 or y < 0 or x + w > width or y + h > height:
        raise InputError(f"a mask of {w}x{h} px at ({x}, {y}) does not fit into an image of {width}x{height} px")
    # One empty row above every column, and below the last: each column's runs begin and end inside the strip.
    columns = np.zeros(w * (h + 1) + 1, np.uint8)
    columns[:-1].reshape(w, h + 1)[:, 1:] = cv2.transpose(mask)
    edges = np.flatnonzero(columns[1:] != columns[:-1])
    column, row = np.divmod(edges, h + 1)
    positions = (x + column) * height + y + row
    # A run to the foot of one column and one from the head of the next are one run of the image.
    joined = np.flatnonzero(positions[2::2] == positions[1:-1:2])
    positions = np.delete(positions, np.r_[2 * joined + 1, 2 * joined + 2])
    runs = np.diff(positions, prepend=0, append=height * width)
    if len(positions) and positions[-1] == height * width:
        runs = runs[:-1]
    return _as_text(coco_mask.frPyObjects({"size": [height, width], "counts": runs.tolist()}, height, width))


def encode_many(masks: np.ndarray) -> list[Rle]:
    """RLEs of a stack of bitmaps (n, h, w)."""
    masks = _bitmap(masks, 3)
    if not len(masks):
        return []
    columns = np.stack([cv2.transpose(mask) for mask in masks])
    return [_as_text(rle) for rle in coco_mask.encode(columns.T)]


def decode(rle: Rle) -> np.ndarray:
    """Bitmap uint8 (h, w), C-contiguous, of an RLE. Raises InputError where the runs do not add up to h x w."""
    height, width = _size(rle)
    runs = counts(rle)
    values = np.zeros(len(runs), np.uint8)
    values[1::2] = 1
    columns = np.repeat(values, runs).reshape(width, height)
    return cv2.transpose(columns)


def decode_many(rles: Sequence[Rle]) -> np.ndarray:
    """Bitmaps uint8 (n, h, w) of RLEs of one size; (0, 0, 0) for none."""
    if not rles:
        return np.zeros((0, 0, 0), np.uint8)
    _same_size(rles)
    return np.stack([decode(rle) for rle in rles])


def counts(rle: Rle) -> np.ndarray:
    """Run lengths int64 (k,) of an RLE: zeros, ones, zeros, ... Raises InputError where they do not add up to h x w.

    pycocotools itself leaves memory as it was when runs are missing, so the sum is checked before anything is decoded.
    """
    height, width = _size(rle)
    stored = rle["counts"]
    if isinstance(stored, str | bytes):
        runs = _decompress(stored)
    else:
        try:
            runs = np.asarray(stored)
        except (TypeError, ValueError):
            runs = np.zeros(1, object)
        if runs.size and (runs.ndim != 1 or runs.dtype.kind not in "iu"):
            raise InputError("RLE counts are neither text nor a flat list of whole numbers")
        runs = runs.reshape(-1).astype(np.int64)
    if (runs < 0).any() or int(runs.sum()) != height * width:
        found = "a negative run" if (runs < 0).any() else f"runs that add up to {int(runs.sum())}"
        raise InputError(f"RLE counts with {found}; size {[height, width]} needs {height * width} pixels")
    return runs


def area(rle: Rle) -> int:
    """Number of pixels inside. Like ``xywh`` and ``iou`` it trusts compressed counts; ``to_rle`` and ``decode`` check."""
    return int(coco_mask.area(_native(rle)))


def areas(rles: Sequence[Rle]) -> np.ndarray:
    """``area`` of many, float64 (n,)."""
    return np.fromiter((coco_mask.area(_native(rle)) for rle in rles), np.float64, len(rles))


def xywh(rle: Rle) -> tuple[float, float, float, float]:
    """Tight box (x, y, w, h) in px; all zero for an empty mask."""
    return tuple(float(v) for v in coco_mask.toBbox(_native(rle)))


def boxes(rles: Sequence[Rle]) -> np.ndarray:
    """``xywh`` of many, float64 (n, 4)."""
    if not {type(rle["counts"]) for rle in rles} <= {str, bytes}:
        rles = [_native(rle) for rle in rles]
    return np.asarray(coco_mask.toBbox(list(rles)), np.float64).reshape(-1, 4)


def iou(a: Sequence[Rle], b: Sequence[Rle]) -> np.ndarray:
    """Intersection over union float64 (len(a), len(b)). Two empty masks count 0, as in COCO."""
    if not a or not b:
        return np.zeros((len(a), len(b)))
    _same_size([*a, *b])
    return np.asarray(coco_mask.iou([_native(r) for r in a], [_native(r) for r in b], [0] * len(b)), np.float64)


def polygons(mask: np.ndarray, tolerance_px: float = 0.0) -> list[list[np.ndarray]]:
    """Outlines of a bitmap (h, w): one part per 8-connected component, each ``[outer, hole, hole, ...]``.

    Every ring is float64 (k, 2) of x, y in px, k >= 3 (4 without simplification), not closed by a repeated point.
    Rings run a quarter of a pixel inside the mask, so ``from_polygons`` gives the same mask back. ``tolerance_px`` > 0
    simplifies (Douglas-Peucker): no point of the outline moves farther than that; 1 px changes the rim by at most
    about a pixel.
    """
    mask = _bitmap(mask, 2)
    x, y, w, h = cv2.boundingRect(mask)
    if w == 0:
        return []
    # Outlines run through pixel centres; at twice the size they lie off the centres that the rasteriser samples.
    doubled = cv2.resize(mask[y : y + h, x : x + w], None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    rings, hierarchy = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    parts: dict[int, list[np.ndarray]] = {}
    holes: list[tuple[int, np.ndarray]] = []
    for i, (ring, (_, _, _, parent)) in enumerate(zip(rings, hierarchy.reshape(-1, 4), strict=True)):
        if tolerance_px > 0:
            simple = cv2.approxPolyDP(ring, 2 * tolerance_px, True)
            ring = simple if len(simple) >= 3 else ring
        points = ring[:, 0].astype(np.float64) / 2 + (0.25 + x, 0.25 + y)
        if parent < 0:
            parts[i] = [points]
        else:
            holes.append((int(parent), points))
    for parent, points in holes:
        parts[parent].append(points)
    return list(parts.values())


def from_polygons(parts: Sequence[Sequence[np.ndarray]], height: int, width: int) -> np.ndarray:
    """Bitmap uint8 (height, width) of parts as ``polygons`` gives them: the union of (outer ring minus its holes)."""
    return decode(rle_of_polygons(parts, height, width))


def rle_of_polygons(parts: Sequence[Sequence[np.ndarray]], height: int, width: int) -> Rle:
    """RLE of what ``from_polygons`` draws. Takes time by the outlines, not by the image."""
    found = []
    for outer, *holes in parts:
        part = to_rle([np.asarray(outer).ravel()], height, width)
        if holes:
            ground = _inverse(to_rle([np.asarray(ring).ravel() for ring in holes], height, width))
            part = coco_mask.merge([part, ground], intersect=True)
        found.append(part)
    return _as_text(coco_mask.merge(found)) if found else _empty(height, width)


def _inverse(rle: Rle) -> Rle:
    """Every pixel that is not inside."""
    runs = counts(rle).tolist()
    runs = runs[1:] if runs[0] == 0 else [0, *runs]
    return coco_mask.frPyObjects({"size": rle["size"], "counts": runs}, *rle["size"])


def crop(mask: np.ndarray, xyxy: Sequence[float]) -> np.ndarray:
    """View of mask (h, w, ...) under a box xyxy in px, grown to whole pixels and clipped to the mask; may be empty."""
    height, width = mask.shape[:2]
    x0, y0 = (int(np.floor(v)) for v in xyxy[:2])
    x1, y1 = (int(np.ceil(v)) for v in xyxy[2:])
    return mask[max(y0, 0) : max(min(y1, height), 0), max(x0, 0) : max(min(x1, width), 0)]


def _bitmap(mask: np.ndarray, ndim: int) -> np.ndarray:
    """uint8 0/1 of any mask; pycocotools would split a run at every change of value (1, 2, 255)."""
    mask = np.asarray(mask)
    if mask.ndim != ndim or 0 in mask.shape[-2:]:
        expected = "(h, w)" if ndim == 2 else "(n, h, w)"
        raise InputError(f"a mask of shape {mask.shape}; expected {expected} with h and w of at least 1")
    mask = mask if mask.dtype == bool else mask != 0
    return np.ascontiguousarray(mask).view(np.uint8)


def _ring(points: Sequence[float] | np.ndarray) -> list[float]:
    try:
        ring = np.asarray(points, np.float64)
    except (TypeError, ValueError):
        raise InputError("a polygon that is no flat list of numbers [x0, y0, x1, y1, ...]") from None
    if ring.ndim != 1 or ring.size < 6 or ring.size % 2:
        raise InputError(f"a polygon of shape {ring.shape}; expected a flat, even list of at least 6 numbers")
    if not (np.abs(ring) < _FARTHEST_PX).all():
        raise InputError(f"a polygon with a coordinate that is no number, or {_FARTHEST_PX:g} px or more away")
    return ring.tolist()


def _size(rle: Rle) -> tuple[int, int]:
    try:
        height, width = rle["size"]
        rle["counts"]
    except (KeyError, TypeError, ValueError):
        raise InputError('an RLE without "size": [height, width] and "counts"') from None
    if not all(isinstance(v, int | np.integer) and v > 0 for v in (height, width)):
        raise InputError(f"an RLE of size {[height, width]}; expected two whole numbers above 0")
    return int(height), int(width)


def _same_size(rles: Sequence[Rle]) -> None:
    sizes = {_size(rle) for rle in rles}
    if len(sizes) > 1:
        raise InputError(f"RLEs of different sizes together: {sorted(sizes)[:3]}")


def _decompress(text: str | bytes) -> np.ndarray:
    """Runs int64 of COCO's compressed counts (pycocotools ``rleFrString``): groups of 5 bits, low first, bit 5 = more
    follow, sign from the last group; from the fourth run on stored as the difference to the run two before."""
    try:
        raw = text.encode("ascii") if isinstance(text, str) else bytes(text)
    except UnicodeEncodeError:
        raise InputError("RLE counts with characters that are none of the compressed form") from None
    digits = np.frombuffer(raw, np.uint8).astype(np.int64) - 48
    if not len(digits):
        return digits
    last = (digits & 0x20) == 0
    if digits.min() < 0 or digits.max() > 63 or not last[-1]:
        raise InputError("RLE counts that are cut off or have characters that are none of the compressed form")
    ends = np.flatnonzero(last)
    starts = np.r_[0, ends[:-1] + 1]
    lengths = ends - starts + 1
    if lengths.max() > 8:
        raise InputError("RLE counts with a run longer than any image")
    shift = 5 * (np.arange(len(digits)) - np.repeat(starts, lengths))
    runs = np.add.reduceat((digits & 0x1F) << shift, starts)
    runs -= np.where(digits[ends] & 0x10, np.int64(1) << (5 * lengths), 0)
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    return runs


def _canonical(rle: Rle) -> Rle:
    runs = counts(rle)
    if isinstance(rle["counts"], str | bytes):
        return _as_text(rle)
    height, width = _size(rle)
    return _as_text(coco_mask.frPyObjects({"size": [height, width], "counts": runs.tolist()}, height, width))


def _native(rle: Rle) -> Rle:
    """The form pycocotools takes; uncompressed counts are compressed on the way."""
    return rle if isinstance(rle["counts"], str | bytes) else _canonical(rle)


def _as_text(rle: Rle) -> Rle:
    stored = rle["counts"]
    return {
        "size": [int(v) for v in rle["size"]],
        "counts": stored if isinstance(stored, str) else bytes(stored).decode("ascii"),
    }


def _empty(height: int, width: int) -> Rle:
    return _as_text(coco_mask.frPyObjects({"size": [height, width], "counts": [height * width]}, height, width))
