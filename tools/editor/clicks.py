"""From clicks and a box to a mask."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import cv2
import numpy as np

from ...datasets.errors import InputError

Point = tuple[float, float, int]  # x, y in px, 1 inside or 0 outside
Box = tuple[float, float, float, float]  # xyxy in px

_REACH = 5  # px of the guided filter's window, in the reduced crop
_TILE = 128  # px of the photo


class Clicker(Protocol):
    """What turns clicks into a mask: GrabCut here, a network elsewhere."""

    def segment(self, rgb: np.ndarray, points: Sequence[Point], box: Box | None, mask: np.ndarray | None) -> np.ndarray:
        """Mask bool (h, w) of the product on a photo uint8 (h, w, 3) RGB. ``mask`` bool (h, w): what there is so far,
        to be corrected. Raises InputError where there is nothing to go by."""
        ...


class GrabCut:
    """GrabCut (Rother et al. 2004) on a reduced crop, its edge brought back to full size by a guided filter
    (He & Sun 2015, "Fast Guided Filter")."""

    def __init__(self, side_px: int = 256, rounds: int = 2):
        """side_px: the longer side that the crop is reduced to; time goes with its square. rounds: of GrabCut."""
        self.side_px, self.rounds = side_px, rounds

    def segment(self, rgb: np.ndarray, points: Sequence[Point], box: Box | None, mask: np.ndarray | None) -> np.ndarray:
        """See Clicker. A positive point keeps the pieces that hold one; with a box, nothing lies outside it."""
        height, width = rgb.shape[:2]
        _check(points, box, mask, width, height)
        x0, y0, x1, y1 = _crop(points, box, mask, width, height)
        crop = rgb[y0:y1, x0:x1]
        scale = min(1.0, self.side_px / max(crop.shape[:2]))
        size = (max(2, round(crop.shape[1] * scale)), max(2, round(crop.shape[0] * scale)))
        small = cv2.resize(crop, size, interpolation=cv2.INTER_AREA)
        zoom = np.array([size[0] / crop.shape[1], size[1] / crop.shape[0]])
        near = [((x - x0) * zoom[0], (y - y0) * zoom[1], inside) for x, y, inside in points]
        frame = None if box is None else [(v - (x0, y0)[i % 2]) * zoom[i % 2] for i, v in enumerate(box)]
        so_far = None
        if mask is not None and mask.any():
            part = np.ascontiguousarray(mask[y0:y1, x0:x1]).view(np.uint8)
            so_far = cv2.resize(part * 255, size, interpolation=cv2.INTER_AREA) > 127
        labels = _labels(small, near, frame, so_far)
        inside = _grab_cut(small, labels, self.rounds)
        inside = _pieces(inside, near, keep_all=frame is not None or so_far is not None)
        full = np.zeros((height, width), bool)
        full[y0:y1, x0:x1] = inside if inside.shape == crop.shape[:2] else _enlarged(inside, small, crop)
        _hold(full, points, box, radius=1.0 / scale)
        return full


def _check(points: Sequence[Point], box: Box | None, mask: np.ndarray | None, width: int, height: int) -> None:
    if mask is not None and mask.shape != (height, width):
        raise InputError(f"a mask of {mask.shape[1]} x {mask.shape[0]} px on a photo of {width} x {height} px.")
    for x, y, inside in points:
        if not (0 <= x <= width and 0 <= y <= height) or inside not in (0, 1):
            raise InputError(
                f"point [{x:g}, {y:g}, {inside}]: expected x, y in the photo ({width} x {height} px) and 1 or 0."
            )
    if box is not None and not (box[2] - box[0] >= 2 and box[3] - box[1] >= 2 and _in_photo(box, width, height)):
        raise InputError(
            f"box {[round(v, 1) for v in box]}: expected x0, y0, x1, y1 in the photo ({width} x {height} px), at least 2 px wide "
            "and high."
        )
    something = mask is not None and mask.any()
    if box is None and not something and not any(inside for _, _, inside in points):
        raise InputError("nothing to go by: click inside the product, or draw a box around it.")


def _in_photo(box: Box, width: int, height: int) -> bool:
    return box[0] >= -1 and box[1] >= -1 and box[2] <= width + 1 and box[3] <= height + 1


def _crop(
    points: Sequence[Point], box: Box | None, mask: np.ndarray | None, width: int, height: int
) -> tuple[int, int, int, int]:
    """The part of the photo to look at, xyxy in px: the box or the mask so far and a rim of ground around; the whole
    photo for clicks alone."""
    if box is not None:
        xs, ys = [box[0], box[2]], [box[1], box[3]]
    elif mask is not None and mask.any():
        x, y, w, h = cv2.boundingRect(np.ascontiguousarray(mask).view(np.uint8))
        xs, ys = [x, x + w], [y, y + h]
    else:
        return 0, 0, width, height
    xs += [x for x, _, _ in points]
    ys += [y for _, y, _ in points]
    rim = 0.15 * max(max(xs) - min(xs), max(ys) - min(ys)) + 8
    return (
        max(0, int(min(xs) - rim)),
        max(0, int(min(ys) - rim)),
        min(width, int(max(xs) + rim) + 1),
        min(height, int(max(ys) + rim) + 1),
    )


def _labels(
    small: np.ndarray, points: Sequence[Point], box: Sequence[float] | None, so_far: np.ndarray | None
) -> np.ndarray:
    """GrabCut's start, uint8 (h, w): sure where a person said so, probable where the mask so far, the box or the
    likeness to the clicked colours says so."""
    height, width = small.shape[:2]
    if so_far is not None:
        labels = np.where(so_far, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    elif box is not None:
        labels = np.full((height, width), cv2.GC_PR_FGD, np.uint8)
    else:
        labels = np.where(_alike(small, points), cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    if box is not None:
        x0, y0, x1, y1 = np.round(box).astype(int)
        outside = np.ones((height, width), bool)
        outside[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = False
        labels[outside] = cv2.GC_BGD
    radius = max(2, round(0.012 * max(height, width)))
    for x, y, inside in sorted(points, key=lambda point: -point[2]):
        disc = cv2.GC_FGD if inside else cv2.GC_BGD
        cv2.circle(labels, (min(int(x), width - 1), min(int(y), height - 1)), radius, int(disc), -1)
    return labels


def _alike(small: np.ndarray, points: Sequence[Point]) -> np.ndarray:
    """bool (h, w): pixels whose colour is nearer to what was clicked inside than to the rim of the photo and to what
    was clicked outside, in pieces that hold a click."""
    height, width = small.shape[:2]
    lab = cv2.cvtColor(cv2.GaussianBlur(small, (0, 0), 1.5), cv2.COLOR_RGB2LAB).astype(np.float32)
    pick = {
        kind: [lab[min(int(y), height - 1), min(int(x), width - 1)] for x, y, k in points if k == kind]
        for kind in (0, 1)
    }
    rim = np.concatenate([lab[0], lab[-1], lab[:, 0], lab[:, -1]])
    ground = [*pick[0], *(np.quantile(rim, q, axis=0).astype(np.float32) for q in (0.25, 0.5, 0.75))]

    def distance(colours: list[np.ndarray]) -> np.ndarray:
        return np.min([np.linalg.norm(lab - colour, axis=2) for colour in colours], axis=0)

    return _pieces(distance(pick[1]) < distance(ground), points, keep_all=False)


def _grab_cut(small: np.ndarray, labels: np.ndarray, rounds: int) -> np.ndarray:
    sure_out = (labels == cv2.GC_BGD) | (labels == cv2.GC_PR_BGD)
    if sure_out.all() or not sure_out.any():  # one of the two colour models would have nothing to learn from
        return ~sure_out
    cv2.setRNGSeed(0)  # its k-means starts at random: the same clicks give the same mask
    models = np.zeros((1, 65)), np.zeros((1, 65))
    bgr = cv2.cvtColor(small, cv2.COLOR_RGB2BGR)
    labels, _, _ = cv2.grabCut(bgr, labels, None, *models, rounds, cv2.GC_INIT_WITH_MASK)
    return (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)


def _pieces(inside: np.ndarray, points: Sequence[Point], *, keep_all: bool) -> np.ndarray:
    """The pieces that hold a positive point, without specks; `keep_all`: and the others of some size."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(inside.astype(np.uint8))
    if count <= 1:
        return inside
    height, width = inside.shape
    kept = np.zeros(count, bool)
    for x, y, positive in points:
        if positive:
            kept[labels[min(int(y), height - 1), min(int(x), width - 1)]] = True
    if keep_all or not kept[1:].any():
        kept |= stats[:, cv2.CC_STAT_AREA] >= 0.02 * stats[1:, cv2.CC_STAT_AREA].max()
    kept[0] = False
    return kept[labels]


