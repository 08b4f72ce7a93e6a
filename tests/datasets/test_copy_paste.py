"""Copy-paste: what lies on top is seen, what is hidden is gone from the masks, labels travel, colours stay."""

import pickle
import random
import tracemalloc

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from segattr.datasets import masks
from segattr.datasets.coco import Annotation, Category, CocoFile, Image
from segattr.datasets.copy_paste import CopyPaste, CopyPasteOptions
from segattr.datasets.cutouts import Cutouts, Layers, Shadow, turned
from segattr.datasets.errors import InputError
from segattr.datasets.images import quick_resize
from segattr.datasets.photos import load_photo
from segattr.datasets.torch_datasets import InstanceDataset
from segattr.datasets.transforms import instance_transform
from segattr.tools.loop import seed_everything

HEIGHT, WIDTH = 90, 120
COLOURS = {"red": (200, 30, 40), "green": (30, 150, 60), "blue": (40, 60, 190), "orange": (240, 140, 30)}
PLAIN = CopyPasteOptions(probability=1, shadow=0, darken=0, feather_px=(0, 0), rotate_deg=0, flip=0)


@pytest.fixture
def catalog(tmp_path):
    """Four grey photos, an ellipse in each of a colour of its own; one has a crowd and a lone box too, one nothing."""
    images, annotations = [], []
    for i, (name, rgb) in enumerate(COLOURS.items(), 1):
        photo = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        cv2.ellipse(mask, (60, 45), (20 + 3 * i, 25), 0, 0, 360, 1, -1)
        photo[mask > 0] = rgb
        images.append(Image(i, f"{name}.png", WIDTH, HEIGHT))
        annotations.append(annotation(mask, i, i, i % 2 + 1, {"color": [name]}))
        cv2.imwrite(str(tmp_path / f"{name}.png"), photo[..., ::-1])
    crowd = np.zeros((HEIGHT, WIDTH), np.uint8)
    crowd[5:30, 5:30] = 1
    annotations.append(annotation(crowd, 5, 1, 1, {}, iscrowd=1))
    annotations.append(Annotation(6, 2, 1, None, [2.0, 2.0, 30.0, 30.0], 900.0))
    edge = np.zeros((HEIGHT, WIDTH), np.uint8)
    edge[:20, 40:70] = 1
    annotations.append(annotation(edge, 7, 3, 1, {"color": ["gray"]}))
    images.append(Image(5, "nothing.png", WIDTH, HEIGHT))
    cv2.imwrite(str(tmp_path / "nothing.png"), np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
    return CocoFile(images, annotations, [Category(1, "dress"), Category(2, "hat")]), tmp_path


def annotation(mask, id_, image_id, category_id, attributes, iscrowd=0):
    rle = masks.encode(mask)
    return Annotation(
        id_, image_id, category_id, rle, list(masks.xywh(rle)), float(mask.sum()), iscrowd, attributes=attributes
    )


def sample_of(coco, folder, image_id):
    image = coco.image_by_id[image_id]
    own = [a for a in coco.annotations_by_image[image_id] if a.segmentation]
    found = [masks.decode(masks.to_rle(a.segmentation, HEIGHT, WIDTH)) for a in own]
    return {"image": load_photo(image, folder), "masks": found, "annotations": own}


def pasted(catalog, options, seed, image_id=1):
    coco, folder = catalog
    return CopyPaste(coco, folder, options)(sample_of(coco, folder, image_id), np.random.default_rng(seed))


def test_a_cut_out_is_seen_as_it_was(catalog):
    options = CopyPasteOptions(**{**vars(PLAIN), "products": (3, 3), "scale": (0.4, 0.4)})
    coco, _ = catalog
    for seed in range(12):
        result = pasted(catalog, options, seed)
        for mask, tag in zip(result["masks"], result["annotations"], strict=True):
            if not tag.iscrowd:
                inside = cv2.erode(mask, np.ones((5, 5), np.uint8), borderValue=0) > 0
                assert (result["image"][inside] == COLOURS[tag.attributes["color"][0]]).all()
                assert tag.category_id == next(a.category_id for a in coco.annotations if a.id == tag.id)
        # Everything else is ground: no pixel of a product is left without its mask.
        outside = np.ones((HEIGHT, WIDTH), bool)
        for mask in result["masks"]:
            outside &= cv2.dilate(mask, np.ones((3, 3), np.uint8)) == 0
        assert (result["image"][outside] == 128).all()


def test_boxes_and_areas_are_those_of_the_visible_masks(catalog):
    seen = 0
    for seed in range(25):
        result = pasted(catalog, CopyPasteOptions(probability=1), seed)
        stack = np.stack(result["masks"])
        assert stack.dtype == np.uint8 and stack.max() == 1
        assert stack.sum(0).max() == 1  # nothing under another: they did not overlap before either
        rles = coco_mask.encode(np.asfortranarray(stack.transpose(1, 2, 0)))
        assert [a.area for a in result["annotations"]] == coco_mask.area(rles).tolist()
        assert [a.bbox for a in result["annotations"]] == coco_mask.toBbox(rles).tolist()
        assert all(a.segmentation is None for a in result["annotations"])
        seen += len(stack)
    assert seen > 25 * 2.5


def test_nothing_is_hidden_by_more_than_the_limit(catalog):
    options = CopyPasteOptions(probability=1, products=(5, 5), scale=(0.5, 1.0), min_visible=0.6)
    coco, folder = catalog
    own = sample_of(coco, folder, 2)["masks"][0].sum()
    hidden = 0
    for seed in range(25):
        result = pasted(catalog, options, seed, image_id=2)
        (area,) = (a.area for a in result["annotations"] if a.id == 2)
        assert area >= 0.6 * own
        hidden += area < own
    assert hidden > 5


def test_what_is_passed_in_stays_and_a_seed_repeats(catalog):
    coco, folder = catalog
    sample = sample_of(coco, folder, 1)
    before = pickle.dumps(sample)
    paste = CopyPaste(coco, folder, CopyPasteOptions(probability=1))
    results = [paste(sample, np.random.default_rng(seed)) for seed in (4, 4, 5)]
    assert pickle.dumps(sample) == before
    again = pickle.loads(pickle.dumps(paste))(sample, np.random.default_rng(4))
    for other in (results[1], again):
        assert np.array_equal(results[0]["image"], other["image"])
        assert np.array_equal(np.stack(results[0]["masks"]), np.stack(other["masks"]))
    assert not np.array_equal(results[0]["image"], results[2]["image"])
    never = CopyPaste(coco, folder, CopyPasteOptions(probability=0))
    assert never(sample, np.random.default_rng(0)) is sample


def test_only_whole_products_with_a_mask_are_cut_out(catalog):
    coco, folder = catalog
    found = Cutouts(coco, folder, 64, 1)
    assert [a.id for a in found.annotations] == [1, 2, 3, 4]
    for i, name in enumerate(COLOURS):
        picture = found[i]
        # Also where the outline was, nothing of the grey ground came along.
        rim = cv2.dilate(picture[..., 3], np.ones((5, 5), np.uint8)) > 0
        assert np.abs(picture[rim][:, :3].astype(int) - COLOURS[name]).max() <= 2
    # Where there are no others, products at the edge are better than none.
    only = CocoFile(coco.images, coco.annotations[4:], coco.categories)
    assert [a.id for a in Cutouts(only, folder, 64, 1).annotations] == [7]
    with pytest.raises(InputError, match="no product can be cut out"):
        Cutouts(CocoFile(coco.images, coco.annotations[4:6], coco.categories), folder, 64, 1)


def test_the_cache_keeps_to_its_limit(catalog, monkeypatch):
    coco, folder = catalog
    loads = []

    def load(image, images_dir):
        loads.append(image.id)
        return load_photo(image, images_dir)

    size = Cutouts(coco, folder, 64, 1)[3].nbytes
    monkeypatch.setattr("segattr.datasets.cutouts.load_photo", load)
    found = Cutouts(coco, folder, 64, 3.05 * size / 2**20)
    for i in (0, 1, 2, 0, 3, 0, 1):  # 1 went when 3 came, since 0 was used after it
        found[i]
    assert loads == [1, 2, 3, 4, 2]
    assert Cutouts(coco, folder, 64, 0)[0] is not None


@pytest.mark.parametrize("name", COLOURS)
def test_no_hue_changes(catalog, name):
    coco, folder = catalog
    found = Cutouts(coco, folder, 64, 1)
    picture = found[list(COLOURS).index(name)]
    for seed in range(10):
        rng = np.random.default_rng(seed)
        gain = rng.uniform(0.7, 1)
        piece = turned(picture, rng.uniform(0.3, 1.6), rng.uniform(-180, 180), seed % 2 == 0, 1.0, gain)
        solid = piece.rgb[piece.alpha > 0.5]
        assert len(solid) and np.abs(solid - gain * np.array(COLOURS[name])).max() <= 2


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_layers_against_painting_numbers(seed, count):
    rng = np.random.default_rng(seed)
    layers = Layers(np.zeros((40, 50, 3), np.uint8))
    painted = np.zeros((40, 50), int)
    for number in range(1, count + 1):
        h, w = rng.integers(1, 45, 2)
        picture = np.full((h, w, 4), 40 * number, np.uint8)
        picture[..., 3] = (rng.random((h, w)) < 0.7) * np.uint8(255)
        piece = turned(picture, 1, 0, False, 0, 1)
        x, y = rng.integers(-50, 55, 2)
        tag = Annotation(number, 1, 1, None, [0, 0, 1, 1], 1.0)
        layers.lay(piece, int(x), int(y), tag, Shadow((1, 2), 2, 0.0))
        for row, column in np.argwhere(picture[..., 3]):
            row, column = row + y + 2, column + x + 2  # two pixels of margin
            if 0 <= row < 40 and 0 <= column < 50:
                painted[row, column] = number
        assert layers.wholes[-1] == (picture[..., 3] > 0).sum()
    for number, mask in enumerate(layers.masks, 1):
        assert np.array_equal(mask > 0, painted == number)
    assert np.array_equal(layers.image[..., 0], 40 * painted)


def test_a_shadow_darkens_the_ground_near_by_and_no_hue():
    picture = np.full((20, 20, 4), 255, np.uint8)
    layers = Layers(np.full((80, 80, 3), (200, 150, 100), np.uint8))
    layers.lay(turned(picture, 1, 0, False, 0, 1), 30, 30, Annotation(1, 1, 1, None, [], 0), Shadow((3, 3), 3, 0.5))
    dark = layers.image.astype(float) / (200, 150, 100)
    assert dark[55, 45].mean() < 0.85  # below it
    assert np.abs(dark[55, 45] - dark[55, 45, 0]).max() < 0.01
    assert (layers.image[:20] == (200, 150, 100)).all()
    assert (layers.image[34:50, 34:50] == 255).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 200), st.integers(1, 200), st.integers(1, 90), st.integers(1, 90))
