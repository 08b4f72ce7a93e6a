import json
from pathlib import Path

import numpy as np
import pytest

from segattr.datasets import masks
from segattr.datasets.coco import Annotation, Category, CocoFile, Image
from segattr.datasets.schema import Attribute, Schema


@pytest.fixture
def put(tmp_path):
    """`put(name, data)` writes JSON (or text, or bytes) below tmp_path and returns the path."""

    def write(name: str, data) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(data, bytes):
            path.write_bytes(data)
        else:
            path.write_text(data if isinstance(data, str) else json.dumps(data))
        return path

    return write


def ring() -> np.ndarray:
    """A mask (20, 30) with a hole."""
    mask = np.zeros((20, 30), np.uint8)
    mask[2:12, 3:15] = 1
    mask[5:8, 6:10] = 0
    return mask


@pytest.fixture
def ours() -> CocoFile:
    """A file that uses all that ours can say."""
    hole = masks.encode(ring())
    shirt = [[1, 1, 9, 1, 9, 9, 1, 9], [12.5, 1.25, 19, 1, 19, 9]]
    plain = {"segmentation": [[1, 1, 6, 1, 6, 5]], "bbox": [1, 1, 5, 4], "area": 10.0}
    return CocoFile(
        images=[
            Image(1, "a.jpg", 30, 20, {"source_id": "x"}),
            Image(7, "sub/b ü.jpg", 40, 50),
            Image(8, "c.jpg", 9, 9),
        ],
        categories=[
            Category(1, "shirt", {"supercategory": "tops"}),
            Category(4, "shoe, pair"),
            Category(9, "nobody's"),
        ],
        annotations=[
            Annotation(
                1, 1, 1, hole, list(masks.xywh(hole)), float(masks.area(hole)), attributes={"color": ["navy", "a, b"]}
            ),
            Annotation(2, 7, 4, shirt, [1, 1, 18, 8], 90.5, attributes={"pattern": "striped", "heel": 65}),
            Annotation(5, 7, 1, None, [1, 2, 3.5, 4], 14.0, attributes={"color": []}, score=0.5),
            Annotation(6, 7, 1, masks.encode(np.eye(50, 40)), [0, 0, 40, 40], 40.0, iscrowd=1),
            Annotation(
                8, 1, 4, **plain, attributes={"color": ["[x]", "white"], "heel": 1.5}, extra={"mask_grade": "A"}
            ),
            Annotation(
                9, 8, 1, [[1, 1, 6, 1, 6, 5]], [1, 1, 5, 4], 10.0, attributes={"color": ["a, b"], "pattern": "1"}
            ),
        ],
        schema=Schema(
            [
                Attribute("color", "multi", ("navy", "white", "a, b", "[x]")),
                Attribute("pattern", "single", ("striped", "1"), extra={"asked": "by eye"}),
                Attribute("heel", "number", unit="mm", categories=("shoe, pair",)),
            ]
        ),
        info={"year": 2026},
        licenses=[{"id": 1, "name": "CC0"}],
        extra={"palette": [1, 2]},
    )
