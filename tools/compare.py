"""`segattr evaluate GT --compare RUN_A RUN_B`: by how much B differs from A, and whether more than chance.

Both runs are judged on the same photos, so every draw of the bootstrap takes the same photos (or groups of them) for
both and looks at the difference: what makes a photo easy or hard for both falls out, and the interval is narrower than
that of two figures apart.
"""

from dataclasses import dataclass, field

import numpy as np

from ..attributes.joint import JointMetrics
from ..attributes.joint_ap import JointApMetrics
from ..seg.bootstrap import bootstrap, group_numbers
from ..seg.pairing import Pairing
from .ap_intervals import ap_intervals, ap_tables

# Of these less is better.
FALLING = ("iou_below_80", "mae", "rmse", "ece")


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
    joint: tuple[dict[str, JointApMetrics], dict[str, JointApMetrics]] = ({}, {}),
    *,
    names: tuple[str, str] = ("A", "B"),
    resamples: int = 1000,
    seed: int = 0,
) -> Comparison:
    """Every figure that both runs have, over one truth: ``pairings``, ``metrics`` and, by prefix of a key, ``joint``
    metrics of A and B. Deterministic by seed."""
    tables = [ap_tables(*run) for run in zip(pairings, metrics, joint, strict=True)]
    thresholds = next((one.params.iou_thrs for one in metrics[0].coco.values()), ())
    groups = metrics[0].photo_groups
    intervals = ap_intervals(tables, groups, thresholds, resamples=resamples, seed=seed)
    intervals |= _part_intervals(metrics, resamples, seed)
    a, b = (one.numbers | _joint_numbers(more) for one, more in zip(metrics, joint, strict=True))
    rows = [
        Difference(key, a[key], b[key], b[key] - a[key], *ends)
        for key, ends in intervals.items()
        if key in a and key in b and all(_defined(key, one[key]) for one in (a, b))
    ]
    return Comparison(names, rows, group_numbers(groups)[1], _notes(pairings, metrics, names))


def _joint_numbers(joint: dict[str, JointApMetrics]) -> dict[str, float]:
    return {f"joint/{p}/{key}": value for p, one in joint.items() for key, value in one.compute().numbers.items()}


def _defined(key: str, value: float) -> bool:
    """AP without any truth is -1."""
    return bool(np.isfinite(value)) and not (value == -1 and "/AP" in key)


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
