"""What Mask R-CNN is built of: backbones with a feature pyramid, norms, RoI pooling, heads that compute in float32
where it matters."""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import timm
import torch
import torch.nn.functional as F
import torchvision
from timm.layers import BatchNormAct2d, freeze_batch_norm_2d
from torch import nn
from torchvision.models import mobilenetv3
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead, FastRCNNPredictor
from torchvision.models.detection.mask_rcnn import MaskRCNNPredictor
from torchvision.models.detection.rpn import RPNHead
from torchvision.ops import FeaturePyramidNetwork, FrozenBatchNorm2d, MultiScaleRoIAlign, roi_align
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from ..datasets.errors import InputError

STRIDES = (4, 8, 16, 32, 64)  # of the pyramid's levels P2..P6
RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101")
Norm = Literal["batch", "group", "frozen"]


class Backbone(nn.Module):
    """Photo (n, 3, h, w) to the pyramid's levels, a dict "0".."3", "pool" of (n, channels, h / stride, w / stride)
    with `STRIDES`. Parameter names as torchvision's BackboneWithFPN has them: ``body``, ``fpn``."""

    def __init__(self, name: str, channels: int, norm: Norm, pretrained: bool):
        super().__init__()
        self.body, widths = _body(name, norm, pretrained)
        self.fpn = FeaturePyramidNetwork(widths, channels, LastLevelMaxPool(), norm_layer(norm))
        self.out_channels = channels

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        maps = self.body(x)
        maps = list(maps.values()) if isinstance(maps, dict) else maps
        return self.fpn({str(i): one for i, one in enumerate(maps)})


def _body(name: str, norm: Norm, pretrained: bool) -> tuple[nn.Module, list[int]]:
    """The encoder, a module that gives its feature maps at strides 4, 8, 16, 32, and their channels."""
    if name.startswith("tu-"):
        network, widths = _timm_body(name, pretrained)
    elif name in RESNETS:
        whole = getattr(torchvision.models, name)(weights="DEFAULT" if pretrained else None)
        network = IntermediateLayerGetter(whole, {f"layer{i + 1}": str(i) for i in range(4)})
        widths = [whole.inplanes >> shift for shift in (3, 2, 1, 0)]
    elif name == "mobilenet_v3_large":
        layers = mobilenetv3.mobilenet_v3_large(weights="DEFAULT" if pretrained else None).features
        # The last block before each halving; the last convolution, to 960 channels, is for the classifier only.
        ends = [3, 6, 12, 15]
        network = IntermediateLayerGetter(layers, {str(end): str(i) for i, end in enumerate(ends)})
        widths = [layers[end].out_channels for end in ends]
    else:
        raise InputError(
            f"no backbone {name!r} (--model.backbone); expected one of {', '.join(RESNETS)}, mobilenet_v3_large, or "
            "'tu-' and the name of a timm model with feature maps"
        )
    if norm == "frozen":
        network = freeze_batch_norm_2d(network)
        for module in network.modules():
            if type(module) is FrozenBatchNorm2d:  # the same buffers
                module.__class__ = FrozenNorm
    elif norm == "group":
        _group_norms(network)
    return network, widths


def _timm_body(name: str, pretrained: bool) -> tuple[nn.Module, list[int]]:
    try:
        reductions = timm.create_model(name[3:], features_only=True).feature_info.reduction()
        indices = [len(reductions) - 1 - reductions[::-1].index(stride) for stride in STRIDES[:4]]
        network = timm.create_model(name[3:], pretrained=pretrained, features_only=True, out_indices=indices)
    except (RuntimeError, ValueError, AttributeError, TypeError) as error:
        raise InputError(
            f"backbone {name!r} (--model.backbone): {error}; expected 'tu-' and the name of a timm model with feature "
            "maps at strides 4, 8, 16 and 32"
        ) from error
    if str(getattr(network, "output_fmt", "NCHW")).endswith("NHWC"):
        raise InputError(f"backbone {name!r} (--model.backbone): a transformer; expected a convolutional network")
    return network, network.feature_info.channels()


class FrozenNorm(FrozenBatchNorm2d):
    """torchvision's. Without gradients in one pass over the map instead of two: a tenth of a ResNet-50's time on a CPU.
    (With gradients that one pass would keep the map a second time.)"""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.requires_grad:
            return super().forward(x)
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)


