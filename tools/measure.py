"""Everything `segattr evaluate` measures, in one object."""

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..attributes.agreement import agreement
from ..attributes.evaluation import LabelMetrics
from ..attributes.fashionpedia_eval import FashionpediaResult, fashionpedia_evaluate
from ..attributes.joint import JointConfig, JointMetrics, comparable_attributes, joint_metrics
from ..attributes.joint_ap import JointApMetrics, JointApParams, JointApResult, pairing_metrics
from ..datasets.coco import CocoFile
from ..datasets.errors import InputError
from ..seg.bootstrap import interval_keys
from ..seg.coco_eval import CocoParams
from ..seg.error_breakdown import ErrorBreakdown, error_breakdown
from ..seg.label_maps import semantic_from_pairing
from ..seg.pairing import Pairing, Predictions, pair, read_predictions, read_truth
from ..seg.semantic_eval import SemanticResult, semantic_intervals
from ..seg.slices import SliceRow, flat_slices, slice_metrics
from .ap_intervals import ap_intervals, ap_tables
from .compare import Comparison, compare
from .fashionpedia_files import read_fashionpedia

if TYPE_CHECKING:
    from .evaluate import EvaluateConfig

SEMANTIC_SCORE = 0.5  # weaker detections are not painted, unless --score-thr says otherwise
SAME_IOU = 0.99  # from here on a mask is the truth's own


