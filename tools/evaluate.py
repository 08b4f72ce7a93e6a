"""`segattr evaluate`: COCO mAP, mask quality, category and attributes of predictions against the truth."""

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from ..attributes.evaluation import LabelMetrics
from ..datasets.errors import InputError
from ..datasets.files import atomic_path, write_atomic
from .gates import failures, parse_gates
from .measure import Evaluation, check_out, measure

if TYPE_CHECKING:
    from PIL import Image

_Repeated = tyro.conf.UseAppendAction


@dataclass(frozen=True)
class EvaluateConfig:
    """How good are these predictions? COCO mAP of masks and boxes, mask quality per product, and on matched products
    accuracy, macro-F1 and confusion of category and attributes, with 95 % intervals.

    Photos are matched by file name, categories by name (in a COCO results list both by id). Photos outside the truth
    take no part; photos of the truth without predictions count as missed. Exit code 1 where a --fail-under or
    --fail-over is not held.
    """

    gt: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="GT")]
    """The truth: a COCO file with attributes (with --semantic also a folder of label maps)."""
    pred: Annotated[tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="PRED")] = None
    """predictions.json (or the folder it lies in), or a COCO results list."""
    compare: Annotated[tuple[Path, Path] | None, tyro.conf.arg(metavar="RUN_A RUN_B")] = None
    """Two predictions in the place of PRED: judges RUN_B, and by how much it differs from RUN_A (paired bootstrap)."""
    true_masks: Path | None = None
    """Predictions read under the masks of GT (segattr extract --masks GT): attributes apart from the segmenter's errors."""
    second: Path | None = None
    """GT as a second person annotated it: how far the two agree is a ceiling for any predictor."""
    out: Path | None = None
    """Folder for report.html (curves, tables, the worst mistakes; opens offline), metrics.json, worst.jpg and the
    confusion matrices as PNG and CSV."""
    card: str | None = None
    """The bundle that made PRED ("default" or its folder): write figures with intervals, the thresholds from which its
    answers reach --precision, and the most frequent mistakes into its card (bundle.json); segattr card shows it."""
    known_failures: Path | None = None
    """A text for the card, one known failure a paragraph; without it the card's own stays."""
    images: Path | None = None
    """Folder that the file names of GT start from, for the pictures; by default the folder of GT."""
    fail_under: Annotated[_Repeated[tuple[str, ...]], tyro.conf.arg(metavar="KEY=NUMBER")] = ()
    """Exit with 1 when a figure of metrics.json is below: --fail-under segm/AP=0.40 (may be repeated)."""
    fail_over: Annotated[_Repeated[tuple[str, ...]], tyro.conf.arg(metavar="KEY=NUMBER")] = ()
    """The same for figures that should be small, such as an error: --fail-over attributes/length/mae=2.5."""
    fashionpedia: bool = False
    """GT and PRED are in Fashionpedia's own form (ids from 0, attribute_ids): also the numbers of its published
    evaluator."""
    iou_thr: float = 0.5
    """A detection is a product's from this IoU on (one to one, whatever the category)."""
    score_thr: float = 0.0
    """Detections below it are left out of everything but the COCO numbers (which need the low scores too)."""
    class_agnostic: bool = False
    """Leave out the COCO numbers by category; those of the one class "product" are always there."""
    iou_thrs: tuple[float, ...] = ()
    """IoUs of AP in the place of COCO's .50:.05:.95."""
    areas: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=LOW:HIGH")] = ()
    """Sizes of AP and AR in the place of COCO's small, medium and large, in px²: --areas tiny=0:256 huge=90000:."""
    max_dets: tuple[int, ...] = (1, 10, 100)
    """So many detections of a photo and category count, best scores first; AP goes by the last."""
    boundary: bool = False
    """Also Boundary AP (Cheng et al. 2021), which sees what mask AP forgives at the rim of large masks. Slow."""
    semantic: bool = False
    """Also label maps painted from the instances: mean IoU, pixel accuracy, boundary F. Where GT and PRED are folders of
    label maps (PNG files of the same names), these and nothing else."""
    labels: tuple[str, ...] = ()
    """Names of the labels 0, 1, 2, ... of such folders (0 is the background); by default the labels that occur."""
    ignore_label: int = 255
    """Pixels of such folders whose true label it is do not count."""
    ap_intervals: bool = False
    """Also 95 % intervals of AP (every draw of photos is sorted and summed anew, which takes its time)."""
    precision: float = 0.95
    """How many products can be filled in automatically at this precision of an attribute."""
    slice_by: tuple[str, ...] = ("category", "size")
    """Figures of parts: category, size, an attribute, or a key of an image such as source_id."""
    group_by: str | None = None
    """Key of an image (such as source_id) whose photos belong together: the intervals draw whole groups."""
    boundary_px: int = 3
    """Tolerance of the boundary F."""
    resamples: int = 1000
    """Draws of the bootstrap."""
    seed: int = 0
    """Of the bootstrap."""
    mistakes: int = 12
    """Pictures of each kind of mistake in the report."""
    json: bool = False
    """Print the flat metrics as JSON, and nothing else, to the standard output."""


