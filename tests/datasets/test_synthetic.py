import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from segattr.datasets.coco import read_coco
from segattr.datasets.errors import InputError
from segattr.datasets.synth import scene
from segattr.datasets.synth.grounds import ground
from segattr.datasets.synth.paint import Light
from segattr.datasets.synth.product import make_pose, make_product, place
from segattr.datasets.synth.scene import Spot, attributes_of, compose, drop_hidden
from segattr.datasets.synthetic import CATEGORIES, PATTERNS, SCHEMA, SynthConfig, fabric, generate, render
from segattr.datasets.validate import find_defects

COLOURS, MATERIALS = SCHEMA["color"].values, SCHEMA["material"].values

# What people call these names (CSS colours and near relatives), independent of the shades that the catalog is drawn in.
REFERENCE = {
    "black": ("000000", "1a1a1a"),
    "white": ("ffffff", "e8e8e8", "d0d0d0"),
    "gray": ("808080", "606468", "a0a0a0"),
    "beige": ("e6daa6", "d2b48c", "c8b48c", "b0a080"),
    "brown": ("653700", "7b4a2a", "4e3420"),
    "red": ("e50000", "8b0000", "b22222", "dc143c", "8a3035"),
    "orange": ("f97306", "ff8c00", "c07030"),
    "yellow": ("ffff14", "ffd700", "e1b010", "f0e070"),
    "green": ("15b01a", "006400", "6b8e23", "90d090", "2e8b57", "5f7f58"),
    "blue": ("0343df", "75bbfd", "1e90ff", "4682b4", "2098b0"),
    "navy": ("01153e", "142045"),
    "purple": ("7e1e9c", "9370db", "4b0082", "b090d8", "6a5090"),
    "pink": ("ff81c0", "ffc0cb", "ff1493", "db7093", "d0a0a8"),
}


def lab(rgb):
    return cv2.cvtColor((np.asarray(rgb, np.float32) / 255).reshape(1, -1, 3), cv2.COLOR_RGB2LAB)[0]


@pytest.fixture(scope="module")
def many():
    """Pictures with 3 to 6 small products each, and alone."""
    crowded = SynthConfig(size_px=128, products=(3, 6))
    return [render(11, i, crowded) for i in range(160)]


def test_the_same_bytes_whatever_the_count_and_the_workers(tmp_path):
    config = SynthConfig(images=3, size_px=64, seed=5)
    first, again = tmp_path / "a", tmp_path / "b"
    generate(config, first, progress=False)
    generate(replace(config, images=5, workers=2), again, progress=False)
    names = sorted(file.name for file in (first / "images").iterdir())
    assert names == ["000001.jpg", "000002.jpg", "000003.jpg"]
    for name in names:
        assert (first / "images" / name).read_bytes() == (again / "images" / name).read_bytes()
    before = (first / "catalog.json").read_bytes()
    generate(config, first, progress=False)
    assert (first / "catalog.json").read_bytes() == before
    annotations = json.loads(before)["annotations"]
    assert annotations == json.loads((again / "catalog.json").read_bytes())["annotations"][: len(annotations)]


def test_an_image_depends_on_seed_and_index():
    config = SynthConfig(size_px=64)
    one, _ = render(1, 4, config)
    render(2, 7, config)  # what was drawn between leaves no trace
    assert np.array_equal(one, render(1, 4, replace(config, images=7, seed=9))[0])
    assert not np.array_equal(one, render(1, 5, config)[0])
    assert not np.array_equal(one, render(2, 4, config)[0])


def test_masks_are_disjoint_and_inside_the_image(many):
    for rgb, products in many:
        assert rgb.shape == (128, 128, 3) and rgb.dtype == np.uint8
        assert 1 <= len(products) <= 6
        masks = np.stack([product.mask for product in products])
        assert masks.dtype == bool and masks.shape[1:] == (128, 128)
        assert masks.sum(0).max() <= 1
        assert masks.any((1, 2)).all()


@pytest.mark.parametrize("seed", range(6))
def test_a_mask_is_where_the_product_is_seen(seed):
    # Black on a pale sweep: a threshold finds the product without asking the program that drew it.
    rng = np.random.default_rng([3, seed])
    look = {"category": "t-shirt", "material": "jersey", "pattern": "solid", "colours": ["black"]}
    rgb, (product,) = compose(rng, 256, (1, 1), "studio", **look)
    seen = rgb.max(2) < 75
    core = cv2.morphologyEx(seen.astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8)).astype(bool)
    both = np.count_nonzero(core & product.mask)
    assert both / np.count_nonzero(core | product.mask) > 0.95


