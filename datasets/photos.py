"""The photo of a COCO image."""

from pathlib import Path

import numpy as np

from .coco import Image, resolve_image
from .errors import InputError
from .images import load_rgb


def load_photo(coco_image: Image, images_dir: Path) -> np.ndarray:
    """uint8 (h, w, 3) RGB of a COCO image; InputError where its size is not what the file says."""
    path = resolve_image(images_dir, coco_image.file_name)
    rgb = load_rgb(path)
    if rgb.shape[:2] != (coco_image.height, coco_image.width):
        raise InputError(
            f"{path}: the photo is {rgb.shape[1]}x{rgb.shape[0]} px, its annotation file says "
            f"{coco_image.width}x{coco_image.height}; the masks belong to another version of the photo: "
            "annotate it again or restore the photo"
        )
    return rgb
