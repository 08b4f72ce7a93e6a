"""COCO-like files with quirks: what is mended, what is counted, what is refused."""

import copy
import json
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as PilImage

from segattr.datasets.coco import read_coco, write_coco
from segattr.datasets.convert import Notes, read
from segattr.datasets.errors import InputError

SQUARE = [2, 2, 6, 2, 6, 6, 2, 6]
GOOD = {
    "images": [
        {"id": 1, "file_name": "a.png", "width": 12, "height": 9},
        {"id": 2, "file_name": "b.png", "width": 9, "height": 9},
    ],
    "categories": [{"id": 1, "name": "hat"}, {"id": 2, "name": "bag"}],
    "annotations": [
        {
            "id": 1,
            "image_id": 1,
            "category_id": 1,
            "segmentation": [SQUARE],
            "bbox": [2, 2, 4, 4],
            "area": 16,
            "iscrowd": 0,
        },
        {
            "id": 2,
            "image_id": 2,
            "category_id": 2,
            "segmentation": [SQUARE],
            "bbox": [2, 2, 4, 4],
            "area": 16,
            "iscrowd": 0,
        },
    ],
}


def mended(put, data):
    notes = Notes()
    path = put("f.json", data)
    coco, _ = read(path, "coco", notes=notes)
    write_coco(path.with_name("strict.json"), coco)
    read_coco(path.with_name("strict.json"))
    return coco, notes


def changed(*changes):
    data = copy.deepcopy(GOOD)
    for *path, last, value in changes:
        at = data
        for step in path:
            at = at[step]
        at[last] = value
    return data


def test_a_good_file_is_left_alone(put):
    coco, notes = mended(put, GOOD)
    assert not notes
    assert coco == read_coco(put("f.json", GOOD))


@pytest.mark.parametrize(
    "row, segmentation, bbox, said",
    [
        ({"segmentation": None}, None, [2, 2, 4, 4], None),
        ({"segmentation": []}, None, [2, 2, 4, 4], None),
        (
            {"segmentation": [[]]},
            None,
            [2, 2, 4, 4],
            "polygons of fewer than three points left out: 1, first at annotations[0]",
        ),
        ({"segmentation": SQUARE}, [SQUARE], [2, 2, 4, 4], "polygons that were not in a list, put into one: 1"),
        (
            {"segmentation": [SQUARE, [1, 1, 5, 5]]},
            [SQUARE],
            [2, 2, 4, 4],
            "polygons of fewer than three points left out: 1",
        ),
        (
            {"segmentation": [SQUARE, [*SQUARE, 3]]},
            [SQUARE],
            [2, 2, 4, 4],
            "polygons of an odd count of numbers left out: 1",
        ),
        (
            {"segmentation": [SQUARE, "x", [*SQUARE[:7], None]]},
            [SQUARE],
            [2, 2, 4, 4],
            "no list of numbers left out: 2",
        ),
        ({"segmentation": [[*SQUARE[:7], math.nan], SQUARE]}, [SQUARE], [2, 2, 4, 4], "no list of numbers left out: 1"),
        (
            {"segmentation": [[*SQUARE[:6], 10**400, 1.5], SQUARE]},
            [SQUARE],
            [2, 2, 4, 4],
            "no list of numbers left out: 1",
        ),
        (
            {"segmentation": [[50, 50, 60, 50, 60, 60]]},
            None,
            [2, 2, 4, 4],
            "masks left out (no polygons in the photo): 1",
        ),
        (
            {"segmentation": {"size": [12, 9], "counts": [0, 108]}},
            None,
            [2, 2, 4, 4],
            "an RLE of another size than the photo",
        ),
        (
            {"segmentation": {"size": [9, 12], "counts": "0"}},
            None,
            [2, 2, 4, 4],
            "masks left out (an RLE that cannot be read)",
        ),
        ({"segmentation": [[2, 2, 6, 2, 4, 2]], "area": 0}, None, [2, 2, 4, 4], "masks without a pixel left out: 1"),
        ({"bbox": None}, [SQUARE], [2, 2, 4, 4], None),
        ({"bbox": [2.25, 2, 3.5, 4]}, [SQUARE], [2.25, 2, 3.5, 4], None),
        ({"bbox": [2, 2, -4, 4]}, [SQUARE], [2, 2, 4, 4], "boxes that are not around their masks, measured anew: 1"),
        ({"bbox": [2, 2, 40, 4]}, [SQUARE], [2, 2, 4, 4], "boxes that are not around their masks, measured anew: 1"),
        (
            {"bbox": [2, 2, math.inf, 4]},
            [SQUARE],
            [2, 2, 4, 4],
            "boxes that are not around their masks, measured anew: 1",
        ),
        ({"bbox": "all"}, [SQUARE], [2, 2, 4, 4], "boxes that are not around their masks, measured anew: 1"),
        ({"bbox": [8, 5, 6, 6], "segmentation": []}, None, [8, 5, 4, 4], "boxes clipped to their photo: 1"),
        ({"area": -1}, [SQUARE], [2, 2, 4, 4], "areas that are none, measured anew: 1"),
        ({"area": None}, [SQUARE], [2, 2, 4, 4], None),
    ],
)
def test_masks_boxes_and_areas(put, row, segmentation, bbox, said):
    data = changed()
    data["annotations"][0] |= row
    coco, notes = mended(put, data)
    first = coco.annotations[0]
    assert (first.segmentation, first.bbox, first.area) == (segmentation, bbox, 16)
    assert (said in "\n".join(notes.lines())) if said else not notes
    assert coco.annotations[1] == read_coco(put("f.json", GOOD)).annotations[1]


