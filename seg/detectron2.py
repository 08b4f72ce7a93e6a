"""Mask R-CNN on detectron2, behind the same interface as our own segmenters.

detectron2 is optional and has no release in the package registry: it is imported inside the functions, and where it is
absent they raise an InputError that says how to install it (docs/detectron2.md).
"""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from ..datasets.errors import InputError
from ..weights.bundle import Bundle
from .detectron2_data import available, records, register, require, unregister
from .instance import Detections
from .segments import Segment

__all__ = [
    "Detectron2Config",
    "Detectron2Segmenter",
    "available",
    "build_cfg",
    "build_model",
    "bundle_part",
    "load_detectron2",
    "load_weights",
    "records",
    "register",
    "require",
    "unregister",
]

PART = "detectron2"  # the part's name and kind in a bundle
MASK_THR = 0.5  # detectron2's own
_BATCH_GPU = 8  # on a CPU photos go one by one: a batch gains nothing there and costs memory
# How yacs and fvcore say that a value does not fit a config, and detectron2 that a config makes no model.
_REFUSALS = (AssertionError, KeyError, ValueError, TypeError, AttributeError, RuntimeError, ImportError, SyntaxError)


@dataclass(frozen=True)
class Detectron2Config:
    """Which detectron2 model. What is not said here stays as in the config file."""

    config: str = "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml"
    """A name of detectron2's model zoo, or the path of a YAML file (Python configs are refused: reading one runs it)."""
    weights: str | None = None
    """.safetensors, or .pth that holds nothing but tensors; none: random, with GroupNorm instead of frozen BatchNorm.
    The weights that the config itself names are never fetched."""
    classes: tuple[str, ...] = ("product",)
    """One name: class-agnostic, the attribute model tells the category; more: categories of the data, in this order."""
    size_px: int = 512
    """Longest side of a photo at the network's input, when predicting; training varies around it."""
    score_thr: float = 0.5
    """Detections below are dropped."""
    overrides: tuple[str, ...] = ()
    """KEY VALUE KEY VALUE ... as detectron2's own tools take them; they come last and win."""


# ---- the config


def build_cfg(config: Detectron2Config):
    """The whole detectron2 config (a CfgNode): the file's, ours over it, the overrides over both.

    Raises InputError for a file that is not there or no plain YAML, for unknown keys and values of a wrong type, and
    for a model that is no Mask R-CNN.
    """
    require()
    from detectron2.config import CfgNode, get_cfg

    if config.size_px < 32 or not config.classes or not 0 <= config.score_thr < 1:
        raise InputError("detectron2: expected size_px of 32 or more, one class or more, and score_thr in [0, 1)")
    if len(config.overrides) % 2:
        raise InputError(f"detectron2: {len(config.overrides)} words in overrides; expected KEY VALUE KEY VALUE ...")
    path, cfg = _config_file(config.config), get_cfg()
    try:
        # detectron2's own merge_from_file would load unsafe YAML, which runs code.
        cfg.merge_from_other_cfg(CfgNode(CfgNode.load_yaml_with_base(str(path), allow_unsafe=False)))
        _ours(cfg, config)
        cfg.merge_from_list(list(config.overrides))
    except (*_REFUSALS, OSError, _yaml_error()) as error:
        raise InputError(
            f"detectron2 config {config.config}: {_line(error)}; expected keys and values that this "
            "detectron2 knows, in plain YAML"
        ) from error
    _check(cfg, config.config)
    return cfg


def _ours(cfg, config: Detectron2Config) -> None:
    cfg.MODEL.WEIGHTS = ""  # a download of a pickle, in every config of the zoo
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = len(config.classes)
    cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST = config.score_thr
    # The shortest side is asked to be as long as the longest may be: so the longest is size_px, whatever the aspect.
    cfg.INPUT.MIN_SIZE_TEST = cfg.INPUT.MAX_SIZE_TEST = config.size_px
    cfg.INPUT.MIN_SIZE_TRAIN = tuple(round(config.size_px * part / 8) for part in range(4, 9))
    cfg.INPUT.MAX_SIZE_TRAIN = round(config.size_px * 1.25)
    cfg.INPUT.MASK_FORMAT = "bitmask"  # polygons cannot say holes
    if config.weights is None and cfg.MODEL.RESNETS.NORM == "FrozenBN":
        # Frozen statistics and frozen stages are for pretrained weights; random ones do not train under them
        # (He et al., Rethinking ImageNet Pre-training, 2019).
        cfg.MODEL.BACKBONE.FREEZE_AT = 0
        for part in (cfg.MODEL.RESNETS, cfg.MODEL.FPN, cfg.MODEL.ROI_BOX_HEAD, cfg.MODEL.ROI_MASK_HEAD):
            part.NORM = "GN"


def _config_file(name: str) -> Path:
    if Path(name).suffix == ".py":
        raise InputError(f"detectron2 config {name}: reading a Python config runs it; expected a YAML file")
    # Not through detectron2.model_zoo: it needs pkg_resources, which setuptools dropped in version 81.
    package = Path(importlib.util.find_spec("detectron2").origin).parent
    for path in (Path(name), package / "model_zoo" / "configs" / name):
        if path.is_file():
            return path
    raise InputError(
        f"detectron2 config {name!r}: no such file, and none of that name in detectron2's model zoo; expected for "
        "example COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml or the path of a YAML file"
    )


