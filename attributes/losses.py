"""The loss over all heads. A missing label counts in none of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

from ..datasets.schema import Schema
from .network import CATEGORY, AttributeNetwork


@dataclass(frozen=True)
class AttributeLossConfig:
    """How the heads are taught."""

    label_smoothing: float = 0.1
    multi: Literal["bce", "asymmetric"] = "bce"
    """Loss of multi attributes; asymmetric: Ben-Baruch et al., 2021, gamma- 4, gamma+ 0, margin 0.05."""
    number: Literal["l1", "l2", "huber"] = "huber"
    """Loss of number attributes, in standard deviations of the training data."""
    cutmix: float = 0.0
    """Share of the batches in which every crop gets a rectangle of another one, product and ground (CutMix)."""
    class_balance: float = 0.25
    """Weight of a value in cross-entropy: its count to the power of minus this. 0: none, 1: all values weigh the same."""


def class_weights(targets: torch.Tensor, power: float) -> torch.Tensor:
    """float32 (size,): counts ** -power, scaled so that the mean over samples is 1; a value never seen weighs 1.
    targets: float32 (n, size), see `targets.distributions`."""
    counts = targets.sum(0)
    weights = counts.clamp(min=1) ** -power
    mean = (weights * counts).sum() / counts.sum().clamp(min=1)
    return torch.where(counts > 0, weights / mean.clamp(min=1e-12), torch.ones_like(weights))


def asymmetric_loss(logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Per element; easy negatives fade (Ben-Baruch et al., "Asymmetric Loss for Multi-Label Classification", 2021)."""
    probability = logits.sigmoid()
    shifted = (probability - 0.05).clamp(min=0)
    positive = truth * -F.logsigmoid(logits)
    negative = (1 - truth) * shifted**4 * -torch.log((1 - shifted).clamp(min=1e-8))
    return positive + negative


class AttributeTask(nn.Module):
    """The network and its loss, for the training loop."""

    def __init__(
        self,
        model: AttributeNetwork,
        config: AttributeLossConfig,
        targets: Mapping[str, torch.Tensor],
        scales: Mapping[str, list[float]],
    ):
        """``targets`` (see `targets.distributions`): all training targets, for class weights. ``scales``: of number
        heads."""
        super().__init__()
        self.model, self.config, self.scales = model, config, dict(scales)
        for name in self._softmax_heads(model.schema):
            self.register_buffer(_weight(name), class_weights(targets[name], config.class_balance))

    @staticmethod
    def _softmax_heads(schema: Schema) -> list[str]:
        singles = [a.name for a in schema if a.kind == "single"]
        return [CATEGORY, *singles, *(f"{a.name}.first" for a in schema if a.kind == "multi")]

    @property
    def encoder(self) -> nn.Module:
        return self.model.encoder

    def forward(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """``batch``: crop uint8 (n, 4, s, s) and the targets of every head (see `targets.distributions`). Returns loss
        and each head's share."""
        crops, own, other = batch["crop"], torch.ones(len(batch["crop"]), device=batch["crop"].device), None
        if self.training and torch.rand(()) < self.config.cutmix:
            crops, own, order = cutmix(crops)
            other = {name: target[order] for name, target in batch.items() if name != "crop"}
        out = {name: logits.float() for name, logits in self.model(crops).items()}
        losses = self._losses(out, batch, own)
        if other is not None:
            theirs = self._losses(out, other, 1 - own)
            losses = {name: loss + theirs[name] for name, loss in losses.items()}
        shown = {f"loss/{name}": loss.detach() for name, loss in losses.items()}
        return {"loss": torch.stack(list(losses.values())).sum(), **shown}

    def _losses(self, out: Mapping, targets: Mapping, share: torch.Tensor) -> dict[str, torch.Tensor]:
        """Each head's loss, averaged over the instances that have its label; ``share`` float (n,) weighs instances."""
        each = {
            name: self._softmax_loss(name, out[name], targets[name]) for name in self._softmax_heads(self.model.schema)
        }
        for attribute in self.model.schema:
            name = attribute.name
            if attribute.kind == "multi":
                each[name] = self._multi_loss(out[name], targets[name])
            elif attribute.kind == "number":
                each[name] = self._number_loss(name, out[name][:, 0], targets[name])
        # The functions' own means are NaN for a batch without a known label.
        return {name: (loss * known * share).sum() / known.sum().clamp(min=1) for name, (loss, known) in each.items()}

    def _softmax_loss(self, name: str, logits: torch.Tensor, truth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        loss = F.cross_entropy(
            logits,
            truth,
            weight=getattr(self, _weight(name)),
            label_smoothing=self.config.label_smoothing,
            reduction="none",
        )
        return loss, truth.sum(1) > 0

    def _multi_loss(self, logits: torch.Tensor, truth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        known = truth[:, 0] >= 0
        truth = truth.clamp(min=0)
        if self.config.multi == "bce":
            each = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
        else:
            each = asymmetric_loss(logits, truth)
        return each.sum(1), known  # summed over values: a schema with more of them is not taught more faintly

    def _number_loss(
        self, name: str, predicted: torch.Tensor, truth: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        mean, deviation = self.scales[name]
        known = ~truth.isnan()
        wanted = torch.where(known, (truth - mean) / deviation, torch.zeros_like(truth))
        function = {"l1": F.l1_loss, "l2": F.mse_loss, "huber": F.huber_loss}[self.config.number]
        return function(predicted, wanted, reduction="none"), known


def cutmix(crops: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Paste one random rectangle of another crop, mask included, into every crop (Yun et al., CutMix, 2019).

    Colours stay what they are, as they would not in a blend. crops: uint8 (n, 4, s, s), RGB and mask. Returns the new
    crops, float32 (n,) the share of the product's pixels that are the crop's own, and int64 (n,) whose the others are.
    """
    side = crops.shape[-1]
    order = torch.randperm(len(crops), device=crops.device)
    extent = max(1, round(side * float(torch.rand(()).sqrt())))
    top, left = (int(torch.randint(0, side - extent + 1, ())) for _ in range(2))
    inside = (slice(None), slice(None), slice(top, top + extent), slice(left, left + extent))
    mixed = crops.clone()
    mixed[inside] = crops[order][inside]
    pasted = mixed[inside][:, 3].float().sum((1, 2))
    total = mixed[:, 3].float().sum((1, 2))
    return mixed, 1 - pasted / total.clamp(min=1), order


def _weight(name: str) -> str:
    return "weight_" + name.replace(".", "__")
