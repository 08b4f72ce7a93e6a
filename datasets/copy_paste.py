"""Copy-paste augmentation: cut-outs of other photos laid onto a photo, with their categories and attributes.

After Ghiasi et al., Simple Copy-Paste is a Strong Data Augmentation Method for Instance Segmentation, 2021.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np

from .coco import Annotation, CocoFile
from .cutouts import Cutouts, Layers, Shadow, turned
from .errors import InputError
from .images import quick_resize

_TRIES = 6  # places that a cut-out is tried at before it is left out


@dataclass(frozen=True)
class CopyPasteOptions:
    """Which cut-outs, how many and how they lie. Raises InputError where a value makes no sense."""

    probability: float = 0.5
    """Share of the samples that get cut-outs."""
    products: tuple[int, int] = (1, 5)
    """Fewest and most cut-outs in one photo; one that finds no place is left out."""
    scale: tuple[float, float] = (0.25, 0.7)
    """Longest side of a cut-out against the photo's, drawn evenly on a logarithmic scale."""
    rotate_deg: float = 30.0
    """A cut-out is turned by up to this, either way."""
    flip: float = 0.5
    """Share that is mirrored."""
    min_visible: float = 0.3
    """Every instance keeps at least this share of its area in sight, of the cut-outs also inside the photo."""
    feather_px: tuple[float, float] = (0.4, 1.0)
    """Softness of the outlines (deviation of a Gaussian)."""
    shadow: float = 0.5
    """Share that throws a soft shadow."""
    darken: float = 0.15
    """Cut-outs are darkened by up to this; their hue stays."""
    max_px: int = 448
    """Photos are shrunk to this longest side before anything is pasted: choose a little above what the network sees."""
    cache_mib: float = 384
    """Decoded cut-outs kept in the memory of each process."""

    def __post_init__(self) -> None:
        checks = (
            (0 <= self.probability <= 1, f"probability is {self.probability:g}, expected 0 to 1"),
            (
                0 < self.products[0] <= self.products[1],
                f"products is {self.products}, expected fewest and most, 1 or more",
            ),
            (0 < self.scale[0] <= self.scale[1] <= 2, f"scale is {self.scale}, expected least and most in 0 to 2"),
            (0 <= self.rotate_deg <= 180, f"rotate_deg is {self.rotate_deg:g}, expected 0 to 180"),
            (0 <= self.flip <= 1, f"flip is {self.flip:g}, expected 0 to 1"),
            (0 < self.min_visible <= 1, f"min_visible is {self.min_visible:g}, expected above 0, at most 1"),
            (
                0 <= self.feather_px[0] <= self.feather_px[1] <= 20,
                f"feather_px is {self.feather_px}, expected least and most in 0 to 20",
            ),
            (0 <= self.shadow <= 1, f"shadow is {self.shadow:g}, expected 0 to 1"),
            (0 <= self.darken < 1, f"darken is {self.darken:g}, expected 0 or more, below 1"),
            (self.max_px >= 32, f"max_px is {self.max_px}, expected 32 or more"),
            (self.cache_mib >= 0, f"cache_mib is {self.cache_mib:g}, expected 0 or more"),
        )
        for holds, message in checks:
            if not holds:
                raise InputError(f"copy-paste: {message}")


