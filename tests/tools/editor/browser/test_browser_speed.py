"""What a person waits for on photos of 12 megapixels with 20 products, as figures: printed, never a reason to fail.

pytest tests/tools/editor/browser/test_browser_speed.py -p no:xdist
"""

import json
import os
import statistics
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from segattr.datasets import masks
from segattr.tools.editor.importing import import_coco, read_checked
from segattr.tools.editor.store import Store, work_folder

H, W = 3000, 4000
PHOTOS = 10


def outlines(count=20):
    """Products of uneven outline, bool (h, w) each, side by side in five columns."""
    rng = np.random.default_rng(4)
    for i in range(count):
        centre = np.array([W * (0.5 + i % 5) / 5, H * (0.5 + i // 5) / 4])
        turn = np.linspace(0, 2 * np.pi, 120, endpoint=False)
        reach = 300 + np.cumsum(rng.normal(0, 8, 120)) * np.hanning(120)
        ring = centre + reach[:, None] * np.stack([np.cos(turn), np.sin(turn)], 1)
        yield cv2.fillPoly(np.zeros((H, W), np.uint8), [np.round(ring).astype(np.int32)], 1).astype(bool)


@pytest.fixture
def large(stand, tmp_path):
    """A project of photos of 12 megapixels, each with 20 products. Returns the products of each."""
    rng = np.random.default_rng(1)
    products = list(outlines())
    shade = cv2.resize(rng.normal(205, 12, (30, 40, 3)).astype(np.float32), (W, H), interpolation=cv2.INTER_CUBIC)
    for product in products:
        shade[product] = rng.uniform(20, 140, 3)
    shade += cv2.resize(rng.normal(0, 14, (H // 2, W // 2, 3)).astype(np.float32), (W, H))
    first = tmp_path / "0.jpg"
    Image.fromarray(np.clip(shade, 0, 255).astype(np.uint8)).save(first, quality=92)
    images = [{"id": i + 1, "file_name": f"{i}.jpg", "width": W, "height": H} for i in range(PHOTOS)]
    for image in images[1:]:
        (tmp_path / image["file_name"]).write_bytes(first.read_bytes())
    rows = [
        {"image_id": image["id"], "category_id": 1, "segmentation": masks.encode(product), "iscrowd": 0}
        for image in images
        for product in products
    ]
    for i, row in enumerate(rows, 1):
        row |= {"id": i, "bbox": list(masks.xywh(row["segmentation"])), "area": masks.area(row["segmentation"])}
    file = tmp_path / "todo.json"
    file.write_text(json.dumps({"images": images, "annotations": rows, "categories": [{"id": 1, "name": "shirt"}]}))
    with Store(work_folder(tmp_path / "catalog.json"), images=tmp_path) as store:
        import_coco(store, read_checked(file))
        stand.show(store, tmp_path / "catalog.json")
        yield products


@pytest.mark.slow
@pytest.mark.skipif("PYTEST_XDIST_WORKER" in os.environ, reason="beside other tests its figures say nothing")
def test_speed_on_12_megapixels(large, tab, capsys):
    page = tab()
    figures = {}

    def note(name, value):
        assert value is not None and np.isfinite(value) and value >= 0
        figures.setdefault(name, []).append(value)

    page.until("segattrEditor.figures.openMs !== null")
    note("the first photo, with the page, ms", page.get("figures")["openMs"])
    page.until("[...document.querySelectorAll('#queue img')].every((one) => one.complete)")
    for name in ("2.jpg", "5.jpg", "8.jpg"):  # never the next one, which is fetched ahead
        page.open_photo(name)
        page.until("segattrEditor.figures.openMs !== null")
        note("open a photo, ms", page.get("figures")["openMs"])
        page.page.wait_for_timeout(1500)  # while the person looks
        page.press("ArrowRight")
        page.page.wait_for_timeout(300)
        note("go on to the next photo, ms", page.get("figures")["openMs"])
    assert len(page.get("instances")) == len(large) == 20

    page.press("b")
    for row in range(5):
        start = 500 + 500 * row
        way = [(300 + 25 * step, start + 200 * np.sin(step / 9)) for step in range(130)]
        before = page.get("instances")[0]["area"]
        page.drag(*way)
        page.until("segattrEditor.figures.stroke?.commitMs")
        stroke = page.get("figures")["stroke"]
        note("brush stroke, frames/s", stroke["fps"])
        note("longest frame of a stroke, ms", stroke["longestMs"])
        note("commit of a stroke, ms", stroke["commitMs"])
        assert page.get("instances")[0]["area"] > before
    page.saved()

    page.press("n", "s")
    for i, (x, y) in enumerate([(400, 375), (1200, 1125), (2000, 1875), (2800, 2625), (3600, 375)]):
        page.click(x, y)
        page.until("segattrEditor.preview")
        note(
            "click to segment, the first on a photo, ms" if i == 0 else "click to segment, ms",
            page.get("figures")["clickMs"],
        )
        page.press("Escape")

    busy = os.getloadavg()[0] if Path("/proc/loadavg").exists() else float("nan")
    with capsys.disabled():
        print(f"\n{W} x {H} px, 20 products, {os.cpu_count()} CPU cores, load {busy:.1f}, Chromium without a GPU")
        for name, values in figures.items():
            spread = f"{min(values):.0f} .. {max(values):.0f}"
            print(f"  {name:45} median {statistics.median(values):6.0f}   of {len(values)}: {spread}")
