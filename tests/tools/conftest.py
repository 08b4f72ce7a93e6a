import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image


def _load(name: str):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def fake():
    """The module fake_predictor (tests are no package: it cannot be imported by name)."""
    return _load("fake_predictor")


def draw(path: Path, boxes, size=(60, 80), first_pixel=None) -> Path:
    """A photo of dark-coloured boxes (x0, y0, x1, y1, rgb) on white; size (h, w)."""
    rgb = np.full((*size, 3), 255, np.uint8)
    for x0, y0, x1, y1, colour in boxes:
        rgb[y0:y1, x0:x1] = colour
    if first_pixel is not None:
        rgb[0, 0] = first_pixel
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgb).save(path)
    return path


@pytest.fixture
def photos(tmp_path):
    """`photos.add(name, boxes=..., first_pixel=...)` draws into photos.folder; `photos.many(n)` draws n of them."""
    folder = tmp_path / "photos"

    def add(name, boxes=((10, 10, 40, 50, (90, 20, 10)),), **options):
        return draw(folder / name, boxes, **options)

    def many(count):
        for i in range(count):
            boxes = [(5 + j * 25, 5, 20 + j * 25, 20 + (i * 7) % 35, (10 * i % 100, 30, 60)) for j in range(i % 4)]
            add(f"{i:03d}.png", boxes)

    return SimpleNamespace(folder=folder, add=add, many=many)


@pytest.fixture(scope="session")
def odd_catalog():
    """`odd_catalog(folder)` writes odd.json: photos with no product, products without area, without a pixel, of one
    pixel, 500 in one photo, a crowd, a lone box and one beside a mask; ids with gaps, a category that nothing is of."""
    return _odd_catalog


def _odd_catalog(folder: Path, outside: bool = False) -> Path:
    rng = np.random.default_rng(0)
    folder.mkdir()
    size = 96
    names = ("none", "odd", "crowd", "many", "fine", "boxes", "mixed")
    images = [{"id": i, "file_name": f"{n}.png", "width": size, "height": size} for i, n in enumerate(names, 11)]
    for image in images:
        Image.fromarray(rng.integers(0, 255, (size, size, 3), np.uint8)).save(folder / image["file_name"])

    def square(image, x, y, side, **more):
        polygon = [x, y, x + side, y, x + side, y + side, x, y + side]
        return {"image_id": image, "category_id": 3, "segmentation": [polygon], "iscrowd": 0,
                "bbox": [x, y, side, side], "area": side * side} | more  # fmt: skip

    def rle(*counts):
        return {"size": [size, size], "counts": list(counts)}

    annotations = [
        square(12, 20, 20, 0),
        square(12, 30, 30, 1),
        square(12, 95, 95, 1),
        square(12, 0, 0, 5, segmentation=rle(size * size)),
        square(12, 10, 10, 40),
        square(13, 0, 0, size, segmentation=rle(0, size * size), iscrowd=1),
        *(square(14, int(x), int(y), 7) for x, y in rng.integers(0, 88, (500, 2))),
        square(15, 20, 20, 50),
        square(16, 20, 20, 50, segmentation=None),
        square(17, 5, 5, 40),
        square(17, 50, 50, 40, segmentation=[]),
    ]
    if outside:
        annotations += [square(15, 200, 200, 20), square(15, -50, -50, 20), square(15, 80, 80, 50)]
    categories = [{"id": 3, "name": "shirt"}, {"id": 9, "name": "hat"}]
    numbered = [{"id": i} | a for i, a in enumerate(annotations, 1)]
    path = folder / "odd.json"
    path.write_text(json.dumps({"images": images, "annotations": numbered, "categories": categories}))
    return path