@dataclass
class Evaluation:
    """pairing, metrics: of the predictions that are judged. joint: AP of masks and attributes together. errors: by
    prefix of a key (``segm``, ``segm-agnostic``). others: ``true_masks`` and ``second``: category and attributes of other
    files against the same truth. comparison: with the other run of --compare. semantic: of label maps painted from the
    instances, and 95 % intervals by its keys. fashionpedia: the published evaluator's numbers.
    ap_ends: 95 % intervals of AP, by its keys."""

    pairing: Pairing
    metrics: JointMetrics
    joint: dict[str, JointApResult] = field(default_factory=dict)
    errors: dict[str, ErrorBreakdown] = field(default_factory=dict)
    slices: list[SliceRow] = field(default_factory=list)
    others: dict[str, JointMetrics] = field(default_factory=dict)
    comparison: Comparison | None = None
    semantic: SemanticResult | None = None
    semantic_ends: dict[str, tuple[float, float]] = field(default_factory=dict)
    fashionpedia: FashionpediaResult | None = None
    ap_ends: dict[str, tuple[float, float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def sentences(self) -> list[str]:
        """All notes, those about the other run of --compare last."""
        return self.notes + (self.comparison.notes if self.comparison is not None else [])

    def flat(self) -> dict[str, float | None]:
        """Every figure, by stable keys; None where undefined."""
        found: dict[str, float | None] = dict(self.metrics.flat())
        for prefix, one in self.joint.items():
            found |= {f"joint/{prefix}/{key}": value for key, value in one.numbers.items()}
        found |= interval_keys({key: ends for key, ends in self.ap_ends.items() if key in found})
        for prefix, one in self.errors.items():
            found |= one.flat(f"errors/{prefix}")
        found |= flat_slices(self.slices)
        for prefix, one in self.others.items():
            read = {key: value for key, value in one.flat().items() if key.startswith(("category/", "attributes/"))}
            found |= {f"{prefix}/{key}": value for key, value in read.items()}
            found |= {f"{prefix}/{key}/kappa": label.kappa for key, label in labels(one).items()}
        if self.fashionpedia is not None:
            found |= self.fashionpedia.numbers
        if self.semantic is not None:
            found |= self.semantic.flat() | interval_keys(self.semantic_ends)
        if self.comparison is not None:
            found |= self.comparison.flat()
        return defined(found)


def defined(flat: Mapping[str, float | None]) -> dict[str, float | None]:
    """None for what is undefined: JSON has no NaN."""
    return {key: value if value is not None and math.isfinite(value) else None for key, value in flat.items()}


def measure(config: "EvaluateConfig") -> Evaluation:
    """Read the files and measure. Raises InputError for whatever the user can mend."""
    joint = _joint_config(config)
    truth, predictions, notes = _files(config)
    pairing, metrics = _judge(truth, predictions, config, joint)
    found = Evaluation(pairing, metrics, notes=notes + metrics.notes)
    if config.fashionpedia:
        found.fashionpedia = fashionpedia_evaluate(config.gt, config.pred)
        found.notes += [f"--fashionpedia: {note}" for note in found.fashionpedia.notes]
    matched = _joint(pairing, metrics, joint.coco)
    found.joint = {prefix: one.compute() for prefix, one in matched.items()}
    if config.ap_intervals:
        found.ap_ends = ap_intervals(
            [ap_tables(pairing, metrics, matched)],
            metrics.photo_groups,
            joint.coco.iou_thrs,
            resamples=config.resamples,
            seed=config.seed,
        )
    found.errors = _errors(pairing, metrics, joint.coco.max_dets[-1])
    found.slices = slice_metrics(
        pairing, metrics, by=tuple(dict.fromkeys(config.slice_by)), resamples=config.resamples, seed=config.seed
    )
    if config.semantic:
        threshold = config.score_thr or SEMANTIC_SCORE
        found.semantic = semantic_from_pairing(pairing, score_thr=threshold, boundary_px=config.boundary_px)
        found.semantic_ends = semantic_intervals(
            found.semantic, metrics.photo_groups, resamples=config.resamples, seed=config.seed
        )
        found.notes += found.semantic.notes
    found.others = _others(truth, config, joint, found.notes)
    if config.compare is not None:
        first, caught = _predictions(config.compare[0])
        other = _judge(truth, first, config, replace(joint, resamples=1))
        other[1].notes[:0] = caught
        found.comparison = compare(
            (other[0], pairing),
            (other[1], metrics),
            (_joint(*other, joint.coco), matched),
            names=tuple(map(str, config.compare)),
            resamples=config.resamples,
            seed=config.seed,
        )
    return found


def labels(metrics: JointMetrics) -> dict[str, LabelMetrics]:
    """Prefix of a key (``category``, ``attributes/color``) -> everything judged by labels."""
    named = {"category": metrics.category} | {f"attributes/{name}": one for name, one in metrics.attributes.items()}
    return {key: one for key, one in named.items() if isinstance(one, LabelMetrics)}


def _others(truth: CocoFile, config: "EvaluateConfig", joint: JointConfig, notes: list[str]) -> dict[str, JointMetrics]:
    """Attributes read under true masks, and a second annotator in the place of the predictor: a ceiling."""
    found = {}
    if config.second is not None:
        second, caught = _predictions(config.second)
        found["second"] = agreement(truth, second, joint, where=str(config.gt))[1]
        notes += [f"--second: {note}" for note in caught + found["second"].notes]
    if config.true_masks is not None:
        predictions, caught = _predictions(config.true_masks)
        pairing = pair(truth, predictions, where=str(config.gt))
        # Scores are of categories there: --score-thr, meant for found masks, would leave out true ones.
        one = found["true_masks"] = joint_metrics(pairing, replace(joint, score_thr=0.0), coco=False)
        notes += [f"--true-masks: {note}" for note in caught + one.notes]
        if other := int((one.best_iou[~pairing.truth.crowd] < SAME_IOU).sum()):
            notes.append(
                f"--true-masks: {other:,} products have no prediction under their very mask; expected {config.true_masks} "
                "made with segattr extract --masks GT."
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
        precision=config.precision,
        coco=_coco_params(config),
        boundary=config.boundary,
    )


def _coco_params(config: "EvaluateConfig") -> CocoParams:
    standard = CocoParams()
    areas = {"all": standard.areas["all"]} if config.areas else standard.areas
    for text in config.areas:
        name, _, ends = text.partition("=")
        try:
            low, high = (float(end) if end else math.inf for end in ends.split(":"))
        except ValueError:
            raise InputError(f"--areas {text}: expected NAME=LOW:HIGH in px², such as tiny=0:256.") from None
        areas |= {name: (low, min(high, standard.areas["all"][1]))}
    return CocoParams(config.iou_thrs or standard.iou_thrs, areas, config.max_dets)


def _joint(pairing: Pairing, metrics: JointMetrics, params: CocoParams) -> dict[str, JointApMetrics]:
    """By category where there are numbers by category, else of one class; nothing without attributes in common."""
    # Where nothing at all is predicted the joint AP is 0, not unknown.
    common = comparable_attributes(pairing, []) if len(pairing.detections) else pairing.schema
    attributes = [one for one in common if one.kind != "number"]
    if not attributes:
        return {}
    kind = "segm" if pairing.masked else "bbox"
    agnostic = kind not in metrics.coco
    prefix = f"{kind}-agnostic" if agnostic else kind
    joint = JointApParams(coco=params)
    return {prefix: pairing_metrics(pairing, attributes, kind=kind, class_agnostic=agnostic, params=joint)}


def _errors(pairing: Pairing, metrics: JointMetrics, max_dets: int) -> dict[str, ErrorBreakdown]:
    kind = "segm" if pairing.masked else "bbox"
    return {
        prefix: error_breakdown(
            pairing.truth,
            pairing.detections,
            categories=len(pairing.categories),
            kind=kind,
            class_agnostic=prefix != kind,
            max_dets=max_dets,
        )
        for prefix in (kind, f"{kind}-agnostic")
        if prefix in metrics.coco
    }


def _files(config: "EvaluateConfig") -> tuple[CocoFile, Predictions, list[str]]:
    """Truth, the predictions that are judged, and what reading them had to say."""
    if config.fashionpedia:
        return read_fashionpedia(config.gt, config.pred)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        truth = read_truth(config.gt)
    predictions, more = _predictions(config.pred if config.compare is None else config.compare[1])
    return truth, predictions, _sentences(caught) + more


def _predictions(path: Path) -> tuple[Predictions, list[str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        predictions = read_predictions(path)
    return predictions, _sentences(caught)


def _judge(truth: CocoFile, predictions: Predictions, config: "EvaluateConfig", joint: JointConfig):
    pairing = pair(truth, predictions, where=str(config.gt))
    return pairing, joint_metrics(pairing, joint)


def _sentences(caught: list[warnings.WarningMessage]) -> list[str]:
    return [str(one.message) for one in caught if issubclass(one.category, UserWarning)]


def check_out(out: Path) -> None:
    """Raises InputError where a file stands in the way of the folder."""
    for part in (out, *out.parents):
        if part.exists() and not part.is_dir():
            raise InputError(f"--out {out}: {part} is a file; expected a folder.")
