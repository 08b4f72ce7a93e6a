"""Everything `segattr evaluate` measures, in one object."""

import math
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..attributes.joint import JointConfig, JointMetrics, joint_metrics
from ..datasets.coco import CocoFile, read_coco
from ..datasets.errors import InputError
from ..seg.pairing import Pairing, pair, read_predictions
from .compare import Comparison, compare

if TYPE_CHECKING:
    from .evaluate import EvaluateConfig


@dataclass
class Evaluation:
    """pairing, metrics: of the predictions that are judged. comparison: with the other run of --compare."""

    pairing: Pairing
    metrics: JointMetrics
    comparison: Comparison | None = None
    notes: list[str] = field(default_factory=list)

    def flat(self) -> dict[str, float | None]:
        """Every figure, by stable keys; None where undefined."""
        found: dict[str, float | None] = dict(self.metrics.flat())
        if self.comparison is not None:
            found |= self.comparison.flat()
        return {key: value if value is not None and math.isfinite(value) else None for key, value in found.items()}


def measure(config: "EvaluateConfig") -> Evaluation:
    """Read the files and measure. Raises InputError for whatever the user can mend."""
    joint = _joint_config(config)
    truth, notes = _read(config.gt)
    judged = config.pred if config.compare is None else config.compare[1]
    pairing, metrics = _run(truth, judged, config, joint)
    found = Evaluation(pairing, metrics, notes=notes + metrics.notes)
    if config.compare is not None:
        other = _run(truth, config.compare[0], config, replace(joint, resamples=1))
        found.comparison = compare(
            (other[0], pairing),
            (other[1], metrics),
            names=tuple(map(str, config.compare)),
            resamples=config.resamples,
            seed=config.seed,
        )
    return found


def _joint_config(config: "EvaluateConfig") -> JointConfig:
    return JointConfig(
        iou_thr=config.iou_thr,
        score_thr=config.score_thr,
        boundary_px=config.boundary_px,
        class_agnostic=config.class_agnostic,
        group_by=config.group_by,
        resamples=config.resamples,
        seed=config.seed,
    )


def _read(path: Path) -> tuple[CocoFile, list[str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        truth = read_coco(path)
    return truth, _sentences(caught)


def _run(truth: CocoFile, path: Path, config: "EvaluateConfig", joint: JointConfig) -> tuple[Pairing, JointMetrics]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        predictions = read_predictions(path)
    pairing = pair(truth, predictions, where=str(config.gt))
    pairing.notes[:0] = _sentences(caught)
    return pairing, joint_metrics(pairing, joint)


def _sentences(caught: list[warnings.WarningMessage]) -> list[str]:
    return [str(one.message) for one in caught if issubclass(one.category, UserWarning)]


def check_out(out: Path) -> None:
    """Raises InputError where a file stands in the way of the folder."""
    for part in (out, *out.parents):
        if part.exists() and not part.is_dir():
            raise InputError(f"--out {out}: {part} is a file; expected a folder.")