def check(config: EvaluateConfig) -> None:
    """Raises InputError for flags that do not go together, before anything is read."""
    if config.compare is not None and config.pred is not None:
        raise InputError("PRED and --compare RUN_A RUN_B: give one of them; --compare judges RUN_B.")
    if config.compare is None and config.pred is None:
        raise InputError("no predictions: expected segattr evaluate GT PRED, or GT --compare RUN_A RUN_B.")
    if config.fashionpedia and (
        config.compare is not None or config.second is not None or config.true_masks is not None
    ):
        raise InputError("--fashionpedia goes with GT and PRED alone; leave out --compare, --second and --true-masks.")
    if config.gt.is_dir() and not config.semantic:
        raise InputError(f"{config.gt} is a folder; expected a COCO file (or, of label maps, --semantic).")
    if config.known_failures is not None and config.card is None:
        raise InputError("--known-failures is for a card; give --card BUNDLE too.")
    if config.mistakes < 0:
        raise InputError(f"--mistakes {config.mistakes}: expected 0 or more.")
    if config.out is not None:
        check_out(config.out)


def write_results(found: Evaluation, config: EvaluateConfig) -> list[Path]:
    """Fill ``config.out``: the paths written, each whole or not at all.

    metrics.json (flat), report.html, the confusion matrices of category and attributes, and worst.jpg where the photos
    are found. Raises InputError when they are not, though ``config.images`` was given.
    """
    from .confusion import draw_confusion, write_confusion_csv
    from .evaluate_report import write_report

    out, metrics = config.out, found.metrics
    written = [out / "metrics.json", out / "report.html"]
    write_atomic(written[0], json.dumps(found.flat(), indent=1) + "\n")
    worst = _write_worst(found, config)
    write_report(found, config, written[1])
    labelled = {"category": metrics.category} | {f"attribute_{name}": one for name, one in metrics.attributes.items()}
    for name, one in labelled.items():
        if isinstance(one, LabelMetrics) and one.support:
            stem = "confusion_" + re.sub(r"[^\w-]+", "_", name)
            written += [out / f"{stem}.png", out / f"{stem}.csv"]
            _save(draw_confusion(one, title=name.removeprefix("attribute_")), written[-2])
            write_confusion_csv(one, written[-1])
    return written + worst


def _write_worst(found: Evaluation, config: EvaluateConfig) -> list[Path]:
    from .worst import draw_worst

    try:
        sheet = draw_worst(found.pairing, found.metrics, config.images or config.gt.parent)
    except InputError as error:
        if config.images is not None:
            raise
        found.notes.append(f"No worst.jpg and no photos in the report, they were not found: {error}")
        return []
    if sheet is None:
        return []
    _save(sheet, config.out / "worst.jpg")
    return [config.out / "worst.jpg"]


def _save(picture: "Image.Image", path: Path) -> None:
    with atomic_path(path) as temporary:
        picture.save(temporary, "JPEG" if path.suffix == ".jpg" else "PNG", quality=90)


def run(config: EvaluateConfig) -> int:
    """The verb: measure, write, print. Returns 0, or 1 where a figure is not what --fail-under or --fail-over ask for."""
    check(config)
    gates = parse_gates(config.fail_under, config.fail_over)
    bundle = None
    if config.card is not None:
        from .evaluation_card import open_card, write_card

        bundle = open_card(config)
    maps = config.semantic and config.gt.is_dir()
    if maps:
        from .evaluate_maps import measure_maps, write_maps

        found, write = measure_maps(config), write_maps
    else:
        found, write = measure(config), write_results
    failed = failures(gates, found.flat())
    try:
        written = write(found, config) if config.out is not None else []
    except OSError as error:
        raise InputError(f"--out {config.out}: cannot be written ({error.strerror}).") from error
    if bundle is not None:
        written.append(write_card(bundle, found, config))
    if config.json:
        print(json.dumps(found.flat(), indent=1))
        for note in found.sentences:
            print(f"segattr: note: {note}", file=sys.stderr)
    else:
        from .evaluate_tables import print_map_tables, print_tables

        print_map_tables(found) if maps else print_tables(found, config)
        for path in written:
            print(f"  {path}")
    for sentence in failed:
        print(f"segattr: failed: {sentence}", file=sys.stderr)
    return 1 if failed else 0


def main(argv: list[str]) -> int:
    """Parse the flags and run."""
    return run(tyro.cli(EvaluateConfig, args=argv, prog="segattr evaluate", config=(tyro.conf.FlagCreatePairsOff,)))