def test_every_value_is_drawn(many):
    seen = defaultdict(set)
    for _, products in many:
        for product in products:
            seen["category"].add(product.category)
            seen["pattern"].add(product.attributes.get("pattern"))
            seen["material"].add(product.attributes["material"])
            seen["color"].update(product.attributes["color"])
            assert not SCHEMA.defects(product.attributes, product.category)
            assert 1 <= len(product.attributes["color"]) <= 3
    assert seen["category"] == set(CATEGORIES)
    assert seen["pattern"] - {None} == set(PATTERNS)
    assert seen["material"] == set(MATERIALS)
    assert seen["color"] == set(COLOURS)


def test_bright_grounds_are_saturated_and_ornaments_are_not_plain():
    light, hues = Light((0.6, -0.8), 0.5), []
    for seed in range(12):
        bright = ground(np.random.default_rng(seed), "bright", 96, light)
        hue, saturation, _ = (cv2.cvtColor(bright, cv2.COLOR_RGB2HSV)[..., k] for k in range(3))
        assert np.median(saturation) > 120
        hues.append(int(np.median(hue)))
        # Some colour edge or other every few pixels, in any part of it.
        ornament = ground(np.random.default_rng(seed), "ornament", 96, light).astype(int)
        steps = np.abs(np.diff(ornament, axis=1)).max(2)
        assert np.quantile(steps, 0.9) > 12
    assert np.std(hues) > 25


@pytest.mark.parametrize("category", CATEGORIES)
def test_every_category_is_drawn_in_every_ground_and_size(category):
    grounds = {"studio": 32, "wood": 77, "cloth": 96, "cluttered": 130, "bright": 64, "ornament": 96}
    for kind, size in grounds.items():
        rgb, products = compose(np.random.default_rng([1, size]), size, (1, 1), kind, category=category)
        assert rgb.shape == (size, size, 3)
        assert [product.category for product in products] == [category]


@pytest.mark.parametrize(("light", "least"), [("even", 0.85), ("as in photos", 0.55)])
def test_solid_products_have_the_colour_that_they_are_named(light, least, monkeypatch):
    # A home's light moves colours on the sensor; the ground, in the same light, tells by how much.
    if light == "even":
        monkeypatch.setattr(scene, "photographed", lambda rng, picture: picture)
    names = [name for name, values in REFERENCE.items() for _ in values]
    points = lab([[int(h[i : i + 2], 16) for i in (0, 2, 4)] for values in REFERENCE.values() for h in values])
    right = []
    for index in range(260):
        rgb, products = render(7, index, SynthConfig(size_px=160, products=(1, 2)))
        for product in products:
            # Through lace one sees the ground.
            if product.attributes.get("pattern") != "solid" or product.attributes["material"] == "lace":
                continue
            median = np.median(lab(rgb[product.mask]), axis=0)
            right.append(
                names[int(np.argmin(np.linalg.norm(points - median, axis=1)))] == product.attributes["color"][0]
            )
    assert len(right) > 100
    assert np.mean(right) > least


def test_colours_are_named_by_area_and_small_ones_are_not():
    rng = np.random.default_rng(0)
    product = make_product(rng, 1.0, "t-shirt", "jersey", "striped", ["red", "white", "navy"])
    label = np.zeros((10, 20), np.uint8)
    label[:, 8:19] = 1  # white 11 columns, red 8, navy 1 = 5 %
    label[:, 19:] = 2
    everything = np.ones(label.shape, bool)
    assert attributes_of(product, label, everything)["color"] == ["white", "red", "navy"]
    label[:2, 19:] = 1
    assert attributes_of(product, label, everything)["color"] == ["white", "red"]
    left = everything.copy()
    left[:, 8:] = False
    assert attributes_of(product, label, left) == {"color": ["red"], "material": "jersey"}  # no stripe is to be seen


def test_a_product_hidden_by_more_than_70_percent_is_left_out():
    rng = np.random.default_rng(0)

    def spot(category, scale, x):
        product = make_product(rng, 1.0, category, "jersey", "solid", ["red"])
        return Spot(place(product, make_pose(rng, product, scale, (x, 100.0), True), 200), True)

    below, above, apart = spot("t-shirt", 60, 80.0), spot("dress", 190, 80.0), spot("t-shirt", 40, 175.0)
    kept, parts = drop_hidden([below, above, apart], 200)
    assert kept == [above, apart]
    kept, parts = drop_hidden([above, below], 200)
    assert kept == [above, below]
    assert parts[0].sum() < above.placed.mask.sum() and parts[1].sum() == below.placed.mask.sum()


