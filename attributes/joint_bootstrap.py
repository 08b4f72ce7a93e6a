"""The joint AP of many draws of the photos, for bootstrap intervals: as ``seg.ap_bootstrap`` has it, once per (IoU, F1)."""

import numpy as np

from ..seg.ap_bootstrap import Ranked
from .joint_ap import JointApMetrics


def joint_ranked(metric: JointApMetrics, images: int) -> list[Ranked]:
    """Every category's detections, best score first, with every pair of IoU and F1 thresholds as a threshold of its own
    (IoU first, all sizes; "no constraint" left out). images: how many photos ``metric`` has seen."""
    table, grid = metric.table(), metric.params.grid
    whole = list(metric.params.coco.areas).index("all")
    constrained = np.arange(int(np.prod(grid.shape))).reshape(grid.shape)[:, 1:].ravel()
    order = np.lexsort((table.rank, table.photo, -table.score, table.category))
    bounds = np.searchsorted(table.category[order], np.arange(metric.categories + 1))
    found = []
    for k in range(metric.categories):
        rows = order[bounds[k] : bounds[k + 1]]
        right, counted = (
            grid.unpack(bits, 0, int(np.prod(grid.shape)))[:, constrained].T.astype(bool)
            for bits in (
                table.hit[rows, whole] & ~table.ignored[rows, whole],
                ~table.ignored[rows, whole],
            )
        )
        mine = (table.truth_category == k) & table.counts[:, whole]
        truth = np.bincount(table.truth_photo[mine], minlength=images).astype(np.int64)
        found.append(Ranked(table.photo[rows], right, counted, truth))
    return found
