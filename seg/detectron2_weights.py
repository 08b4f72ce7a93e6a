"""Our Mask R-CNN as a detectron2 model: the same network, the same weights under detectron2's names."""

import re

import torch

from ..datasets.errors import InputError
from .detectron2 import Detectron2Config
from .instance import InstanceConfig

_NORMS = {"frozen": "FrozenBN", "group": "GN", "batch": "BN"}
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def same_network(config: InstanceConfig) -> Detectron2Config:
    """The detectron2 config of the same network: layers, anchors, proposals, samples, thresholds, input.

    What stays different: detectron2's anchors are not rounded to whole px, its GroupNorm has 32 groups, its box losses
    are L1. Raises InputError for a network that it cannot say: a backbone that is no ResNet, box or mask convolutions
    of different widths.
    """
    widths = set(config.box_convs), set(config.mask_convs)
    if not config.backbone.startswith("resnet") or max(map(len, widths)) > 1:
        raise InputError(
            f"no detectron2 config for backbone {config.backbone}, box convolutions {config.box_convs} and mask "
            f"convolutions {config.mask_convs}; expected a ResNet and one width in each"
        )
    levels, depth = len(config.anchor_px), int(config.backbone.removeprefix("resnet"))
    said = {
        "INPUT.FORMAT": "RGB",
        "MODEL.PIXEL_MEAN": [255 * v for v in _MEAN],
        "MODEL.PIXEL_STD": [255 * v for v in _STD],
        "MODEL.BACKBONE.FREEZE_AT": 0,
        "MODEL.RESNETS.DEPTH": depth,
        "MODEL.RESNETS.STRIDE_IN_1X1": False,
        "MODEL.RESNETS.RES2_OUT_CHANNELS": 64 if depth < 50 else 256,
        "MODEL.FPN.OUT_CHANNELS": config.fpn_channels,
        "MODEL.ANCHOR_GENERATOR.SIZES": [[px] for px in config.anchor_px],
        "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS": [list(config.anchor_ratios)],
        "MODEL.RPN.IN_FEATURES": ["p2", "p3", "p4", "p5", "p6"][-levels:],
        "MODEL.RPN.CONV_DIMS": [-1] * config.rpn_convs,
        "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE": config.box_samples,
        "MODEL.ROI_HEADS.NMS_THRESH_TEST": config.nms_thr,
        "MODEL.ROI_BOX_HEAD.NUM_CONV": len(config.box_convs),
        "MODEL.ROI_BOX_HEAD.CONV_DIM": (*config.box_convs, config.fpn_channels)[0],
        "MODEL.ROI_BOX_HEAD.NUM_FC": 1,
        "MODEL.ROI_BOX_HEAD.FC_DIM": config.box_fc,
        "MODEL.ROI_MASK_HEAD.NUM_CONV": len(config.mask_convs),
        "MODEL.ROI_MASK_HEAD.CONV_DIM": config.mask_convs[0],
        "TEST.DETECTIONS_PER_IMAGE": config.detections_per_photo,
    }
    for head in ("MODEL.ROI_BOX_HEAD", "MODEL.ROI_MASK_HEAD"):
        said |= {
            f"{head}.POOLER_TYPE": "ROIAlignV2" if config.roi_aligned else "ROIAlign",
            f"{head}.POOLER_SAMPLING_RATIO": 2,
        }
    for when, count in (("TRAIN", config.train_proposals), ("TEST", config.proposals)):
        said |= {f"MODEL.RPN.PRE_NMS_TOPK_{when}": count, f"MODEL.RPN.POST_NMS_TOPK_{when}": count}
    for part in ("RESNETS", "FPN", "ROI_BOX_HEAD", "ROI_MASK_HEAD"):
        said[f"MODEL.{part}.NORM"] = _NORMS[config.norm]
    overrides = tuple(str(word) for pair in said.items() for word in pair)
    return Detectron2Config(
        classes=config.classes, size_px=config.size_px, score_thr=config.score_thr, overrides=overrides
    )


