"""Bootstrap intervals of AP: of one run, or of the difference of two over the same photos."""

from collections.abc import Mapping, Sequence

import numpy as np

from ..attributes.joint import JointMetrics
from ..attributes.joint_ap import JointApMetrics
from ..attributes.joint_bootstrap import joint_ranked
from ..seg.ap_bootstrap import Ranked, average_precision, pairing_ranked
from ..seg.bootstrap import draws, group_numbers, percentiles
from ..seg.pairing import Pairing

_CELLS_A_DRAW = 20_000  # weights of photos are made some hundred draws at a time


def ap_tables(pairing: Pairing, metrics: JointMetrics, joint: Mapping[str, JointApMetrics]) -> dict[str, list[Ranked]]:
    """Prefix of a key (``segm``, ``segm-agnostic``, ``joint/segm``; ``bbox`` where there are no masks) -> what its AP is
    made of."""
    kind = "segm" if pairing.masked else "bbox"
    found = {}
    for prefix in (kind, f"{kind}-agnostic"):
        if prefix in metrics.coco:
            params = metrics.coco[prefix].params
            found[prefix] = pairing_ranked(pairing, kind=kind, class_agnostic=prefix != kind, params=params)
    return found | {f"joint/{prefix}": joint_ranked(one, len(pairing.images)) for prefix, one in joint.items()}


def ap_intervals(
    runs: Sequence[Mapping[str, list[Ranked]]],
    groups: Sequence,
    iou_thrs: Sequence[float],
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """95 % intervals of AP and of AP at every IoU (``segm/AP``, ``segm/AP50`` ...) of one run, or of the second's less
    the first's, in the same draws. groups: of every photo. Prefixes that not all runs have are left out."""
    group, count = group_numbers(groups)
    found = {}
    for prefix in [name for name in runs[0] if all(name in run for run in runs)]:
        chunks = []
        for drawn in draws(count, resamples, seed, cells=max(_CELLS_A_DRAW, count)):
            weights = drawn[:, group].astype(np.int64)
            first, *second = (average_precision(run[prefix], weights) for run in runs)
            chunks.append(second[0] - first if second else first)
        values = np.concatenate(chunks)
        by_iou = values.reshape(len(values), len(iou_thrs), -1).mean(axis=2)  # of the joint AP over F1
        found[f"{prefix}/AP"] = percentiles(values.mean(axis=1), 0.95, count)
        for i, iou_thr in enumerate(iou_thrs):
            found[f"{prefix}/AP{100 * iou_thr:g}"] = percentiles(by_iou[:, i], 0.95, count)
    return found
