"""AP and recall in every cell of a (IoU, F1) grid, from matches.

The arithmetic is COCOeval's (AP: mean precision at recall 0, .01, ..., 1, each the highest from there on), done at the
true positives only: between two of them precision falls and recall stands still.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from ..seg.objects import Objects
from .joint_match import Grid, Pairs, Ranking

RECALL_THRS = np.linspace(0.0, 1.0, 101)
_CHUNK_CELLS = 4_000_000  # detections x cells at a time: about 50 MB


@dataclass(frozen=True)
class MatchTable:
    """What a set of photos says: d detections and n true instances, over ``a`` area ranges.

    photo, category, rank: int64 (d,), number of the photo, category, place among the detections of its photo and
    category (from 0). score: float64 (d,). hit, ignored: bits uint64 (d, a, words), the cells where the detection has
    found an instance, and those where it counts neither as right nor as wrong. truth_photo, truth_category: int64 (n,).
    counts: bool (n, a), whether the instance is to be found.
    """

    photo: np.ndarray
    category: np.ndarray
    rank: np.ndarray
    score: np.ndarray
    hit: np.ndarray
    ignored: np.ndarray
    truth_photo: np.ndarray
    truth_category: np.ndarray
    counts: np.ndarray

    def renumbered(self, place: np.ndarray) -> "MatchTable":
        """Photo i becomes ``place[i]``, int64; photos at -1 leave."""
        columns = {}
        for photo, names in (
            ("photo", ("category", "rank", "score", "hit", "ignored")),
            ("truth_photo", ("truth_category", "counts")),
        ):
            new = place[getattr(self, photo)]
            columns |= {photo: new[new >= 0]} | {name: getattr(self, name)[new >= 0] for name in names}
        return MatchTable(**columns)


def match_table(
    truth: Objects,
    detections: Objects,
    ranking: Ranking,
    pairs: Pairs,
    chosen: np.ndarray,
    excused: np.ndarray,
    *,
    counts: np.ndarray,
    outside: np.ndarray,
) -> MatchTable:
    """The table of what ``match_grid`` has found. counts: bool (n, a). outside: bool (d, a), detections of another area
    range: unmatched, they are ignored."""
    hit = np.zeros(excused.shape, np.uint64)
    if len(pairs.detection):
        heads = np.flatnonzero(np.diff(pairs.detection, prepend=-1))
        hit[pairs.detection[heads]] = np.bitwise_or.reduceat(chosen, heads, axis=0)
    ignored = excused | np.where(outside[..., None], ~hit, np.uint64(0))
    rows, known = ranking.rows, np.flatnonzero(truth.category >= 0)
    return MatchTable(
        detections.image[rows],
        detections.category[rows],
        ranking.rank,
        detections.score[rows],
        hit,
        ignored,
        truth.image[known],
        truth.category[known],
        counts[known],
    )


def join_tables(tables: Sequence[MatchTable]) -> MatchTable:
    """One table of several, whose photo numbers are already apart."""
    return MatchTable(*(np.concatenate([getattr(t, one.name) for t in tables]) for one in fields(MatchTable)))


@dataclass(frozen=True)
class Cells:
    """ap: float64 (T, F, K, A), by IoU, F1, category, area, at the last of ``max_dets``. recall: float64 (T, F, K, A, M).
    Both -1 where a category has no truth of that area."""

    ap: np.ndarray
    recall: np.ndarray

    def of(self, k: int) -> "Cells":
        """Category k alone."""
        return Cells(self.ap[:, :, k : k + 1], self.recall[:, :, k : k + 1])


def judge(table: MatchTable, grid: Grid, categories: int, max_dets: Sequence[int]) -> Cells:
    """AP and recall of all cells. ``max_dets``: ascending; so many detections of a photo and category count."""
    shape, areas, cells = grid.shape, table.counts.shape[1], int(np.prod(grid.shape))
    ap = np.full((cells, categories, areas), -1.0)
    recall = np.full((cells, categories, areas, len(max_dets)), -1.0)
    # best score first; ties by photo, then by place in the photo, as COCOeval concatenates them
    order = np.lexsort((table.rank, table.photo, -table.score, table.category))
    bounds = np.searchsorted(table.category[order], np.arange(categories + 1))
    totals = np.zeros((categories, areas), np.int64)
    np.add.at(totals, table.truth_category, table.counts)
    for k in np.flatnonzero(totals.any(axis=1)).tolist():
        rows = order[bounds[k] : bounds[k + 1]]
        step = 8 * max(1, _CHUNK_CELLS // max(len(rows), 1) // 8)
        for a in np.flatnonzero(totals[k]).tolist():
            for start in range(0, cells, step):
                some = slice(start, min(start + step, cells))
                hits, counted = (
                    grid.unpack(bits, some.start, some.stop).T
                    for bits in (table.hit[rows, a] & ~table.ignored[rows, a], ~table.ignored[rows, a])
                )
                ap[some, k, a] = _precision(hits, counted, int(totals[k, a])).mean(axis=1)
                found = [np.count_nonzero(hits[:, table.rank[rows] < m], axis=1) for m in max_dets]
                recall[some, k, a] = np.stack(found, axis=1) / totals[k, a]
    return Cells(ap.reshape(*shape, *ap.shape[1:]), recall.reshape(*shape, *recall.shape[1:]))


def _precision(hits: np.ndarray, counted: np.ndarray, total: int) -> np.ndarray:
    """Precision at RECALL_THRS, float64 (cells, 101). hits, counted: bool (cells, d), best score first."""
    cell, place = np.nonzero(hits)
    seen = np.cumsum(counted, axis=1, dtype=np.int32)[cell, place]
    number = np.arange(len(cell)) - np.searchsorted(cell, cell, side="left") + 1  # of true positives up to here
    most = int(number.max(initial=0))
    envelope = np.zeros((len(hits), most + 2))  # by number of true positives; the last column stays empty
    envelope[cell, number] = number / (seen + np.spacing(1))
    envelope = np.maximum.accumulate(envelope[:, ::-1], axis=1)[:, ::-1]
    needed = np.searchsorted(np.arange(total + 1) / total, RECALL_THRS, side="left")
    return envelope[:, np.minimum(needed, most + 1)]
