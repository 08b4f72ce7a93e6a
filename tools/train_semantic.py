"""Train a semantic segmenter on COCO masks; writes a bundle."""

import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import cv2
import numpy as np
import torch
import tyro
from torch.utils.data import ConcatDataset

from ..datasets.coco import CocoFile, read_coco
from ..datasets.errors import InputError
from ..datasets.torch_datasets import IGNORE, SemanticDataset, load_photo
from ..datasets.transforms import train_transform
from ..seg.components import InstanceOptions
from ..seg.metrics import MeanIoU, binary_iou
from ..seg.semantic import SemanticConfig, SemanticNet, SemanticSegmenter, SemanticTask
from ..weights.bundle import read_bundle
from .loop import LoopConfig, fit, start
from .training_card import finish_bundle, training_card

_EVAL_BATCH = 16


@dataclass(frozen=True)
class TrainSemantic:
    """Train a semantic model and write DIR/bundle."""

    data: Annotated[tuple[Path, ...], tyro.conf.UseAppendAction]
    """COCO file to train on; give the flag again for more files."""
    val: Path
    """COCO file that chooses the best epoch."""
    out: Path
    """Folder for the checkpoints, the log and the bundle."""
    images: Path | None = None
    """Folder that file names are relative to; default: the folder of each COCO file."""
    crop_px: int = 256
    """Side of the square training crops."""
    augment: Literal["none", "light", "medium", "strong"] = "strong"
    encoder_weights: str = "none"
    """none, imagenet (downloaded by the encoder's library), or a .safetensors FILE."""
    init: str | None = None
    """A bundle ("default" or a folder) to go on from: its weights instead of random ones, wherever they fit."""
    join: Path | None = None
    """A bundle whose other parts are copied into the new one."""
    half: bool = False
    """Store the weights as float16: half the size."""
    model: SemanticConfig = field(default_factory=SemanticConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)
    instances: InstanceOptions = field(default_factory=InstanceOptions)


def open_coco(path: Path, images: Path | None) -> tuple[CocoFile, Path]:
    """A COCO file and the folder its file names are relative to."""
    return read_coco(path), images or path.parent


def train_semantic(config: TrainSemantic) -> Path:
    """Train and return the folder of the bundle."""
    if config.join is not None:
        read_bundle(config.join)  # a mistake there is told now, not after hours of training
    if config.crop_px < 32 or config.crop_px % 32:
        raise InputError(f"--crop-px {config.crop_px}: expected a multiple of 32, 32 or more")
    transform = train_transform(config.crop_px, config.augment, colour_safe=False, crop=True)
    files = [open_coco(path, config.images) for path in config.data]
    parts = [SemanticDataset(coco, folder, config.model.classes, transform) for coco, folder in files]
    data = ConcatDataset(parts)
    val_coco, val_images = open_coco(config.val, config.images)
    val = SemanticDataset(val_coco, val_images, config.model.classes)
    torch.manual_seed(config.loop.seed)  # the initial weights
    model = SemanticNet(config.model, config.encoder_weights)
    if config.init is not None:
        read_bundle(config.init).start_from("semantic", model)
    task = SemanticTask(model)
    parameters = sum(p.numel() for p in task.parameters()) / 1e6
    print(f"{len(data)} photos to train on, {len(val)} to validate; {parameters:.2f} M parameters", file=sys.stderr)
    rank, _, device = start(config.loop)

    def evaluate(trained: SemanticTask) -> dict[str, float]:
        return mask_figures(SemanticSegmenter(trained.model, config.instances, device), val)

    fit(task, data, config.loop, config.out, evaluate, best_key="iou" if len(config.model.classes) == 1 else "miou")
    if rank != 0:  # one process of torchrun's writes the bundle
        return config.out / "bundle"
    figures = evaluate(task)
    part = {"kind": "semantic", "model": asdict(config.model), "instances": asdict(config.instances)}
    card = training_card("semantic", config, files, {f"val/{key}": value for key, value in figures.items()})
    return finish_bundle(config.out, "semantic", part, task.model.state_dict(), card, config.join, config.half)


def mask_figures(segmenter: SemanticSegmenter, data: SemanticDataset) -> dict[str, float]:
    """At the photos' full resolution, before clean-up into instances. ``iou``: the mean over photos of the IoU of all
    products with the ground; ``iou_below_0.8``: the share of photos below; ``miou`` over the classes, where several."""
    classes = segmenter.model.config.classes
    mean_iou = MeanIoU(len(classes) + 1, ignore_index=IGNORE)
    ious = []
    for begin in range(0, len(data), _EVAL_BATCH):
        indices = range(begin, min(begin + _EVAL_BATCH, len(data)))
        photos = [load_photo(data.images[i], data.images_dir) for i in indices]
        for i, photo, probability in zip(indices, photos, segmenter.probabilities(photos), strict=True):
            truth = data.label_map(i)
            label_map = full_size_labels(probability, photo.shape[:2])
            valid = truth != IGNORE
            mean_iou.update(label_map, truth)
            ious.append(binary_iou((label_map > 0) & valid, (truth > 0) & valid))
    ious = np.array(ious)
    figures = {"iou": float(ious.mean()), "iou_below_0.8": float((ious < 0.8).mean())}
    return figures if len(classes) == 1 else figures | {"miou": float(mean_iou.compute()["miou"])}


def full_size_labels(probability: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """float32 (c, h', w') at the network's size to uint8 (h, w) labels: 0 or 1 for c = 1, else the argmax."""
    full = [cv2.resize(p, size[::-1], interpolation=cv2.INTER_LINEAR) for p in probability]
    return (full[0] > 0.5).astype(np.uint8) if len(full) == 1 else np.argmax(full, axis=0).astype(np.uint8)
