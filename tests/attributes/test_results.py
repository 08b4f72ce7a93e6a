"""Items: COCO out, pictures out, the notebook's view."""

import io
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from segattr.attributes.colour import Swatch
from segattr.attributes.results import AttributeValue, Item, Items
from segattr.datasets.coco import read_coco
from segattr.datasets.errors import InputError
from segattr.datasets.schema import Attribute, Schema

SCHEMA = Schema([Attribute("color", "multi", ("navy", "white")), Attribute("pattern", "single", ("solid", "striped"))])


@pytest.fixture
def items():
    mask = np.zeros((40, 60), np.uint8)
    mask[10:30, 5:25] = 1
    mask[15:20, 10:15] = 0
    rle = coco_mask.encode(np.asfortranarray(mask))
    dress = Item(
        xyxy=(5.0, 10.0, 25.0, 30.0),
        rle=rle,  # counts as bytes, as pycocotools gives them
        category="dress",
        category_prob=0.75,
        score=0.912345678,
        attributes={
            "color": AttributeValue(["navy", "white"], {"navy": 0.9, "white": 0.55}),
            "pattern": AttributeValue("striped", {"striped": 2 / 3, "solid": 1 / 3}),
            "length": AttributeValue(float("nan")),
            "material": AttributeValue(None),
        },
        palette=[Swatch("#101840", 0.7)],
        embedding=np.zeros(256, np.float32),
        category_probs={"dress": 0.75, "hat": 0.25},
    )
    photo = np.full((40, 60, 3), 230, np.uint8)
    return Items("shop/é.jpg", 60, 40, [dress], image=photo, categories=("hat", "dress"), schema=SCHEMA), mask


def test_a_sequence_of_items(items):
    found, mask = items
    assert len(found) == 1 and list(found) == [found[0]] and found[-1] is found[0] and found[:1] == [found[0]]
    item = found[0]
    assert item.mask.dtype == bool and item.mask.shape == (40, 60) and (item.mask == mask.astype(bool)).all()
    assert item.mask is item.mask
    assert item.area == mask.sum() == 375 and item.xywh == (5, 10, 20, 20)
    assert item.label == "navy, white striped dress"


def test_attribute_values():
    assert AttributeValue(["navy", "white"], {"navy": 0.9, "white": 0.55}).prob == [0.9, 0.55]
    assert AttributeValue("solid", {"solid": 0.4}).prob == 0.4
    assert AttributeValue(3.5).prob is None
    assert [str(AttributeValue(v)) for v in (["a", "b"], "a", 2.5, None, [], float("nan"))] == [
        *("a, b", "a", "2.5"),
        *("unknown", "unknown", "unknown"),
    ]


def test_to_coco_is_read_back_by_our_reader(items, tmp_path):
    import msgspec

    found, mask = items
    data = found.to_coco()
    (tmp_path / "one.json").write_bytes(msgspec.json.encode(data))
    coco = read_coco(tmp_path / "one.json")
    (annotation,) = coco.annotations
    assert (coco.images[0].file_name, coco.images[0].width, coco.images[0].height) == ("shop/é.jpg", 60, 40)
    assert coco.category_by_id[annotation.category_id].name == "dress" and annotation.category_id == 2
    assert annotation.attributes == {"color": ["navy", "white"], "pattern": "striped"}
    assert annotation.score == 0.91235 and annotation.iscrowd == 0 and annotation.bbox == [5, 10, 20, 20]
    assert annotation.extra["probabilities"]["pattern"] == {"striped": 0.66667, "solid": 0.33333}
    assert coco.schema == SCHEMA
    assert (coco_mask.decode(annotation.segmentation) == mask).all()


def test_to_coco_without_categories_takes_them_from_the_items(items):
    found, _ = items
    bare = Items(None, 60, 40, found.items)
    data = bare.to_coco()
    assert {c["name"] for c in data["categories"]} == {"dress", "hat"}
    names = {c["id"]: c["name"] for c in data["categories"]}
    assert names[data["annotations"][0]["category_id"]] == "dress"
    assert Items(None, 60, 40).to_coco()["annotations"] == []


def test_plot_draws_on_a_copy(items):
    found, _ = items
    before = found.image.copy()
    picture = found.plot()
    assert isinstance(picture, Image.Image) and picture.size == (60, 40)
    assert (found.image == before).all()
    changed = (np.asarray(picture) != before).any(axis=2)
    assert changed[29, 5:25].any() and changed[38:].sum() == 0  # the lower outline; nothing far from it
    assert found.plot(max_side_px=30).size == (30, 20)
    assert Items(None, 60, 40, found.items).plot().size == (60, 40)
    with pytest.raises(InputError, match=r"\(40, 60, 3\)"):
        found.plot(np.zeros((5, 5, 3), np.uint8))


def test_the_notebook_shows_a_png(items):
    png = items[0]._repr_png_()
    assert Image.open(io.BytesIO(png)).format == "PNG"


def test_repr_tells_what_is_there(items):
    text = repr(items[0])
    assert "shop/é.jpg" in text and "1 product)" in text and "dress 75%" in text and "striped" in text
    assert "0 products" in repr(Items(None, 5, 5))


def test_to_supervision_says_what_to_install(items, monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(ImportError, match="pip install supervision"):
        items[0].to_supervision()


def test_to_supervision_hands_over_arrays(items, monkeypatch):
    """Against a stand-in with the fields of supervision.Detections: the library itself is no dependency."""
    monkeypatch.setitem(
        sys.modules, "supervision", SimpleNamespace(Detections=lambda **fields: SimpleNamespace(**fields))
    )
    found, mask = items
    detections = found.to_supervision()
    assert detections.xyxy.tolist() == [[5, 10, 25, 30]] and detections.xyxy.dtype == np.float32
    assert detections.mask.dtype == bool and (detections.mask[0] == mask.astype(bool)).all()
    assert detections.class_id.tolist() == [1] and detections.data["class_name"].tolist() == ["dress"]
    assert detections.data["color"].tolist() == ["navy, white"]
    empty = Items(None, 60, 40).to_supervision()
    assert empty.xyxy.shape == (0, 4) and empty.mask.shape == (0, 40, 60) and len(empty.class_id) == 0
