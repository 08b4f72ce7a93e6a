"""Composed scenes: masks that say what is seen, labels of the cut-outs, the same bytes for the same seed."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO

from segattr.datasets import masks
from segattr.datasets.coco import Annotation, Category, CocoFile, Image, read_coco, write_coco
from segattr.datasets.compose import ComposeConfig, Composer, compose
from segattr.datasets.emptied import emptied
from segattr.datasets.errors import InputError
from segattr.datasets.real_grounds import RealGrounds
from segattr.datasets.schema import Attribute, Schema
from segattr.datasets.torch_datasets import SemanticDataset
from segattr.datasets.validate import find_defects

HEIGHT, WIDTH = 256, 192
COLOURS = {
    "red": (210, 20, 30),
    "green": (20, 160, 50),
    "blue": (30, 50, 210),
    "yellow": (240, 220, 20),
    "purple": (130, 20, 160),
    "cyan": (20, 190, 200),
}
GREY = ComposeConfig(images=6, size_px=160, grounds="real", format="png", seed=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six photos of grey, woven ground with one ellipse each, and one whose ellipse fills it (grade C)."""
    folder = tmp_path_factory.mktemp("cutouts")
    (folder / "photos").mkdir()
    (folder / "grounds").mkdir()
    rng = np.random.default_rng(0)
    coco = CocoFile(categories=[Category(3, "dress"), Category(7, "hat")], licenses=[{"id": 1, "name": "CC0-1.0"}])
    coco.schema = Schema([Attribute("color", "multi", tuple(COLOURS))])
    for i, (name, rgb) in enumerate([*COLOURS.items(), ("red", COLOURS["red"])], 1):
        photo = np.repeat(rng.integers(120, 140, (HEIGHT, WIDTH, 1)), 3, 2).astype(np.uint8)
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        axes = (36 + 4 * i, 80) if i < 7 else (94, 126)
        cv2.ellipse(mask, (96, 128), axes, 0, 0, 360, 1, -1)
        photo[mask > 0] = rgb
        cv2.imwrite(str(folder / "photos" / f"{i}.png"), photo[..., ::-1])
        coco.images.append(Image(i, f"photos/{i}.png", WIDTH, HEIGHT))
        rle = masks.encode(mask)
        said = {"attributes": {"color": [name]}, "extra": {"mask_grade": "A" if i < 7 else "C"}}
        box, area = list(masks.xywh(rle)), float(mask.sum())
        coco.annotations.append(Annotation(i, i, 3 if i % 2 else 7, rle, box, area, **said))
    cv2.imwrite(str(folder / "grounds" / "grey.png"), np.full((200, 200, 3), 128, np.uint8))
    write_coco(folder / "cutouts.json", coco)
    return folder


@pytest.fixture(scope="module")
def made(folder, tmp_path_factory):
    config = replace(GREY, images=14, ground_images=folder / "grounds", grades=("A", "B"))
    return compose(folder / "cutouts.json", config, tmp_path_factory.mktemp("scenes"), progress=False)


def test_a_mask_is_where_its_colour_is_seen(made):
    coco = COCO(str(made))
    counts = []
    for image in coco.loadImgs(sorted(coco.imgs)):
        rgb = cv2.imread(str(made.parent / image["file_name"]))[..., ::-1].astype(int)
        annotations = coco.loadAnns(coco.getAnnIds(image["id"]))
        counts.append(len(annotations))
        names = list(COLOURS)
        # Every pixel by the nearest colour, brightness aside; grey is the ground.
        palette = np.array([*COLOURS.values(), (128, 128, 128)], float)
        unit = rgb / np.maximum(np.linalg.norm(rgb, axis=2, keepdims=True), 1)
        nearest = (unit @ (palette / np.linalg.norm(palette, axis=1, keepdims=True)).T).argmax(2)
        for annotation in annotations:
            mask = coco.annToMask(annotation) > 0
            seen = nearest == names.index(annotation["attributes"]["color"][0])
            assert (mask & seen).sum() / (mask | seen).sum() > 0.9
    assert 1 <= min(counts) < max(counts) <= 6