def _enlarged(inside: np.ndarray, small: np.ndarray, crop: np.ndarray) -> np.ndarray:
    """bool at the size of `crop`: the linear model of the mask by colour that fits around each pixel of `small`,
    applied to the pixels of `crop`. Away from the mask's edge it says what `inside` says, so it is applied in tiles
    along the edge alone: over 12 megapixels that is most of the time."""
    guide, target = small.astype(np.float32) / 255, inside.astype(np.float32)
    grey = cv2.cvtColor(guide, cv2.COLOR_RGB2GRAY)

    def mean(values: np.ndarray) -> np.ndarray:
        return cv2.blur(values, (_REACH, _REACH))

    mean_i, mean_p = mean(grey), mean(target)
    slope = (mean(grey * target) - mean_i * mean_p) / (mean(grey * grey) - mean_i * mean_i + 1e-3)
    offset = mean_p - slope * mean_i
    height, width = crop.shape[:2]
    slope, offset = (cv2.resize(mean(v), (width, len(small)), interpolation=cv2.INTER_LINEAR) for v in (slope, offset))
    full = cv2.resize(inside.view(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    place = np.clip((np.arange(height, dtype=np.float32) + 0.5) * len(small) / height - 0.5, 0, len(small) - 1)
    above = place.astype(int)
    below, share = np.minimum(above + 1, len(small) - 1), (place - above)[:, None]
    for rows, columns in _edge_tiles(inside, width, height):
        a, b, part = above[rows], below[rows], share[rows]
        k, d = (v[a, columns] * (1 - part) + v[b, columns] * part for v in (slope, offset))
        full[rows, columns] = cv2.cvtColor(crop[rows, columns], cv2.COLOR_RGB2GRAY) * (k / 255) + d > 0.5
    return full.view(bool)


def _edge_tiles(inside: np.ndarray, width: int, height: int) -> Iterator[tuple[slice, slice]]:
    """The tiles of width x height px in which two means over the reduced mask and an interpolation see its edge."""
    near = np.ones((2 * _REACH + 1, 2 * _REACH + 1), np.uint8)
    mask = inside.view(np.uint8)
    mixed = cv2.dilate(mask, near) != cv2.erode(mask, near)
    across, down = inside.shape[1] / width, inside.shape[0] / height
    for y in range(0, height, _TILE):
        for x in range(0, width, _TILE):
            rows, columns = slice(y, min(y + _TILE, height)), slice(x, min(x + _TILE, width))
            left, right = int(x * across), int(columns.stop * across) + 1
            if mixed[int(y * down) : int(rows.stop * down) + 1, left:right].any():
                yield rows, columns


def _hold(mask: np.ndarray, points: Sequence[Point], box: Box | None, radius: float) -> None:
    """What a person said holds at full size too, in place: no pixel outside the box, each click on its side."""
    if box is not None:
        x0, y0, x1, y1 = (max(0, round(v)) for v in box)
        mask[:y0] = mask[y1:] = False
        mask[:, :x0] = mask[:, x1:] = False
    height, width = mask.shape
    view = mask.view(np.uint8)
    for x, y, inside in points:
        centre = min(int(x), width - 1), min(int(y), height - 1)
        cv2.circle(view, centre, max(1, round(radius)), int(inside), -1)
