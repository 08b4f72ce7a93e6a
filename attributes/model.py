"""Three lines to a result: ``model = segattr.load("default")``; ``items = model("photo.jpg")``."""

from pathlib import Path
from typing import Any

import numpy as np

from ..datasets.errors import InputError
from ..datasets.images import load_rgb
from .predictor import Heads, Predictor, load_predictor
from .results import Items

_BATCH = 8  # photos held decoded at once


class Model:
    """A predictor for people: takes paths, arrays and PIL images, one or a list of them."""

    def __init__(self, predictor: Predictor):
        self.predictor = predictor

    @property
    def card(self) -> dict:
        """What the model was trained on, by which command, with which figures: one entry a part; and ``evaluations``,
        where `segattr evaluate --card` measured it."""
        chosen = self.predictor.chosen
        return self.predictor.bundle.card | {chosen.part: chosen.bundle.card.get(chosen.part, {})}

    def __call__(self, photos: Any) -> Items | list[Items]:
        """``photos``: a path, a uint8 array (h, w, 3) RGB or (h, w) grey, a PIL image, or a list of them. One gives
        `Items`, a list gives a list. Raises InputError for what cannot be read as a photo."""
        if not isinstance(photos, list | tuple):
            return self([photos])[0]
        found: list[Items] = []
        for begin in range(0, len(photos), _BATCH):
            some = photos[begin : begin + _BATCH]
            images = [as_rgb(photo) for photo in some]
            for photo, image, items in zip(some, images, self.predictor(images), strict=True):
                items.source = str(photo) if isinstance(photo, str | Path) else None
                items.image = image
                found.append(items)
        return found

    def __repr__(self) -> str:
        predictor = self.predictor
        attributes = ", ".join(attribute.name for attribute in predictor.schema)
        return f"Model({predictor.bundle.folder.name}: {len(predictor.categories)} categories; {attributes}; {predictor.device})"


def as_rgb(photo: Any) -> np.ndarray:
    """Any form of a photo as uint8 (h, w, 3) RGB."""
    if isinstance(photo, str | Path | bytes):
        return load_rgb(photo)
    array = np.asarray(photo.convert("RGB") if hasattr(photo, "convert") else photo)
    if array.dtype == np.uint8 and array.ndim == 2:
        array = np.repeat(array[..., None], 3, 2)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        raise InputError(
            f"a photo of shape {array.shape} and dtype {array.dtype}; expected a path, a PIL image or a uint8 array "
            "(h, w, 3) in RGB order"
        )
    return array


def load(
    model: str | Path = "default",
    device: str = "auto",
    segmenter: str | Path | None = None,
    heads: Heads = "crops",
) -> Model:
    """Open a bundle: ``"default"`` ships with the package; else the folder that `segattr train` wrote.

    ``device``: auto (CUDA where there is one), cpu or cuda. ``segmenter``: where the masks come from: "semantic",
    "instance" (Mask R-CNN, for photos of several products) or the folder of another bundle; by default the bundle's
    semantic part if it has one, else its instance part. ``heads``: what reads the attributes: "crops", the attribute
    network, or "roi", heads on the features of the Mask R-CNN, where it was trained with them. Raises InputError for a
    bundle that is missing or altered.
    """
    return Model(load_predictor(model, device, segmenter, heads))