def test_the_file_is_coco_with_the_labels_of_the_cut_outs(folder, made):
    donors = {a.id: a for a in read_coco(folder / "cutouts.json").annotations}
    scenes, coco = read_coco(made), COCO(str(made))
    assert not find_defects(made, images_dir=made.parent)
    assert [a.id for a in scenes.annotations] == list(range(1, len(scenes.annotations) + 1))
    assert [(c.id, c.name) for c in scenes.categories] == [(3, "dress"), (7, "hat")]
    assert scenes.schema == Schema([Attribute("color", "multi", tuple(COLOURS))]) and scenes.licenses
    for image in scenes.images:
        assert image.extra["ground"] == "photo: grey.png"
        found = scenes.annotations_by_image[image.id]
        stack = np.stack([coco.annToMask(coco.anns[a.id]) for a in found])
        assert stack.shape[1:] == (image.height, image.width) and max(stack.shape[1:]) == 160
        assert stack.sum(0).max() == 1
        sources = [a.extra["source"]["annotation_id"] for a in found]
        assert len(set(sources)) == len(sources)
        for annotation, source, mask in zip(found, sources, stack, strict=True):
            donor = donors[source]
            assert annotation.attributes == donor.attributes and annotation.category_id == donor.category_id
            assert annotation.extra["mask_grade"] == "A"
            assert annotation.extra["source"]["file_name"] == f"photos/{donor.image_id}.png"
            ys, xs = np.nonzero(mask)
            assert annotation.bbox == [xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1]
            assert annotation.area == mask.sum()


def test_masks_are_trained_on_scenes_as_on_any_file(made):
    data = SemanticDataset(read_coco(made), made.parent, ("product",))
    assert len(data) == 14
    assert set(data[0]["mask"].unique().tolist()) == {0, 1}


def test_the_same_bytes_whatever_the_count_and_the_workers(folder, tmp_path):
    cutouts, config = folder / "cutouts.json", replace(GREY, images=3, grounds="both", format="jpg", size_px=96)
    first, again = tmp_path / "a", tmp_path / "b"
    compose(cutouts, config, first, progress=False)
    compose(cutouts, replace(config, images=4, workers=2), again, progress=False)
    for file in (first / "images").iterdir():
        assert file.read_bytes() == (again / "images" / file.name).read_bytes()
    one, other = (json.loads((f / "catalog.json").read_bytes())["annotations"] for f in (first, again))
    assert one == other[: len(one)]
    scenes = [Composer(cutouts, replace(config, seed=seed)).scene(2).rgb for seed in (3, 3, 4)]
    assert np.array_equal(scenes[0], scenes[1])
    assert scenes[0].shape != scenes[2].shape or not np.array_equal(scenes[0], scenes[2])


def test_every_product_shows_the_least_share(folder):
    config = replace(GREY, products=(6, 6), grounds="synthetic", grades=("A",))
    whole = Composer(folder / "cutouts.json", replace(config, min_visible=1))
    counts = []
    for index in range(10):
        scene = whole.scene(index)
        counts.append(len(scene.masks))
        assert scene.ground.startswith("synthetic: ")
        for mask in scene.masks:  # nothing hides any part of it: all of an ellipse is there
            (outline,), _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            across, along = cv2.fitEllipse(outline)[1]
            assert mask.sum() == pytest.approx(np.pi / 4 * (across + 1) * (along + 1), rel=0.06)
    hidden = Composer(folder / "cutouts.json", replace(config, min_visible=0.2))
    assert np.mean([len(hidden.scene(index).masks) for index in range(10)]) > np.mean(counts) > 2


def test_grades_choose_the_cut_outs(folder):
    composer = Composer(folder / "cutouts.json", replace(GREY, grades=("C",), grounds="synthetic", products=(1, 1)))
    assert [a.id for a in composer.scene(0).annotations] == [7]
    with pytest.raises(InputError, match="no annotation has the mask_grade D"):
        Composer(folder / "cutouts.json", replace(GREY, grades=("D",)))


