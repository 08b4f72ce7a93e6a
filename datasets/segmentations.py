"""What is wrong with one ``segmentation``, before the rasteriser sees it."""

import math
from collections.abc import Iterator
from typing import Any

import msgspec

from . import masks
from .errors import InputError
from .schema import shown

# (sub-path, message, fatal)
Finding = tuple[str, str, bool]

FARTHEST_PX = 100_000  # the rasteriser walks every edge in small steps: no photo is this wide
OUTSIDE_PX = 1.0
_DECODER = msgspec.json.Decoder()
_POLYGON = "expected [x, y, x, y, ...] in pixels, three points or more"


def decoded(stored: Any) -> Any:
    """A segmentation as lists or a dict; None for null and for an empty list, COCO's ways to say "only a box"."""
    value = _DECODER.decode(stored) if type(stored) is msgspec.Raw else stored
    return None if value == [] else value


def segmentation_defects(value: Any, size: tuple[int, int] | None, box: list[float] | None) -> Iterator[Finding]:
    """``value``: decoded, not None. ``size``: (h, w) of the image in px, None where unknown. ``box``: xywh in px."""
    if isinstance(value, dict):
        yield from _rle_defects(value, size)
    elif not isinstance(value, list):
        yield "", f"found {shown(value)}, expected polygons [[x, y, ...], ...] or an RLE {{size, counts}}", True
    elif type(value[0]) is not list and all(map(_is_number, value)):
        yield "", f"found {shown(value)}, expected a list of polygons; wrap it in one more list", True
    else:
        yield from _polygons_defects(value, size, box)


def _is_number(value: Any) -> bool:
    return type(value) is float or type(value) is int


def _rle_defects(rle: dict[str, Any], size: tuple[int, int] | None) -> Iterator[Finding]:
    said, counts = rle.get("size"), rle.get("counts")
    if type(said) is not list or len(said) != 2 or any(type(v) is not int or v < 1 for v in said):
        found = f"found {shown(said)}" if "size" in rle else "is missing"
        yield ".size", f"{found}, expected [height, width] of the image; correct it", True
        return
    if size is not None and tuple(said) != size:
        turned = " (width and height are swapped)" if tuple(said[::-1]) == size else ""
        mend = "draw the mask again on this photo, or correct the size"
        yield ".size", f"found {said}, expected {list(size)}, the image's [height, width]{turned}; {mend}", True
    listed = isinstance(counts, list) and all(type(n) is int and abs(n) <= FARTHEST_PX**2 for n in counts)
    if not listed and not isinstance(counts, str):
        found = f"found {shown(counts)}" if "counts" in rle else "is missing"
        mend = "draw the mask again or restore the file"
        yield ".counts", f"{found}, expected a string (compressed) or a list of run lengths in pixels; {mend}", True
        return
    try:
        # Before pycocotools sees it: that trusts what it reads, and can read past the end of a garbled string.
        masks.counts(rle)
    except (InputError, OverflowError) as error:
        yield ".counts", f"found {shown(counts, 30)}: {error}; draw the mask again or restore the file", True


def _polygons_defects(polygons: list, size: tuple[int, int] | None, box: list[float] | None) -> Iterator[Finding]:
    spans, sound = [], True
    for i, polygon in enumerate(polygons):
        if type(polygon) is not list:
            yield f"[{i}]", f"found {shown(polygon)}, {_POLYGON}; remove it", True
        elif not set(map(type, polygon)) <= {int, float}:
            j, bad = next((j, v) for j, v in enumerate(polygon) if not _is_number(v))
            yield f"[{i}][{j}]", f"found {shown(bad)}, expected a number; draw the polygon again", True
        elif len(polygon) < 6:
            yield f"[{i}]", f"found {len(polygon)} numbers, {_POLYGON}; remove the polygon or draw it again", True
        elif len(polygon) % 2:
            yield f"[{i}]", f"found {len(polygon)} numbers, an odd count, {_POLYGON}; draw it again", True
        else:
            xs, ys = polygon[0::2], polygon[1::2]
            spans.append((min(xs), min(ys), max(xs), max(ys)))
            if finding := _span_defect(spans[-1], size):
                sound = False
                yield f"[{i}]", *finding
    if sound and spans and len(spans) == len(polygons) and box is not None:
        yield from _box_disagrees(spans, box)


def _span_defect(span: tuple, size: tuple[int, int] | None) -> tuple[str, bool] | None:
    x0, y0, x1, y1 = span
    visible = x1 - x0 >= 1 or y1 - y0 >= 1
    if size is not None and visible and _inside(span, size, OUTSIDE_PX):
        return None
    if not all(-math.inf < v < math.inf for v in span):
        return None  # listed where the file was decoded
    said = f"found points from ({_brief(x0)}, {_brief(y0)}) to ({_brief(x1)}, {_brief(y1)})"
    if max(map(abs, span)) >= FARTHEST_PX:
        return f"{said}, expected points in the image; draw it again", True
    if not visible:
        return f"{said}, less than a pixel, expected pixels (are these fractions of the size?); draw it again", False
    if size is None:
        return None
    h, w = size
    inside = f"expected points in the image, {w} x {h} px"
    if x1 < 0 or y1 < 0 or x0 > w or y0 > h or not _inside(span, size, max(h, w)):
        return f"{said}, {inside}; they belong to another photo or another size of it: draw it again", True
    return f"{said}, {inside}; what lies outside is cut off: clip it", False


def _brief(value: float) -> str:
    return f"{value:g}" if abs(value) < 1e15 else shown(value, 20)  # an integer of JSON may be too long for a float


def _inside(span: tuple, size: tuple[int, int], slack_px: float) -> bool:
    x0, y0, x1, y1 = span
    return x0 >= -slack_px and y0 >= -slack_px and x1 <= size[1] + slack_px and y1 <= size[0] + slack_px


def _box_disagrees(spans: list[tuple], box: list[float]) -> Iterator[Finding]:
    """A box that shares less than half with the polygons' own: often x, y, x, y in place of x, y, width, height."""
    lefts, tops, rights, bottoms = zip(*spans, strict=True)
    x0, y0, x1, y1 = min(lefts), min(tops), max(rights), max(bottoms)
    x, y, w, h = box
    if x <= x0 and y <= y0 and x + w >= x1 and y + h >= y1 and w * h < 2 * (x1 - x0) * (y1 - y0):
        return  # the usual case, at once
    shared = max(0, min(x1, x + w) - max(x0, x)) * max(0, min(y1, y + h) - max(y0, y))
    either = (x1 - x0) * (y1 - y0) + w * h - shared
    if w > 0 and h > 0 and shared < 0.5 * either:
        own = shown([round(v, 2) for v in (x0, y0, x1 - x0, y1 - y0)])
        mend = "leave bbox out and it is filled in from the segmentation"
        yield "", f"found polygons in the box {own}, expected bbox, {shown(box)}, around them; {mend}", False