def _check(cfg, where: str) -> None:
    if cfg.MODEL.META_ARCHITECTURE != "GeneralizedRCNN" or not cfg.MODEL.MASK_ON or cfg.MODEL.LOAD_PROPOSALS:
        raise InputError(
            f"detectron2 config {where}: {cfg.MODEL.META_ARCHITECTURE} with MASK_ON {cfg.MODEL.MASK_ON}; expected an "
            "R-CNN with masks that makes its own proposals (COCO-InstanceSegmentation/mask_rcnn_...)"
        )


def _yaml_error() -> type[Exception]:
    from yaml import YAMLError

    return YAMLError


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


# ---- the model


def build_model(cfg, device: str | torch.device = "cpu") -> nn.Module:
    """The network with random weights. InputError where detectron2 cannot build it."""
    from detectron2 import modeling

    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.DEVICE = str(device)
    try:
        return modeling.build_model(cfg)
    except _REFUSALS as error:
        raise InputError(
            f"detectron2 cannot build this model: {_line(error)}; compare the config and its overrides with detectron2's "
            "configs (ResNet-18 and -34 need MODEL.RESNETS.RES2_OUT_CHANNELS 64)"
        ) from error


def load_weights(model: nn.Module, weights: str | Path, *, strict: bool = False) -> int:
    """Fill ``model`` from a ``.safetensors`` file or a ``.pth`` that holds nothing but tensors (a state dict, or one
    under "model"). Returns how many tensors were filled. Heads of another number of classes keep their random weights.

    Nothing is unpickled: a file that torch does not read with ``weights_only=True`` is refused with an InputError (the
    model zoo's ``.pkl`` are such; docs/detectron2.md tells how to convert one). InputError too where fewer than half
    of the tensors fit, or, if ``strict``, any is missing.
    """
    path, wanted = Path(weights), model.state_dict()
    given = _read_weights(path)
    fitting = {
        k: v.float() if v.is_floating_point() else v
        for k, v in given.items()
        if k in wanted and v.shape == wanted[k].shape
    }
    if len(fitting) < (len(wanted) if strict else len(wanted) / 2):
        missing = next(key for key in wanted if key not in fitting)
        raise InputError(
            f"detectron2 weights {path}: {len(fitting)} of the model's {len(wanted)} tensors found with equal name and "
            f"shape (not, for example, {missing}); expected the weights of this config and these classes"
        )
    model.load_state_dict(fitting, strict=False)
    return len(fitting)


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
    if not path.is_file():
        raise InputError(f"detectron2 weights {path}: no such file; expected a .safetensors or .pth file")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        said = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise InputError(
            f"detectron2 weights {path}: refused, as it holds more than tensors or is no weights file; expected "
            ".safetensors, or .pth that torch reads with weights_only=True (docs/detectron2.md tells how to convert a "
            "file of the model zoo)"
        ) from error
    state = said.get("model", said) if isinstance(said, dict) else {}
    return {key: value for key, value in state.items() if isinstance(value, torch.Tensor)}


# ---- prediction


