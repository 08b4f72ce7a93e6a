import json
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from PIL import Image

from segattr.datasets import masks
from segattr.tools.editor.importing import import_coco, read_checked
from segattr.tools.editor.records import Edit, wire
from segattr.tools.editor.store import Store, work_folder

H, W = 60, 80


def disc(cx, cy, r, h=H, w=W):
    y, x = np.mgrid[:h, :w]
    return (x - cx) ** 2 + (y - cy) ** 2 <= r * r


def photo(path: Path, seed=0, size=(H, W)):
    rgb = np.random.default_rng(seed).integers(200, 256, (*size, 3), np.uint8)
    rgb[10:40, 20:50] = (150, 20, 30)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgb).save(path)


def head(**more):
    return {
        "categories": [{"id": 2, "name": "shirt", "supercategory": "top"}, {"id": 5, "name": "hat"}],
        "attribute_schema": [
            {"name": "color", "kind": "multi", "values": ["red", "blue"]},
            {"name": "pattern", "kind": "single", "values": ["solid", "striped"]},
            {"name": "length", "kind": "number", "unit": "cm", "categories": ["shirt"]},
        ],
        **more,
    }


def annotation(id_, image_id, mask, **more):
    rle = masks.encode(mask)
    row = {"id": id_, "image_id": image_id, "category_id": 2, "segmentation": rle, "iscrowd": 0}
    return row | {"bbox": list(masks.xywh(rle)), "area": masks.area(rle)} | more


@pytest.fixture
def tools():
    return SimpleNamespace(disc=disc, photo=photo, head=head, annotation=annotation, size=(H, W))


@pytest.fixture
def catalog(tmp_path):
    """A COCO file of three photos with one, two and no annotations, beside its photos."""
    for i, name in enumerate(("a.png", "b.png", "c.png")):
        photo(tmp_path / "photos" / name, seed=i)
    images = [{"id": i + 1, "file_name": f"photos/{n}.png", "width": W, "height": H} for i, n in enumerate("abc")]
    rows = [
        annotation(
            1,
            1,
            disc(30, 25, 12),
            score=0.9,
            attributes={"color": ["red"]},
            probabilities={"category": {"shirt": 0.8, "hat": 0.2}, "color": {"red": 0.6, "blue": 0.4}},
        ),
        annotation(2, 2, disc(20, 20, 9), score=0.5, attributes={"pattern": "striped"}),
        annotation(3, 2, disc(60, 40, 9), category_id=5, score=0.95),
    ]
    path = tmp_path / "todo.json"
    path.write_text(json.dumps(head(images=images, annotations=rows)))
    return path


@pytest.fixture
def store(catalog, tmp_path):
    """The store of `catalog` for --out catalog.json; `store.key("a.png")` finds a photo's key."""
    with Store(work_folder(tmp_path / "catalog.json"), images=tmp_path) as store:
        import_coco(store, read_checked(catalog))
        yield store


@pytest.fixture
def key(store):
    def find(name):
        return next(one.key for one in store.index.values() if one.file_name.endswith(name))

    return find


@pytest.fixture
def edit(store):
    """`edit(key, state=..., instances=[...], revision=...)`: the edit that a browser sends back with these changes."""

    def make(key, **changes):
        record = json.loads(msgspec.json.encode(wire(store.photo(key), False)))
        return msgspec.convert(record | changes, Edit)

    return make