# Our names (torchvision's) and detectron2's, the first that fits.
_NAMES = [
    (r"backbone\.body\.conv1", r"backbone.bottom_up.stem.conv1"),
    (r"backbone\.body\.bn1", r"backbone.bottom_up.stem.conv1.norm"),
    (r"backbone\.body\.layer(\d)\.(\d+)\.conv(\d)", r"backbone.bottom_up.res{0+1}.\2.conv\3"),
    (r"backbone\.body\.layer(\d)\.(\d+)\.bn(\d)", r"backbone.bottom_up.res{0+1}.\2.conv\3.norm"),
    (r"backbone\.body\.layer(\d)\.(\d+)\.downsample\.0", r"backbone.bottom_up.res{0+1}.\2.shortcut"),
    (r"backbone\.body\.layer(\d)\.(\d+)\.downsample\.1", r"backbone.bottom_up.res{0+1}.\2.shortcut.norm"),
    (r"backbone\.fpn\.inner_blocks\.(\d)\.0", r"backbone.fpn_lateral{0+2}"),
    (r"backbone\.fpn\.inner_blocks\.(\d)\.1", r"backbone.fpn_lateral{0+2}.norm"),
    (r"backbone\.fpn\.layer_blocks\.(\d)\.0", r"backbone.fpn_output{0+2}"),
    (r"backbone\.fpn\.layer_blocks\.(\d)\.1", r"backbone.fpn_output{0+2}.norm"),
    (r"rpn\.head\.conv\.(\d)\.0", r"proposal_generator.rpn_head.conv.conv\1"),
    (r"rpn\.head\.cls_logits", r"proposal_generator.rpn_head.objectness_logits"),
    (r"rpn\.head\.bbox_pred", r"proposal_generator.rpn_head.anchor_deltas"),
    (r"roi_heads\.box_head\.(\d)\.0", r"roi_heads.box_head.conv{0+1}"),
    (r"roi_heads\.box_head\.(\d)\.1", r"roi_heads.box_head.conv{0+1}.norm"),
    (r"roi_heads\.box_head\.\d", r"roi_heads.box_head.fc1"),
    (r"roi_heads\.box_predictor\.(\w+)", r"roi_heads.box_predictor.\1"),
    (r"roi_heads\.mask_head\.(\d)\.0", r"roi_heads.mask_head.mask_fcn{0+1}"),
    (r"roi_heads\.mask_head\.(\d)\.1", r"roi_heads.mask_head.mask_fcn{0+1}.norm"),
    (r"roi_heads\.mask_predictor\.conv5_mask", r"roi_heads.mask_head.deconv"),
    (r"roi_heads\.mask_predictor\.mask_fcn_logits", r"roi_heads.mask_head.predictor"),
]


def same_weights(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """``state``: of an `InstanceNet` with a ResNet. Returns the state of the detectron2 model of `same_network`."""
    named = {_name(key): _turned(key, value) for key, value in state.items()}
    if not any(".rpn_head.conv.conv1." in key for key in named):  # a lone convolution has no number
        named = {key.replace(".rpn_head.conv.conv0.", ".rpn_head.conv."): value for key, value in named.items()}
    return named


def _name(key: str) -> str:
    module, _, leaf = key.removeprefix("net.").rpartition(".")
    for ours, theirs in _NAMES:
        if found := re.fullmatch(ours, module):
            # {0+1}: the number that the pattern caught, counted from elsewhere.
            theirs = re.sub(r"\{0\+(\d)\}", lambda shift, number=found: str(int(number[1]) + int(shift[1])), theirs)
            return f"{found.expand(theirs)}.{leaf}"
    raise InputError(f"no name in detectron2 for {key}; expected a Mask R-CNN with a ResNet")


def _turned(key: str, value: torch.Tensor) -> torch.Tensor:
    if "box_predictor.cls_score" in key:  # the background is our first class, their last
        return torch.cat([value[1:], value[:1]])
    if "box_predictor.bbox_pred" in key:  # they have no box for the background
        return value[4:]
    if "mask_fcn_logits" in key:
        return value[1:]
    if re.fullmatch(r"net\.roi_heads\.box_head\.\d\.weight", key):  # ours reads (h, w, c), theirs (c, h, w)
        return value.view(len(value), 7, 7, -1).permute(0, 3, 1, 2).flatten(1)
    return value
