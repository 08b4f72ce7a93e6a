"""Semantic segmentation: U-Net (any encoder of segmentation-models-pytorch or timm), its other decoders, and FCN."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import segmentation as torchvision_segmentation

from ..datasets.errors import InputError
from ..datasets.torch_datasets import IGNORE
from .components import InstanceOptions, instances_from_label_probabilities, instances_from_probability
from .encoders import download, load_encoder
from .letterbox import letterbox_batches
from .segments import Segment

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, as every pretrained encoder expects
_WITH_CHANNELS = {"unet", "unetplusplus", "manet"}  # decoders that take `decoder_channels`
_FCN = {"resnet50": "fcn_resnet50", "resnet101": "fcn_resnet101"}


@dataclass(frozen=True)
class SemanticConfig:
    """What a semantic network is. Written into the bundle; enough to build it again."""

    architecture: str = "unet"
    """unet, fcn, or another decoder of segmentation-models-pytorch: linknet, fpn, pan, deeplabv3plus, ..."""
    encoder: str = "tu-regnetx_002"
    """An encoder of segmentation-models-pytorch; "tu-NAME" takes NAME from timm. FCN: resnet50 or resnet101."""
    decoder_channels: tuple[int, ...] = (96, 64, 32, 24, 16)
    """Channels of a U-Net's decoder, deep to shallow. A thin decoder is where a U-Net's time is saved."""
    classes: tuple[str, ...] = ("product",)
    """Foreground classes; one: binary. More: one class a category, named as in the data."""
    size_px: int = 352
    """Longest side of a photo at the network's input, when predicting."""
    mirror: bool = False
    """When predicting, average with what the network says of the mirror image: better masks in twice the time."""