class CopyPaste:
    """Lays cut-outs of a COCO file onto its photos.

    Label-safe: category and attributes travel with a cut-out, and nothing changes a hue.
    """

    def __init__(self, coco: CocoFile, images_dir: str | Path, options: CopyPasteOptions):
        self.options = options
        # More pixels than the largest pasting shows are not worth the memory.
        side = max(32, round(options.max_px * min(1.0, options.scale[1])))
        self.cutouts = Cutouts(coco, images_dir, side, options.cache_mib)

    def __call__(self, sample: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
        """``sample``: ``image`` uint8 (h, w, 3), ``masks`` (a list of uint8 (h, w)), ``annotations`` (one a mask).

        Returns the same keys; nothing that was passed in is changed. Masks are the visible parts; ``area`` and ``bbox``
        of the annotations belong to them, ``segmentation`` is None (the mask is the truth), ids are the photo's own and
        the donors'. Instances that come out hidden are dropped.
        """
        options = self.options
        if rng.random() >= options.probability:
            return sample
        image, visible = _shrunk(sample["image"], list(sample["masks"]), options.max_px)
        wholes = [int(np.count_nonzero(mask)) for mask in visible]
        layers = Layers(image, visible, list(sample["annotations"]), wholes)
        own = {annotation.image_id for annotation in layers.tags}
        count = int(rng.integers(options.products[0], options.products[1] + 1))
        for index in _donors(rng, self.cutouts.annotations, count, own):
            self._lay(layers, index, rng)
        kept = [(a, m) for a, m in zip(layers.tags, layers.masks, strict=True) if m.any()]
        found = {"masks": [m for _, m in kept], "annotations": [_measured(a, m) for a, m in kept]}
        return sample | {"image": layers.image} | found

    def _lay(self, layers: Layers, index: int, rng: np.random.Generator) -> None:
        options, (height, width) = self.options, layers.image.shape[:2]
        picture = self.cutouts[index]
        side = max(height, width) * np.exp(rng.uniform(*np.log(options.scale)))
        piece = turned(
            picture,
            side / max(picture.shape[:2]),
            rng.uniform(-options.rotate_deg, options.rotate_deg),
            rng.random() < options.flip,
            rng.uniform(*options.feather_px),
            1 - rng.uniform(0, options.darken),
        )
        shadow = random_shadow(rng, side) if rng.random() < options.shadow else None
        for _ in range(_TRIES):
            # The centre anywhere in the photo: one that leaves it by too much does not show enough, and is tried again.
            x = round(rng.uniform(0, width) - piece.mask.shape[1] / 2)
            y = round(rng.uniform(0, height) - piece.mask.shape[0] / 2)
            if layers.bears(piece, x, y, options.min_visible):
                layers.lay(piece, x, y, self.cutouts.annotations[index], shadow)
                return


def random_shadow(rng: np.random.Generator, side_px: float) -> Shadow:
    """From a thin contact shadow to a wide soft one, for a product whose longest side is ``side_px``."""
    reach = side_px * rng.uniform(0.004, 0.035)
    angle = rng.uniform(0, 2 * np.pi)
    shift = (round(reach * np.cos(angle)), round(reach * np.sin(angle)))
    return Shadow(shift, max(1, round(reach * rng.uniform(0.6, 1.3))), rng.uniform(0.12, 0.5))


def _donors(rng: np.random.Generator, annotations: list[Annotation], count: int, own: set[int]) -> list[int]:
    """Positions of up to ``count`` annotations, each once, of other photos than ``own`` where there are any."""
    drawn = rng.permutation(len(annotations)) if len(annotations) < 64 else _some(rng, len(annotations), 2 * count + 8)
    others = [int(i) for i in drawn if annotations[i].image_id not in own]
    return (others or [int(i) for i in drawn])[:count]


def _some(rng: np.random.Generator, size: int, count: int) -> list[int]:
    return list(dict.fromkeys(rng.integers(0, size, count).tolist()))


def _shrunk(image: np.ndarray, visible: list[np.ndarray], max_px: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Copies (of the image always, of the masks where they change) with a longest side of at most ``max_px``."""
    height, width = image.shape[:2]
    factor = max_px / max(height, width)
    if factor >= 1:
        return image.copy(), visible
    size = max(1, round(width * factor)), max(1, round(height * factor))
    small = [cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST_EXACT) for mask in visible]
    return quick_resize(image, *size), small


def _measured(annotation: Annotation, mask: np.ndarray) -> Annotation:
    x, y, w, h = cv2.boundingRect(mask)
    area = float(cv2.countNonZero(mask))
    return msgspec.structs.replace(
        annotation, segmentation=None, bbox=[float(x), float(y), float(w), float(h)], area=area
    )
