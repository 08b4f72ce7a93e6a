"""The defect finder: every defect, by JSON path, with what was found, expected and the mend."""

import copy
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PilImage
from pycocotools import mask as coco_mask

from segattr.datasets.coco import annotation_rle, read_coco
from segattr.datasets.errors import InputError
from segattr.datasets.validate import find_defects

DATA = Path(os.environ.get("SEGATTR_DATA", Path(__file__).parents[3] / "shared/data"))
FULL = {"size": [6, 8], "counts": [0, 48]}
GOOD = {
    "info": {},
    "images": [
        {"id": 1, "file_name": "a.png", "width": 8, "height": 6},
        {"id": 2, "file_name": "sub/b.png", "width": 5, "height": 5},
    ],
    "categories": [{"id": 1, "name": "hat"}, {"id": 2, "name": "shoes"}],
    "annotations": [
        {
            "id": 1,
            "image_id": 1,
            "category_id": 1,
            "segmentation": [[1, 1, 5, 1, 5, 5, 1, 5]],
            "bbox": [1, 1, 4, 4],
            "area": 16,
            "iscrowd": 0,
            "attributes": {"color": ["red"], "brim": 3.5},
        },
        {"id": 2, "image_id": 1, "category_id": 2, "segmentation": FULL},
        {"id": 3, "image_id": 2, "category_id": 2, "bbox": [0, 0, 5.9, 5]},
    ],
    "attribute_schema": [
        {"name": "color", "kind": "multi", "values": ["red", "blue"]},
        {"name": "brim", "kind": "number", "unit": "cm", "categories": ["hat"]},
    ],
}
DELETE = object()


def changed(*changes):
    """GOOD with values put at paths such as ("annotations", 0, "id"); DELETE removes."""
    data = copy.deepcopy(GOOD)
    for *path, last, value in changes:
        at = data
        for step in path:
            at = at[step]
        if value is DELETE:
            del at[last]
        else:
            at[last] = value
    return data


def defects(tmp_path, data, images_dir=None):
    file = tmp_path / "f.json"
    file.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
    return find_defects(file, images_dir)


def test_a_good_file_has_none(tmp_path):
    assert defects(tmp_path, GOOD) == []


A0 = ("annotations", 0)
SEG = (*A0, "segmentation")


