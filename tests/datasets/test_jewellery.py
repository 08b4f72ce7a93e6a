"""`segattr data synth --trade jewellery`: what the file says is what is drawn."""

from collections import defaultdict
from dataclasses import replace

import cv2
import numpy as np
import pytest

from segattr.datasets.coco import read_coco
from segattr.datasets.errors import InputError
from segattr.datasets.synth import tray
from segattr.datasets.synth.jewels import Jewel, circle
from segattr.datasets.synth.tray import compose
from segattr.datasets.synthetic import TRADES, SynthConfig, generate, render
from segattr.datasets.validate import find_defects

TRADE = TRADES["jewellery"]
CONFIG = SynthConfig(trade="jewellery", size_px=96, products=(1, 4))


def test_the_same_bytes_whatever_the_count(tmp_path):
    one, other = tmp_path / "a", tmp_path / "b"
    generate(replace(CONFIG, images=3, seed=5), one, progress=False)
    generate(replace(CONFIG, images=4, seed=5), other, progress=False)
    for file in sorted((one / "images").iterdir()):
        assert file.read_bytes() == (other / "images" / file.name).read_bytes()
    assert read_coco(one / "catalog.json").annotations[0] == read_coco(other / "catalog.json").annotations[0]


def test_the_file_has_no_defect_and_says_the_scale_and_the_unit(tmp_path):
    path = generate(replace(CONFIG, images=4, products=(1, 1), format="png"), tmp_path, progress=False)
    assert not find_defects(path, images_dir=tmp_path)
    coco = read_coco(path)
    assert coco.schema["weight"].kind == "number" and coco.schema["weight"].unit == "g"
    assert coco.schema["earring"].categories == ("earrings",)
    scale = {"ring": 36, "earrings": 46, "bracelet": 88, "necklace": 134}  # mm a side
    names = {category.id: category.name for category in coco.categories}
    for image, annotation in zip(coco.images, coco.annotations, strict=True):
        assert image.extra["mm_per_px"] == pytest.approx(scale[names[annotation.category_id]] / 96, rel=1e-4)


def test_every_value_is_drawn_and_masks_do_not_overlap():
    seen, weights = defaultdict(set), []
    for index in range(60):
        rgb, products = render(3, index, CONFIG)
        assert rgb.shape == (96, 96, 3) and rgb.dtype == np.uint8
        masks = np.stack([product.mask for product in products])
        assert masks.any((1, 2)).all() and masks.sum(0).max() <= 1
        for product in products:
            assert not TRADE.schema.defects(product.attributes, product.category)
            # All that applies is said.
            assert set(product.attributes) == {a.name for a in TRADE.schema if a.applies_to(product.category)}
            seen["category"].add(product.category)
            for name, value in product.attributes.items():
                seen[name].add(value)
            weights.append(product.attributes["weight"])
    assert seen["category"] == set(TRADE.categories)
    for attribute in TRADE.schema:
        if attribute.kind == "single":
            assert seen[attribute.name] == set(attribute.values)
    assert min(weights) > 0.3 and max(weights) < 100 and np.std(weights) > 3


@pytest.mark.parametrize("category", TRADE.categories)
@pytest.mark.parametrize(("size", "count"), [(32, 6), (77, 1), (200, 2)])
def test_every_category_is_drawn_in_every_size(category, size, count):
    rgb, products, extra = compose(np.random.default_rng(size), size, (count, count), "studio", category=category)
    assert rgb.shape == (size, size, 3) and len(products) == count and extra["mm_per_px"] > 0
    assert all(product.mask.any() and product.category == category for product in products)


def test_bodies_weigh_what_their_formulas_say():
    gold = Jewel("gold", "none")
    gold.wire(circle(10.0, tilt=0.6), 1.5)  # a torus: 2 pi^2 R r^2, however it lies
    assert gold.grams == pytest.approx(15.4e-3 * 2 * np.pi**2 * 10 * 1.5**2, rel=0.002)
    silver = Jewel("silver", "none")
    silver.balls(np.zeros((3, 3)), 2.0, wall=0.4)
    assert silver.grams == pytest.approx(3 * 10.4e-3 * 4 / 3 * np.pi * (2.0**3 - 1.6**3))
    # A round brilliant of 6.5 mm has about one carat (0.2 g).
    stone = Jewel("silver", "diamond")
    rng = np.random.default_rng(3)
    while not stone.cuts or stone.cuts[-1].stepped or stone.cuts[-1].aspect < 1:
        stone.grams = 0.0
        stone.cut(rng, np.zeros(3), 3.25 / 0.92)
    assert stone.grams == pytest.approx(0.2, rel=0.05)


def test_the_weight_of_a_ring_can_be_measured_in_its_picture():
    """A band is a torus: its outer radius and its thickness, both seen along the axis it is tilted about, give its
    weight. Three in ten have a plate besides and weigh more."""
    density = {"gold": 15.4e-3, "rose gold": 15.0e-3, "silver": 10.4e-3, "black steel": 7.9e-3}
    ratios = []
    for seed in range(14):
        rng = np.random.default_rng([8, seed])
        _, (ring,), extra = compose(rng, 480, (1, 1), "studio", category="ring", stone="none")
        outline, _ = cv2.findContours(ring.mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        (x, y), (width, height), angle = cv2.minAreaRect(max(outline, key=len))
        turn = np.deg2rad(angle if width > height else angle + 90)
        along = np.arange(-240, 240, 0.25)
        columns, rows = x + along * np.cos(turn), y + along * np.sin(turn)
        inside = (columns >= 0) & (columns < 480) & (rows >= 0) & (rows < 480)
        hit = ring.mask[rows[inside].astype(int), columns[inside].astype(int)]
        thick = hit.sum() * 0.25 / 4 * extra["mm_per_px"]  # the line crosses the band twice: four radii
        radius = max(width, height) / 2 * extra["mm_per_px"] - thick
        measured = density[ring.attributes["metal"]] * 2 * np.pi**2 * radius * thick**2
        ratios.append(measured / ring.attributes["weight"])
    right = np.abs(np.array(ratios) - 1) < 0.1
    assert right.mean() >= 0.6


def test_metal_and_finish_can_be_seen(monkeypatch):
    """In even light: gold and rose gold by their hue, the others by how bright they are; hammered by its many edges."""
    monkeypatch.setattr(tray, "photographed", lambda rng, picture: picture)
    named, edges = [], defaultdict(list)
    for index in range(72):
        rng = np.random.default_rng([9, index])
        rgb, (ring,), _ = compose(rng, 128, (1, 1), "studio", category="ring", stone="none")
        core = cv2.erode(ring.mask.astype(np.uint8), np.ones((3, 3))).astype(bool)
        red, green, blue = np.median(rgb[core].astype(float), axis=0)
        if red - blue > 0.2 * red:
            found = "gold" if (green - blue) / (red - blue) > 0.5 else "rose gold"
        else:
            found = "silver" if red > 90 else "black steel"
        named.append(found == ring.attributes["metal"])
        steps = cv2.Laplacian(rgb.astype(np.float32).mean(2), cv2.CV_32F)[core]
        edges[ring.attributes["finish"]].append(np.abs(steps).mean() / rgb[core].mean())
    assert np.mean(named) > 0.9
    assert np.median(edges["hammered"]) > 2 * max(np.median(edges["polished"]), np.median(edges["matte"]))


def test_a_trade_that_nobody_draws_is_refused():
    with pytest.raises(InputError, match="trade is 'fish', expected one of garments, jewellery"):
        SynthConfig(trade="fish")