def norm_layer(norm: Norm) -> Callable[[int], nn.Module]:
    return {"batch": nn.BatchNorm2d, "frozen": FrozenNorm, "group": group_norm}[norm]


def group_norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(channels, 16), channels)


class _GroupNormAct(nn.GroupNorm):
    """In the place of timm's BatchNormAct2d, which carries the activation behind it."""

    def __init__(self, norm: BatchNormAct2d):
        super().__init__(math.gcd(norm.num_features, 16), norm.num_features)
        self.drop, self.act = norm.drop, norm.act

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.drop(super().forward(x)))


def _group_norms(module: nn.Module) -> None:
    """Replace every BatchNorm by a GroupNorm; weights keep their names."""
    for name, child in module.named_children():
        if isinstance(child, BatchNormAct2d):
            setattr(module, name, _GroupNormAct(child))
        elif isinstance(child, nn.BatchNorm2d):
            setattr(module, name, group_norm(child.num_features))
        else:
            _group_norms(child)


class Anchors(AnchorGenerator):
    """Anchors in float32 whatever autocast made of the feature maps: bfloat16 places them 2 px off beyond 256 px."""

    def forward(self, image_list, feature_maps):
        return super().forward(image_list, [one[:1, :1].float() for one in feature_maps])


class FloatRPNHead(RPNHead):
    def forward(self, x):
        logits, deltas = super().forward(x)
        return [one.float() for one in logits], [one.float() for one in deltas]


class FloatBoxPredictor(FastRCNNPredictor):
    def forward(self, x):
        scores, deltas = super().forward(x)
        return scores.float(), deltas.float()


class FloatMaskPredictor(MaskRCNNPredictor):
    """torchvision's: a transposed 2 x 2 convolution of stride 2, ReLU, 1 x 1. All three work cell by cell, so they are
    two matrix products here, and only the few logits are put in place."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, channels, h, w = x.shape
        up, last = self.conv5_mask, self.mask_fcn_logits
        weight = up.weight.permute(2, 3, 1, 0).reshape(-1, channels)
        hidden = F.linear(x.permute(0, 2, 3, 1).reshape(-1, channels), weight, up.bias.repeat(4)).relu()
        logits = F.linear(hidden.view(-1, up.out_channels), last.weight.flatten(1), last.bias).float()
        return logits.view(n, h, w, 2, 2, -1).permute(0, 5, 1, 3, 2, 4).reshape(n, -1, 2 * h, 2 * w)


class _FlattenLast(nn.Module):
    """(n, c, h, w) to (n, h * w * c). A channels_last batch is flattened without a copy, and its gradient comes back
    channels_last: a planar one would make the convolutions before it several times slower on a CPU."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.permute(0, 2, 3, 1).flatten(1)


def box_head(channels: int, convs: Sequence[int], fc: int, norm: Norm) -> nn.Sequential:
    """torchvision's v2 box head. Its one fully connected layer reads (h, w, c), torchvision's (c, h, w):
    instance_weights turns the weights."""
    head = FastRCNNConvFCHead((channels, 7, 7), list(convs), [fc], norm_layer(norm))
    head[len(convs)] = _FlattenLast()
    return head


class RoIPool(MultiScaleRoIAlign):
    """RoIAlign of 2 x 2 samples a cell from P2..P5, by the FPN paper's rule (Lin et al., 2017, eq. 1).

    The same as torchvision's at known strides (that one guesses them from the first photos it sees).
    """

    def __init__(self, output_size: int, aligned: bool):
        super().__init__(["0", "1", "2", "3"], output_size, 2)
        self.aligned = aligned

    def forward(self, x: dict[str, torch.Tensor], boxes: list[torch.Tensor], image_shapes=None) -> torch.Tensor:
        """``boxes``: one float32 (k, 4) xyxy px a photo. Returns (sum k, channels, s, s), channels_last on a CPU."""
        return pool_rois([x[name] for name in self.featmap_names], [(boxes, self.output_size[0])], self.aligned)[0]


