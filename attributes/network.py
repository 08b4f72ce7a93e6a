"""The attribute network: a batch of 4-channel crops in, one set of logits a head out, and an embedding."""

from dataclasses import dataclass
from typing import Literal

import timm
import torch
import torch.nn.functional as F
from torch import nn

from ..datasets.errors import InputError
from ..datasets.schema import Schema
from ..seg.encoders import load_encoder
from .attention import build_attention
from .lab import STATISTICS, masked_lab_histogram, masked_lab_statistics

CATEGORY = "category"  # the head that every model has beside those of its schema
EMBEDDING = 256
_HISTOGRAM_BINS = (8, 10, 10)
_MEAN, _STD = (0.485, 0.456, 0.406, 0.5), (0.229, 0.224, 0.225, 0.5)


@dataclass(frozen=True)
class AttributeConfig:
    """What an attribute network is. Written into the bundle; enough, with schema and categories, to build it again."""

    encoder: str = "resnet10t"
    """A timm model with feature maps."""
    crop_px: int = 160
    """Side of the square crops."""
    grow: float = 0.08
    """Share of the longer side by which the crop's square reaches beyond the box on every side."""
    ground: Literal["blank", "keep"] = "blank"
    """blank: pixels outside the mask are blanked. A few hundred photographers have a few hundred floors and beds; a
    network that sees them learns them instead of the product. keep: they stay, and tell the light that the photo was taken
    in; worth it where more photos than the labelled ones teach (--teacher)."""
    attention: Literal["none", "spatial", "channel", "cbam"] = "none"
    """Attention over the last feature map: where (spatial), what (channel), or both (cbam)."""
    stages: tuple[int, ...] = (2, 3, 4)
    """Feature maps of the encoder that are pooled under the mask: shallow ones see texture, deep ones shape."""
    colour_histogram: bool = True
    """Give the heads a Lab histogram of the pixels under the mask, which augmentation-hungry CNNs read poorly."""
    colour_statistics: bool = False
    """Add to every head's logits those of a small network that sees quantiles of the colours in and around the mask."""
    dropout: float = 0.3
    drop_path: float = 0.0
    """Stochastic depth of the encoder while training, for long trainings on few photos; not every encoder has it."""


def head_sizes(schema: Schema, categories: list[str]) -> dict[str, int]:
    """Logits a head: a single has one a value; a multi one a value for presence and one a value for which comes first
    (``NAME.first``); a number one."""
    sizes = {CATEGORY: len(categories)}
    for attribute in schema:
        sizes[attribute.name] = 1 if attribute.kind == "number" else len(attribute.values)
        if attribute.kind == "multi":
            sizes[f"{attribute.name}.first"] = len(attribute.values)
    return sizes


