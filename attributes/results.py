"""What the model says about a photo: one `Item` a product, one `Items` a photo. The same objects in every verb."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..datasets import masks
from ..datasets.errors import InputError
from .colour import Swatch

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

    from ..datasets.schema import Schema

DIGITS = 5  # of probabilities, scores and shares on disk: finer than any calibration, and the same text on every run

__all__ = ["AttributeValue", "Item", "Items", "Swatch"]


@dataclass(frozen=True)
class AttributeValue:
    """One attribute of one product.

    value: str for a single attribute, list[str] (dominant first) for a multi one, float for a number, None if unknown.
    probs: {value: probability} over the schema's values; empty for a number.
    """

    value: str | list[str] | float | None
    probs: dict[str, float] = field(default_factory=dict)

    @property
    def prob(self) -> float | list[float] | None:
        """The probability of `value`: a list in the same order for a multi attribute, None where there is none."""
        if isinstance(self.value, list):
            return [self.probs.get(value, 0.0) for value in self.value]
        return self.probs.get(self.value) if isinstance(self.value, str) else None

    @property
    def known(self) -> bool:
        """Whether there is a value: not None, no empty list, no NaN."""
        if isinstance(self.value, (str, list)):
            return bool(self.value)
        return self.value is not None and math.isfinite(self.value)

    def plain(self) -> str | list[str] | float:
        """The value as JSON takes it (a number may have come as numpy's)."""
        if isinstance(self.value, list):
            return list(self.value)
        return self.value if isinstance(self.value, str) else float(self.value)

    def __str__(self) -> str:
        if not self.known:
            return "unknown"
        if isinstance(self.value, list):
            return ", ".join(self.value)
        return self.value if isinstance(self.value, str) else f"{self.value:g}"


@dataclass(eq=False)
class Item:
    """One product in a photo.

    xyxy: box (x0, y0, x1, y1) in px of the photo, exclusive end. rle: {"size": [h, w], "counts": str}, whole photo.
    category with its probability category_prob; category_probs: {category: probability} over all of them, may be empty.
    score: confidence of the product itself, 0..1. palette: measured colours, largest share first.
    embedding: float32 (256,) or None.
    """

    xyxy: tuple[float, float, float, float]
    rle: dict[str, Any]
    category: str
    category_prob: float
    score: float
    attributes: dict[str, AttributeValue] = field(default_factory=dict)
    palette: list[Swatch] = field(default_factory=list)
    embedding: np.ndarray | None = None
    category_probs: dict[str, float] = field(default_factory=dict)

    @cached_property
    def mask(self) -> np.ndarray:
        """bool (h, w) of the whole photo, decoded when first asked for."""
        return masks.decode(self.rle).astype(bool)

    @property
    def xywh(self) -> tuple[float, float, float, float]:
        """The box as (x, y, width, height) in px: COCO's `bbox`."""
        x0, y0, x1, y1 = self.xyxy
        return (x0, y0, x1 - x0, y1 - y0)

    @property
    def area(self) -> int:
        """Pixels under the mask."""
        return int(masks.area(self.rle))

    @property
    def label(self) -> str:
        """The product in words, e.g. "navy, white striped dress"."""
        words = [
            str(value) for value in self.attributes.values() if isinstance(value.value, (str, list)) and value.value
        ]
        return " ".join([*words, self.category])

    def to_annotation(self, annotation_id: int, image_id: int, category_id: int) -> dict[str, Any]:
        """A COCO annotation (bbox xywh, RLE, iscrowd 0) with `attributes`, `score`, `probabilities` and `palette`."""
        category_probs = self.category_probs or {self.category: self.category_prob}
        probabilities = {"category": _rounded(category_probs)}
        probabilities |= {name: _rounded(value.probs) for name, value in self.attributes.items() if value.probs}
        counts = self.rle["counts"]
        return {
            "id": annotation_id,
            "image_id": image_id,
            "category_id": category_id,
            "segmentation": {
                "size": [int(side) for side in self.rle["size"]],
                "counts": counts.decode("ascii") if isinstance(counts, bytes) else counts,
            },
            "bbox": [round(float(number), 2) for number in self.xywh],
            "area": self.area,
            "iscrowd": 0,
            "score": round(float(self.score), DIGITS),
            "attributes": {name: value.plain() for name, value in self.attributes.items() if value.known},
            "probabilities": probabilities,
            "palette": [{"hex": swatch.hex, "share": round(float(swatch.share), DIGITS)} for swatch in self.palette],
        }

    def __repr__(self) -> str:
        x0, y0, x1, y1 = (round(number) for number in self.xyxy)
        attributes = "".join(f", {name}={value.value!r}" for name, value in self.attributes.items())
        place = f"xyxy=({x0}, {y0}, {x1}, {y1}), score={self.score:.2f}"
        return f"Item({self.category} {self.category_prob:.0%}{attributes}, {place})"


@dataclass(eq=False)
class Items(Sequence[Item]):
    """The products of one photo, the most certain first.

    source: path or name of the photo, None for an array. width, height: px after EXIF orientation.
    image: uint8 (height, width, 3) RGB where it is at hand: what plot() draws on.
    categories: every category the model knows, in the order of their ids (1, 2, ...). schema: its attributes.
    """

    source: str | None
    width: int
    height: int
    items: list[Item] = field(default_factory=list)
    image: np.ndarray | None = None
    categories: Sequence[str] = ()
    schema: Schema | None = None

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]

    def __iter__(self) -> Iterator[Item]:
        return iter(self.items)

    def __repr__(self) -> str:
        name = self.source or "array"
        lines = [f"Items({name}, {self.width}x{self.height} px, {len(self)} product{'' if len(self) == 1 else 's'})"]
        return "\n".join(lines + [f"  {index}: {item!r}" for index, item in enumerate(self)])

    def category_ids(self) -> dict[str, int]:
        """{category: id from 1}; the model's order, and after it whatever else the items name."""
        names = dict.fromkeys(self.categories)
        for item in self:
            names |= dict.fromkeys([*item.category_probs, item.category])
        return {name: number for number, name in enumerate(names, start=1)}

    def to_coco(self) -> dict[str, Any]:
        """A COCO dict of this one photo: ids from 1, bbox xywh, RLE masks, attributes and the `attribute_schema`."""
        ids = self.category_ids()
        return {
            "info": {"description": "segattr"},
            "images": [{"id": 1, "file_name": self.source or "", "width": self.width, "height": self.height}],
            "categories": [{"id": number, "name": name} for name, number in ids.items()],
            "attribute_schema": self.schema.to_json() if self.schema is not None else [],
            "annotations": [
                item.to_annotation(number, 1, ids[item.category]) for number, item in enumerate(self, start=1)
            ],
        }

    def to_supervision(self):
        """`supervision.Detections`: xyxy float32 (n, 4), mask bool (n, h, w), confidence, class_id (from 0), data.

        Raises ImportError, with what to install, where `supervision` is missing.
        """
        try:
            import supervision
        except ImportError as error:
            raise ImportError("to_supervision() needs the library `supervision`: pip install supervision") from error
        ids = self.category_ids()
        names = dict.fromkeys(name for item in self for name in item.attributes)
        data = {"class_name": [item.category for item in self]}
        data |= {name: [str(item.attributes.get(name, AttributeValue(None))) for item in self] for name in names}
        return supervision.Detections(
            xyxy=np.array([item.xyxy for item in self], np.float32).reshape(-1, 4),
            mask=np.stack([item.mask for item in self]) if self.items else np.zeros((0, self.height, self.width), bool),
            confidence=np.array([item.score for item in self], np.float32),
            class_id=np.array([ids[item.category] - 1 for item in self], int),
            data={name: np.array(values, dtype=object) for name, values in data.items()},
        )

    def plot(self, image: np.ndarray | None = None, *, max_side_px: int | None = None) -> PILImage:
        """Outlines and labels drawn on the photo.

        image: uint8 (height, width, 3) RGB; without it the photo the items came with, else `source` is opened, else
        plain grey. max_side_px shrinks the picture first. Raises InputError where `image` is of another size.
        """
        from .drawing import draw_items

        ground = self._ground() if image is None else np.asarray(image)
        if ground.shape != (self.height, self.width, 3) or ground.dtype != np.uint8:
            raise InputError(
                f"plot() got an image of shape {ground.shape} and dtype {ground.dtype}; expected the photo the items "
                f"were found in: uint8 ({self.height}, {self.width}, 3)."
            )
        return draw_items(ground, self.items, max_side_px=max_side_px)

    def _ground(self) -> np.ndarray:
        from ..datasets.images import load_rgb

        if self.image is not None:
            return self.image
        if self.source is not None:
            try:
                return load_rgb(self.source)
            except InputError:
                pass  # the source may be a bare name, or the photo gone: the masks can still be shown
        return np.full((self.height, self.width, 3), 200, np.uint8)

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.plot(max_side_px=640).save(buffer, format="PNG")
        return buffer.getvalue()


def _rounded(probs: dict[str, float]) -> dict[str, float]:
    return {name: round(float(prob), DIGITS) for name, prob in probs.items()}