def pool_rois(
    maps: Sequence[torch.Tensor], wanted: Sequence[tuple[list[torch.Tensor], int]], aligned: bool
) -> list[torch.Tensor]:
    """RoIAlign of several sets of boxes, each (boxes of every photo, cells a side), from maps of `STRIDES`.

    On a CPU one gather of rows for all of them, since a channels_last map is a table of rows: torchvision's kernel
    wants planar maps and gives planar gradients, several times slower.
    """
    rois = [_located(boxes, maps[0].device) for boxes, _ in wanted]
    sizes = [size for _, size in wanted]
    if maps[0].device.type != "cpu":
        return [_kernel_pool(maps, *roi, size, aligned) for roi, size in zip(rois, sizes, strict=True)]
    channels = maps[0].shape[1]
    table = torch.cat([one.permute(0, 2, 3, 1).reshape(-1, channels).float() for one in maps])
    rows = [_rows(maps, *roi, size, aligned) for roi, size in zip(rois, sizes, strict=True)]
    index, weight = (torch.cat(parts) for parts in zip(*rows, strict=True))
    found = F.embedding_bag(index, table, per_sample_weights=weight, mode="sum").to(maps[0].dtype)
    parts = found.split([len(part) for part, _ in rows])
    return [part.view(-1, size, size, channels).permute(0, 3, 1, 2) for part, size in zip(parts, sizes, strict=True)]


def _located(boxes: list[torch.Tensor], device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """All boxes (k, 4), the photo (k,) each is of, and the level (k,) 0..3 it is read from."""
    flat = torch.cat(boxes)
    owner = torch.repeat_interleave(
        torch.arange(len(boxes), device=device), torch.tensor([len(b) for b in boxes], device=device)
    )
    side = ((flat[:, 2] - flat[:, 0]) * (flat[:, 3] - flat[:, 1])).clamp(min=1e-6).sqrt()
    return flat, owner, (4 + torch.log2(side / 224) + 1e-6).floor().clamp(2, 5).long() - 2


def _kernel_pool(maps, boxes, owner, level, size: int, aligned: bool) -> torch.Tensor:
    out = maps[0].new_zeros((len(boxes), maps[0].shape[1], size, size))
    rois = torch.cat([owner[:, None].to(boxes), boxes], 1)
    for i, one in enumerate(maps):
        here = torch.where(level == i)[0]
        found = roi_align(one, rois[here], size, 1 / STRIDES[i], 2, aligned)
        out = out.index_copy(0, here, found.to(out.dtype))
    return out


def _rows(maps, boxes, owner, level, size: int, aligned: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of the table int64 (k * size * size, 16) that each cell reads, and their weights float32."""
    shapes = torch.tensor([one.shape[2:] for one in maps])
    rows = torch.tensor([len(one) * one.shape[2] * one.shape[3] for one in maps])
    height, width = shapes[level].unbind(1)
    first = (rows.cumsum(0) - rows)[level] + owner * height * width
    stride = torch.tensor(STRIDES[:4], dtype=boxes.dtype)[level]
    y, wy = _taps(boxes[:, 1] / stride, boxes[:, 3] / stride, height, size, aligned)
    x, wx = _taps(boxes[:, 0] / stride, boxes[:, 2] / stride, width, size, aligned)
    index = (first[:, None, None] + y * width[:, None, None])[:, :, None, :, None] + x[:, None, :, None, :]
    weight = wy[:, :, None, :, None] * wx[:, None, :, None, :]
    shape = (len(boxes) * size * size, 16)
    return index.view(shape), weight.view(shape)


def _taps(low, high, length, size: int, aligned: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Along one axis: the four positions int64 (k, size, 4) that each cell reads and their weights float32, which sum
    to 1: two samples a cell, each between two positions."""
    shift = 0.5 if aligned else 0.0
    span = high - low if aligned else (high - low).clamp(min=1)
    steps = (torch.arange(2 * size, dtype=low.dtype) + 0.5) / (2 * size)
    at = (low[:, None] - shift + steps * span[:, None]).clamp(min=0)
    last = length[:, None] - 1
    before = torch.minimum(at.long(), last)
    after = torch.minimum(before + 1, last)
    share = torch.where(before < last, at - before, torch.zeros_like(at))
    index = torch.stack([before, after], -1).view(len(low), size, 4)
    return index, torch.stack([1 - share, share], -1).view(len(low), size, 4) / 2