@pytest.mark.parametrize(
    "change, path, words",
    [
        # required keys and types
        (("images", DELETE), "images", "is missing"),
        (("images", {}), "images", "expected a list"),
        (("annotations", None), "annotations", "is missing"),
        (("annotations", 1, 5), "annotations[1]", "found 5, expected an object"),
        (("info", []), "info", "found []"),
        (("licenses", "CC0"), "licenses", 'found "CC0"'),
        (("categories", 1, "name", DELETE), "categories[1].name", "is missing"),
        (("images", 1, "width", "5"), "images[1].width", 'found "5", expected an integer'),
        (("images", 1, "height", 0), "images[1].height", "found 0"),
        (("images", 1, "height", 10**6), "images[1].height", "found 1000000"),
        ((*A0, "id", True), "annotations[0].id", "found true, expected an integer"),
        ((*A0, "id", "1"), "annotations[0].id", 'found "1"'),
        ((*A0, "area", "16"), "annotations[0].area", 'found "16"'),
        ((*A0, "area", -1), "annotations[0].area", "found -1, expected a number of 0 or more"),
        ((*A0, "iscrowd", 2), "annotations[0].iscrowd", "found 2, expected 0 or 1"),
        ((*A0, "score", "high"), "annotations[0].score", 'found "high"'),
        # ids
        ((*A0, "id", 0), "annotations[0].id", "found 0, expected 1 or more"),
        ((*A0, "id", 10**400), "annotations[0].id", "expected an integer"),
        (("annotations", 1, "id", 1), "annotations[1].id", "found 1 a second time"),
        ((*A0, "image_id", 5), "annotations[0].image_id", "found 5, expected the id of one of images"),
        ((*A0, "image_id", [1]), "annotations[0].image_id", "found [1]"),
        ((*A0, "category_id", DELETE), "annotations[0].category_id", "is missing"),
        ((*A0, "category_id", 9), "annotations[0].category_id", "found 9"),
        # polygons
        ((*SEG, "x"), "annotations[0].segmentation", 'found "x"'),
        ((*SEG, [1, 1, 5, 1, 5, 5]), "annotations[0].segmentation", "wrap it in one more list"),
        ((*SEG, 0, [1, 1, 5, 5]), "annotations[0].segmentation[0]", "found 4 numbers"),
        ((*SEG, 0, [1, 1, 5, 1, 5, 5, 1]), "annotations[0].segmentation[0]", "found 7 numbers, an odd count"),
        ((*SEG, 0, 3, None), "annotations[0].segmentation[0][3]", "found null, expected a number"),
        ((*SEG, 0, None), "annotations[0].segmentation[0]", "found null"),
        ((*SEG, 0, 0, 1e9), "annotations[0].segmentation[0]", "expected points in the image"),
        ((*SEG, 0, 0, 10**400), "annotations[0].segmentation[0]", "expected points in the image"),
        ((*SEG, 0, [30, 30, 35, 30, 35, 35]), "annotations[0].segmentation[0]", "another photo"),
        # RLE
        (("annotations", 1, "segmentation", {}), "annotations[1].segmentation.size", "is missing"),
        (("annotations", 1, "segmentation", "size", [6.0, 8]), "annotations[1].segmentation.size", "found [6.0,8]"),
        (("annotations", 1, "segmentation", "size", [8, 6]), "annotations[1].segmentation.size", "are swapped"),
        (("annotations", 1, "segmentation", "size", [3, 16]), "annotations[1].segmentation.size", "expected [6, 8]"),
        (("annotations", 1, "segmentation", "counts", DELETE), "annotations[1].segmentation.counts", "is missing"),
        (("annotations", 1, "segmentation", "counts", [47]), "annotations[1].segmentation.counts", "47"),
        (("annotations", 1, "segmentation", "counts", [50, -2]), "annotations[1].segmentation.counts", "negative"),
        (("annotations", 1, "segmentation", "counts", [4.8]), "annotations[1].segmentation.counts", "run lengths"),
        (("annotations", 1, "segmentation", "counts", [2**62] * 4 + [48]), "annotations[1].segmentation.counts", "run"),
        (("annotations", 1, "segmentation", "counts", ""), "annotations[1].segmentation.counts", "add up to 0"),
        (("annotations", 1, "segmentation", "counts", "`"), "annotations[1].segmentation.counts", "cut off"),
        (("annotations", 1, "segmentation", "counts", "ä"), "annotations[1].segmentation.counts", "characters"),
        (("annotations", 1, "segmentation", DELETE), "annotations[1].segmentation", "and so is bbox"),
        # boxes
        ((*A0, "bbox", [1, 1, 4]), "annotations[0].bbox", "expected [x, y, width, height]"),
        ((*A0, "bbox", [1, 1, 4, "4"]), "annotations[0].bbox", "expected [x, y, width, height]"),
        ((*A0, "bbox", [1, 1, -4, 4]), "annotations[0].bbox", "width and height of 0 or more"),
        (("annotations", 2, "bbox", [0, 0, 6.1, 5]), "annotations[2].bbox", "inside the image, 5 x 5 px"),
        (("annotations", 2, "bbox", [-1.1, 0, 2, 2]), "annotations[2].bbox", "inside the image"),
        # attributes and schema
        ((*A0, "attributes", ["red"]), "annotations[0].attributes", "expected an object"),
        ((*A0, "attributes", "color", ["red", "teal"]), "annotations[0].attributes.color[1]", "one of red, blue"),
        ((*A0, "attributes", "fit", "slim"), "annotations[0].attributes.fit", "not in attribute_schema"),
        (("annotations", 1, "attributes", {"brim": 2}), "annotations[1].attributes.brim", "does not apply"),
        (("attribute_schema", 1, "kind", "text"), "attribute_schema[1].kind", 'found "text"'),
        # file names
        (("images", 0, "file_name", "../a.png"), "images[0].file_name", "leaves the image folder"),
        (("images", 0, "file_name", "/a.png"), "images[0].file_name", "is an absolute path"),
        (("images", 0, "file_name", None), "images[0].file_name", "found null, expected a path"),
    ],
)
def test_a_defect_is_found_alone_and_stops_reading(tmp_path, change, path, words):
    found = defects(tmp_path, changed(change))
    assert [d.path for d in found] == [path]
    assert words in found[0].message and found[0].fatal
    assert str(found[0]).startswith(f"{tmp_path / 'f.json'}: {path}: ")
    with pytest.raises(InputError, match=r"f\.json"):
        read_coco(tmp_path / "f.json")


@pytest.mark.parametrize(
    "change, path, words",
    [
        (("images", 1, "file_name", "a.png"), "images[1].file_name", "also in images[0]"),
        (("categories", 1, "name", "hat"), "categories[1].name", "also in categories[0]"),
        ((*A0, "bbox", [1, 1, 0, 4]), "annotations[0].bbox", "a box with an area"),
        ((*A0, "bbox", [1, 1, 1, 1]), "annotations[0].segmentation", "found polygons in the box [1,1,4,4]"),
        ((*SEG, 0, [0.1, 0.1, 0.5, 0.1, 0.5, 0.5]), "annotations[0].segmentation[0]", "fractions"),
        ((*SEG, 0, [1, 1, 5, 1, 5, 9, 1, 5]), "annotations[0].segmentation[0]", "cut off"),
    ],
)
def test_what_changes_no_number_is_a_warning_and_is_read(tmp_path, change, path, words):
    [found] = defects(tmp_path, changed(change))
    assert found.path == path and words in found.message and not found.fatal
    with pytest.warns(UserWarning, match="f.json"):
        read_coco(tmp_path / "f.json")