class Detectron2Segmenter:
    """Photos to segments with a detectron2 Mask R-CNN: the same ``predict`` as our own segmenters.

    Photos are resized as detectron2's own predictor does it; masks are pasted at the photo's full resolution on the
    device, each into the crop of its box.
    """

    def __init__(self, model: nn.Module, cfg, classes: Sequence[str], device: str | torch.device = "cpu"):
        from detectron2.data import transforms

        self.model, self.cfg, self.classes = model.eval().to(device), cfg, tuple(classes)
        self.device = torch.device(device)
        self.resize = transforms.ResizeShortestEdge([cfg.INPUT.MIN_SIZE_TEST] * 2, cfg.INPUT.MAX_SIZE_TEST)

    @classmethod
    def from_config(cls, config: Detectron2Config, device: str | torch.device = "cpu") -> "Detectron2Segmenter":
        """A model of the zoo or a YAML file with its weights, all of which must fit."""
        cfg = build_cfg(config)
        model = build_model(cfg, device)
        if config.weights is not None:
            load_weights(model, config.weights, strict=True)
        return cls(model, cfg, config.classes, device)

    def predict(self, images: Sequence[np.ndarray]) -> list[list[Segment]]:
        """``images``: uint8 (h, w, 3) RGB of any sizes. Returns the segments of each photo, largest score first:
        masks as crops of the full resolution, ``score`` of the detection, ``label`` where there are several classes."""
        return [[s for s in found.segments if s is not None] for found in self.detect(images)]

    @torch.inference_mode()
    def detect(self, images: Sequence[np.ndarray]) -> list[Detections]:
        """Boxes and masks of each photo, those detections too whose mask is empty."""
        found: list[Detections | None] = [None] * len(images)
        for members in self._batches(images):
            inputs = [self._input(images[i]) for i in members]
            raw = self.model.inference(inputs, do_postprocess=False)
            for i, instances in zip(members, raw, strict=True):
                found[i] = self._detections(instances, images[i].shape[:2])
        return found

    def _batches(self, images: Sequence[np.ndarray]) -> list[list[int]]:
        # Photos of one shape go together, so that what is found in one does not depend on which others came along.
        groups: dict[tuple[int, ...], list[int]] = {}
        for i, image in enumerate(images):
            groups.setdefault(image.shape, []).append(i)
        step = 1 if self.device.type == "cpu" else _BATCH_GPU
        return [group[k : k + step] for group in groups.values() for k in range(0, len(group), step)]

    def _input(self, image: np.ndarray) -> dict[str, Any]:
        ordered = image if self.cfg.INPUT.FORMAT == "RGB" else image[:, :, ::-1]
        small = self.resize.get_transform(image).apply_image(np.ascontiguousarray(ordered))
        return {"image": torch.from_numpy(np.ascontiguousarray(small.transpose(2, 0, 1)))}

    def _detections(self, instances, size: tuple[int, int]) -> Detections:
        """detectron2's `detector_postprocess`, but for masks as crops: a stack of full bitmaps takes the memory of so
        many photos."""
        (height, width), (input_height, input_width) = size, instances.image_size
        boxes = instances.pred_boxes.clone()
        boxes.scale(width / input_width, height / input_height)
        boxes.clip(size)
        kept = instances[boxes.nonempty()]
        xyxy, scores, labels = boxes.tensor[boxes.nonempty()], kept.scores.tolist(), kept.pred_classes.tolist()
        names = [self.classes[label] if len(self.classes) > 1 else None for label in labels]
        rows = zip(xyxy, kept.pred_masks, scores, names, strict=True)
        segments = [_pasted(box, mask, size, score, name) for box, mask, score, name in rows]
        columns = (column.cpu().numpy() for column in (xyxy, kept.scores, kept.pred_classes))
        return Detections(*columns, segments)


def _pasted(box: torch.Tensor, mask: torch.Tensor, size: tuple[int, int], score: float, label) -> Segment | None:
    from detectron2.layers import paste_masks_in_image

    # A pasted mask is below its threshold half a pixel outside of its box: the crop loses nothing.
    x0, y0 = (int(v) for v in box[:2].floor().tolist())
    x1, y1 = (int(v) for v in box[2:].ceil().tolist())
    shifted = box - box.new_tensor([x0, y0, x0, y0])
    pasted = paste_masks_in_image(mask, shifted[None], (y1 - y0, x1 - x0), MASK_THR)[0].cpu().numpy()
    return _tight(pasted, x0, y0, size, score, label)


def _tight(mask: np.ndarray, x: int, y: int, size: tuple[int, int], score: float, label: str | None) -> Segment | None:
    rows, columns = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
    if not len(rows):
        return None
    (top, bottom), (left, right) = (rows[0], rows[-1] + 1), (columns[0], columns[-1] + 1)
    xyxy = (int(x + left), int(y + top), int(x + right), int(y + bottom))
    return Segment(xyxy, mask[top:bottom, left:right].copy(), size, float(score), label)


# ---- the bundle


def bundle_part(cfg, classes: Sequence[str]) -> dict[str, Any]:
    """What a bundle says of the model: the whole config as YAML text, without folders and file names of this machine."""
    import detectron2

    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.WEIGHTS = cfg.OUTPUT_DIR = ""
    cfg.MODEL.DEVICE = "cpu"
    cfg.DATASETS.TRAIN = cfg.DATASETS.TEST = ()
    return {"kind": PART, "detectron2": detectron2.__version__, "classes": list(classes), "config": cfg.dump()}


def load_detectron2(bundle: Bundle, device: str | torch.device = "cpu") -> Detectron2Segmenter:
    """The segmenter in a bundle. The config is read as plain YAML, the weights from safetensors: neither runs code."""
    import yaml

    part = bundle.part(PART)
    require()
    from detectron2.config import CfgNode, get_cfg

    where, cfg = f"{bundle.folder}/bundle.json", get_cfg()
    try:
        cfg.merge_from_other_cfg(CfgNode(yaml.safe_load(part["config"])))
        classes = tuple(str(name) for name in part["classes"])
    except (*_REFUSALS, yaml.YAMLError) as error:
        raise InputError(
            f"{where}: parts.{PART}: not what this segattr with its detectron2 expects ({_line(error)}); it was written "
            f"with detectron2 {part.get('detectron2', '?')}: install that one, or copy the bundle again"
        ) from error
    _check(cfg, where)
    if len(classes) != cfg.MODEL.ROI_HEADS.NUM_CLASSES:
        raise InputError(
            f"{where}: parts.{PART}: {len(classes)} class names for {cfg.MODEL.ROI_HEADS.NUM_CLASSES} "
            "classes of the config; copy the bundle again"
        )
    return Detectron2Segmenter(bundle.load_into(PART, build_model(cfg, device)), cfg, classes, device)
