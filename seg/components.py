"""Probabilities to instances: connected components, cleaned up, at the photo's full resolution."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np

from ..datasets.errors import InputError
from .segments import Segment

# Of a map of noise only the largest components are looked at: comparing all with all would take minutes.
_MOST_PARTS = 200

# Pixels interpolated at a time: they stay in the processor's cache, and a photo of 100 megapixels needs no gigabyte.
_CHUNK_PX = 1 << 17


@dataclass(frozen=True)
class InstanceOptions:
    """How a map of probabilities becomes instances. Areas are shares, so they hold at any resolution."""

    threshold: float = 0.5
    """Least probability of the product (binary maps; with several classes the likeliest class wins)."""
    min_area_share: float = 0.003
    """Instances smaller than this share of the photo are dropped."""
    min_relative_share: float = 0.03
    """Instances smaller than this share of the largest are dropped."""
    min_part_share: float = 0.003
    """Components smaller than this share of the largest are specks, dropped before anything is merged."""
    fill_hole_share: float = 0.003
    """Holes smaller than this share of the component around them are filled."""
    merge: Literal["none", "near", "all"] = "near"
    """none: every component is an instance; near: components close to one another are one (a pair of shoes, a garment
    crossed by a hanger); all: the photo shows one product."""
    near_share: float = 0.03
    """Near means a gap of at most this share of the photo's diagonal ..."""
    fragment_share: float = 0.2
    """... and a component smaller than this share of the other is taken for a fragment of it ..."""
    fragment_near_share: float = 0.08
    """... when the gap is at most this share of the diagonal."""


def instances_from_probability(
    probability: np.ndarray, size: tuple[int, int], options: InstanceOptions | None = None, label: str | None = None
) -> list[Segment]:
    """Instances of one class, largest score first.

    probability: float (h', w') in 0..1 at the network's resolution. size: (h, w) of the photo in px, which the map covers
    edge to edge. The probabilities, not their mask, are resized to ``size`` (bilinear) before they are thresholded.
    A segment's score is the mean probability over its pixels at the network's resolution. Raises InputError for a map
    that is not 2-d or an empty size.
    """
    options = options or InstanceOptions()
    _check(probability, 2, size)
    field = np.asarray(probability, np.float32)
    return _instances(field, options.threshold, field, size, options, label)


def instances_from_label_probabilities(
    probability: np.ndarray, labels: Sequence[str], size: tuple[int, int], options: InstanceOptions | None = None
) -> list[Segment]:
    """Instances of several classes, largest score first; they do not overlap.

    probability: float (1 + len(labels), h', w'), the background first. A pixel belongs to its likeliest class: per class
    the lead over the best other one is resized, and is at least 0 inside. Otherwise like ``instances_from_probability``;
    only components of one class are merged. Raises InputError where labels and channels do not match.
    """
    options = options or InstanceOptions()
    _check(probability, 3, size)
    if len(probability) != len(labels) + 1:
        raise InputError(f"{len(probability)} channels for {len(labels)} labels; expected one more, the background")
    probability = np.asarray(probability, np.float32)
    order = np.sort(probability, axis=0)
    best, second = order[-1], order[-2]
    found = []
    for own, label in zip(probability[1:], labels, strict=True):
        lead = own - np.where(own >= best, second, best)
        lead[(own >= best) & (second == best)] = -1e-6  # a tie belongs to nobody, so that segments cannot overlap
        found += _instances(lead, 0.0, own, size, options, label)
    largest = max((int(segment.mask.sum()) for segment in found), default=0)
    found = [s for s in found if s.mask.sum() >= options.min_relative_share * largest]
    return sorted(found, key=lambda segment: -segment.score)


