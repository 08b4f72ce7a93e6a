"""What `segattr evaluate --card BUNDLE` puts into the bundle's card: figures with intervals, thresholds, mistakes."""

import math
import shlex
import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from .. import __version__
from ..attributes.coverage import coverage_curve, left_out_coverage
from ..attributes.evaluation import LabelMetrics
from ..attributes.joint import JointMetrics
from ..datasets.errors import InputError
from ..weights.bundle import Bundle, read_bundle, rewrite_card
from .measure import Evaluation, labels

if TYPE_CHECKING:
    from .evaluate import EvaluateConfig

FEWEST = 30  # answers above a threshold: of fewer, all may be right by chance (95 % of 30 leaves room for one mistake)
_MISTAKES, _FEWEST_MISTAKES = 5, 3
_FIGURES = (
    *("product/iou", "product/iou_below_80", "product/found", "product/boundary_f"),
    *("segm-agnostic/AP", "segm-agnostic/AP50", "segm-agnostic/AP75", "segm/AP", "joint/segm/AP", "boundary/AP"),
)
_OF_LABELS = ("accuracy", "macro_f1", "jaccard", "exact", "macro_ap", "ece", "mae", "rmse")


class _Said(msgspec.Struct):
    """What a COCO file says of itself; the rest is skipped unparsed."""

    info: dict[str, Any] = {}
    licenses: list[Any] = []


def open_card(config: "EvaluateConfig") -> Bundle:
    """The bundle of ``--card``. Raises InputError, before anything is measured, where it is none or had no part in the
    predictions, or where what was given does not go into a card."""
    if config.compare is not None or config.fashionpedia or config.gt.is_dir():
        raise InputError("--card goes with GT and PRED; leave out --compare, --fashionpedia and label maps.")
    bundle = read_bundle(config.card)
    if config.known_failures is not None:
        read_failures(config.known_failures)
    for path in (config.pred, *([config.true_masks] if config.true_masks is not None else [])):
        info = _said(path).info
        if bundle.fingerprint not in info.get("bundles", []):
            raise InputError(
                f"--card {config.card}: {path} does not say that this bundle took part in it; expected predictions of "
                "segattr extract with these very weights: extract again."
            )
        if "sure" in info:
            raise InputError(f"--card {config.card}: {path} was made with --sure; extract again without it.")
    return bundle


def _said(path: Path) -> _Said:
    path = path / "predictions.json" if path.is_dir() else path
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Said)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not what segattr extract writes ({error}).") from error


def write_card(bundle: Bundle, found: Evaluation, config: "EvaluateConfig") -> Path:
    """Add the evaluation to the card, in the place of an earlier one of the same truth and way of reading. Returns the
    path of bundle.json."""
    entry = evaluation_entry(bundle, found, config)
    card = dict(bundle.card)
    others = [one for one in card.get("evaluations", []) if _what(one) != _what(entry)]
    card["evaluations"] = [*others, entry]
    if config.known_failures is not None:
        card["known_failures"] = read_failures(config.known_failures)
    try:
        rewrite_card(bundle, card)
    except OSError as error:
        raise InputError(f"--card {config.card}: cannot be written ({error.strerror}).") from error
    return bundle.folder / "bundle.json"


def _what(entry: Mapping[str, Any]) -> tuple:
    return entry["truth"]["file"], entry["truth"]["description"], entry["model"]


