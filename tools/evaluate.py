"""`segattr evaluate`: COCO mAP, mask quality, category and attributes of predictions against the truth."""

import json
import re
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from ..attributes.evaluation import LabelMetrics
from ..attributes.joint import JointConfig, JointMetrics, joint_metrics
from ..datasets.coco import read_coco
from ..datasets.errors import InputError
from ..datasets.files import atomic_path, write_atomic
from ..seg.pairing import Pairing, pair, read_predictions

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class EvaluateConfig:
    """How good are these predictions? COCO mAP of masks and boxes, mask quality per product, and on matched products
    accuracy, macro-F1 and confusion of category and attributes, with 95 % intervals.

    Photos are matched by file name, categories by name (in a COCO results list both by id). Photos outside the truth
    take no part; photos of the truth without predictions count as missed.
    """

    gt: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="GT")]
    """The truth: a COCO file with attributes."""
    pred: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="PRED")]
    """predictions.json (or the folder it lies in), or a COCO results list."""
    out: Path | None = None
    """Folder for metrics.json, worst.jpg (the worst masks) and the confusion matrices as PNG and CSV."""
    images: Path | None = None
    """Folder that the file names of GT start from, for worst.jpg; by default the folder of GT."""
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


def write_results(pairing: Pairing, metrics: JointMetrics, config: EvaluateConfig) -> list[Path]:
    """Fill ``config.out``: the paths written, each whole or not at all.

    metrics.json (flat), the confusion matrices of category and attributes, and worst.jpg where the photos are found.
    Raises InputError when they are not, though ``config.images`` was given.
    """
    from .confusion import draw_confusion, write_confusion_csv

    out = config.out
    written = [out / "metrics.json"]
    write_atomic(written[0], json.dumps(metrics.flat(), indent=1) + "\n")
    labelled = {"category": metrics.category} | {f"attribute_{name}": one for name, one in metrics.attributes.items()}
    for name, one in labelled.items():
        if isinstance(one, LabelMetrics) and one.support:
            stem = "confusion_" + re.sub(r"[^\w-]+", "_", name)
            written += [out / f"{stem}.png", out / f"{stem}.csv"]
            _save(draw_confusion(one, title=name.removeprefix("attribute_")), written[-2])
            write_confusion_csv(one, written[-1])
    return written + _write_worst(pairing, metrics, config)


def _write_worst(pairing: Pairing, metrics: JointMetrics, config: EvaluateConfig) -> list[Path]:
    from .worst import draw_worst

    try:
        sheet = draw_worst(pairing, metrics, config.images or config.gt.parent)
    except InputError as error:
        if config.images is not None:
            raise
        metrics.notes.append(f"No worst.jpg, the photos were not found: {error}")
        return []
    if sheet is None:
        return []
    _save(sheet, config.out / "worst.jpg")
    return [config.out / "worst.jpg"]


def _save(picture: "Image.Image", path: Path) -> None:
    with atomic_path(path) as temporary:
        picture.save(temporary, "JPEG" if path.suffix == ".jpg" else "PNG", quality=90)


def run(config: EvaluateConfig) -> int:
    """The verb: measure, write, print. Returns 0."""
    pairing, metrics = evaluate(config)
    try:
        written = write_results(pairing, metrics, config) if config.out is not None else []
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
    return run(tyro.cli(EvaluateConfig, args=argv, prog="segattr evaluate", config=(tyro.conf.FlagCreatePairsOff,)))