@pytest.mark.parametrize("row", [{"bbox": None}, {"bbox": [20, 20, 3, 3]}, {"bbox": [2, 2, 0, 4]}, {"bbox": [1, 2, 3]}])
def test_an_annotation_with_nothing_to_draw_is_counted_and_left_out(put, row):
    data = changed()
    data["annotations"][0] |= {"segmentation": []} | row
    coco, notes = mended(put, data)
    assert [a.id for a in coco.annotations] == [2]
    assert notes.lines() == ["annotations left out (neither a mask nor a box in the photo): 1, first at annotations[0]"]


def test_a_number_that_no_computer_has_costs_the_mask_and_is_counted(put):
    text = json.dumps(GOOD).replace("[[2, 2, 6,", "[[1e400, 2, 6,", 1)
    coco, notes = mended(put, text)
    assert coco.annotations[0].segmentation is None and coco.annotations[0].bbox == [2, 2, 4, 4]
    assert notes.lines()[0].startswith(
        "masks left out (no JSON that can be read): 1, first at annotations[0].segmentation"
    )


def test_keys_that_are_missing_are_filled_in(put):
    data = changed()
    data["annotations"] = [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": [SQUARE]}]
    coco, notes = mended(put, data)
    assert (coco.annotations[0].bbox, coco.annotations[0].area, coco.annotations[0].iscrowd) == ([2, 2, 4, 4], 16, 0)
    assert not notes


def test_ids_from_0_are_raised_together_with_what_refers_to_them(put):
    data = changed()
    for rows in ("images", "categories", "annotations"):
        for row in data[rows]:
            row["id"] -= 1
    for row in data["annotations"]:
        row["image_id"] -= 1
        row["category_id"] -= 1
    coco, notes = mended(put, data)
    assert coco == read_coco(put("f.json", GOOD))
    assert notes.lines() == ["lists whose ids begin below 1 (every id raised by 1): 3, first at images"]


def test_annotation_ids_used_twice_are_numbered_anew_and_kept(put):
    data = changed(("annotations", 1, "id", 1))
    data["annotations"].append(data["annotations"][0] | {"id": "x"})
    coco, notes = mended(put, data)
    assert [(a.id, a.extra) for a in coco.annotations] == [(1, {}), (2, {"original_id": 1}), (3, {"original_id": "x"})]
    assert notes.lines() == [
        "annotations whose id was used before, numbered anew: 1, first at annotations[1]",
        "annotations without a usable id, numbered: 1, first at annotations[2]",
    ]


def test_annotations_of_nothing_in_the_file_are_counted_and_left_out(put):
    data = changed(("annotations", 0, "image_id", 9), ("annotations", 1, "category_id", None))
    coco, notes = mended(put, data)
    assert coco.annotations == [] and len(coco.images) == 2
    assert notes.lines() == [
        "annotations left out (their photo is not in the file): 1, first at annotations[0]",
        "annotations left out (their category is not in the file): 1, first at annotations[1]",
    ]


def test_a_photo_listed_twice_is_one(put):
    data = changed()
    data["images"].append(data["images"][0] | {"width": 12.0})
    coco, notes = mended(put, data)
    assert len(coco.images) == 2 and notes.lines() == [
        "photos listed twice, left out the second time: 1, first at images[2]"
    ]


def test_sizes_come_from_the_photos_where_they_are_missing(put, tmp_path):
    PilImage.new("RGB", (12, 9)).save(tmp_path / "a.png")
    coco, notes = mended(put, changed(("images", 0, "width", None), ("images", 0, "height", 0)))
    assert (coco.images[0].width, coco.images[0].height) == (12, 9)
    assert notes.lines() == ["sizes of photos missing, taken from the photos: 1, first at images[0]"]


def test_a_file_without_annotations_is_a_file_of_photos(put):
    data = changed()
    del data["annotations"]
    coco, notes = mended(put, data)
    assert len(coco.images) == 2 and not coco.annotations and "without a list of annotations" in notes.lines()[0]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_box_of_a_valid_file_is_nobodys_business(put):
    """It is only for ModaNet, whose boxes are known to be wrong."""
    coco, notes = mended(put, changed(("annotations", 0, "bbox", [7, 5, 2, 2])))
    assert coco.annotations[0].bbox == [7, 5, 2, 2]
    assert "findings left as they are; 'segattr data validate' lists them: 1" in notes.lines()[0]


@pytest.mark.parametrize(
    "change, words",
    [
        (("images", "x"), 'images: found "x"'),
        (("categories", None), "categories: is missing"),
        (("annotations", 5), "annotations: found 5"),
        (("annotations", 0, 5), r"annotations\[0\]: found 5, expected an object"),
        (("images", 1, "id", 1), r"images\[1\].id: found 1 a second time"),
        (("images", 0, "id", None), r"images\[0\].id"),
        (("images", 0, "width", "9"), r"images\[0\].width: found \"9\""),
        (("images", 0, "width", 0), r"images\[0\] \(\"a.png\"\) has no width and height.*--images"),
        (("images", 0, "file_name", "../a.png"), "leaves the image folder"),
        (("categories", 0, "name", ""), r"categories\[0\].name"),
        (("annotations", 1, "iscrowd", 3), r"annotations\[1\].iscrowd: found 3"),
        (("annotations", 1, "score", math.nan), r"annotations\[1\].score: found NaN"),
        (("attribute_schema", {}), "attribute_schema: found"),
    ],
)
def test_what_cannot_be_mended_is_refused_with_its_path(put, change, words):
    with pytest.raises(InputError, match=words):
        mended(put, changed(change))


def test_a_refused_row_is_named_by_its_place_in_the_source(put):
    data = changed(("annotations", 0, "image_id", 9), ("annotations", 1, "iscrowd", 3))  # the first is left out
    with pytest.raises(InputError, match=r"annotations\[1\].iscrowd"):
        mended(put, data)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"images": [NaN]}', b"\xff\xfe\x00"])
def test_what_is_no_coco_file_is_refused(put, text):
    with pytest.raises(InputError):
        mended(put, text)


junk = st.none() | st.booleans() | st.integers(-2, 9) | st.floats(-9, 99) | st.text("0ab", max_size=3)
junk |= st.lists(junk, max_size=4) | st.dictionaries(st.sampled_from(["id", "size", "counts"]), junk, max_size=2)
numbers = st.lists(st.integers(-3, 30) | st.floats(-3, 30), max_size=9)
spots = [
    *[("images", i, key) for i in (0, 1) for key in GOOD["images"][0]],
    *[("categories", 0, key) for key in ("id", "name")],
    *[("annotations", i, key) for i in (0, 1) for key in (*GOOD["annotations"][0], "attributes", "score")],
]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.sampled_from(spots), junk | numbers | st.lists(numbers, max_size=2)), max_size=3))
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_whatever_is_read_passes_the_strict_reader(put, changes):
    data = changed(*[(*path, value) for path, value in changes])
    rows = json.dumps(data["annotations"])
    try:
        coco, notes = mended(put, data)
    except InputError:
        return
    assert len(coco.annotations) == len(json.loads(rows)) or any("left out" in line for line in notes.lines())