def test_quick_resize_is_nearly_resizing_by_area(height, width, new_height, new_width):
    ramp = (
        np.add.outer(np.linspace(0, 120, height), np.linspace(0, 120, width))[..., None].repeat(3, 2).astype(np.uint8)
    )
    quick = quick_resize(ramp, new_width, new_height)
    assert quick.shape == (new_height, new_width, 3)
    if height >= new_height and width >= new_width and min(height, width) > 8:
        exact = cv2.resize(ramp, (new_width, new_height), interpolation=cv2.INTER_AREA)
        step = 120 / min(height, width)  # of one pixel of the source
        assert np.abs(quick.astype(float) - exact).mean() <= 2 + step


def test_instances_for_training(catalog):
    coco, folder = catalog
    transform = instance_transform(64, "medium", seed=0)
    data = InstanceDataset(coco, folder, transform, CopyPasteOptions(probability=1), negatives=True)
    assert len(data) == 5
    random.seed(0)
    counts = []
    for index in range(len(data)):
        image, target = data[index]
        assert image.shape == (3, 64, 64) and image.dtype == torch.uint8
        n = len(target["labels"])
        counts.append(n)
        assert target["masks"].shape == (n, 64, 64) and target["boxes"].shape == (n, 4)
        for mask, box, area in zip(target["masks"], target["boxes"], target["area"], strict=True):
            rows, columns = torch.nonzero(mask, as_tuple=True)
            assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert area == mask.sum() > 0
    assert max(counts) > 2 and counts[4] > 0
    image, target = InstanceDataset(coco, folder, transform, negatives=True)[4]
    assert image.shape == (3, 64, 64) and target["masks"].shape == (0, 64, 64) and target["boxes"].shape == (0, 4)
    assert len(InstanceDataset(coco, folder)) == 4


