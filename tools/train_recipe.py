"""Train what a catalog needs from one COCO file: split, mask model, attribute model, one bundle of both."""

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import torch.distributed as dist
from tyro.conf import Suppress

from ..datasets.coco import read_coco, write_coco
from ..datasets.editing import split
from ..datasets.errors import InputError
from .train_attributes import TrainAttributes, train_attributes
from .train_semantic import TrainSemantic, train_semantic

Training = TypeVar("Training", TrainSemantic, TrainAttributes)


@dataclass(frozen=True)
class MaskTraining(TrainSemantic):
    """`train semantic` without the flags that the recipe decides."""

    data: Suppress[tuple[Path, ...]] = ()
    val: Suppress[Path] = Path()
    out: Suppress[Path] = Path()
    images: Suppress[Path | None] = None
    join: Suppress[Path | None] = None


@dataclass(frozen=True)
class HeadTraining(TrainAttributes):
    """`train attributes` without the flags that the recipe decides."""

    data: Suppress[tuple[Path, ...]] = ()
    val: Suppress[Path] = Path()
    out: Suppress[Path] = Path()
    images: Suppress[Path | None] = None
    join: Suppress[Path | None] = None


@dataclass(frozen=True)
class TrainRecipe:
    """Split a COCO file, train a mask model and an attribute model on it, and write DIR/bundle, which holds both.

    Any categories, any attribute_schema: the heads are those that the file names. DIR/split gets the two parts, DIR/masks
    what the training of the masks writes, DIR what that of the attributes does.
    """

    data: Path
    """COCO file with masks and attributes."""
    out: Path
    """Folder of all that comes out."""
    images: Path | None = None
    """Folder that file names are relative to; default: the folder of the COCO file."""
    val_share: float = 0.2
    """Share of the photos that do not train: they choose the best epochs and calibrate the probabilities."""
    group_by: str | None = None
    """A key of the images (source_id, product, ...) whose equal values stay in one part."""
    seed: int = 0
    """Of the split."""
    resume: bool = False
    """Go on with a recipe that stopped."""
    masks: MaskTraining = field(default_factory=MaskTraining)
    attributes: HeadTraining = field(default_factory=HeadTraining)


def train_recipe(config: TrainRecipe) -> Path:
    """Run the recipe and return the folder of the bundle."""
    if not 0 < config.val_share < 1:
        raise InputError(f"--val-share {config.val_share:g}: expected a share above 0 and below 1")
    shares = {"train": 1 - config.val_share, "val": config.val_share}
    files = {name: config.out / "split" / f"{name}.json" for name in shares}
    if config.data.resolve() in [file.resolve() for file in files.values()]:
        raise InputError(
            f"--out {config.out}: {config.data} would be overwritten by a part of itself; give another folder"
        )
    parts = split(read_coco(config.data), shares, group_by=config.group_by, seed=config.seed)
    for name, part in parts.items():
        write_coco(files[name], part)
        print(f"{files[name]}: {len(part.images)} photos", file=sys.stderr)
    masks = train_semantic(_filled(config.masks, config, files, config.out / "masks", None))
    if dist.is_initialized():
        dist.barrier()  # one process of torchrun's writes the bundle that all of them go on with
    return train_attributes(_filled(config.attributes, config, files, config.out, masks))


def _filled(training: Training, config: TrainRecipe, files: dict[str, Path], out: Path, join: Path | None) -> Training:
    return replace(
        training,
        data=(files["train"],),
        val=files["val"],
        out=out,
        images=config.images or config.data.parent,
        join=join,
        loop=replace(training.loop, resume=config.resume or training.loop.resume),
    )