def woven(height, width, seed=0):
    rng = np.random.default_rng(seed)
    stripes = 120 + 40 * (np.arange(width) // 6 % 2)
    return np.clip(stripes[None, :, None] + rng.normal(0, 4, (height, width, 3)), 0, 255).astype(np.uint8)


def test_a_product_is_filled_by_its_ground():
    ground = woven(240, 320)
    mask = np.zeros((240, 320), np.uint8)
    cv2.circle(mask, (160, 120), 70, 1, -1)
    photo = ground.copy()
    photo[mask > 0] = (220, 20, 20)
    filled = emptied(photo, mask, np.random.default_rng(0))
    far = cv2.dilate(mask, np.ones((41, 41), np.uint8)) == 0
    assert np.abs(filled[far].astype(int) - ground[far]).max() <= 1
    inside = filled[mask > 0].astype(int)
    assert (inside[:, 0] - inside[:, 1]).max() < 60  # no red is left
    # The same stripes go on: as dark, as light, as wide.
    assert np.abs(inside.mean(0) - ground.mean((0, 1))).max() < 8
    assert inside.std(0).mean() == pytest.approx(ground.std((0, 1)).mean(), rel=0.25)
    assert np.array_equal(filled, emptied(photo, mask, np.random.default_rng(0)))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 150), st.integers(1, 150), st.integers(0, 80), st.integers(0, 2**32 - 1))
def test_any_photo_is_filled_or_refused(height, width, radius, seed):
    mask = np.zeros((height, width), np.uint8)
    cv2.circle(mask, (width // 2, height // 3), radius, 255, -1)
    filled = emptied(woven(height, width), mask, np.random.default_rng(seed))
    if filled is not None:
        assert filled.dtype == np.uint8 and filled.shape == (height // 4 * 4, width // 4 * 4, 3)
        assert filled.min() > 80


def test_photos_without_enough_ground_or_with_unknown_products_give_none(folder):
    coco = read_coco(folder / "cutouts.json")
    rng = np.random.default_rng(0)

    def draw(usable):
        return RealGrounds(coco, folder, None, usable, 300, 0).draw(rng, 64, 48)

    assert draw(lambda a: a.id == 7) is None  # the ellipse that fills its photo
    picture, where = draw(lambda a: a.id == 2)
    assert picture.shape == (64, 48, 3) and where == "photo: photos/2.png"
    assert np.ptp(picture.astype(int).mean((0, 1))) < 4  # grey: the green ellipse is gone
    coco.annotations[1].segmentation = None
    assert draw(lambda a: a.id == 2) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"images": 0},
        {"size_px": 32},
        {"seed": -1},
        {"products": (0, 2)},
        {"products": (2, 7)},
        {"grounds": "sand"},
        {"min_visible": 0},
        {"format": "gif"},
        {"workers": 0},
    ],
)
def test_a_config_that_cannot_be_composed_is_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        ComposeConfig(**wrong)


def test_bad_input_is_said_and_nothing_of_others_is_overwritten(folder, tmp_path):
    cutouts = folder / "cutouts.json"
    (tmp_path / "catalog.json").write_text('{"images": []}')
    with pytest.raises(InputError, match="not drawn here"):
        compose(cutouts, GREY, tmp_path, progress=False)
    assert [file.name for file in tmp_path.iterdir()] == ["catalog.json"]
    coco = read_coco(cutouts)
    write_coco(tmp_path / "boxes.json", replace(coco, annotations=[]))
    with pytest.raises(InputError, match=r"boxes\.json: no product can be cut out"):
        compose(tmp_path / "boxes.json", GREY, tmp_path / "out", progress=False)
    with pytest.raises(InputError, match="no such file or folder"):
        compose(cutouts, replace(GREY, ground_images=tmp_path / "nowhere"), tmp_path / "out", progress=False)
    with pytest.raises(InputError, match="photos"):
        compose(cutouts, replace(GREY, photos=tmp_path), tmp_path / "out", progress=False)
