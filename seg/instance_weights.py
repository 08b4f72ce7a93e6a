"""First weights of a whole Mask R-CNN: torchvision's of COCO, or a file of ours or theirs."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from torchvision.models.detection import MaskRCNN_ResNet50_FPN_V2_Weights

from ..datasets.errors import InputError
from .encoders import download

COCO_MODEL = (
    "--model.backbone resnet50 --model.norm batch --model.fpn-channels 256 --model.rpn-convs 2 --model.box-convs 256 256 "
    "256 256 --model.box-fc 1024 --model.mask-convs 256 256 256 256 --model.no-roi-aligned"
)


def load_whole(net: nn.Module, weights: str) -> bool:
    """Fill torchvision's ``net`` from ``weights``: "coco" (downloaded), or a .safetensors file of a whole Mask R-CNN,
    torchvision's names or ours; only what fits by name and shape. Returns False for a file that is of no Mask R-CNN.
    Raises InputError where the weights cannot be had or less than half of them fits.
    """
    if weights == "coco":
        with download(weights):
            given = _from_torchvision(MaskRCNN_ResNet50_FPN_V2_Weights.COCO_V1.get_state_dict(check_hash=True))
    else:
        try:
            given = load_file(weights) if Path(weights).is_file() else {}
        except (SafetensorError, OSError):
            given = {}  # load_encoder says what is wrong with it
        ours = any(key.startswith("net.roi_heads.") for key in given)
        if not ours and not any(key.startswith("roi_heads.") for key in given):
            return False
        given = {key.removeprefix("net."): v for key, v in given.items()} if ours else _from_torchvision(given)
    wanted = net.state_dict()
    fitting = {k: v.to(wanted[k].dtype) for k, v in given.items() if k in wanted and v.shape == wanted[k].shape}
    if len(fitting) < len(wanted) / 2:
        raise InputError(
            f"--encoder-weights {weights}: {len(fitting)} of the model's {len(wanted)} tensors are there with equal name "
            f"and shape; expected the weights of the same network; torchvision's of COCO want {COCO_MODEL}"
        )
    net.load_state_dict(fitting, strict=False)
    return True


def _from_torchvision(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Its fully connected layer reads (c, h, w), ours (h, w, c)."""
    state = dict(state)
    for key, value in state.items():
        if key.startswith("roi_heads.box_head.") and value.ndim == 2 and value.shape[1] % 49 == 0:
            state[key] = value.view(len(value), -1, 7, 7).permute(0, 2, 3, 1).flatten(1)
    return state