def test_one_photo_and_degenerate_masks(catalog):
    coco, folder = catalog
    one = CocoFile(coco.images[:1], coco.annotations[:1], coco.categories)
    random.seed(0)
    counts = {
        len(InstanceDataset(one, folder, None, CopyPasteOptions(probability=1))[0][1]["labels"]) for _ in range(9)
    }
    assert counts == {1, 2} or counts == {2}  # the photo's own product, and it once more
    # A mask without a pixel, one of one pixel, beside boxes and areas that say otherwise.
    empty, speck = np.zeros((HEIGHT, WIDTH), np.uint8), np.zeros((HEIGHT, WIDTH), np.uint8)
    speck[40, 50] = 1
    wrong = [annotation(mask, i, 1, 1, {}) for i, mask in enumerate((empty, speck), 8)]
    for one_of_them in wrong:
        one_of_them.bbox, one_of_them.area = [10.0, 10.0, 40.0, 40.0], 900.0
    odd = CocoFile(coco.images[:1], coco.annotations[:1] + wrong, coco.categories)
    for _ in range(20):
        _, target = InstanceDataset(odd, folder, instance_transform(48), CopyPasteOptions(probability=1))[0]
        assert all(mask.any() for mask in target["masks"]) and torch.isfinite(target["boxes"]).all()
        assert (target["boxes"][:, 2:] > target["boxes"][:, :2]).all()


