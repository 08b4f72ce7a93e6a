"""Train an instance segmenter (Mask R-CNN) on COCO masks; writes a bundle."""

import sys
from copy import copy
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

import torch
import tyro
from torch.utils.data import ConcatDataset

from ..attributes.losses import AttributeLossConfig
from ..attributes.roi_heads import RoIConfig
from ..datasets.coco import Category, CocoFile
from ..datasets.copy_paste import CopyPasteOptions
from ..datasets.cutouts import can_be_cut
from ..datasets.errors import InputError
from ..datasets.torch_datasets import InstanceDataset
from ..datasets.transforms import instance_transform
from ..seg.instance import InstanceConfig, InstanceNet, InstanceSegmenter, InstanceTask, collate
from ..weights.bundle import read_bundle
from .instance_figures import instance_figures, measurable
from .loop import LoopConfig, fit, start
from .roi_training import RoITraining
from .train_semantic import open_coco
from .training_card import finish_bundle, training_card

_EVAL_THR = 0.05  # detections that count in AP


@dataclass(frozen=True)
class TrainInstance:
    """Train an instance model (Mask R-CNN) and write DIR/bundle."""

    data: Annotated[tuple[Path, ...], tyro.conf.UseAppendAction]
    """COCO file to train on; give the flag again for more files. Photos without annotations are photos without a
    product."""
    val: Path
    """COCO file that chooses the best epoch."""
    out: Path
    """Folder for the checkpoints, the log and the bundle."""
    images: Path | None = None
    """Folder that file names are relative to; default: the folder of each COCO file."""
    scale: tuple[float, float] = (0.5, 1.25)
    """A photo's longest side in training, against --model.size-px: drawn between these."""
    augment: Literal["none", "light", "medium", "strong"] = "strong"
    encoder_weights: str = "none"
    """none, imagenet or coco (downloaded), or a .safetensors FILE of the encoder, of a U-Net with the same encoder, or
    of a whole Mask R-CNN."""
    init: str | None = None
    """A bundle ("default" or a folder) to go on from: its weights instead of random ones, wherever they fit."""
    join: Path | None = None
    """A bundle whose other parts are copied into the new one."""
    half: bool = False
    """Store the weights as float16: half the size."""
    heads: Literal["none", "roi"] = "none"
    """roi: attribute heads on the features of Mask R-CNN, trained jointly; extract takes them with --heads roi."""
    model: InstanceConfig = field(default_factory=InstanceConfig)
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(batch_size=8))
    copy_paste: CopyPasteOptions = field(default_factory=CopyPasteOptions)
    """Cut-outs of the file's other photos laid onto each; --copy-paste.probability 0: none."""
    roi: RoIConfig = field(default_factory=RoIConfig)
    """With --heads roi: the heads."""
    loss: AttributeLossConfig = field(default_factory=AttributeLossConfig)
    """With --heads roi: how they are taught. CutMix mixes crops, of which there are none here."""


def train_instance(config: TrainInstance) -> Path:
    """Train and return the folder of the bundle."""
    for bundle in (config.join, config.init):
        if bundle is not None:
            read_bundle(bundle)  # a mistake there is told now, not after hours of training
    _check_norm(config)
    files = [open_coco(path, config.images) for path in config.data]
    val_coco, val_images = open_coco(config.val, config.images)
    taught = _attributes(config, files, val_coco, val_images) if config.heads == "roi" else None
    data = _dataset(config, files, taught)
    val_coco = with_classes(val_coco, config.model.classes)
    measurable(val_coco, config.model.classes)  # told now, not after the first epoch
    torch.manual_seed(config.loop.seed)  # the initial weights
    if taught is None:
        task = InstanceTask(InstanceNet(config.model, config.encoder_weights))
    else:
        task = taught.task(config.model, config.roi, config.loss, config.encoder_weights)
    if config.init is not None:
        read_bundle(config.init).start_from("instance", task.model)
    parameters = sum(p.numel() for p in task.parameters()) / 1e6
    print(
        f"{len(data)} photos to train on, {len(val_coco.images)} to validate; {parameters:.2f} M parameters",
        file=sys.stderr,
    )
    rank, _, device = start(config.loop)

    def evaluate(trained: InstanceTask) -> dict[str, float]:
        segmenter = InstanceSegmenter(trained.model, device, min(_EVAL_THR, config.model.score_thr))
        found = instance_figures(segmenter, val_coco, val_images, config.model.classes, config.model.score_thr)
        return found if taught is None else found | taught.figures(trained, device, found["segm/AP"])

    best_key = "segm/AP" if taught is None else "joint"
    fit(task, data, config.loop, config.out, evaluate, best_key, collate)
    if rank != 0:  # one process of torchrun's writes the bundle
        return config.out / "bundle"
    figures = evaluate(task)
    part = {"kind": "instance", "model": asdict(config.model)}
    if taught is not None:
        part["attributes"] = taught.part(task, config.roi, device)
    card = training_card("instance", config, files, {f"val/{key}": value for key, value in figures.items()})
    return finish_bundle(config.out, "instance", part, task.model.state_dict(), card, config.join, config.half)


