"""A stand-in for the network: finds the dark pieces on a white ground, without torch, as slowly as a test wants."""

import time

import cv2
import numpy as np

from segattr.attributes.colour import Swatch
from segattr.attributes.results import AttributeValue, Item, Items
from segattr.datasets import masks
from segattr.datasets.schema import Attribute, Schema

SCHEMA = Schema(
    [
        Attribute("color", "multi", ("red", "green", "blue")),
        Attribute("pattern", "single", ("solid", "striped")),
        Attribute("length", "number", unit="cm"),
    ]
)
POISON = (255, 0, 255)  # a photo whose first pixel has this colour makes the network fail


class FakePredictor:
    def __init__(self, *, delay_s: float = 0.0, fingerprint: str = "fake-1"):
        self.categories, self.schema, self.info = ["shirt", "hat"], SCHEMA, {}
        self.delay_s, self.fingerprint, self.bundles = delay_s, fingerprint, (fingerprint,)
        self.calls: list[int] = []

    def __call__(self, images):
        time.sleep(self.delay_s)
        self.calls.append(len(images))
        if any(tuple(image[0, 0]) == POISON for image in images):
            raise RuntimeError("poisoned photo")
        return [self.find(image, len(images)) for image in images]

    def find(self, image: np.ndarray, batch: int) -> Items:
        height, width = image.shape[:2]
        count, labels, stats, _ = cv2.connectedComponentsWithStats((image.min(axis=2) < 128).astype(np.uint8))
        items = []
        for index in range(1, count):
            x, y, w, h, area = (int(value) for value in stats[index])
            mask = labels == index
            order = np.argsort(-image[mask].mean(axis=0), kind="stable")
            colours = [SCHEMA["color"].values[i] for i in order]
            first = 0.6 if w > h else 0.9
            items.append(
                Item(
                    xyxy=(x, y, x + w, y + h),
                    rle=masks.encode(mask),
                    category=self.categories[int(w > h)],
                    category_prob=first,
                    category_probs={self.categories[int(w > h)]: first, self.categories[int(w <= h)]: 1 - first},
                    # As with a real network, the last digits depend on who shares the batch.
                    score=0.9 + batch / 10_000,
                    attributes={
                        "color": AttributeValue(colours[:2], dict(zip(colours, (0.8, 0.6, 0.1), strict=True))),
                        "pattern": AttributeValue("solid", {"solid": 0.7, "striped": 0.3}),
                        "length": AttributeValue(np.float32(area / 2)),
                    },
                    palette=[Swatch("#102030", 0.75), Swatch("#aabbcc", 0.25)],
                    embedding=np.full(256, index, np.float32),
                )
            )
        return Items(None, width, height, items, schema=SCHEMA)