def test_a_product_of_which_only_the_box_is_known_is_a_crowd(catalog):
    """Neither a product to learn nor ground: photo 2 has an ellipse with a mask and a lone box."""
    coco, folder = catalog
    data = InstanceDataset(coco, folder)
    _, target = data[1]
    assert target["image_id"] == 2 and target["iscrowd"].tolist() == [0, 1]
    assert target["boxes"][1].tolist() == [2, 2, 32, 32] and target["masks"][1].sum() == 30 * 30
    assert coco.annotations[5].segmentation is None and coco.annotations[5].iscrowd == 0


def test_500_products_of_a_large_photo_are_never_all_in_memory_at_its_size(tmp_path):
    height, width = 900, 1200
    cv2.imwrite(str(tmp_path / "many.png"), np.zeros((height, width, 3), np.uint8))
    corners = np.random.default_rng(0).integers(0, 800, (500, 2)).tolist()
    outlines = [[[x, y, x + 60, y, x + 60, y + 90, x, y + 90]] for x, y in corners]
    products = [Annotation(i, 1, 1, one, [*one[0][:2], 60, 90], 5400.0) for i, one in enumerate(outlines, 1)]
    coco = CocoFile([Image(1, "many.png", width, height)], products, [Category(1, "hat")])
    tracemalloc.start()
    image, target = InstanceDataset(coco, tmp_path, max_px=120)[0]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert image.shape == (3, 90, 120) and target["masks"].shape == (500, 90, 120)
    assert peak < 60e6 < 500 * height * width
    expected = torch.tensor(corners) / 10
    assert (target["boxes"][:, :2] - expected).abs().max() <= 1
    assert (target["boxes"][:, 2:] - target["boxes"][:, :2] - torch.tensor([6, 9])).abs().max() <= 1


def test_training_repeats_by_seed_and_epoch(catalog):
    coco, folder = catalog
    data = InstanceDataset(coco, folder, instance_transform(48), CopyPasteOptions(probability=1))

    def epoch(number):
        seed_everything(data, 3, number, 0)
        return torch.stack([data[i][0] for i in range(len(data))])

    first, second = epoch(0), epoch(1)
    assert torch.equal(first, epoch(0))
    assert not torch.equal(first, second)


def test_large_photos_are_shrunk_first(catalog):
    options = CopyPasteOptions(probability=1, max_px=60)
    result = pasted(catalog, options, 1)
    assert result["image"].shape == (45, 60, 3)
    assert {mask.shape for mask in result["masks"]} == {(45, 60)}


@pytest.mark.parametrize(
    "wrong",
    [
        {"probability": 2},
        {"products": (0, 3)},
        {"products": (3, 2)},
        {"scale": (0, 1)},
        {"min_visible": 0},
        {"darken": 1},
        {"feather_px": (2, 1)},
        {"max_px": 8},
    ],
)
def test_options_that_make_no_sense_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        CopyPasteOptions(**wrong)