@pytest.mark.parametrize(
    "change",
    [
        (*A0, "bbox", [0.2, -0.9, 5, 6]),  # a pixel outside: rounding
        (*A0, "segmentation", None),
        (*A0, "iscrowd", True),
        (*A0, "attributes", {}),
        (*A0, "area", 0),
        ("attribute_schema", DELETE),
        ("annotations", []),
    ],
)
def test_what_is_no_defect(tmp_path, change):
    assert defects(tmp_path, changed(change)) == []


def test_what_refers_to_a_bad_id_is_listed_too(tmp_path):
    data = changed(("images", 1, "id", DELETE), ("categories", 1, "id", 1))
    assert [d.path for d in defects(tmp_path, data)] == [
        "images[1].id",
        "categories[1].id",
        "annotations[1].category_id",
        "annotations[2].image_id",
        "annotations[2].category_id",
    ]


def test_all_defects_are_listed_in_the_order_of_the_file(tmp_path):
    data = changed(
        ("images", 1, "width", -1), (*A0, "id", "x"), (*A0, "area", -1), (*SEG, 0, [1]), ("annotations", 2, 7)
    )
    paths = [d.path for d in defects(tmp_path, data)]
    expected = ["id", "segmentation[0]", "area"]
    assert paths == ["images[1].width", *(f"annotations[0].{p}" for p in expected), "annotations[2]"]


def test_nan_and_infinity_are_each_named_by_their_path(tmp_path):
    data = changed(
        (*SEG, 0, 2, float("nan")),
        (*A0, "bbox", 0, float("-inf")),
        (*A0, "attributes", "brim", float("nan")),
        ("annotations", 1, "probabilities", {"hat": [float("inf")]}),
    )
    text = json.dumps(data).replace('"area": 16', '"area": 1e999').encode()
    found = {d.path: d.message for d in defects(tmp_path, text)}
    for path, value in {
        "annotations[0].segmentation[0][2]": "NaN",
        "annotations[0].bbox[0]": "-Infinity",
        "annotations[0].area": "Infinity",
        "annotations[0].attributes.brim": "NaN",
        "annotations[1].probabilities.hat[0]": "Infinity",
    }.items():
        assert f"found {value}, which is not JSON" in found[path]


def test_a_number_too_large_for_a_float_is_found_in_a_polygon_too(tmp_path):
    text = json.dumps(GOOD).replace("[[1, 1, 5,", "[[1e999, 1, 5,").encode()
    [found] = defects(tmp_path, text)
    assert found.path == "annotations[0].segmentation" and "out of range" in found.message


TEXT = json.dumps(GOOD).encode()


@pytest.mark.parametrize(
    "text, words",
    [
        (b"", "the file is empty"),
        (b" \n", "the file is empty"),
        (TEXT[:-30], "cut short at line 1, column"),
        (TEXT[:40], "cut short at line 1, column"),
        (TEXT[: TEXT.index(b"hat") + 2], "cut short"),
        (TEXT.replace(b"hat", b"h\xe4t"), "byte 0xe4 at byte"),
        (json.dumps(GOOD).encode("utf-16"), "found UTF-16 at byte 0, expected UTF-8"),
        (TEXT.replace(b",", b";", 1), "not JSON (expecting ',' delimiter) at line 1, column"),
        (TEXT + b"}", "not JSON (extra data)"),
        (json.dumps(GOOD["annotations"]).encode(), "found a list at the top level, expected an object"),
        (b"null", "found null at the top level"),
        (b'{"images":' + b"[" * 100_000, "nested too deep"),
        (b'{"annotations":' + b"[" * 5000 + b"]" * 5000 + b"}", "nested too deep"),
        (TEXT.replace(b"hat", b"\\ud800"), "not JSON"),
    ],
)
def test_a_file_that_is_no_json_object_is_one_defect(tmp_path, text, words):
    [found] = defects(tmp_path, text)
    assert words in found.message and found.fatal
    with pytest.raises(InputError, match=r"f\.json"):
        read_coco(tmp_path / "f.json")


def test_a_file_that_is_not_there_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        find_defects(tmp_path / "none.json")


# --- with the photos ------------------------------------------------------------------------------------------------


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    PilImage.new("RGB", (8, 6)).save(folder / "a.png")
    PilImage.new("RGB", (5, 5)).save(folder / "sub/b.png")
    return folder


