"""COCO files as torch datasets: semantic, instance and attribute training. Samples are numpy-born uint8 tensors;
normalisation happens in the network, on the device."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import msgspec
import numpy as np
import torch
from torch.utils.data import Dataset

from . import masks
from .coco import Annotation, CocoFile, Image, annotation_rle
from .copy_paste import CopyPaste, CopyPasteOptions
from .errors import InputError
from .images import quick_resize
from .photos import load_photo

IGNORE = 255  # label of pixels that count neither in a loss nor in a metric


def _with_mask(coco: CocoFile, image: Image) -> list[Annotation]:
    return [a for a in coco.annotations_by_image[image.id] if a.segmentation is not None]


class _PhotoDataset(Dataset):
    """The images of a COCO file that carry masks, each with them, and with ``negatives`` those without any annotation.
    Crowds are handed on, not dropped."""

    def __init__(
        self, coco: CocoFile, images_dir: str | Path, transform: Callable | None = None, negatives: bool = False
    ):
        self.coco = coco
        self.images_dir = Path(images_dir)
        self.transform = transform
        empty = {i.id for i in coco.images if not coco.annotations_by_image[i.id]} if negatives else set()
        self.images = [image for image in coco.images if image.id in empty or _with_mask(coco, image)]
        if not self.images:
            raise InputError(
                "the training file has no image with a mask (boxes alone do not train); expected at least one"
            )

    def __len__(self) -> int:
        return len(self.images)

    def annotations(self, index: int) -> list[Annotation]:
        return _with_mask(self.coco, self.images[index])


class SemanticDataset(_PhotoDataset):
    """Photos and label maps.

    Item: ``image`` uint8 (3, h, w) RGB, ``mask`` uint8 (h, w): 0 background, i + 1 for ``classes[i]``, 255 = ignore
    (crowds). With one class, every product has it, whatever its category. Smaller instances lie over larger ones.
    ``transform``: albumentations-like, called with image (h, w, 3) and mask (h, w).
    """

    def __init__(self, coco, images_dir, classes: Sequence[str], transform: Callable | None = None):
        super().__init__(coco, images_dir, transform)
        names = [category.name for category in coco.categories]
        missing = [name for name in classes if name not in names]
        if len(classes) > 1 and missing:
            raise InputError(
                f"class {missing[0]!r} (--model.classes) is no category of the training file; expected some of: "
                + ", ".join(names)
            )
        if len(classes) >= IGNORE:
            raise InputError(f"{len(classes)} classes; a label map holds at most {IGNORE - 1}")
        one = len(classes) == 1
        self.label_of = {
            c.id: 1 if one else classes.index(c.name) + 1 for c in coco.categories if one or c.name in classes
        }

    def label_map(self, index: int) -> np.ndarray:
        """uint8 (h, w) labels of one photo at its full size."""
        image = self.images[index]
        label_map = np.zeros((image.height, image.width), np.uint8)
        for annotation in sorted(self.annotations(index), key=lambda a: (not a.iscrowd, -a.area)):
            label = IGNORE if annotation.iscrowd else self.label_of.get(annotation.category_id, 0)
            label_map[masks.decode(annotation_rle(annotation, image)).astype(bool)] = label
        return label_map

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        sample = {"image": load_photo(self.images[index], self.images_dir), "mask": self.label_map(index)}
        if self.transform is not None:
            sample = self.transform(**sample)
        return {
            "image": torch.from_numpy(np.ascontiguousarray(sample["image"].transpose(2, 0, 1))),
            "mask": torch.from_numpy(np.ascontiguousarray(sample["mask"])),
        }


class InstanceDataset(_PhotoDataset):
    """Photos and their instances, as torchvision's detection models take them.

    Item: (image uint8 (3, h, w), target) with target ``boxes`` float32 (n, 4) xyxy px, ``labels`` int64 (n,)
    1-based position in ``coco.categories``, ``masks`` uint8 (n, h, w), ``iscrowd`` uint8 (n,) (1 also for the box of a
    product without a mask), ``area`` float32 (n,), ``image_id`` int64. Instances whose mask is empty (after the
    transform) are dropped. ``transform`` is called with image and masks (a list; without one where there is no
    instance) and may not change the number of masks.
    ``negatives``: photos without any annotation belong to it too, as photos without a product; those that have only
    boxes never do. ``copy_paste``: lays cut-outs of the file's other photos onto each, before the transform; it draws
    from Python's ``random``, which the training loop seeds by epoch and worker. ``describe``: of the n annotations that
    are left, tensors by name, n rows each: they become ``attributes`` in the target. ``max_px``: photos and masks are
    shrunk to this longest side when they are read, one by one: 500 masks of a large photo take gigabytes.
    """

    def __init__(
        self,
        coco: CocoFile,
        images_dir: str | Path,
        transform: Callable | None = None,
        copy_paste: CopyPasteOptions | None = None,
        negatives: bool = False,
        describe: Callable[[list[Annotation]], dict[str, torch.Tensor]] | None = None,
        max_px: int | None = None,
    ):
        super().__init__(coco, images_dir, transform, negatives)
        self.copy_paste = CopyPaste(coco, images_dir, copy_paste) if copy_paste is not None else None
        self.describe, self.max_px = describe, max_px

    def annotations(self, index: int) -> list[Annotation]:
        """A product of which only the box is known is neither one to learn nor ground: its box is a crowd."""
        there = self.coco.annotations_by_image[self.images[index].id]
        return [_crowd(a) if a.segmentation is None else a for a in there]

    def __getitem__(self, index: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        image = self.images[index]
        annotations = self.annotations(index)
        sample = {
            "image": self._shrunk(load_photo(image, self.images_dir)),
            "masks": [self._shrunk(masks.decode(annotation_rle(a, image))) for a in annotations],
            "annotations": annotations,
        }
        if self.copy_paste is not None:
            sample = self.copy_paste(sample, np.random.default_rng(random.getrandbits(64)))
        annotations = sample.pop("annotations")
        if self.transform is not None:
            given = sample if sample["masks"] else {"image": sample["image"]}
            sample = {"masks": []} | self.transform(**given)
        position = {category.id: i + 1 for i, category in enumerate(self.coco.categories)}
        kept = [(a, m) for a, m in zip(annotations, sample["masks"], strict=True) if m.any()]
        stack = np.stack([m for _, m in kept]) if kept else np.zeros((0, *sample["image"].shape[:2]), np.uint8)
        boxes = np.array([_xyxy(mask) for mask in stack], np.float32).reshape(-1, 4)
        target = {
            "boxes": torch.from_numpy(boxes),
            "labels": torch.tensor([position[a.category_id] for a, _ in kept], dtype=torch.int64),
            "masks": torch.from_numpy(stack),
            "iscrowd": torch.tensor([a.iscrowd for a, _ in kept], dtype=torch.uint8),
            "area": torch.from_numpy(stack.sum((1, 2)).astype(np.float32)),
            "image_id": torch.tensor(image.id),
        }
        if self.describe is not None:
            target["attributes"] = self.describe([a for a, _ in kept])
        return torch.from_numpy(np.ascontiguousarray(sample["image"].transpose(2, 0, 1))), target

    def _shrunk(self, picture: np.ndarray) -> np.ndarray:
        """A photo (h, w, 3) or a mask (h, w)."""
        height, width = picture.shape[:2]
        factor = (self.max_px or np.inf) / max(height, width)
        if factor >= 1:
            return picture
        size = max(1, round(width * factor)), max(1, round(height * factor))
        if picture.ndim == 3:
            return quick_resize(picture, *size)
        return cv2.resize(picture, size, interpolation=cv2.INTER_NEAREST_EXACT)


def _crowd(annotation: Annotation) -> Annotation:
    x, y, w, h = annotation.bbox
    outline = [[x, y, x + w, y, x + w, y + h, x, y + h]]
    return msgspec.structs.replace(annotation, segmentation=outline, iscrowd=1)


def _xyxy(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


class AttributeDataset(Dataset):
    """Instances as 4-channel crops with encoded targets.

    ``crops``: uint8 (n, h, w, 4), RGB and the mask as 0/255, cut once at a somewhat larger size than the network's
    input: a small catalog's crops fit in memory, and every epoch would cut the same ones. ``targets``: a dict of
    tensors with n rows (see attributes.targets). Item: ``crop`` uint8 (4, s, s) and one entry a target.
    ``transform``: called with image (h, w, 3) and mask (h, w); with it, masks grow or shrink at random by up to
    ``mask_jitter`` of the crop's side.
    """

    def __init__(
        self,
        crops: np.ndarray,
        targets: dict[str, torch.Tensor],
        transform: Callable | None = None,
        mask_jitter: float = 0.0,
    ):
        if len(crops) == 0:
            raise InputError("no instance to train on: the training file has no annotation with a mask")
        self.crops, self.targets, self.transform, self.mask_jitter = crops, targets, transform, mask_jitter

    def __len__(self) -> int:
        return len(self.crops)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        crop = self.crops[index]
        if self.transform is not None:
            changed = self.transform(image=np.ascontiguousarray(crop[..., :3]), mask=np.ascontiguousarray(crop[..., 3]))
            crop = np.dstack([changed["image"], self._jittered(changed["mask"])])
        item = {"crop": torch.from_numpy(np.ascontiguousarray(crop.transpose(2, 0, 1)))}
        return item | {name: values[index] for name, values in self.targets.items()}

    def _jittered(self, mask: np.ndarray) -> np.ndarray:
        radius = round(random.uniform(-self.mask_jitter, self.mask_jitter) * mask.shape[0])
        if radius == 0:
            return mask
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * abs(radius) + 1,) * 2)
        changed = cv2.dilate(mask, kernel) if radius > 0 else cv2.erode(mask, kernel)
        return changed if changed.any() else mask