def test_the_file_is_coco(tmp_path):
    config = SynthConfig(images=6, size_px=96, seed=2, products=(1, 4), format="png")
    path = generate(config, tmp_path / "new" / "folder", progress=False)
    assert path == tmp_path / "new" / "folder" / "catalog.json"
    assert not find_defects(path, images_dir=path.parent)
    coco, read = COCO(str(path)), read_coco(path)
    assert read.schema == SCHEMA
    assert [category.name for category in read.categories] == list(CATEGORIES)
    assert sorted(coco.imgs) == list(range(1, 7)) and min(coco.anns) == 1
    for index, image in enumerate(coco.loadImgs(sorted(coco.imgs))):
        assert image["file_name"] == f"images/{index + 1:06d}.png"
        rgb, products = render(2, index, config)
        assert np.array_equal(cv2.imread(str(path.parent / image["file_name"]))[..., ::-1], rgb)
        annotations = coco.loadAnns(coco.getAnnIds(image["id"]))
        assert len(annotations) == len(products)
        for annotation, product in zip(annotations, products, strict=True):
            assert np.array_equal(coco.annToMask(annotation), product.mask)
            ys, xs = np.nonzero(product.mask)
            assert annotation["bbox"] == [xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1]
            assert annotation["area"] == product.mask.sum() and annotation["iscrowd"] == 0
            assert coco.cats[annotation["category_id"]]["name"] == product.category
            assert annotation["attributes"] == product.attributes


@pytest.mark.real
def test_categories_and_schema_are_those_of_the_photos():
    path = Path(__file__).parents[2] / "../shared/data/catalog/train.json"
    if not path.exists():
        pytest.skip("the photos are not here")
    real = json.loads(path.read_bytes())
    assert [(c["id"], c["name"]) for c in real["categories"]] == list(enumerate(CATEGORIES, 1))
    assert real["attribute_schema"] == SCHEMA.to_json()


@pytest.mark.parametrize(
    "wrong",
    [
        {"images": 0},
        {"size_px": 31},
        {"size_px": 5000},
        {"seed": -1},
        {"products": (0, 3)},
        {"products": (3, 2)},
        {"products": (1, 7)},
        {"ground": "lawn"},
        {"format": "bmp"},
        {"workers": 0},
    ],
)
def test_a_config_that_cannot_be_drawn_is_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        SynthConfig(**wrong)


@pytest.mark.parametrize("text", ['{"info": {"description": "ours"}, "images": []}', "[]", "{", '{"images": 3}'])
def test_another_catalog_is_not_overwritten(tmp_path, text):
    (tmp_path / "catalog.json").write_text(text)
    with pytest.raises(InputError, match="not drawn here"):
        generate(SynthConfig(images=1, size_px=32), tmp_path, progress=False)
    assert [file.name for file in tmp_path.iterdir()] == ["catalog.json"]
    assert (tmp_path / "catalog.json").read_text() == text


def test_photos_in_the_way_are_not_overwritten(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "000001.jpg").write_bytes(b"mine")
    with pytest.raises(InputError, match="not drawn here"):
        generate(SynthConfig(images=1, size_px=32), tmp_path, progress=False)
    assert (tmp_path / "images" / "000001.jpg").read_bytes() == b"mine"
    with pytest.raises(InputError, match="is a file"):
        generate(SynthConfig(images=1, size_px=32), tmp_path / "images" / "000001.jpg", progress=False)


def test_an_earlier_or_unfinished_catalog_is_replaced(tmp_path, monkeypatch):
    config = SynthConfig(images=4, size_px=32)
    generate(config, tmp_path, progress=False)
    (tmp_path / "images" / "notes.txt").write_text("mine")
    generate(replace(config, images=2), tmp_path, progress=False)
    assert sorted(f.name for f in (tmp_path / "images").iterdir()) == ["000001.jpg", "000002.jpg", "notes.txt"]

    def stop(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("segattr.datasets.drawing.write_coco", stop)
        generate(replace(config, images=3), tmp_path, progress=False)
    assert not (tmp_path / "catalog.json").exists()
    path = generate(replace(config, images=1), tmp_path, progress=False)
    assert sorted(f.name for f in (tmp_path / "images").iterdir()) == ["000001.jpg", "notes.txt"]
    assert not find_defects(path, images_dir=tmp_path)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("material", ["denim", "lace", "knit"])
def test_fabric_is_made_of_its_colours(pattern, material):
    colours = ["white", "red", "navy"] if pattern != "solid" else ["white"]
    piece = fabric(np.random.default_rng(3), pattern, colours, material, 300)
    assert piece.shape == (300, 300, 3) and piece.dtype == np.uint8
    again = fabric(np.random.default_rng(3), pattern, colours, material, 300)
    assert np.array_equal(piece, again)
    assert np.array_equal(piece[:44], piece[256:])  # it wraps
    share_red = np.mean((piece[..., 0] > 1.6 * piece[..., 1]) & (piece[..., 0] > 1.6 * piece[..., 2]))
    plain = pattern in ("solid", "graphic", "colorblock")
    assert share_red < 0.01 if plain else share_red > 0.04
