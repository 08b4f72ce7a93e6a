"""Instance segmentation: Mask R-CNN (He et al., 2017) on torchvision's, from tiny timm backbones to ResNet-101-FPN."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.mask_rcnn import MaskRCNN, MaskRCNNHeads

from ..datasets.errors import InputError
from .encoders import download, load_encoder
from .instance_heads import Heads, Proposals
from .instance_parts import (
    Anchors,
    Backbone,
    FloatBoxPredictor,
    FloatMaskPredictor,
    FloatRPNHead,
    Norm,
    RoIPool,
    box_head,
    norm_layer,
)
from .instance_weights import load_whole
from .letterbox import letterbox_batches
from .paste import paste_mask
from .segments import Segment, intersection_px

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, as every pretrained encoder expects
# Of a batch on a CPU: five photos of 320 px, two of 512. Larger ones fall out of its caches: they are no faster (four of
# 512 px through a ResNet-50 are slower than one by one), and take memory by the photo.
_MOST_PIXELS_CPU = 2**19


@dataclass(frozen=True)
class InstanceConfig:
    """What an instance network is. Written into the bundle; enough to build it again."""

    backbone: str = "tu-regnetx_002"
    """resnet18, resnet34, resnet50, resnet101, mobilenet_v3_large, or "tu-NAME": NAME from timm. All with an FPN."""
    classes: tuple[str, ...] = ("product",)
    """One: products of any category (the attribute model tells which). More: one class a category, named as in the
    data."""
    size_px: int = 320
    """Longest side of a photo at the network's input."""
    norm: Norm = "batch"
    """batch; group: does not mind small batches; frozen: the statistics of pretrained weights, kept."""
    fpn_channels: int = 128
    anchor_px: tuple[int, ...] = (32, 64, 128, 256)
    """Sides of the anchors, one a pyramid level. Four: strides 8 to 64; five: strides 4 to 64, for small products, at
    four times the time."""
    anchor_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    """Height to width of the anchors."""
    rpn_convs: int = 1
    train_proposals: int = 300
    """Proposals a photo that training draws its boxes from."""
    proposals: int = 100
    """Proposals a photo when predicting: the price on a CPU."""
    box_samples: int = 64
    """Boxes a photo that the box head trains on; a quarter of them at most, the positive ones, train the mask head."""
    box_convs: tuple[int, ...] = (128, 128)
    """Channels of the box head's convolutions."""
    box_fc: int = 256
    mask_convs: tuple[int, ...] = (128, 128, 128, 128)
    """Channels of the mask head's convolutions."""
    roi_aligned: bool = True
    """RoIAlign without its half-pixel shift; weights that torchvision trained have the shift: False."""
    score_thr: float = 0.5
    """Least score of a product."""
    nms_thr: float = 0.5
    """Boxes of one class that overlap more (IoU) than this are one product."""
    mask_thr: float = 0.5
    """Least probability of a pixel of the product."""
    overlap_thr: float = 1.0
    """A product is dropped of which more than this share lies under a higher-scoring one's mask: a part of a product
    found again. 1: none is. True products share no pixel, but a wrong mask may hide a right one."""
    detections_per_photo: int = 50


