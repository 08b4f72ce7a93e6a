"""Photos in other fabrics: the product's outline and surroundings stay, its labels say what was drawn."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from segattr.datasets import masks
from segattr.datasets.coco import Annotation, Category, CocoFile, Image, read_coco, write_coco
from segattr.datasets.errors import InputError
from segattr.datasets.refabric import RefabricConfig, Refabricker, refabric
from segattr.datasets.schema import Attribute, Schema
from segattr.datasets.shading import RIM_PX
from segattr.datasets.synth.colours import COLOURS, SHADES, lab, rgb_of
from segattr.datasets.synth.materials import SURFACES
from segattr.datasets.validate import find_defects

HEIGHT, WIDTH = 200, 160
DYES = {"white": (225, 224, 226), "gray": (128, 127, 129), "black": (30, 30, 31), "red": (190, 30, 40)}
PATTERNS = ("solid", "striped", "dotted", "checked", "graphic", "colorblock")
SCHEMA = Schema(
    [
        Attribute("color", "multi", COLOURS),
        Attribute("pattern", "single", PATTERNS),
        Attribute("material", "single", tuple(SURFACES)),
        Attribute("fit", "single", ("wide", "slim")),
    ]
)
CONFIG = RefabricConfig(images=12, seed=4, format="png")


def folded(dye, mask):
    """A neutral gray ground with a product that a fold crosses, dark on one side."""
    x = np.arange(WIDTH)
    fold = 1 + 0.25 * np.sin(x / 9)[None, :, None]
    rng = np.random.default_rng(1)
    photo = np.where(mask[..., None] > 0, np.array(dye) * fold, 150.0) + rng.normal(0, 1, (HEIGHT, WIDTH, 1))
    return np.clip(photo, 0, 255).astype(np.uint8)


def shop(folder, schema=SCHEMA, **said):
    """Four photos of solid products, and one of a striped product beside one more solid one; labels as far as the
    schema has them, another color where it has not theirs."""
    (folder / "photos").mkdir(parents=True)
    coco = CocoFile(categories=[Category(4, "t-shirt"), Category(9, "shoes")], schema=schema)
    coco.licenses, coco.info = [{"id": 1, "name": "CC0-1.0"}], {"contributor": "volunteers"}
    mask = cv2.ellipse(np.zeros((HEIGHT, WIDTH), np.uint8), (70, 100), (45, 80), 10, 0, 360, 1, -1)
    small = cv2.ellipse(np.zeros((HEIGHT, WIDTH), np.uint8), (140, 100), (12, 20), 0, 0, 360, 1, -1)
    for i, (name, dye) in enumerate([*DYES.items(), ("red", DYES["red"])], 1):
        cv2.imwrite(str(folder / "photos" / f"{i}.png"), folded(dye, mask | small if i == 5 else mask)[..., ::-1])
        coco.images.append(Image(i, f"photos/{i}.png", WIDTH, HEIGHT, {"source_id": 70 + i}))
        for product in (mask, small)[: 2 if i == 5 else 1]:
            rle = masks.encode(product)
            attributes = {"color": [name], "pattern": "solid", "material": "jersey", "fit": "slim"} | said
            if i == 5 and product is mask and "pattern" in schema and "striped" in schema["pattern"].values:
                attributes["pattern"] = "striped"
            if "color" in schema and name not in schema["color"].values:
                attributes["color"] = [schema["color"].values[0]]
            attributes = {key: value for key, value in attributes.items() if key in schema}
            number, box = len(coco.annotations) + 1, list(masks.xywh(rle))
            extra = {"mask_grade": "A" if i < 5 else "B"}
            coco.annotations.append(
                Annotation(number, i, 4 if i % 2 else 9, rle, box, float(product.sum()), 0, attributes, None, extra)
            )
    write_coco(folder / "all.json", coco)
    return folder / "all.json"


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return shop(tmp_path_factory.mktemp("shop") / "a")


def test_masks_ids_categories_and_other_labels_are_the_sources(file, tmp_path):
    made = refabric(file, CONFIG, tmp_path, progress=False)
    assert not find_defects(made, images_dir=tmp_path)
    source, drawn = read_coco(file), read_coco(made)
    assert len(drawn.images) == 12 and drawn.schema == source.schema and drawn.categories == source.categories
    assert drawn.licenses == source.licenses and drawn.info["contributor"] == "volunteers"
    assert [a.id for a in drawn.annotations] == list(range(1, len(drawn.annotations) + 1))
    donors, changed = {a.id: a for a in source.annotations}, 0
    assert any(len(found) == 2 for found in drawn.annotations_by_image.values())
    for image in drawn.images:
        for annotation in drawn.annotations_by_image[image.id]:
            donor = donors[annotation.extra["source"]["annotation_id"]]
            origin = source.image_by_id[donor.image_id]
            assert annotation.extra["source"]["file_name"] == origin.file_name
            assert image.extra == origin.extra  # source_id: folds by sender stay whole
            assert annotation.segmentation == donor.segmentation and annotation.category_id == donor.category_id
            assert annotation.attributes["fit"] == "slim" and annotation.extra["mask_grade"] in "AB"
            changed += annotation.attributes != donor.attributes
            if donor.attributes["pattern"] == "striped":
                assert annotation.attributes == donor.attributes
    assert changed >= 11


def test_beyond_the_rim_no_pixel_changes_and_inside_the_fold_stays(file):
    maker = Refabricker(file, CONFIG)
    for i in range(12):
        made = maker.photo(i)
        rim = cv2.dilate(made.mask, np.ones((2 * RIM_PX + 1,) * 2, np.uint8))
        assert np.array_equal(made.rgb[rim == 0], made.before[rim == 0])
        assert (made.rgb != made.before).any()


@pytest.mark.parametrize("dye", ["white", "gray", "black", "red"])
def test_folds_come_through_whatever_colour_the_product_was(file, dye):
    maker = Refabricker(file, CONFIG)
    number = list(DYES).index(dye) + 1
    (donor,) = [a for found in maker.by_category.values() for a in found if a.image_id == number]
    maker.by_category, maker.looks = {"t-shirt": [donor]}, {"t-shirt": {("jersey", "solid"): 1.0}}
    maker.allowed["color"], maker.drawable = {"gray"}, {"material": ["jersey"], "pattern": ["solid"]}
    fold = np.sin(np.arange(WIDTH) / 9)
    for i in range(3):
        made = maker.photo(i)
        core = cv2.erode(made.mask, np.ones((9, 9), np.uint8)) > 0
        seen = lab(made.rgb.astype(np.float32))[..., 0]
        assert np.corrcoef(seen[core], np.broadcast_to(fold, core.shape)[core])[0, 1] > 0.6


@pytest.mark.parametrize("name", COLOURS)
def test_a_solid_product_has_the_hue_of_its_name(tmp_path, name):
    words = (("color", (name,)), ("pattern", ("solid",)), ("material", ("jersey", "woven", "canvas", "rubber")))
    schema = Schema([Attribute(n, "multi" if n == "color" else "single", v) for n, v in words])
    maker = Refabricker(shop(tmp_path / "c", schema), CONFIG)
    shades = lab(np.stack([rgb_of(shade) for shade in SHADES[name]]))
    for i in range(3):
        made = maker.photo(i)
        assert made.attributes["color"] == [name] and made.attributes["pattern"] == "solid"
        mean = lab(made.rgb[cv2.erode(made.mask, np.ones((7, 7), np.uint8)) > 0].astype(np.float32).mean(0))
        chroma = np.hypot(mean[1], mean[2])
        if name in ("white", "gray", "black"):
            assert chroma < 12
            assert {"white": mean[0] > 55, "gray": 25 < mean[0] < 75, "black": mean[0] < 25}[name]
        else:
            turned = np.degrees(np.arctan2(mean[2], mean[1]) - np.arctan2(shades[:, 2], shades[:, 1]))
            assert np.abs((turned + 180) % 360 - 180).min() < 18 and chroma > 4


def test_stated_colours_are_those_of_the_pixels(tmp_path):
    """Two colours that cannot be confused: the larger area is named first."""
    words = (("color", ("black", "white")), ("pattern", ("striped", "colorblock", "solid")))
    schema = Schema([Attribute(n, "multi" if n == "color" else "single", v) for n, v in words])
    maker = Refabricker(shop(tmp_path / "d", schema), CONFIG)
    several = 0
    for i in range(60):
        made = maker.photo(i)
        assert "material" not in made.attributes  # the schema has no word for it
        if len(made.attributes["color"]) == 2:
            core = cv2.erode(made.mask, np.ones((5, 5), np.uint8)) > 0
            light = (made.rgb[core].mean(-1) > 95).mean()
            if abs(light - 0.5) > 0.1:
                several += 1
                assert made.attributes["color"][0] == ("white" if light > 0.5 else "black")
    assert several >= 3


def test_the_same_bytes_whatever_the_count_and_the_workers(file, tmp_path):
    config = replace(CONFIG, images=3, format="jpg", size_px=96)
    refabric(file, config, tmp_path / "a", progress=False)
    refabric(file, replace(config, images=5, workers=2), tmp_path / "b", progress=False)
    for i in range(1, 4):
        name = f"images/{i:06d}.jpg"
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    first, more = read_coco(tmp_path / "a" / "catalog.json"), read_coco(tmp_path / "b" / "catalog.json")
    assert first.annotations == more.annotations[: len(first.annotations)]
    assert all(max(image.width, image.height) == 96 for image in more.images)


def test_what_cannot_be_done_is_one_sentence(file, tmp_path):
    with pytest.raises(InputError, match="attribute_schema has no color and no pattern"):
        refabric(shop(tmp_path / "e", Schema([SCHEMA["fit"]])), CONFIG, tmp_path / "out", progress=False)
    with pytest.raises(InputError, match="no annotation has a mask, the pattern 'solid' and one color"):
        refabric(shop(tmp_path / "f", pattern="striped"), CONFIG, tmp_path / "out", progress=False)
    with pytest.raises(InputError, match="and the mask_grade C"):
        refabric(file, replace(CONFIG, grades=("C",)), tmp_path / "out", progress=False)
    foreign = Schema([Attribute("color", "multi", ("ecru",)), Attribute("pattern", "single", PATTERNS)])
    with pytest.raises(InputError, match="no fabric can be drawn"):
        refabric(shop(tmp_path / "g", foreign), CONFIG, tmp_path / "out", progress=False)
    gone = shop(tmp_path / "h")
    for photo in (gone.parent / "photos").iterdir():
        photo.unlink()
    with pytest.raises(InputError, match="photos"):
        refabric(gone, CONFIG, tmp_path / "out", progress=False)
    assert not (tmp_path / "out" / "catalog.json").exists()
    with pytest.raises(InputError, match="size_px is 5, expected 64 to 4096"):
        RefabricConfig(size_px=5)