def test_photos_that_fit_are_no_defect(tmp_path, photos):
    assert defects(tmp_path, GOOD, photos) == []


def test_photos_that_are_missing_broken_turned_or_outside_are_named(tmp_path, photos):
    (tmp_path / "secret.png").write_bytes((photos / "a.png").read_bytes())
    (photos / "link.png").symlink_to(tmp_path / "secret.png")
    (photos / "loop.png").symlink_to(photos / "loop.png")
    (photos / "broken.png").write_bytes(b"no photo")
    PilImage.new("RGB", (6, 8)).save(photos / "turned.png")
    names = ["gone.png", "link.png", "broken.png", "turned.png", "../secret.png", "sub", "x" * 3000, "loop.png"]
    images = [{"id": i + 1, "file_name": name, "width": 8, "height": 6} for i, name in enumerate(names)]
    found = {d.path: d.message for d in defects(tmp_path, GOOD | {"images": images, "annotations": []}, photos)}
    assert "is not in" in found["images[0].file_name"]
    assert "is a link out of" in found["images[1].file_name"]
    assert "broken.png" in found["images[2].file_name"]
    assert "found width 8 and height 6, the photo turned.png has 6 and 8" in found["images[3]"]
    assert "leaves the image folder" in found["images[4].file_name"]
    assert "is not in" in found["images[5].file_name"]
    assert {"images[6].file_name", "images[7].file_name"} < found.keys() and len(found) == 8


def test_the_size_is_that_of_the_upright_photo(tmp_path, photos):
    exif = PilImage.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    PilImage.new("RGB", (6, 8)).save(photos / "a.png", exif=exif)
    assert defects(tmp_path, GOOD, photos) == []


def test_a_missing_image_folder_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="is not a folder"):
        defects(tmp_path, GOOD, tmp_path / "none")


# --- whatever comes -------------------------------------------------------------------------------------------------

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["id", "size", "counts", "x"]), inner),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_any_value_anywhere_is_a_defect_or_is_read_never_a_crash(tmp_path_factory, data):
    keys = st.sampled_from(list(GOOD["annotations"][0]))
    path = data.draw(
        st.tuples(st.sampled_from([*GOOD]))
        | st.tuples(st.just("annotations"), st.just(0), keys)
        | st.tuples(st.sampled_from(["images", "categories", "attribute_schema"]), st.just(0))
        | st.tuples(st.just("images"), st.just(0), st.sampled_from(["id", "file_name", "width", "height"]))
        | st.tuples(st.just("attribute_schema"), st.just(0), st.sampled_from(["name", "kind", "values", "categories"]))
    )
    tmp_path = tmp_path_factory.mktemp("any")
    fatal = [d for d in defects(tmp_path, changed((*path, data.draw(anything)))) if d.fatal]
    try:
        read_coco(tmp_path / "f.json")
    except InputError:
        assert fatal
    else:
        assert not fatal


@settings(max_examples=150, deadline=None)
@given(edit=st.data())
def test_a_garbled_rle_is_found_or_decodes_to_the_whole_image(tmp_path_factory, edit):
    mask = np.zeros((6, 8), np.uint8)
    mask[1:4, 2:7] = mask[5, 1] = 1
    counts = coco_mask.encode(np.asfortranarray(mask))["counts"].decode()
    at = edit.draw(st.integers(0, len(counts)))
    piece = edit.draw(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=3))
    counts = counts[:at] + piece + counts[at + edit.draw(st.integers(0, 2)) :]
    data = changed(("annotations", 1, "segmentation", {"size": [6, 8], "counts": counts}))
    if not (defects(tmp := tmp_path_factory.mktemp("rle"), data)):
        coco = read_coco(tmp / "f.json")
        decoded = coco_mask.decode(annotation_rle(coco.annotations[1], coco.images[0]))
        assert decoded.shape == (6, 8) and set(np.unique(decoded)) <= {0, 1}
        assert coco.annotations[1].area == decoded.sum()


@settings(max_examples=100, deadline=None)
@given(cut=st.integers(0, len(TEXT) - 1))
def test_a_file_cut_anywhere_is_one_defect(tmp_path_factory, cut):
    [found] = defects(tmp_path_factory.mktemp("cut"), TEXT[:cut])
    assert found.fatal


@pytest.mark.real
@pytest.mark.skipif(not DATA.exists(), reason="the photos of ../shared/data are not here")
@pytest.mark.parametrize("name", ["train", "val", "todo"])
def test_the_real_catalog_and_its_photos_have_no_defect(name):
    assert find_defects(DATA / f"catalog/{name}.json", DATA / "catalog") == []
