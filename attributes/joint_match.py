"""Which detection takes which true instance, for a whole grid of (IoU, F1) thresholds at once.

COCO's greedy matching, under two thresholds instead of one. Every cell (t_iou, t_f1) of the grid is one bit; a pair of a
detection and a true instance is a row of bits (where is it good enough?), and so is what is still free of an instance.
So one bitwise operation decides all cells, and the k-th best detections of all photos are matched together: the loops
run over ranks, not over photos, thresholds or areas.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..datasets.errors import InputError
from ..seg.objects import Objects

_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_CLOSE_TO_ONE = 1 - 1e-10  # as COCOeval: a threshold of 1 still takes a perfect pair


@dataclass(frozen=True)
class Grid:
    """iou_thrs, f1_thrs: ascending; -1 first means "no constraint". Cell (t, f) is bit ``t * len(f1_thrs) + f``."""

    iou_thrs: tuple[float, ...]
    f1_thrs: tuple[float, ...]

    def __post_init__(self) -> None:
        for name, thrs in (("iou_thrs", self.iou_thrs), ("f1_thrs", self.f1_thrs)):
            if not thrs or list(thrs) != sorted(set(thrs)) or not all(t == -1 or 0 < t <= 1 for t in thrs):
                raise InputError(f"{name} is {list(thrs)}; expected ascending numbers above 0, at most 1 (-1: none).")

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.iou_thrs), len(self.f1_thrs)

    @property
    def words(self) -> int:
        """uint64 words per row of bits."""
        return -(-len(self.iou_thrs) * len(self.f1_thrs) // 64)

    def good(self, iou: np.ndarray, f1: np.ndarray) -> np.ndarray:
        """Bits uint64 (p, words): the cells whose thresholds ``iou`` and ``f1``, float64 (p,), both reach."""
        tables = [np.minimum(thrs, _CLOSE_TO_ONE) for thrs in (self.iou_thrs, self.f1_thrs)]
        t, f = (np.searchsorted(table, values, side="right") for table, values in zip(tables, (iou, f1), strict=True))
        columns = [np.arange(n)[None] < np.arange(n + 1)[:, None] for n in self.shape]
        cells = columns[0][:, None, :, None] & columns[1][None, :, None, :]
        return self.pack(cells.reshape(len(cells), cells.shape[1], -1))[t, f]

    def pack(self, cells: np.ndarray) -> np.ndarray:
        """bool (..., cells) as bits uint64 (..., words)."""
        padded = np.zeros((*cells.shape[:-1], 64 * self.words), bool)
        padded[..., : cells.shape[-1]] = cells
        return np.packbits(padded, axis=-1, bitorder="little").view("<u8").astype(np.uint64, copy=False)

    def unpack(self, bits: np.ndarray, start: int = 0, stop: int | None = None) -> np.ndarray:
        """bool (..., stop - start): the cells ``start:stop`` of bits uint64 (..., words)."""
        stop = self.shape[0] * self.shape[1] if stop is None else stop
        first = start // 8
        data = np.ascontiguousarray(bits.astype("<u8", copy=False)).view(np.uint8)[..., first : -(-stop // 8)]
        cells = np.unpackbits(data, axis=-1, bitorder="little").view(bool)
        return cells[..., start - 8 * first : stop - 8 * first]


@dataclass(frozen=True)
class Pairs:
    """Pairs of one photo and category: detection, truth int64 (p,), rows; iou float64 (p,). Ordered by detection (rows
    of ``Ranking.rows``), then by row of the truth. Against a crowd, iou is the share of the detection that lies on it."""

    detection: np.ndarray
    truth: np.ndarray
    iou: np.ndarray


@dataclass(frozen=True)
class Ranking:
    """rows: int64 (d,), the detections that take part, by photo and category, best score first (ties: file order).
    rank: int64 (d,), their place there, from 0. group: int64 (d,), number of their photo and category."""

    rows: np.ndarray
    rank: np.ndarray
    group: np.ndarray


def rank_detections(detections: Objects, categories: int, max_det: int) -> Ranking:
    """The ``max_det`` best of every photo and category; category -1 takes no part."""
    group = detections.image * categories + detections.category
    known = np.flatnonzero(detections.category >= 0)
    rows = known[np.lexsort((-detections.score[known], group[known]))]
    group = group[rows]
    rank = np.arange(len(rows)) - np.searchsorted(group, group, side="left")
    kept = rank < max_det
    return Ranking(rows[kept], rank[kept], group[kept])


def candidate_pairs(
    truth: Objects, detections: Objects, ranking: Ranking, categories: int, *, kind: str, min_iou: float
) -> Pairs:
    """All pairs of one photo and category with an IoU of at least ``min_iou`` (-1: all pairs), of masks (``segm``) or
    boxes (``bbox``)."""
    group = truth.image * categories + truth.category
    known = np.flatnonzero(truth.category >= 0)
    by_group = known[np.argsort(group[known], kind="stable")]
    first = np.searchsorted(group[by_group], ranking.group, side="left")
    count = np.searchsorted(group[by_group], ranking.group, side="right") - first
    position = np.repeat(np.arange(len(ranking.rows)), count)
    start = np.cumsum(count) - count
    column = np.arange(len(position)) - np.repeat(start, count) + np.repeat(first, count)
    detection, instance = ranking.rows[position], by_group[column]
    if kind == "bbox":
        iou = _box_iou(detections.xywh[detection], truth.xywh[instance], truth.crowd[instance])
    else:
        iou = _mask_iou(truth, detections, ranking, by_group, first, count)
    kept = np.flatnonzero(iou >= min_iou)
    return Pairs(position[kept], instance[kept], iou[kept])


def _box_iou(a: np.ndarray, b: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """xywh float64 (p, 4) each; the operations in COCO's order, so that the last bit agrees."""
    side = np.minimum(a[:, :2] + a[:, 2:], b[:, :2] + b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    overlap = np.where((side > 0).all(axis=1), side[:, 0] * side[:, 1], 0.0)
    areas = [xywh[:, 2] * xywh[:, 3] for xywh in (a, b)]
    union = np.where(crowd, areas[0], areas[0] + areas[1] - overlap)
    return np.divide(overlap, union, out=np.zeros(len(a)), where=overlap > 0)


def _mask_iou(truth, detections, ranking: Ranking, by_group, first, count) -> np.ndarray:
    """Of every pair, one call for each photo and category."""
    iou_of = _engine()
    found = []
    heads = np.flatnonzero((ranking.rank == 0) & (count > 0))
    ends = np.searchsorted(ranking.group, ranking.group[heads], side="right")
    rows, crowd = ranking.rows.tolist(), truth.crowd.tolist()
    columns = by_group.tolist()
    for head, end, start, n in zip(
        heads.tolist(), ends.tolist(), first[heads].tolist(), count[heads].tolist(), strict=True
    ):
        members = columns[start : start + n]
        found.append(
            iou_of(
                [detections.rle[j] for j in rows[head:end]],
                [truth.rle[i] for i in members],
                [crowd[i] for i in members],
            ).ravel()
        )
    return np.concatenate(found) if found else np.zeros(0)


def _engine() -> Callable[[list, list, list], np.ndarray]:
    try:
        from hotcoco.primitives import mask_iou
    except ImportError:
        from pycocotools import mask as coco_mask

        return lambda a, b, crowd: np.asarray(coco_mask.iou(a, b, [int(c) for c in crowd]), np.float64)
    return mask_iou


def match_grid(
    pairs: Pairs,
    f1: np.ndarray,
    ranking: Ranking,
    grid: Grid,
    *,
    ignored: np.ndarray,
    reusable: np.ndarray,
    both_must_rise: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Greedy matching in every cell of ``grid``, for each of ``a`` area ranges.

    f1: float64 (p,), inf where a pair has no F1 constraint. ignored: bool (n, a), true instances that do not count.
    reusable: bool (n,), those that take any number of detections. Among the free instances that reach both thresholds a
    detection takes the one with the highest IoU (ties: the last), and an ignored one only where no other is left. With
    ``both_must_rise`` it goes through them in file order and moves on only where neither IoU nor F1 falls.

    Returns bits: chosen uint64 (p, a, words), the cells where a pair is a match, and excused uint64 (d, a, words), by
    ``ranking.rows``, those where a detection has found an ignored instance.
    """
    areas = ignored.shape[1]
    good = grid.good(pairs.iou, f1)
    free = np.full((len(ignored), areas, grid.words), _ALL)
    chosen = np.zeros((len(pairs.truth), areas, grid.words), np.uint64)
    excused = np.zeros((len(ranking.rows), areas, grid.words), np.uint64)
    for rows, slots in _steps(pairs, ranking):
        instance = pairs.truth[slots]  # (n, k)
        rises = pairs.iou[slots][:, :, None] >= pairs.iou[slots][:, None]
        if both_must_rise:
            rises &= f1[slots][:, :, None] >= f1[slots][:, None]
        counts = np.where(ignored[instance], np.uint64(0), _ALL)[..., None]  # (n, k, a, 1)
        open_ = free[instance] & good[slots][:, :, None]
        found = _best(open_ & counts, rises)
        if not counts.all():
            taken = np.bitwise_or.reduce(found, axis=1, keepdims=True)
            spare = _best(open_ & ~counts & ~taken, rises)
            excused[rows] = np.bitwise_or.reduce(spare, axis=1)
            found |= spare
        chosen[slots] = found
        free[instance] &= ~np.where(reusable[instance][..., None, None], np.uint64(0), found)
    return chosen, excused


def _steps(pairs: Pairs, ranking: Ranking) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Detections that do not compete (of one rank, so at most one of each photo and category) and have the same number k
    of candidates: their positions int64 (n,) and their candidates, int64 (n, k) rows of ``pairs``."""
    count = np.bincount(pairs.detection, minlength=len(ranking.rows))
    start = np.cumsum(count) - count
    busy = np.flatnonzero(count)
    key = ranking.rank[busy] * (int(count.max(initial=0)) + 1) + count[busy]
    order = np.argsort(key, kind="stable")
    _, heads = np.unique(key[order], return_index=True)
    for rows in np.split(busy[order], heads[1:]) if len(busy) else ():
        yield rows, start[rows][:, None] + np.arange(count[rows[0]])


def _best(bits: np.ndarray, rises: np.ndarray) -> np.ndarray:
    """Of the candidates open in a cell (bits (n, k, a, words)) only the one that is taken: from the first one on, the
    next (j) takes over from the one held (i) where ``rises[:, j, i]``."""
    for j in range(1, bits.shape[1]):
        both = bits[:, :j] & bits[:, j : j + 1]  # in a cell at most one of the earlier ones is left
        over = rises[:, j, :j, None, None]
        bits[:, :j] &= ~np.where(over, both, np.uint64(0))
        bits[:, j] &= ~np.bitwise_or.reduce(np.where(over, np.uint64(0), both), axis=1)
    return bits


def outside(area: np.ndarray, areas: Sequence[tuple[float, float]]) -> np.ndarray:
    """bool (n, a): whether an area in px lies outside each (low, high), ends included."""
    low, high = np.array(areas, np.float64).reshape(-1, 2).T
    return (area[:, None] < low) | (area[:, None] > high)
