"""The bundle that ships: whole, small, licensed, and able."""

import os
from pathlib import Path

import numpy as np
import pytest

import segattr
from segattr.datasets.coco import annotation_rle, read_coco
from segattr.datasets.images import load_rgb
from segattr.datasets.masks import decode
from segattr.datasets.synthetic import SynthConfig, render
from segattr.seg.metrics import binary_iou
from segattr.seg.segments import segment_from_rle
from segattr.weights.bundle import SHIPPED, read_bundle

DATA = Path(os.environ.get("SEGATTR_DATA", Path(__file__).parents[3] / "shared" / "data")) / "catalog"


@pytest.fixture(scope="module")
def model():
    return segattr.load("default", device="cpu")


def test_it_is_whole_small_and_says_where_it_comes_from():
    bundle = read_bundle("default")
    assert set(bundle.parts) == {"semantic", "attributes"}
    assert sum(path.stat().st_size for path in (SHIPPED / "default").iterdir()) <= 25_000_000
    for part in bundle.parts:
        card = bundle.card[part]
        assert card["command"].startswith("segattr train") and card["figures"]
        assert all(data["licenses"] for data in card["data"])


def test_drawn_products_are_found_and_described(model):
    config = SynthConfig(size_px=400, products=(1, 1), ground="studio")
    drawn = [render(5, index, config) for index in range(12)]
    found = model([rgb for rgb, _ in drawn])
    pairs = [(items[0], products[0]) for items, (_, products) in zip(found, drawn, strict=True) if len(items)]
    assert len(pairs) >= 10
    assert np.mean([binary_iou(item.mask, product.mask) for item, product in pairs]) > 0.75
    colours = [item.attributes["color"].value[0] in product.attributes["color"] for item, product in pairs]
    assert np.mean(colours) > 0.5
    for item, _ in pairs:
        probabilities = item.attributes["pattern"].probs
        assert sum(probabilities.values()) == pytest.approx(1, abs=1e-4)
        assert sum(swatch.share for swatch in item.palette) <= 1 + 1e-6


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason="the real photos (../shared/data/catalog) are not here")
def test_real_photos(model):
    coco = read_coco(DATA / "val.json")
    images = coco.images[::4]
    truth = [coco.annotations_by_image[image.id][0] for image in images]
    photos = [load_rgb(DATA / image.file_name) for image in images]
    masks = [decode(annotation_rle(a, i)).astype(bool) for a, i in zip(truth, images, strict=True)]
    ious = [
        binary_iou(np.any([item.mask for item in items], axis=0) if len(items) else np.zeros_like(mask), mask)
        for items, mask in zip(model(photos), masks, strict=True)
    ]
    assert np.mean(ious) > 0.85
    segments = [[segment_from_rle(annotation_rle(a, i))] for a, i in zip(truth, images, strict=True)]
    described = [items[0] for items in model.predictor.describe(photos, segments)]
    colour = [d.attributes["color"].value[0] == a.attributes["color"][0] for d, a in zip(described, truth, strict=True)]
    assert np.mean(colour) > 0.5


def test_the_instance_bundle_is_whole_small_and_says_where_it_comes_from():
    bundle = read_bundle("instance")
    assert set(bundle.parts) == {"instance"}
    assert sum(path.stat().st_size for path in (SHIPPED / "instance").iterdir()) <= 25_000_000
    card = bundle.card["instance"]
    assert card["command"].startswith("segattr train instance") and card["figures"]
    assert all(data["licenses"] for data in card["data"])


def test_touching_products_are_found_one_by_one():
    config = SynthConfig(size_px=400, products=(2, 3), ground="studio")
    drawn = [render(6, index, config) for index in range(12)]
    found = segattr.load("default", device="cpu", segmenter="instance")([rgb for rgb, _ in drawn])
    best = [
        max((binary_iou(item.mask, product.mask) for item in items), default=0)
        for items, (_, products) in zip(found, drawn, strict=True)
        for product in products
    ]
    assert np.mean(np.array(best) > 0.5) > 0.6
    assert sum(len(items) for items in found) <= 2 * len(best)
