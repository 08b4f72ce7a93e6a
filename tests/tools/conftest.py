import importlib.util
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
