"""Attribute heads on Mask R-CNN's RoI features: one forward pass gives masks and attributes."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.ops import Conv2dNormActivation

from ..datasets.coco import Annotation
from ..datasets.errors import InputError
from ..datasets.schema import Schema
from ..seg.instance import InstanceConfig, InstanceNet, InstanceSegmenter, InstanceTask, named, usable
from ..seg.instance_heads import mask_targets
from ..seg.instance_parts import group_norm, pool_rois
from ..seg.letterbox import letterbox_batches
from ..seg.loading import Choice, tuples
from ..seg.segments import Segment
from .losses import AttributeLossConfig, AttributeTask
from .network import EMBEDDING, head_sizes, masked_mean
from .targets import Decoder, distributions, encode

CELLS = 7  # the box head's features: cells a side of a product's box


@dataclass(frozen=True)
class RoIConfig:
    """What the attribute heads on RoI features are. Written into the bundle."""

    convs: tuple[int, ...] = (128, 128)
    """Channels of the convolutions on the 7 x 7 features."""
    dropout: float = 0.3


class RoIAttributes(nn.Module):
    """RoI features to logits: convolutions, pooling under the mask and over the box, embedding, one linear head each.

    Input: (n, channels, 7, 7) and how much of each cell the mask covers, float (n, 1, 7, 7). Output as
    AttributeNetwork's: float logits (n, size) by head name, and ``"embedding"`` (n, 256), L2-normalised.
    """

    def __init__(self, channels: int, config: RoIConfig, schema: Schema, categories: Sequence[str]):
        super().__init__()
        self.config, self.schema, self.categories = config, schema, list(categories)
        widths = [channels, *config.convs]
        self.convs = nn.Sequential(*(Conv2dNormActivation(a, b, 3, norm_layer=group_norm) for a, b in pairwise(widths)))
        pooled = channels + 2 * widths[-1]
        # LayerNorm: a batch may hold one product only.
        self.embed = nn.Sequential(nn.LayerNorm(pooled), nn.Linear(pooled, EMBEDDING), nn.ReLU(inplace=True))
        self.dropout = nn.Dropout(config.dropout)
        self.sizes = head_sizes(schema, self.categories)
        self.heads = nn.ModuleDict({_key(name): nn.Linear(EMBEDDING, size) for name, size in self.sizes.items()})

    def forward(self, features: torch.Tensor, mask: torch.Tensor) -> dict[str, torch.Tensor]:
        if not len(features):
            return {name: mask.new_zeros((0, size)) for name, size in (self.sizes | {"embedding": EMBEDDING}).items()}
        deep = self.convs(features)
        pooled = [masked_mean(features, mask), masked_mean(deep, mask), masked_mean(deep, torch.ones_like(mask))]
        embedding = self.embed(torch.cat([one.float() for one in pooled], 1))
        dropped = self.dropout(embedding)
        out = {name: self.heads[_key(name)](dropped).float() for name in self.sizes}
        return out | {"embedding": F.normalize(embedding.float(), dim=1)}


def _key(name: str) -> str:
    return "head_" + name.replace(".", "__")  # ModuleDict takes no dots in its keys


class JointNet(InstanceNet):
    """Mask R-CNN with attribute heads. When not training, every photo's dict has ``logits`` too, by head name."""

    def __init__(
        self, config: InstanceConfig, roi: RoIConfig, schema: Schema, categories: Sequence[str], weights: str = "none"
    ):
        super().__init__(config, weights)
        self.attributes = RoIAttributes(config.fpn_channels, roi, schema, categories)

    def forward(self, images: torch.Tensor, targets=None, sizes=None):
        """When training: the losses of `InstanceNet`, the logits of all positive boxes and their targets by head."""
        features, found, losses = self.stages(images, targets, sizes)
        if self.training:
            return losses, *self._positives(found, targets)
        boxes = [one["boxes"] for one in found]
        masks = torch.cat([one["masks"] for one in found])[:, None]
        logits = self.describe(features, boxes, F.adaptive_avg_pool2d(masks, CELLS))
        counts = [len(one) for one in boxes]
        for i, one in enumerate(found):
            one["logits"] = {name: rows.split(counts)[i] for name, rows in logits.items()}
        return found

    def describe(
        self, features: dict[str, torch.Tensor], boxes: list[torch.Tensor], masks: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Logits of all ``boxes``, (k, 4) xyxy px of the input a photo, under ``masks`` float (sum k, 1, 7, 7)."""
        maps = [features[name] for name in self.net.roi_heads.box_roi_pool.featmap_names]
        (pooled,) = pool_rois(maps, [(boxes, CELLS)], self.config.roi_aligned)
        return self.attributes(pooled, masks)

    def _positives(self, found: dict, targets: list[dict]) -> tuple[dict, dict]:
        if not len(found["pooled"]):
            return {}, {}
        rows = list(zip(found["boxes"], found["matched"], targets, strict=True))
        covered = torch.cat([mask_targets(t["masks"], box, index, CELLS) for box, index, t in rows if len(box)])
        truth = {
            name: torch.cat([t["attributes"][name][index] for _, index, t in rows]) for name in targets[0]["attributes"]
        }
        return self.attributes(found["pooled"], covered[:, None]), truth


class JointTask(InstanceTask):
    """Masks and attributes in one loss: Mask R-CNN's five and the attribute heads', of the positive boxes."""

    def __init__(
        self,
        model: JointNet,
        config: AttributeLossConfig,
        targets: dict[str, torch.Tensor],
        scales: dict[str, list[float]],
    ):
        """``targets`` and ``scales``: of the training data, as `AttributeTask` takes them."""
        super().__init__(model)
        self.reading = AttributeTask(_Heads(model.attributes.schema), config, targets, scales)

    def forward(self, batch: dict) -> dict[str, torch.Tensor]:
        """As `InstanceTask`; the targets have ``attributes``, see `rows`."""
        one_class = len(self.model.config.classes) == 1
        losses, out, truth = self.model(batch["image"], [usable(target, one_class) for target in batch["targets"]])
        said = named(losses)
        if out:
            share = torch.ones(len(out["embedding"]), device=out["embedding"].device)
            each = self.reading._losses(out, truth, share)
        else:
            # Every weight takes part in every step, or DistributedDataParallel waits for it for ever.
            each = {"none": sum(p.sum() for p in self.model.attributes.parameters()) * 0}
        said["loss"] = said["loss"] + torch.stack(list(each.values())).sum()
        return said | {f"loss/{name}": loss.detach() for name, loss in each.items()}


class _Heads(nn.Module):
    """What `AttributeTask` asks of a network besides its logits."""

    def __init__(self, schema: Schema):
        super().__init__()
        self.schema = schema


def rows(
    annotations: Sequence[Annotation], names: dict[int, str], schema: Schema, categories: list[str]
) -> dict[str, torch.Tensor]:
    """Training targets of a photo's annotations, n rows a head, as the losses take them; of none, no rows."""
    if annotations:
        return distributions(encode(annotations, names, schema, categories), schema, categories)
    sizes = head_sizes(schema, categories)
    numbers = {attribute.name for attribute in schema if attribute.kind == "number"}
    return {name: torch.zeros(0 if name in numbers else (0, size)) for name, size in sizes.items()}


class RoIReader(InstanceSegmenter):
    """Masks and attributes of photos in one forward pass."""

    def __init__(self, model: JointNet, decoder: Decoder, device: str | torch.device = "cpu"):
        super().__init__(model, device)
        self.decoder = decoder

    def find(self, images: Sequence[np.ndarray]) -> tuple[list[list[Segment]], dict[str, torch.Tensor]]:
        """Segments of each photo, and the logits of all of them in order."""
        segments, logits = [], []
        for image, (raw, size) in zip(images, self.raw(images), strict=True):
            found = self.in_photo(raw, size, image.shape[:2]).segments
            kept = [i for i, segment in enumerate(found) if segment is not None]
            segments.append([found[i] for i in kept])
            logits.append({name: each[kept].cpu() for name, each in raw["logits"].items()})
        return segments, {name: torch.cat([one[name] for one in logits]) for name in logits[0]} if logits else {}

    @torch.inference_mode()
    def read(self, images: Sequence[np.ndarray], segments: Sequence[Sequence[Segment]]) -> dict[str, torch.Tensor]:
        """Logits of given segments, of all photos in order."""
        found: list[dict[str, torch.Tensor]] = [{}] * len(images)
        for members, batch, sizes in letterbox_batches(images, self.model.config.size_px):
            features, _ = self.model.features(torch.from_numpy(batch).to(self.device).permute(0, 3, 1, 2))
            own = [segments[i] for i in members]
            boxes = [_scaled(one, size).to(self.device) for one, size in zip(own, sizes, strict=True)]
            masks = np.array([_cells(s.mask) for one in own for s in one], np.float32).reshape(-1, 1, CELLS, CELLS)
            logits = self.model.describe(features, boxes, torch.from_numpy(masks).to(self.device))
            for i, part in zip(members, _split(logits, [len(one) for one in own]), strict=True):
                found[i] = part
        return {name: torch.cat([one[name] for one in found]) for name in found[0]} if found else {}


def _split(logits: dict[str, torch.Tensor], counts: list[int]) -> list[dict[str, torch.Tensor]]:
    parts = {name: each.cpu().split(counts) for name, each in logits.items()}
    return [{name: part[i] for name, part in parts.items()} for i in range(len(counts))]


def _scaled(segments: Sequence[Segment], size: tuple[int, int]) -> torch.Tensor:
    """Boxes (k, 4) of a photo's segments at the network's input, where the photo has (h, w) ``size``."""
    boxes = torch.tensor([s.xyxy for s in segments], dtype=torch.float32).reshape(-1, 4)
    if len(boxes):
        boxes *= torch.tensor([size[1] / segments[0].size[1], size[0] / segments[0].size[0]] * 2)
    return boxes


def _cells(mask: np.ndarray) -> np.ndarray:
    return cv2.resize(mask.astype(np.float32), (CELLS, CELLS), interpolation=cv2.INTER_AREA)


def described(schema: Schema, categories: list[str], roi: RoIConfig, found: dict[str, float], scales: dict) -> dict:
    """What the bundle's instance part says of its attribute heads."""
    return {
        "model": vars(roi),
        "categories": categories,
        "schema": schema.to_json(),
        "temperatures": found,
        "scales": scales,
    }


def load_roi(choice: Choice, device: str | torch.device = "cpu") -> RoIReader:
    """The instance part of a bundle with its attribute heads. InputError where it has none."""
    bundle, part = choice.bundle, choice.bundle.part(choice.part)
    if choice.part != "instance" or "attributes" not in part:
        raise InputError(
            f"--heads roi: the {choice.part} part of bundle {bundle.folder} has no attribute heads; expected a bundle that "
            "`segattr train instance --heads roi` wrote (--model or --segmenter)"
        )
    with bundle.described("instance"):
        said = part["attributes"]
        schema = Schema.from_json(said["schema"], f"{bundle.folder}/bundle.json: parts.instance.attributes.schema")
        categories: list[str] = said["categories"]
        config, roi = InstanceConfig(**tuples(part["model"])), RoIConfig(**tuples(said["model"]))
        decoder = Decoder(schema, categories, said["temperatures"], said["scales"])
        net = JointNet(config, roi, schema, categories)
    return RoIReader(bundle.load_into("instance", net), decoder, device)