def _check_norm(config: TrainInstance) -> None:
    if config.encoder_weights != "none" or config.init is not None:
        return
    if config.model.norm == "frozen":
        raise InputError(
            "--model.norm frozen keeps the statistics of trained weights, and there are none: give --encoder-weights or "
            "--init, or take --model.norm group"
        )
    if config.model.norm == "batch" and config.loop.batch_size < 4 and config.loop.freeze_batchnorm == "auto":
        raise InputError(
            f"--loop.batch-size {config.loop.batch_size} is too small for BatchNorm's statistics, and there are no trained "
            "ones to keep: take --model.norm group, a batch of 4 or more, or --loop.freeze-batchnorm no"
        )


def _attributes(config: TrainInstance, files: list[tuple[CocoFile, Path]], val: CocoFile, val_images: Path):
    cocos = [_named(coco, config.model.classes) for coco, _ in files]
    categories = [category.name for category in cocos[0].categories]
    return RoITraining(cocos[0].schema, categories, cocos, _named(val, config.model.classes), val_images)


def _dataset(config: TrainInstance, files: list[tuple[CocoFile, Path]], taught: RoITraining | None) -> ConcatDataset:
    # A head that reads colour sees the same pixels as the others: where one trains, hue stays as it is.
    transform = instance_transform(
        config.model.size_px, config.augment, scale=config.scale, colour_safe=taught is not None
    )
    if not any(a.segmentation is not None and not a.iscrowd for coco, _ in files for a in coco.annotations):
        raise InputError("--data: no product with a mask (boxes and crowds alone do not train); expected at least one")
    seen_px = round(
        1.5 * config.model.size_px * config.scale[1]
    )  # half as many again: what is resized twice stays sharp
    parts = []
    for i, (coco, folder) in enumerate(files):
        pasted = _pasted(config, i, coco)
        max_px = seen_px if pasted is None else max(seen_px, pasted.max_px)
        coco = with_classes(coco, config.model.classes) if taught is None else taught.files[i]
        describe = None if taught is None else taught.describe(coco)
        parts.append(InstanceDataset(coco, folder, transform, pasted, True, describe, max_px))
    return ConcatDataset(parts)


def _pasted(config: TrainInstance, i: int, coco: CocoFile) -> CopyPasteOptions | None:
    """A file of photos without products, or of products too small to cut out, trains as it is, and that is said."""
    if config.copy_paste.probability == 0 or any(map(can_be_cut, coco.annotations)):
        return config.copy_paste if config.copy_paste.probability > 0 else None
    print(f"{config.data[i]}: no product can be cut out, so none is pasted onto its photos", file=sys.stderr)
    return None


def _named(coco: CocoFile, classes: tuple[str, ...]) -> CocoFile:
    """As `with_classes`, but with one class products keep the category that their heads are to read."""
    return coco if len(classes) == 1 else with_classes(coco, classes)


def with_classes(coco: CocoFile, classes: tuple[str, ...]) -> CocoFile:
    """The file with ``classes`` as its categories: one, which every product is then of; or several of its own, the
    products of the others left out. InputError for a class that is no category of the file."""
    names = [category.name for category in coco.categories]
    missing = [name for name in classes if name not in names]
    if len(classes) > 1 and missing:
        raise InputError(
            f"class {missing[0]!r} (--model.classes) is no category of the file; expected some of: {', '.join(names)}"
        )
    one = len(classes) == 1
    of = {c.id: 1 if one else classes.index(c.name) + 1 for c in coco.categories if one or c.name in classes}
    kept = [copy(annotation) for annotation in coco.annotations if annotation.category_id in of]
    for annotation in kept:
        annotation.category_id = of[annotation.category_id]
    return replace(coco, categories=[Category(i, name) for i, name in enumerate(classes, 1)], annotations=kept)