class CropEncoder(nn.Module):
    """Encoder, attention and masked pooling: what the attribute network and its pretraining share."""

    def __init__(self, config: AttributeConfig, encoder_weights: str = "none"):
        super().__init__()
        self.config = config
        self.encoder = _build_encoder(config, encoder_weights)
        channels = self.encoder.feature_info.channels()
        self.attention = build_attention(config.attention, channels[-1])
        self.channels = sum(channels) + channels[-1]
        """Numbers a crop that `pooled` gives, all together."""
        self.register_buffer("mean", 255 * torch.tensor(_MEAN).view(1, 4, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(_STD).view(1, 4, 1, 1), persistent=False)

    def pooled(self, crops: torch.Tensor) -> list[torch.Tensor]:
        """uint8 (n, 4, s, s), RGB and mask (0..255), to one float (n, c) a feature map: its mean under the mask, shallow
        first; last, the deepest map's mean over the whole crop."""
        mask = crops[:, 3:].float() / 255
        x = (crops.float() - self.mean) / self.std
        if self.config.ground == "blank":
            x = torch.cat([x[:, :3] * mask, x[:, 3:]], 1)
        x = x.contiguous(memory_format=torch.channels_last)
        maps = self.encoder(x)
        maps[-1] = self.attention(maps[-1])
        # The whole crop too: the silhouette's surroundings tell something, and masks may be off.
        return [masked_mean(m, mask) for m in maps] + [masked_mean(maps[-1], torch.ones_like(mask))]


class AttributeNetwork(CropEncoder):
    """Encoder, attention, masked pooling, embedding, one linear head an attribute.

    Input: uint8 (n, 4, s, s), RGB and mask (0..255). Output: a dict of float logits (n, size) by head name (see
    `head_sizes`) and ``"embedding"`` float (n, 256), L2-normalised.
    """

    def __init__(self, config: AttributeConfig, schema: Schema, categories: list[str], encoder_weights: str = "none"):
        super().__init__(config, encoder_weights)
        self.schema, self.categories = schema, list(categories)
        pooled = self.channels
        if config.colour_histogram:
            bins = _HISTOGRAM_BINS[0] * _HISTOGRAM_BINS[1] * _HISTOGRAM_BINS[2]
            self.histogram = nn.Sequential(nn.Linear(bins, 64), nn.ReLU(inplace=True))
            pooled += 64
        self.embed = nn.Sequential(nn.BatchNorm1d(pooled), nn.Linear(pooled, EMBEDDING), nn.ReLU(inplace=True))
        self.dropout = nn.Dropout(config.dropout)
        self.heads = nn.ModuleDict(
            # ModuleDict takes no dots in its keys.
            {_key(name): nn.Linear(EMBEDDING, size) for name, size in head_sizes(schema, categories).items()}
        )
        if config.colour_statistics:
            self.statistics = nn.Sequential(
                nn.BatchNorm1d(STATISTICS),
                nn.Dropout(0.1),
                nn.Linear(STATISTICS, 64),
                nn.ReLU(inplace=True),
                nn.Dropout(0.3),
            )
            self.statistics_heads = nn.ModuleDict(
                {_key(name): nn.Linear(64, size) for name, size in head_sizes(schema, categories).items()}
            )

    def forward(self, crops: torch.Tensor) -> dict[str, torch.Tensor]:
        pooled = self.pooled(crops)
        if self.config.colour_histogram:
            # Under autocast, the histogram's counts would lose their low bits in half precision.
            with torch.autocast(crops.device.type, enabled=False):
                counts = masked_lab_histogram(crops, _HISTOGRAM_BINS)
            pooled.append(self.histogram(counts))
        embedding = self.embed(torch.cat([p.to(pooled[0].dtype) for p in pooled], 1))
        dropped = self.dropout(embedding)
        out = {name: self.heads[_key(name)](dropped) for name in head_sizes(self.schema, self.categories)}
        if self.config.colour_statistics:
            with torch.autocast(crops.device.type, enabled=False):
                seen = self.statistics(masked_lab_statistics(crops))
                out = {name: logits + self.statistics_heads[_key(name)](seen) for name, logits in out.items()}
        out["embedding"] = F.normalize(embedding.float(), dim=1)
        return out


def masked_mean(feature: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The mean of a feature map (n, c, h, w) under a mask (n, 1, H, W) in 0..1, area-resized to h x w; an empty mask
    gives the mean over the map. Returns (n, c)."""
    weight = F.adaptive_avg_pool2d(mask, feature.shape[2:]).flatten(2)
    total = weight.sum(2, keepdim=True)
    weight = torch.where(total > 1e-6, weight / total.clamp(min=1e-6), 1 / weight.shape[2])
    return _weighted(feature, weight)


def _weighted(feature: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """(n, c, h, w) and weights (n, 1, h * w) to (n, c). As a product of (n, 1, hw) and (n, hw, c), whose gradient comes
    back channels_last: a sum over (2, 3) sends a planar one, and every convolution below then leaves its fast path."""
    flat = feature.permute(0, 2, 3, 1).flatten(1, 2)
    return torch.bmm(weight.to(flat.dtype), flat)[:, 0]


def _key(name: str) -> str:
    return "head_" + name.replace(".", "__")


def _build_encoder(config: AttributeConfig, weights: str) -> nn.Module:
    try:
        encoder = timm.create_model(
            config.encoder,
            pretrained=weights == "imagenet",
            features_only=True,
            in_chans=4,
            out_indices=config.stages,
            **({"drop_path_rate": config.drop_path} if config.drop_path else {}),
        )
    except (RuntimeError, ValueError, KeyError, IndexError, AssertionError, TypeError) as error:
        raise InputError(
            f"no encoder {config.encoder!r} with feature maps {config.stages}: {error}; expected a timm model that "
            "supports features_only (--model.encoder), indices of its feature maps (--model.stages), and --model.drop-path "
            "only where it has stochastic depth"
        ) from error
    if weights not in ("none", "imagenet"):
        load_encoder(encoder, weights)
    return encoder