class InstanceNet(nn.Module):
    """uint8 RGB photos to instances, normalisation included.

    Input: uint8 or float (n, 3, h, w), RGB, 0..255, h and w multiples of 32. When training, with targets (one a
    photo: boxes float32 (k, 4) xyxy px, labels int64 (k,) from 1, masks uint8 (k, h, w), crowds float32 (m, 4)), it
    returns torchvision's five losses by name. Otherwise one dict a photo: boxes (k, 4) xyxy px of the input, labels
    (k,), scores (k,), masks float (k, 28, 28), probabilities inside the box.
    """

    def __init__(self, config: InstanceConfig, weights: str = "none"):
        super().__init__()
        check(config)
        self.config = config
        with download(weights):
            self.net = _build_net(config, weights == "imagenet")
        if weights not in ("none", "imagenet") and not load_whole(self.net, weights):
            load_encoder(self.encoder, weights)
        self.register_buffer("mean", 255 * torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(_STD).view(1, 3, 1, 1), persistent=False)

    @property
    def encoder(self) -> nn.Module:
        return self.net.backbone.body

    def forward(self, images: torch.Tensor, targets=None, sizes: list[tuple[int, int]] | None = None):
        """``sizes``: (h, w) of each photo inside its padded input, where boxes are cut off; default: all of it."""
        _, found, losses = self.stages(images, targets, sizes)
        return losses if self.training else found

    def stages(
        self,
        images: torch.Tensor,
        targets: list[dict[str, torch.Tensor]] | None = None,
        sizes: list[tuple[int, int]] | None = None,
    ):
        """The feature maps, what was found (when training: see `Heads`) and the losses."""
        features, x = self.features(images)
        sizes = sizes or [tuple(images.shape[2:])] * len(images)
        levels = list(features)[-len(self.config.anchor_px) :]
        looked = {name: features[name] for name in levels}
        proposals, losses = self.net.rpn(ImageList(x, sizes), looked, targets)
        found, more = self.net.roi_heads(features, proposals, sizes, targets)
        return features, found, losses | more

    def features(self, images: torch.Tensor) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """The pyramid's maps by level, and the normalised photos."""
        x = ((images.float() - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        return self.net.backbone(x), x


def check(config: InstanceConfig) -> None:
    """One sentence for options that no network has."""
    wrong = None
    if config.size_px < 32 or config.size_px % 32:
        wrong = f"--model.size-px {config.size_px}: expected a multiple of 32, 32 or more"
    elif len(config.anchor_px) not in (4, 5) or min(config.anchor_px) < 1:
        wrong = f"--model.anchor-px {config.anchor_px}: expected 4 or 5 sides in px, one a pyramid level"
    elif not config.anchor_ratios or min(config.anchor_ratios) <= 0:
        wrong = f"--model.anchor-ratios {config.anchor_ratios}: expected one or more, above 0"
    elif not config.classes or len(set(config.classes)) < len(config.classes):
        wrong = f"--model.classes {config.classes}: expected one or more different names"
    elif not config.mask_convs:
        wrong = "--model.mask-convs: expected one or more numbers of channels"
    for name, high in (("score_thr", 0.999), ("nms_thr", 0.999), ("mask_thr", 0.999), ("overlap_thr", 1)):
        value = getattr(config, name)
        if not 0 < value <= high:
            wrong = wrong or f"--model.{name.replace('_', '-')} {value}: expected above 0, at most {high}"
    counts = ("fpn_channels", "rpn_convs", "train_proposals", "proposals", "box_fc", "detections_per_photo")
    least = dict.fromkeys(counts, 1) | {"box_samples": 4}  # a quarter of the samples are positive: one at least
    for name, low in least.items():
        if getattr(config, name) < low:
            wrong = wrong or f"--model.{name.replace('_', '-')} {getattr(config, name)}: expected {low} or more"
    if wrong:
        raise InputError(wrong)


def _build_net(config: InstanceConfig, pretrained: bool) -> MaskRCNN:
    backbone = Backbone(config.backbone, config.fpn_channels, config.norm, pretrained)
    channels, count = backbone.out_channels, len(config.classes) + 1
    anchors = Anchors(tuple((px,) for px in config.anchor_px), (config.anchor_ratios,) * len(config.anchor_px))
    net = MaskRCNN(
        backbone,
        rpn_anchor_generator=anchors,
        rpn_head=FloatRPNHead(channels, len(config.anchor_ratios), config.rpn_convs),
        rpn_pre_nms_top_n_train=config.train_proposals,
        rpn_post_nms_top_n_train=config.train_proposals,
        rpn_pre_nms_top_n_test=config.proposals,
        rpn_post_nms_top_n_test=config.proposals,
        box_roi_pool=RoIPool(7, config.roi_aligned),
        box_head=box_head(channels, config.box_convs, config.box_fc, config.norm),
        box_predictor=FloatBoxPredictor(config.box_fc, count),
        box_score_thresh=config.score_thr,
        box_nms_thresh=config.nms_thr,
        box_detections_per_img=config.detections_per_photo,
        box_batch_size_per_image=config.box_samples,
        mask_roi_pool=RoIPool(14, config.roi_aligned),
        mask_head=MaskRCNNHeads(channels, config.mask_convs, 1, norm_layer(config.norm)),
        mask_predictor=FloatMaskPredictor(config.mask_convs[-1], config.mask_convs[-1], count),
    )
    # The same stages with our behaviour: they differ in methods, not in what they hold.
    net.rpn.__class__, net.roi_heads.__class__ = Proposals, Heads
    return net


class InstanceTask(nn.Module):
    """The network and its loss, the sum of torchvision's five."""

    def __init__(self, model: InstanceNet):
        super().__init__()
        self.model = model

    @property
    def encoder(self) -> nn.Module:
        return self.model.encoder

    def forward(self, batch: dict) -> dict[str, torch.Tensor]:
        """``batch``: image uint8 (n, 3, h, w), targets: one dict a photo as InstanceDataset gives it. Returns loss and
        its parts, detached: class, box, mask, objectness, rpn_box. With one class, labels do not matter."""
        one_class = len(self.model.config.classes) == 1
        losses = self.model(batch["image"], [usable(target, one_class) for target in batch["targets"]])
        return named(losses)


_LOSSES = {
    "loss_classifier": "class",
    "loss_box_reg": "box",
    "loss_mask": "mask",
    "loss_objectness": "objectness",
    "loss_rpn_box_reg": "rpn_box",
}


def named(losses: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """torchvision's losses as the training loop takes and shows them."""
    return {"loss": sum(losses.values())} | {_LOSSES[key]: value.detach() for key, value in losses.items()}


def usable(target: dict, one_class: bool = False) -> dict:
    """A dataset's target as the network takes it: boxes or masks without area are dropped, and so are crowds, whose
    boxes become ``crowds``. ``one_class``: every label becomes 1. ``attributes`` (rows by head), if any, stay."""
    boxes = target["boxes"].float()
    whole = (boxes[:, 2:] > boxes[:, :2]).all(1) & target["masks"].flatten(1).any(1).bool()
    crowd = target["iscrowd"].bool()
    keep = whole & ~crowd
    kept = {"boxes": boxes[keep], "masks": target["masks"][keep], "crowds": boxes[whole & crowd]}
    kept["labels"] = torch.ones_like(target["labels"][keep]) if one_class else target["labels"][keep]
    if "attributes" in target:
        kept["attributes"] = {name: rows[keep] for name, rows in target["attributes"].items()}
    return kept


def collate(samples: Sequence[tuple[torch.Tensor, dict]]) -> dict:
    """Samples of one size, as InstanceDataset gives them, to a batch for `InstanceTask`."""
    return {"image": torch.stack([image for image, _ in samples]), "targets": [target for _, target in samples]}


@dataclass(frozen=True)
class Detections:
    """What Mask R-CNN found in one photo, by falling score.

    xyxy: float32 (n, 4), px of the photo. scores: float32 (n,). labels: int64 (n,), index into the classes.
    segments: n of `Segment`; None where no pixel reaches the mask threshold, or where another product hides it.
    """

    xyxy: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    segments: list[Segment | None]


class InstanceSegmenter:
    """Photos to product masks with one Mask R-CNN; like `SemanticSegmenter` in use.

    The photo's longest side is resized to ``size_px`` (aspect kept, padded to multiples of 32); masks are pasted at
    the photo's full resolution on the device.
    """

    def __init__(self, model: InstanceNet, device: str | torch.device = "cpu", score_thr: float | None = None):
        """``score_thr``: instead of the one in the model's config."""
        self.model = model.eval().to(device, memory_format=torch.channels_last)
        self.device = torch.device(device)
        self.score_thr = model.config.score_thr if score_thr is None else score_thr

    def predict(self, images: Sequence[np.ndarray]) -> list[list[Segment]]:
        """``images``: uint8 (h, w, 3) RGB of any sizes. Returns the segments of each photo, largest score first."""
        return [[s for s in found.segments if s is not None] for found in self.detect(images)]

    def detect(self, images: Sequence[np.ndarray]) -> list[Detections]:
        """Boxes and masks of each photo, those detections too whose mask is empty."""
        found = zip(images, self.raw(images), strict=True)
        return [self.in_photo(raw, size, image.shape[:2]) for image, (raw, size) in found]

    @torch.inference_mode()
    def raw(self, images: Sequence[np.ndarray]) -> list[tuple[dict, tuple[int, int]]]:
        """What the network says of each photo, on the device, and the (h, w) that the photo has at its input."""
        self.model.net.roi_heads.score_thresh = self.score_thr
        found: list = [None] * len(images)
        most = _MOST_PIXELS_CPU if self.device.type == "cpu" else None
        for members, batch, sizes in letterbox_batches(images, self.model.config.size_px, most_pixels=most):
            tensor = torch.from_numpy(batch).to(self.device).permute(0, 3, 1, 2)
            for i, size, raw in zip(members, sizes, self.model(tensor, sizes=sizes), strict=True):
                found[i] = raw, size
        return found

    def in_photo(self, raw: dict, size: tuple[int, int], photo: tuple[int, int]) -> Detections:
        """What `raw` gives for a photo of (h, w) ``photo`` in that photo's pixels."""
        scale = torch.tensor([photo[1] / size[1], photo[0] / size[0]] * 2, device=self.device)
        xyxy = raw["boxes"] * scale
        classes = self.model.config.classes
        segments: list[Segment | None] = []
        rows = zip(raw["masks"], xyxy.tolist(), raw["scores"].tolist(), (raw["labels"] - 1).tolist(), strict=True)
        for mask, box, score, label in rows:
            pasted = paste_mask(mask, box, photo, self.model.config.mask_thr)
            name = classes[label] if len(classes) > 1 else None
            segment = None if pasted is None else Segment(*pasted, photo, score, name)
            segments.append(None if segment is not None and self._hidden(segment, segments) else segment)
        columns = (column.cpu().numpy() for column in (xyxy, raw["scores"], raw["labels"] - 1))
        return Detections(*columns, segments)

    def _hidden(self, segment: Segment, before: Sequence[Segment | None]) -> bool:
        """Whether one of the segments ``before`` it, of its class, covers more of it than `overlap_thr` allows."""
        most = self.model.config.overlap_thr * np.count_nonzero(segment.mask)
        others = (s for s in before if s is not None and s.label == segment.label)
        return self.model.config.overlap_thr < 1 and any(intersection_px(segment, s) > most for s in others)
