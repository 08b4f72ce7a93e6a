"""Leave out what a model is not sure of: attribute values below the thresholds of its card."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..datasets.errors import InputError

if TYPE_CHECKING:
    from ..weights.bundle import Bundle  # whose import takes torch's seconds


def card_thresholds(bundle: "Bundle", fingerprint: str) -> tuple[dict[str, float | None], str]:
    """Head -> threshold (None: no answer is sure enough), from the newest evaluation in the card of predictions that were
    made in this very way (``fingerprint``), and a sentence about it. Raises InputError where there is none."""
    made = [one for one in bundle.card.get("evaluations", []) if one["fingerprint"] == fingerprint]
    if not made:
        raise InputError(
            f"--sure: the card of {bundle.folder} has no thresholds for these masks and heads; measure them on labelled "
            f"photos: segattr extract without --sure, then segattr evaluate GT OUT --card {bundle.folder}"
        )
    found, truth = made[-1]["thresholds"], made[-1]["truth"]
    precision = next((one["precision"] for one in found.values()), 0.95)
    said = f"--sure: attributes as sure as was right in {precision:.0%} of the cases on {truth['file']}, {made[-1]['date']}"
    return {head: one["threshold"] for head, one in found.items()}, said


def confidence(value: str | list[str], probabilities: Mapping[str, float]) -> float:
    """Of an answer; of a set that exactly its values are present (`ProbabilityTable` has the same)."""
    if isinstance(value, str):
        return probabilities.get(value, 0.0)
    return math.prod(p if name in value else 1 - p for name, p in probabilities.items())


def leave_out(annotation: dict[str, Any], thresholds: Mapping[str, float | None]) -> dict[str, Any]:
    """A copy of an annotation (as `Item.to_annotation` makes it) without the labels below their thresholds, and without
    those that have none. Numbers and the category stay, and all probabilities."""
    given = annotation["probabilities"]
    kept = {
        name: value
        for name, value in annotation["attributes"].items()
        if not isinstance(value, str | list)
        or confidence(value, given.get(name, {})) >= (math.inf if (t := thresholds.get(name)) is None else t)
    }
    return annotation | {"attributes": kept}