def read_failures(path: Path) -> list[str]:
    """One known failure a paragraph; list marks in front of it fall away."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--known-failures {path}: cannot be read as text ({error}).") from error
    paragraphs = [" ".join(block.split()).removeprefix("- ") for block in text.replace("\n- ", "\n\n- ").split("\n\n")]
    return [one for one in paragraphs if one]


def evaluation_entry(bundle: Bundle, found: Evaluation, config: "EvaluateConfig") -> dict[str, Any]:
    """Everything that the card keeps of one evaluation, as JSON takes it."""
    truth, made, metrics = _said(config.gt), _said(config.pred).info, found.metrics
    return {
        "command": shlex.join(["segattr", *sys.argv[1:]]),
        "date": date.today().isoformat(),
        "segattr": __version__,
        "model": made["model"],
        "fingerprint": made["fingerprint"],
        "truth": {
            "file": config.gt.name,
            "description": truth.info.get("description", ""),
            "images": len(found.pairing.images),
            "products": int(metrics.numbers["instances/truth"]),
            "groups": metrics.groups,
            "group_by": config.group_by or "photo",
            "licenses": truth.licenses,
        },
        "chose": [part for part, one in bundle.card.items() if _validated(one) == config.gt.name],
        "figures": _figures(found),
        "thresholds": thresholds(metrics, config.precision),
        "mistakes": {key.removeprefix("attributes/"): _mistakes(one) for key, one in labels(metrics).items()},
    }


def _validated(card: Any) -> str | None:
    return card.get("validation", {}).get("file") if isinstance(card, dict) else None


def _figures(found: Evaluation) -> dict[str, dict[str, Any]]:
    flat = found.flat()
    heads = ["category", *(f"attributes/{name}" for name in found.metrics.attributes)]
    keys = [f"{prefix}{head}/{one}" for prefix in ("", "true_masks/") for head in heads for one in _OF_LABELS]
    return {
        key: {"value": round(flat[key], 6), "ci95": _ends(flat, key)}
        for key in (*_FIGURES, *keys)
        if flat.get(key) is not None and flat[key] != -1  # COCO: nothing to measure
    }


def _ends(flat: Mapping[str, float | None], key: str) -> list[float] | None:
    ends = [flat.get(f"{key}/{end}") for end in ("ci95_low", "ci95_high")]
    return None if None in ends else [round(end, 6) for end in ends]


def thresholds(metrics: JointMetrics, precision: float, fewest: int = FEWEST) -> dict[str, dict[str, Any]]:
    """Head -> the least probability from which at least ``fewest`` answers are right in ``precision`` of the cases.

    Heads are "category", the label attributes (of a multi one its whole set) and, of a multi one's first value,
    "<name>.first". threshold: None where no threshold does, with ``why``; share: of the matched products, accepted: so
    many, right: share of those. left_out: share and right where the threshold is chosen on the other groups.
    """
    suffix, found = f"/coverage{100 * precision:g}", {}
    for key, (confidence, right, row) in metrics.answers.items():
        head = key.removeprefix("attributes/").replace(f"{suffix}_first", ".first").removesuffix(suffix)
        groups = [metrics.row_groups[i] for i in row]
        chosen = coverage_curve(confidence, right).at(precision, fewest=fewest)
        others = left_out_coverage(confidence, right, groups, precision=precision, fewest=fewest)
        found[head] = {
            "precision": precision,
            "threshold": _number(chosen.threshold),
            "share": _number(chosen.share, 4),
            "accepted": chosen.accepted,
            "right": _number(chosen.precision, 4),
            "of": chosen.total,
            "left_out": {"share": _number(others.share, 4), "right": _number(others.precision, 4)},
        }
        if not chosen.accepted:
            found[head]["why"] = f"no threshold has {fewest} answers or more of which {precision:.0%} are right"
    return found


def _number(value: float, digits: int | None = None) -> float | None:
    if not math.isfinite(value):
        return None
    return value if digits is None else round(value, digits)


def _mistakes(one: LabelMetrics) -> list[dict[str, Any]]:
    """The most frequent confusions of first values: what is true, what was read, how often, of how many such products."""
    names = [*one.values, None]
    wrong = one.confusion * ~np.eye(len(names), dtype=bool)
    order = np.argsort(-wrong, axis=None, kind="stable")[:_MISTAKES]
    cells = [divmod(int(cell), len(names)) for cell in order]
    return [
        {"true": names[i], "read": names[j], "count": int(wrong[i, j]), "of": int(one.confusion[i].sum())}
        for i, j in cells
        if wrong[i, j] >= _FEWEST_MISTAKES
    ]