class SemanticNet(nn.Module):
    """uint8 RGB photos to logits, normalisation included.

    Input: uint8 or float (n, 3, h, w), RGB, 0..255, h and w multiples of 32. Output: float logits (n, c, h, w), c = 1
    for one class (sigmoid), else 1 + number of classes (softmax; channel 0 is the background).
    """

    def __init__(self, config: SemanticConfig, encoder_weights: str = "none"):
        super().__init__()
        self.config = config
        channels = 1 if len(config.classes) == 1 else len(config.classes) + 1
        with download(encoder_weights):
            self.net = _build_net(config, channels, "imagenet" if encoder_weights == "imagenet" else None)
        if encoder_weights not in ("none", "imagenet"):
            load_encoder(self.encoder, encoder_weights)
        self.register_buffer("mean", 255 * torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(_STD).view(1, 3, 1, 1), persistent=False)

    @property
    def encoder(self) -> nn.Module:
        return self.net.backbone if self.config.architecture == "fcn" else self.net.encoder

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = ((images.float() - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        out = self.net(x)
        return out["out"] if isinstance(out, dict) else out


def _build_net(config: SemanticConfig, channels: int, weights: str | None) -> nn.Module:
    if config.architecture == "fcn":
        if config.encoder not in _FCN:
            raise InputError(f"FCN takes the encoders {', '.join(_FCN)}; found {config.encoder!r} (--model.encoder)")
        build = getattr(torchvision_segmentation, _FCN[config.encoder])
        return build(weights=None, weights_backbone="DEFAULT" if weights else None, num_classes=channels)
    extra = {}
    if config.architecture in _WITH_CHANNELS:
        extra = {"decoder_channels": config.decoder_channels, "encoder_depth": len(config.decoder_channels)}
    try:
        return smp.create_model(config.architecture, config.encoder, weights, classes=channels, **extra)
    except (KeyError, ValueError, RuntimeError, TypeError) as error:
        raise InputError(
            f"no network of architecture {config.architecture!r} with encoder {config.encoder!r}: {error}; "
            "expected an architecture and an encoder of segmentation-models-pytorch, or 'tu-' and a timm name"
        ) from error


class SemanticTask(nn.Module):
    """The network and its loss: Dice + binary cross-entropy (one class) or Dice + cross-entropy (several)."""

    def __init__(self, model: SemanticNet):
        super().__init__()
        self.model = model

    @property
    def encoder(self) -> nn.Module:
        return self.model.encoder

    def forward(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """``batch``: image uint8 (n, 3, h, w), mask uint8 (n, h, w) of labels, 255 = ignore. Returns loss, dice, ce."""
        logits = self.model(batch["image"]).float()
        mask = batch["mask"].long()
        valid = mask != IGNORE
        mask = mask.where(valid, torch.zeros_like(mask))
        if logits.shape[1] == 1:
            truth = mask.unsqueeze(1).gt(0).float()
            pixel = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")[:, 0]
            probability = logits.sigmoid()
        else:
            truth = F.one_hot(mask, logits.shape[1]).permute(0, 3, 1, 2).float()[:, 1:]
            pixel = F.cross_entropy(logits, mask, reduction="none")
            probability = logits.softmax(1)[:, 1:]
        ce = (pixel * valid).sum() / valid.sum().clamp(min=1)
        dice = soft_dice_loss(probability, truth, valid.unsqueeze(1))
        return {"loss": ce + dice, "dice": dice.detach(), "ce": ce.detach()}


def soft_dice_loss(probability: torch.Tensor, truth: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """1 - soft Dice (Milletari et al., V-Net, 2016), summed over the batch, averaged over the classes it holds.

    All three (n, c, h, w), float, float 0/1 and bool (n, 1, h, w). A batch without foreground has loss 0.
    """
    overlap = (probability * truth * valid).sum((0, 2, 3))
    total = ((probability + truth) * valid).sum((0, 2, 3))
    present = (truth * valid).sum((0, 2, 3)) > 0
    loss = 1 - (2 * overlap + 1) / (total + 1)
    return (loss * present).sum() / present.sum().clamp(min=1)


class SemanticSegmenter:
    """Photos to product masks with one semantic network.

    The photo's longest side is resized to ``size_px`` (aspect kept, padded to a multiple of 32 by repeating the rim);
    probabilities go back to the photo's full resolution, connected components become instances.
    """

    def __init__(self, model: SemanticNet, options: InstanceOptions | None = None, device: str | torch.device = "cpu"):
        self.model = model.eval().to(device, memory_format=torch.channels_last)
        self.options = options or InstanceOptions()
        self.device = torch.device(device)

    def predict(self, images: Sequence[np.ndarray]) -> list[list[Segment]]:
        """``images``: uint8 (h, w, 3) RGB of any sizes. Returns the segments of each photo, largest score first."""
        classes = self.model.config.classes
        found = []
        for image, probability in zip(images, self.probabilities(images), strict=True):
            size = image.shape[:2]
            if len(classes) == 1:
                segments = instances_from_probability(probability[0], size, self.options)
            else:
                segments = instances_from_label_probabilities(probability, classes, size, self.options)
            found.append(segments)
        return found

    @torch.inference_mode()
    def probabilities(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Per photo float32 (c, h', w') at the network's resolution, without the padding: c = 1 (the product), or
        background and classes. (h', w') has the photo's aspect up to rounding."""
        found: list[np.ndarray] = [np.empty(0)] * len(images)
        for members, batch, sizes in letterbox_batches(images, self.model.config.size_px, cv2.BORDER_REPLICATE):
            photos = torch.from_numpy(batch).to(self.device).permute(0, 3, 1, 2)
            probability = self._probability(photos)
            if self.model.config.mirror:
                probability = (probability + self._probability(photos.flip(3)).flip(3)) / 2
            for p, i, (height, width) in zip(probability.cpu().numpy(), members, sizes, strict=True):
                found[i] = p[:, :height, :width]
        return found

    def _probability(self, photos: torch.Tensor) -> torch.Tensor:
        logits = self.model(photos).float()
        return logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(1)
