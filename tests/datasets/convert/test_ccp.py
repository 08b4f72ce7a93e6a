"""Clothing Co-Parsing: label maps to products, by hand-drawn maps and on the real photos."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PilImage
from scipy.io import loadmat, savemat

from segattr.datasets import masks
from segattr.datasets.coco import annotation_rle
from segattr.datasets.convert import Notes, read
from segattr.datasets.convert.ccp import instances
from segattr.datasets.errors import InputError

STREET = Path(os.environ.get("SEGATTR_DATA", Path(__file__).parents[4] / "shared/data")) / "street"
NAMES = ["null", "accessories", "bag", "coat", "hair", "shoes", "skin", "bracelet"]
ACCESSORIES, BAG, COAT, HAIR, SHOES, SKIN, BRACELET = range(1, 8)


def drawn(*boxes, size=(200, 150)):
    """A label map with boxes (label, x, y, width, height)."""
    label_map = np.zeros(size, np.uint8)
    for label, x, y, w, h in boxes:
        label_map[y : y + h, x : x + w] = label
    return label_map


def areas(label_map, notes=None):
    return [(NAMES[label], masks.area(rle)) for label, rle in instances(label_map, NAMES, notes)]


def test_every_label_but_null_skin_and_hair_is_a_product():
    label_map = drawn((COAT, 10, 10, 30, 50), (HAIR, 60, 10, 30, 30), (SKIN, 60, 60, 30, 30), (SHOES, 10, 100, 10, 10))
    assert areas(label_map) == [("coat", 1500), ("shoes", 100)]
    (label, rle), _ = instances(label_map, NAMES)
    assert label == COAT and np.array_equal(masks.decode(rle), label_map == COAT)


def test_an_open_coat_and_a_pair_of_shoes_are_one_product_each():
    label_map = drawn(
        (COAT, 10, 10, 20, 80), (COAT, 100, 10, 20, 80), (SHOES, 5, 180, 12, 10), (SHOES, 120, 180, 12, 10)
    )
    assert areas(label_map) == [("coat", 3200), ("shoes", 240)]


def test_accessories_apart_are_several_and_near_ones_are_one():
    label_map = drawn((ACCESSORIES, 10, 10, 10, 10), (ACCESSORIES, 80, 10, 10, 12), (ACCESSORIES, 10, 22, 10, 10))
    assert areas(label_map) == [("accessories", 120), ("accessories", 200)]
    assert areas(drawn((BRACELET, 10, 90, 10, 8), (BRACELET, 90, 90, 10, 8))) == [("bracelet", 80)] * 2


def test_a_strap_belongs_to_its_bag_and_a_second_bag_is_a_second():
    strap = [(BAG, 10, 100, 30, 30), (BAG, 30, 20, 3, 40)]
    assert areas(drawn(*strap)) == [("bag", 1020)]
    assert areas(drawn(*strap, (BAG, 110, 100, 20, 20))) == [("bag", 1020), ("bag", 400)]


def test_crumbs_are_left_out_and_pinholes_filled_and_both_are_counted():
    notes = Notes()
    label_map = drawn(
        (COAT, 10, 10, 30, 50), (0, 20, 20, 3, 3), (0, 20, 40, 12, 12), (COAT, 100, 10, 5, 5), (SHOES, 0, 190, 4, 4)
    )
    assert areas(label_map, notes) == [("coat", 1500 - 144)]
    assert notes.counts == {"holes of fewer than 100 px filled": 1, "pieces of fewer than 60 px left out": 2}
    skin = drawn((COAT, 10, 10, 30, 50), (SKIN, 20, 20, 3, 3))
    assert areas(skin) == [("coat", 1500 - 9)]  # a hand is no pinhole


def test_products_at_the_edge_of_the_photo():
    label_map = drawn((COAT, 0, 0, 150, 200))
    assert areas(label_map) == [("coat", 30_000)]
    label_map[0, 5:8] = 0  # open to the outside: no hole
    assert areas(label_map) == [("coat", 29_997)]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "pixel-level").mkdir()
    names = np.empty((1, len(NAMES)), object)
    names[0] = [np.array([name]) for name in NAMES]
    savemat(tmp_path / "label_list.mat", {"label_list": names})
    savemat(tmp_path / "pixel-level/0002.mat", {"groundtruth": drawn((COAT, 10, 10, 30, 50))})
    savemat(tmp_path / "pixel-level/0007.mat", {"groundtruth": drawn((SHOES, 10, 10, 30, 50), size=(90, 80))})
    return tmp_path


def test_a_folder_becomes_a_file(folder):
    notes = Notes()
    coco, images_dir = read(folder, "ccp", notes=notes)
    assert images_dir == folder / "photos" and not notes
    assert [(i.id, i.file_name, i.width, i.height) for i in coco.images] == [
        (1, "0002.jpg", 150, 200),
        (2, "0007.jpg", 80, 90),
    ]
    assert [(c.id, c.name) for c in coco.categories] == [
        (ACCESSORIES, "accessories"),
        (BAG, "bag"),
        (COAT, "coat"),
        (SHOES, "shoes"),
        (BRACELET, "bracelet"),
    ]
    assert [(a.id, a.image_id, a.category_id, a.bbox, a.area, a.iscrowd) for a in coco.annotations] == [
        (1, 1, COAT, [10, 10, 30, 50], 1500, 0),
        (2, 2, SHOES, [10, 10, 30, 50], 1500, 0),
    ]
    again, _ = read(folder / "pixel-level", "ccp", labels=folder / "label_list.mat")
    assert again == coco


def test_label_maps_that_cannot_be_used_are_counted(folder):
    (folder / "pixel-level/0003.mat").write_bytes(b"MATLAB 5.0 MAT-file, cut off")
    (folder / "pixel-level/0004.mat").write_bytes((folder / "pixel-level/0002.mat").read_bytes()[:150])
    savemat(folder / "pixel-level/0005.mat", {"something": np.zeros(3)})
    savemat(folder / "pixel-level/0006.mat", {"groundtruth": np.full((4, 4), 99, np.uint8)})
    (folder / "photos").mkdir()
    PilImage.new("RGB", (81, 90)).save(folder / "photos/0007.jpg")
    notes = Notes()
    coco, _ = read(folder, "ccp", notes=notes)
    assert [i.file_name for i in coco.images] == ["0002.jpg"]
    assert list(notes.counts.values()) == [3, 1, 1]
    assert [line.split(":")[0] for line in notes.lines()] == [
        "label maps left out (they cannot be read)",
        "label maps left out (no map of labels from 0 to 7)",
        "label maps left out (of another size than their photo)",
    ]


def test_names_of_labels_that_are_none(folder):
    savemat(folder / "label_list.mat", {"label_list": np.zeros((1, 3))})
    with pytest.raises(InputError, match="label_list is no list of different names"):
        read(folder, "ccp")
    (folder / "label_list.mat").unlink()
    with pytest.raises(InputError, match=r"label_list.mat does not exist.* --labels"):
        read(folder, "ccp")


@pytest.mark.real
@pytest.mark.skipif(not STREET.is_dir(), reason=f"no photos in {STREET}")
def test_real_labels_are_covered_and_do_not_overlap(tmp_path):
    (tmp_path / "pixel-level").mkdir()
    for number in ("0001", "0241", "0004"):
        os.symlink(STREET / f"pixel-level/{number}.mat", tmp_path / f"pixel-level/{number}.mat")
    coco, _ = read(tmp_path, "ccp", labels=STREET / "label_list.mat", images=STREET / "photos")
    for image in coco.images:
        labels = loadmat(tmp_path / f"pixel-level/{image.file_name[:4]}.mat")["groundtruth"]
        products = coco.annotations_by_image[image.id]
        found = np.zeros(labels.shape, int)
        for product in products:
            mask = masks.decode(annotation_rle(product, image))
            assert (labels[mask > 0] == product.category_id).mean() > 0.995
            found += mask
        assert found.max() == 1
        wanted = np.isin(labels, [category.id for category in coco.categories])
        assert (found > 0).sum() / wanted.sum() > 0.99
    bags = [a for a in coco.annotations if coco.category_by_id[a.category_id].name == "bag" and a.image_id == 3]
    assert len(bags) == 2  # 0241: one over the shoulder, one in the hand
