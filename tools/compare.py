"""`segattr evaluate GT --compare RUN_A RUN_B`: by how much B differs from A, and whether more than chance.

Both runs are judged on the same photos, so every draw of the bootstrap takes the same photos (or groups of them) for
both and looks at the difference: what makes a photo easy or hard for both falls out, and the interval is narrower than
that of two figures apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..attributes.joint import JointMetrics
from ..seg.ap_bootstrap import Ranked, average_precision, ranked
from ..seg.bootstrap import bootstrap, draws, group_numbers, percentiles
from ..seg.pairing import Pairing

# Of these less is better.
FALLING = ("iou_below_80", "mae", "rmse", "ece")
_CELLS_A_DRAW = 20_000  # weights of photos are made some hundred draws at a time


@dataclass(frozen=True)
class Difference:
    """One figure of both runs. difference: b - a; low, high: its 95 % interval."""

    key: str
    a: float
    b: float
    difference: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """Of B: better, worse, unclear (the interval holds 0) or equal (no draw differs)."""
        if not np.isfinite([self.low, self.high]).all():
            return "unclear"
        if np.abs([self.difference, self.low, self.high]).max() < 1e-12:
            return "equal"
        if self.low <= 0 <= self.high:
            return "unclear"
        return "better" if (self.difference > 0) != (self.key.rpartition("/")[2] in FALLING) else "worse"


@dataclass(frozen=True)
class Comparison:
    """names: of the runs A and B. rows: AP first, then what is read from matched products. groups: how many are drawn."""

    names: tuple[str, str]
    rows: list[Difference]
    groups: int
    notes: list[str] = field(default_factory=list)

    def flat(self) -> dict[str, float]:
        """``compare/<key>`` = b - a, ``compare/<key>/a``, ``/b``, ``/ci95_low``, ``/ci95_high``."""
        found = {}
        for row in self.rows:
            ends = {"": row.difference, "/a": row.a, "/b": row.b, "/ci95_low": row.low, "/ci95_high": row.high}
            found |= {f"compare/{row.key}{end}": value for end, value in ends.items()}
        return found


def compare(
    pairings: tuple[Pairing, Pairing],
    metrics: tuple[JointMetrics, JointMetrics],
    *,
    names: tuple[str, str] = ("A", "B"),
    resamples: int = 1000,
    seed: int = 0,
) -> Comparison:
    """Every figure that both runs have, over one truth: ``pairings`` and ``metrics`` of A and B. Deterministic by seed."""
    intervals = _ap_intervals(pairings, metrics, resamples, seed)
    intervals |= _part_intervals(metrics, resamples, seed)
    a, b = (one.numbers for one in metrics)
    rows = [
        Difference(key, a[key], b[key], b[key] - a[key], *ends)
        for key, ends in intervals.items()
        if key in a and key in b and all(_defined(key, one[key]) for one in (a, b))
    ]
    return Comparison(names, rows, group_numbers(metrics[0].photo_groups)[1], _notes(pairings, metrics, names))


def _defined(key: str, value: float) -> bool:
    """AP without any truth is -1."""
    return bool(np.isfinite(value)) and not (value == -1 and "/AP" in key)


def _ap_intervals(pairings, metrics, resamples: int, seed: int) -> dict[str, tuple[float, float]]:
    kind = "segm" if all(pairing.masked for pairing in pairings) else "bbox"
    group, count = group_numbers(metrics[0].photo_groups)
    found = {}
    for prefix in (kind, f"{kind}-agnostic"):
        results = [one.coco.get(prefix) for one in metrics]
        if None in results:
            continue
        params = results[0].params
        tables = [
            ranked(
                pairing.truth,
                pairing.detections,
                images=len(pairing.images),
                categories=len(pairing.categories),
                kind=kind,
                class_agnostic=prefix != kind,
                iou_thrs=params.iou_thrs,
                max_dets=params.max_dets[-1],
            )
            for pairing in pairings
        ]
        values = _ap_differences(tables, group, count, resamples, seed)  # (resamples, T)
        found[f"{prefix}/AP"] = percentiles(values.mean(axis=1), 0.95, count)
        for i, iou_thr in enumerate(params.iou_thrs):
            key = f"AP{100 * iou_thr:g}"
            if key in results[0].numbers:
                found[f"{prefix}/{key}"] = percentiles(values[:, i], 0.95, count)
    return found


def _ap_differences(tables: Sequence[list[Ranked]], group: np.ndarray, count: int, resamples: int, seed: int):
    """float64 (resamples, T): AP of B less that of A at every IoU, in the same draws."""
    chunks = []
    for drawn in draws(count, resamples, seed, cells=max(_CELLS_A_DRAW, count)):
        a, b = (average_precision(table, drawn[:, group].astype(np.int64)) for table in tables)
        chunks.append(b - a)
    return np.concatenate(chunks)


def _part_intervals(metrics: tuple[JointMetrics, JointMetrics], resamples: int, seed: int):
    """Of everything made of sums over products. The tables of both runs have a row per true product: side by side they
    are one table, and the difference is one figure of its sums."""
    a, b = (one.parts for one in metrics)
    joined = {}
    for name in a.keys() & b.keys():
        (left, figures_a), (right, figures_b) = a[name], b[name]
        joined[name] = np.hstack([left, right]), _difference(figures_a, figures_b, left.shape[1])
    ordered = {name: joined[name] for name in a if name in joined}
    return bootstrap(metrics[0].row_groups, ordered, resamples=resamples, seed=seed) if ordered else {}


def _difference(figures_a, figures_b, width: int):
    def statistic(sums: np.ndarray) -> dict[str, np.ndarray]:
        a, b = figures_a(sums[..., :width]), figures_b(sums[..., width:])
        return {name: b[name] - a[name] for name in a if name in b}

    return statistic


def _notes(pairings, metrics, names) -> list[str]:
    """What is said of A; B is judged by itself."""
    notes = [f"{names[0]}: {note}" for note in metrics[0].notes if note not in metrics[1].notes]
    if (missing := [len(pairing.missing) for pairing in pairings])[0] != missing[1]:
        notes.append(
            f"Photos without predictions: {missing[0]:,} in A, {missing[1]:,} in B; their products are missed."
        )
    return notes
