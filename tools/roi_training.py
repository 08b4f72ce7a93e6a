"""What ``segattr train instance --heads roi`` adds: attributes as targets, their figures on validation, their part."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from ..attributes.losses import AttributeLossConfig
from ..attributes.roi_heads import JointNet, JointTask, RoIConfig, RoIReader, described, rows
from ..attributes.targets import Decoder, encode, number_scales
from ..datasets.coco import Annotation, CocoFile, annotation_rle
from ..datasets.errors import InputError
from ..datasets.schema import Schema
from ..datasets.torch_datasets import load_photo
from ..seg.instance import InstanceConfig
from ..seg.segments import segment_from_rle
from .train_attributes import quick_figures, temperatures

_BATCH = 8


@dataclass(frozen=True)
class RoITraining:
    """The attributes that the files of one training teach. Raises InputError where their schemas differ or say
    nothing."""

    schema: Schema
    categories: list[str]
    files: list[CocoFile]
    val: CocoFile
    val_images: Path

    def __post_init__(self) -> None:
        if not len(self.schema) and len(self.categories) < 2:
            raise InputError(
                "--heads roi: the training file has no attribute_schema and one category: there is nothing to read"
            )
        if any(coco.schema != self.schema for coco in (*self.files, self.val)):
            raise InputError("--heads roi: the files' attribute schemas differ; merge or edit the files first")

    def describe(self, coco: CocoFile):
        """What `InstanceDataset` asks for: annotations to rows of targets."""
        return partial(rows, names=_names(coco), schema=self.schema, categories=self.categories)

    def task(self, model: InstanceConfig, roi: RoIConfig, loss: AttributeLossConfig, weights: str) -> JointTask:
        net = JointNet(model, roi, self.schema, self.categories, weights)
        every = [self.describe(coco)(_masked(coco)) for coco in self.files]
        targets = {name: torch.cat([one[name] for one in every]) for name in every[0]}
        return JointTask(net, loss, targets, number_scales(targets, self.schema))

    def figures(self, task: JointTask, device: torch.device, segm_ap: float) -> dict[str, float]:
        """Accuracies under the true masks, and ``joint``: the mean of theirs and of segm/AP."""
        logits, targets = self._read(task, device)
        said = quick_figures(logits, targets, task.reading.scales)
        return {f"roi/{name}": value for name, value in said.items()} | {"joint": (said["mean"] + segm_ap) / 2}

    def part(self, task: JointTask, roi: RoIConfig, device: torch.device) -> dict:
        """What bundle.json says of the heads, calibrated on validation."""
        found = temperatures(*self._read(task, device))
        return described(self.schema, self.categories, roi, found, task.reading.scales)

    def _read(self, task: JointTask, device: torch.device) -> tuple[dict, dict]:
        """Logits and targets of all products of the validation file, under their true masks."""
        decoder = Decoder(self.schema, self.categories, {}, task.reading.scales)
        reader = RoIReader(task.model, decoder, device)
        logits, kept = [], []
        images = [image for image in self.val.images if self.val.annotations_by_image[image.id]]
        for begin in range(0, len(images), _BATCH):
            some = images[begin : begin + _BATCH]
            segments = []
            for image in some:
                there = [a for a in self.val.annotations_by_image[image.id] if a.segmentation and not a.iscrowd]
                found = [(a, segment_from_rle(annotation_rle(a, image))) for a in there]
                segments.append([segment for _, segment in found if segment is not None])
                kept += [a for a, segment in found if segment is not None]
            logits.append(reader.read([load_photo(image, self.val_images) for image in some], segments))
        if not kept:
            raise InputError("the validation file has no product with a mask; expected at least one")
        joined = {name: torch.cat([one[name] for one in logits]) for name in logits[0]}
        return joined, encode(kept, _names(self.val), self.schema, self.categories)


def _names(coco: CocoFile) -> dict[int, str]:
    return {category.id: category.name for category in coco.categories}


def _masked(coco: CocoFile) -> list[Annotation]:
    return [a for a in coco.annotations if a.segmentation and not a.iscrowd]
