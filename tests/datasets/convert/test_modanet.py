"""ModaNet: its known quirks in a small file."""

import numpy as np
from pycocotools.coco import COCO

from segattr.datasets.coco import write_coco
from segattr.datasets.convert import Notes, read

LEFT = [1, 14, 5, 14, 5, 18, 1, 18]
RIGHT = [9, 14, 13, 14, 13, 18, 9, 18]
BAG = [14, 2, 18, 2, 18, 9, 14, 9]


def annotation(id_, category, *polygons, image=736744, bbox=(1, 14, 4, 4), area=16):
    row = {"id": id_, "image_id": image, "category_id": category, "iscrowd": 0, "bbox": list(bbox), "area": area}
    return row | {"segmentation": list(polygons)}


def file(*annotations):
    images = [
        {"id": 736744, "file_name": "0736744.jpg", "width": 20, "height": 20, "license": 3},
        {"id": 736745, "file_name": "0736745.jpg", "width": 20, "height": 20, "license": 3},
    ]
    names = {1: "bag", 3: "boots", 4: "footwear", 7: "sunglasses"}
    return {
        "info": {"description": "ModaNet"},
        "licenses": [],
        "type": "instances",
        "year": 2018,
        "images": images,
        "categories": [{"id": i, "name": name, "supercategory": "fashion"} for i, name in names.items()],
        "annotations": list(annotations),
    }


def converted(put, *annotations):
    notes = Notes()
    return read(put("modanet.json", file(*annotations)), "modanet", notes=notes)[0], notes


def test_a_shoe_drawn_twice_and_a_pair_in_two_annotations_are_one_pair(put, tmp_path):
    coco, notes = converted(
        put,
        annotation(11, 4, RIGHT, LEFT),  # both shoes ...
        annotation(12, 4, RIGHT, bbox=[9, 14, 4, 4]),  # ... and one of them once more
        annotation(13, 3, LEFT, image=736745),  # a pair of boots in two
        annotation(14, 3, RIGHT, image=736745, bbox=[9, 14, 4, 4]),
    )
    assert [(a.id, a.segmentation, a.bbox, a.area) for a in coco.annotations] == [
        (11, [RIGHT, LEFT], [1, 14, 12, 4], 32),
        (13, [LEFT, RIGHT], [1, 14, 12, 4], 32),
    ]
    assert notes.lines()[-3:] == [
        "polygons left out (another annotation of the photo has them too): 1, first at annotation 12",
        "annotations left out (each of their polygons is in another annotation): 1, first at annotation 12",
        "shoes joined to the other of the pair: 1, first at annotation 14",
    ]
    write_coco(tmp_path / "ours.json", coco)
    theirs = COCO(str(tmp_path / "ours.json"))
    assert np.array_equal(theirs.annToMask(theirs.anns[11]), theirs.annToMask(theirs.anns[13]))


def test_other_products_stay_apart(put):
    glasses = [2, 2, 5, 2, 5, 4]
    coco, notes = converted(
        put,
        annotation(1, 1, BAG, bbox=[14, 2, 4, 7]),
        annotation(2, 1, LEFT),
        annotation(3, 7, glasses, bbox=[2, 2, 3, 2]),
    )
    assert [a.id for a in coco.annotations] == [1, 2, 3] and not notes


def test_a_box_that_is_elsewhere_is_measured_anew(put):
    coco, notes = converted(put, annotation(1, 1, BAG, bbox=[1, 10, 4, 7]), annotation(2, 1, LEFT))
    assert coco.annotations[0].bbox == [14, 2, 4, 7] and coco.annotations[1].bbox == [1, 14, 4, 4]
    assert notes.lines() == ["boxes that are not around their masks, measured anew: 1, first at annotations[0]"]


def test_polygons_of_two_points_and_annotations_without_one(put):
    coco, notes = converted(
        put, annotation(1, 1, BAG, [3, 3, 4, 4], bbox=[14, 2, 4, 7]), annotation(2, 1, [3, 3, 4, 4])
    )
    assert [(a.id, a.segmentation) for a in coco.annotations] == [(1, [BAG]), (2, None)]
    assert notes.lines() == ["polygons of fewer than three points left out: 2, first at annotations[0]"]


def test_the_validation_file_has_no_annotations(put):
    data = file()
    del data["annotations"]
    coco, _ = read(put("val.json", data), "modanet")
    assert len(coco.images) == 2 and coco.extra == {"type": "instances", "year": 2018}
