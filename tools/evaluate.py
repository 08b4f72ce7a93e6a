"""`segattr evaluate`: COCO mAP, mask quality, category and attributes of predictions against the truth."""

import json
import re
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import tyro

from ..attributes.evaluation import LabelMetrics
from ..attributes.joint import JointConfig, JointMetrics, joint_metrics
from ..datasets.coco import read_coco
from ..datasets.errors import InputError
from ..datasets.files import atomic_path, write_atomic
from ..seg.pairing import Pairing, pair, read_predictions


@dataclass(frozen=True)
class EvaluateConfig:
    """How good are these predictions? COCO mAP of masks and boxes, mask quality per product, and on matched products
    accuracy, macro-F1 and confusion of category and attributes, with 95 % intervals.

    Photos are matched by file name, categories by name (in a COCO results list both by id). Photos outside the truth
    take no part; photos of the truth without predictions count as missed.
    """

    gt: tyro.conf.Positional[Path]
    """The truth: a COCO file with attributes."""
    pred: tyro.conf.Positional[Path]
    """predictions.json (or the folder it lies in), or a COCO results list."""
    out: Path | None = None
    """Folder for metrics.json and, per attribute, the confusion matrix as PNG and CSV."""
    iou_thr: float = 0.5
    """A detection is a product's from this IoU on (one to one, whatever the category)."""
    score_thr: float = 0.0
    """Detections below it are left out of everything but the COCO numbers (which need the low scores too)."""
    class_agnostic: bool = False
    """Leave out the COCO numbers by category; those of the one class "product" are always there."""
    group_by: str | None = None
    """Key of an image (such as source_id) whose photos belong together: the intervals draw whole groups."""
    boundary_px: int = 3
    """Tolerance of the boundary F."""
    resamples: int = 1000
    """Draws of the bootstrap."""
    seed: int = 0
    """Of the bootstrap."""
    json: bool = False
    """Print the flat metrics as JSON, and nothing else, to the standard output."""


def evaluate(config: EvaluateConfig) -> tuple[Pairing, JointMetrics]:
    """Read both files and measure. Raises InputError for whatever the user can mend."""
    joint = JointConfig(
        iou_thr=config.iou_thr,
        score_thr=config.score_thr,
        boundary_px=config.boundary_px,
        class_agnostic=config.class_agnostic,
        group_by=config.group_by,
        resamples=config.resamples,
        seed=config.seed,
    )
    if config.out is not None:
        _check_out(config.out)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        truth, predictions = read_coco(config.gt), read_predictions(config.pred)
    pairing = pair(truth, predictions, where=str(config.gt))
    pairing.notes[:0] = [str(one.message) for one in caught if issubclass(one.category, UserWarning)]
    return pairing, joint_metrics(pairing, joint)


def _check_out(out: Path) -> None:
    for part in (out, *out.parents):
        if part.exists() and not part.is_dir():
            raise InputError(f"--out {out}: {part} is a file; expected a folder.")


def write_results(metrics: JointMetrics, out: Path) -> list[Path]:
    """metrics.json (flat) and the confusion matrices of category and attributes: the paths written, each whole or not."""
    from .confusion import draw_confusion, write_confusion_csv

    written = [out / "metrics.json"]
    write_atomic(written[0], json.dumps(metrics.flat(), indent=1) + "\n")
    labelled = {"category": metrics.category} | {f"attribute_{name}": one for name, one in metrics.attributes.items()}
    for name, one in labelled.items():
        if not isinstance(one, LabelMetrics) or not one.support:
            continue
        stem = "confusion_" + re.sub(r"[^\w-]+", "_", name)
        with atomic_path(out / f"{stem}.png") as temporary:
            draw_confusion(one, title=name.removeprefix("attribute_")).save(temporary, "PNG")
        write_confusion_csv(one, out / f"{stem}.csv")
        written += [out / f"{stem}.png", out / f"{stem}.csv"]
    return written


def run(config: EvaluateConfig) -> int:
    """The verb: measure, write, print. Returns 0."""
    pairing, metrics = evaluate(config)
    try:
        written = write_results(metrics, config.out) if config.out is not None else []
    except OSError as error:
        raise InputError(f"--out {config.out}: cannot be written ({error.strerror}).") from error
    if config.json:
        print(json.dumps(metrics.flat(), indent=1))
        for note in metrics.notes:
            print(f"segattr: note: {note}", file=sys.stderr)
        return 0
    from .evaluate_tables import print_tables

    print_tables(pairing, metrics, config)
    for path in written:
        print(f"  {path}")
    return 0


def main(argv: list[str]) -> int:
    """Parse the flags and run."""
    return run(tyro.cli(EvaluateConfig, args=argv, prog="segattr evaluate"))