def _instances(field, level: float, probability, size, options: InstanceOptions, label) -> list[Segment]:
    """Segments where ``field``, resized, is at least ``level``; ``probability`` gives their scores."""
    labels, boxes, areas = _components(field >= level)
    if len(areas) == 1:
        return []
    filled = _small_holes(labels, areas, options.fill_hole_share)
    if filled is not None:
        field = np.where(filled, np.float32(level), field)
        labels, boxes, areas = _components(field >= level)
    kept = areas >= options.min_part_share * areas[1:].max()
    kept[1 + np.argsort(-areas[1:])[_MOST_PARTS:]] = False
    kept[0] = True
    labels, boxes, areas = np.where(kept, np.cumsum(kept) - 1, 0).astype(np.int32)[labels], boxes[kept], areas[kept]
    groups = _groups(labels, boxes, areas, options)
    group_areas = np.array([areas[group].sum() for group in groups])
    least = max(options.min_area_share * field.size, options.min_relative_share * group_areas.max())
    segments = []
    for group, area in zip(groups, group_areas, strict=True):
        if area >= least:
            inside = np.isin(labels, group) if len(groups) > 1 else labels > 0
            segment = _segment(field, level, inside, size)
            if segment is not None:
                score = float(probability[inside].mean())
                segments.append(replace(segment, score=min(max(score, 0.0), 1.0), label=label))
    return sorted(segments, key=lambda segment: -segment.score)


