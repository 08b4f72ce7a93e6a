"""Annotations to training targets and logits to values: the two directions of one encoding.

By head name (see network.head_sizes), for n instances:
- category and single attributes: int64 (n,), the value's position, -1 where unknown;
- multi: float32 (n, values) 0/1 for presence, -1 in the whole row where unknown; ``NAME.first``: int64 (n,), -1 unknown;
- number: float32 (n,), NaN where unknown.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from ..datasets.coco import Annotation
from ..datasets.errors import InputError
from ..datasets.schema import Attribute, Schema
from .network import CATEGORY, head_sizes
from .results import AttributeValue

UNKNOWN = -1
_PRESENT = 0.5  # presence probability from which a further value of a multi attribute is named


def encode(annotations: Sequence[Annotation], names: Mapping[int, str], schema: Schema, categories: Sequence[str]):
    """Targets of ``annotations``. ``names``: category id to name. A category that is not in ``categories`` is unknown."""
    position = {name: i for i, name in enumerate(categories)}
    targets = {CATEGORY: torch.tensor([position.get(names[a.category_id], UNKNOWN) for a in annotations])}
    for attribute in schema:
        targets |= _encode_one(attribute, [a.attributes.get(attribute.name) for a in annotations])
    return targets


def _encode_one(attribute: Attribute, given: list) -> dict[str, torch.Tensor]:
    if attribute.kind == "number":
        numbers = [float("nan") if value is None else float(value) for value in given]
        return {attribute.name: torch.tensor(numbers, dtype=torch.float32)}
    position = {value: i for i, value in enumerate(attribute.values)}
    if attribute.kind == "single":
        return {attribute.name: torch.tensor([UNKNOWN if v is None else position[v] for v in given])}
    presence = torch.full((len(given), len(attribute.values)), float(UNKNOWN))
    for row, values in zip(presence, given, strict=True):
        if values is not None:  # an empty list is known: none of them
            row.zero_()
            row[[position[value] for value in values]] = 1.0
    first = torch.tensor([position[values[0]] if values else UNKNOWN for values in given])
    return {attribute.name: presence, f"{attribute.name}.first": first}


def distributions(
    targets: Mapping[str, torch.Tensor], schema: Schema, categories: Sequence[str]
) -> dict[str, torch.Tensor]:
    """Targets as a loss takes them: those of category, single and ``NAME.first`` heads as float32 (n, values), 1 for the
    value, a row of zeros where unknown (a teacher's answers are rows of probabilities); the others as they are."""
    sizes = head_sizes(schema, list(categories))
    return {name: _one_hot(t, sizes[name]) if t.dtype == torch.int64 else t for name, t in targets.items()}


def _one_hot(positions: torch.Tensor, size: int) -> torch.Tensor:
    rows = torch.zeros(len(positions), size)
    known = positions != UNKNOWN
    rows[known, positions[known]] = 1.0
    return rows


def number_scales(targets: Mapping[str, torch.Tensor], schema: Schema) -> dict[str, list[float]]:
    """Mean and standard deviation of every number attribute over the training data: its head predicts in these units."""
    scales = {}
    for attribute in schema:
        if attribute.kind == "number":
            known = targets[attribute.name][~targets[attribute.name].isnan()].double()
            if len(known) == 0:
                raise InputError(
                    f"attribute {attribute.name!r}: no training instance has it; take it out of the schema"
                )
            scales[attribute.name] = [float(known.mean()), max(float(known.std(correction=0)), 1e-6)]
    return scales


class Decoder:
    """Logits of a batch to categories and `AttributeValue`s, with calibrated probabilities.

    ``temperatures``: by head name; logits are divided by it before softmax or sigmoid (1 where absent).
    ``scales``: mean and standard deviation by number attribute.
    """

    def __init__(
        self,
        schema: Schema,
        categories: Sequence[str],
        temperatures: Mapping[str, float],
        scales: Mapping[str, Sequence[float]],
    ):
        self.schema, self.categories = schema, list(categories)
        self.temperatures, self.scales = dict(temperatures), dict(scales)

    def __call__(self, logits: Mapping[str, torch.Tensor]) -> list[tuple[dict[str, float], dict[str, AttributeValue]]]:
        """Per instance: category probabilities (in the order of ``categories``) and attribute values by name. An
        attribute that does not apply to the likeliest category has the value None."""
        probabilities = self.probabilities(logits)
        columns = {attribute.name: self._decode(attribute, probabilities) for attribute in self.schema}
        decoded = []
        for row, category in enumerate(probabilities[CATEGORY].numpy()):
            name = self.categories[int(np.argmax(category))]
            values = {
                attribute.name: columns[attribute.name][row] if attribute.applies_to(name) else AttributeValue(None, {})
                for attribute in self.schema
            }
            decoded.append((dict(zip(self.categories, map(float, category), strict=True)), values))
        return decoded

    def probabilities(self, logits: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Per head float32: softmax (n, values); presence of multi attributes (n, values); numbers (n,) in their unit."""
        found = {}
        for head in head_sizes(self.schema, self.categories):
            kind = self.schema[head].kind if head in self.schema else "single"  # category and NAME.first
            if kind == "number":
                mean, deviation = self.scales[head]
                found[head] = logits[head].float().cpu()[:, 0] * deviation + mean
            else:
                scaled = self._scaled(head, logits)
                found[head] = scaled.sigmoid() if kind == "multi" else scaled.softmax(1)
        return found

    def _scaled(self, head: str, logits: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return logits[head].float().cpu() / self.temperatures.get(head, 1.0)

    def _decode(self, attribute: Attribute, probabilities: Mapping[str, torch.Tensor]) -> list[AttributeValue]:
        rows = probabilities[attribute.name].numpy()
        if attribute.kind == "number":
            return [AttributeValue(float(x), {}) for x in rows]
        if attribute.kind == "single":
            return [
                AttributeValue(
                    attribute.values[int(np.argmax(p))], dict(zip(attribute.values, map(float, p), strict=True))
                )
                for p in rows
            ]
        first = probabilities[f"{attribute.name}.first"].numpy()
        return [_ordered(attribute.values, p, f) for p, f in zip(rows, first, strict=True)]


def _ordered(values: Sequence[str], presence: np.ndarray, first: np.ndarray) -> AttributeValue:
    """The likeliest first value, then the further present ones by how likely they come first; each value's
    probability is that of its presence."""
    lead = int(np.argmax(first))
    order = [lead] + [int(i) for i in np.argsort(-first, kind="stable") if i != lead and presence[i] >= _PRESENT]
    return AttributeValue([values[i] for i in order], dict(zip(values, map(float, presence), strict=True)))