def _components(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """int32 labels (h, w) of the 8-connected components, 0 outside; their boxes xyxy and areas in px (row 0: outside)."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    corners = stats[:, :2]
    return labels, np.hstack([corners, corners + stats[:, 2:4]]), stats[:, 4]


def _small_holes(labels: np.ndarray, areas: np.ndarray, share: float) -> np.ndarray | None:
    """bool (h, w): holes smaller than ``share`` of the component around them; None where there are none. What touches
    the rim is no hole."""
    count, holes = cv2.connectedComponents((labels == 0).astype(np.uint8), connectivity=4)
    small = np.ones(count, bool)
    small[np.concatenate([[0], holes[0], holes[-1], holes[:, 0], holes[:, -1]])] = False  # 0: the components
    if not small.any():
        return None
    flat = holes.ravel()
    first = np.empty(count, np.int64)
    first[flat[::-1]] = np.arange(flat.size)[::-1]
    # The pixel above a hole's first one in reading order belongs to what surrounds it.
    around = labels.ravel()[np.maximum(first - labels.shape[1], 0)]
    small &= np.bincount(flat, minlength=count) < share * areas[around]
    return small[holes] if small.any() else None


def _groups(labels: np.ndarray, boxes: np.ndarray, areas: np.ndarray, options: InstanceOptions) -> list[list[int]]:
    """Lists of labels that are one product each."""
    ids = list(range(1, len(areas)))
    if options.merge == "all":
        return [ids]
    if options.merge == "none" or len(ids) == 1:
        return [[i] for i in ids]
    diagonal = float(np.hypot(*labels.shape))
    parent = {i: i for i in ids}

    def root(i: int) -> int:
        while parent[i] != i:
            i = parent[i]
        return i

    for i in ids[:-1]:
        others = np.arange(i + 1, len(areas))
        apart = np.maximum(boxes[others, :2] - boxes[i, 2:], boxes[i, :2] - boxes[others, 2:]).clip(0)
        fragments = np.minimum(areas[others], areas[i]) < options.fragment_share * np.maximum(areas[others], areas[i])
        limits = (
            np.where(fragments, max(options.fragment_near_share, options.near_share), options.near_share) * diagonal
        )
        near = np.hypot(*apart.T) <= limits
        if near.any():
            window = _around(boxes[i], int(limits.max()) + 2)
            labels_here = labels[window]
            away = cv2.distanceTransform((labels_here != i).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
            for j, limit in zip(others[near], limits[near], strict=True):
                if away[labels_here == j].min(initial=np.inf) - 1 <= limit:
                    parent[root(int(j))] = root(i)
    groups: dict[int, list[int]] = {}
    for i in ids:
        groups.setdefault(root(i), []).append(i)
    return list(groups.values())


def _segment(field: np.ndarray, level: float, inside: np.ndarray, size: tuple[int, int]) -> Segment | None:
    """The segment whose pixels at the network's resolution are ``inside``; None where no pixel of the photo is left.

    Four pixels between which is interpolated are 8-connected: they never belong to two components. So lowering the
    other components' pixels below ``level`` takes these away and leaves this one's outline where it was.
    """
    x0, y0, x1, y1 = _box(inside)
    near = _around((x0, y0, x1, y1), 1)
    own = np.where(inside[near] | (field[near] < level), field[near], np.float32(level - 1))
    offsets = near[0].start, near[1].start
    (begin_y, rows), (begin_x, columns) = (
        _positions(low, high, full, small, offset)
        for low, high, full, small, offset in zip((y0, x0), (y1, x1), size, field.shape, offsets, strict=True)
    )
    mask = _reaches(own, rows, columns, level)
    if not mask.any():
        return None
    left, top, right, bottom = _box(mask)
    box = (begin_x + left, begin_y + top, begin_x + right, begin_y + bottom)
    return Segment(box, np.ascontiguousarray(mask[top:bottom, left:right]), (int(size[0]), int(size[1])))


def _positions(low: int, high: int, full: int, small: int, offset: int) -> tuple[int, np.ndarray]:
    """Where the photo's pixels look up an axis of the map, float64 in px of the map less ``offset``, for all that may
    lie within the map's pixels [low, high) or less than one beside them; and the first such pixel of the photo.

    Pixel centres correspond as in cv2.resize: position = (pixel + 0.5) * small / full - 0.5, the edge repeated.
    """
    scale = full / small
    begin = max(int(np.floor((low - 0.5) * scale - 0.5)), 0)
    end = min(int(np.ceil((high + 0.5) * scale - 0.5)) + 1, full)
    positions = (np.arange(begin, end) + 0.5) / scale - 0.5
    return begin, np.clip(positions, 0, small - 1) - offset


def _reaches(field: np.ndarray, rows: np.ndarray, columns: np.ndarray, level: float) -> np.ndarray:
    """bool (len(rows), len(columns)): whether ``field``, bilinear, is at least ``level`` at these positions.

    (cv2.resize cannot start between pixels; cv2.warpAffine rounds positions to 1/32 px before OpenCV 5.)
    """
    top, bottom, down = _neighbours(rows, field.shape[0])
    left, right, across = _neighbours(columns, field.shape[1])
    mask = np.empty((len(rows), len(columns)), bool)
    step = max(_CHUNK_PX // len(columns), 1)
    for begin in range(0, len(rows), step):
        part = np.s_[begin : begin + step]
        lines = field[top[part]]
        lines += (field[bottom[part]] - lines) * down[part, None]
        values, slope = lines[:, left], lines[:, right]
        slope -= values
        slope *= across
        values += slope
        np.greater_equal(values, level, out=mask[part])
    return mask


def _neighbours(positions: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices int64 of the pixels on both sides of each position, and the share float32 of the second."""
    positions = positions.clip(0, length - 1)
    first = positions.astype(np.int64)
    return first, np.minimum(first + 1, length - 1), (positions - first).astype(np.float32)


def _around(xyxy: Sequence[int], margin: int) -> tuple[slice, slice]:
    x0, y0, x1, y1 = xyxy
    return np.s_[max(y0 - margin, 0) : y1 + margin, max(x0 - margin, 0) : x1 + margin]


def _box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Tight box xyxy, exclusive end, of a mask that is not empty."""
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    return x, y, x + width, y + height


def _check(probability: np.ndarray, ndim: int, size: tuple[int, int]) -> None:
    if np.ndim(probability) != ndim or 0 in np.shape(probability):
        raise InputError(f"a probability map of shape {np.shape(probability)}; expected {ndim} dimensions, none empty")
    if min(size) < 1:
        raise InputError(f"a photo of size {tuple(size)}; expected (h, w) of at least 1")
