"""COCO files: what is read, filled in, kept, written; masks against pycocotools; where photos lie."""

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from segattr.datasets.coco import (
    Annotation,
    Category,
    CocoFile,
    Image,
    annotation_rle,
    read_coco,
    resolve_image,
    write_coco,
)
from segattr.datasets.errors import InputError
from segattr.datasets.schema import Attribute, Schema

DATA = Path(os.environ.get("SEGATTR_DATA", Path(__file__).parents[3] / "shared/data"))
SQUARE = [[1, 1, 5, 1, 5, 5, 1, 5]]  # 16 px in the box (1, 1, 4, 4)


def minimal(**annotation):
    return {
        "images": [{"id": 7, "file_name": "a.jpg", "width": 8, "height": 6}],
        "annotations": [{"id": 3, "image_id": 7, "category_id": 2} | annotation],
        "categories": [{"id": 2, "name": "hat"}],
    }


def read(tmp_path, data):
    (tmp_path / "f.json").write_text(json.dumps(data))
    return read_coco(tmp_path / "f.json")


def rewritten(tmp_path, coco):
    write_coco(tmp_path / "out.json", coco)
    return json.loads((tmp_path / "out.json").read_text())


def test_what_is_missing_is_filled_in_from_the_mask(tmp_path):
    [annotation] = read(tmp_path, minimal(segmentation=SQUARE)).annotations
    assert (annotation.bbox, annotation.area, annotation.iscrowd) == ([1, 1, 4, 4], 16, 0)
    assert annotation.attributes == {} and annotation.score is None


def test_ids_and_numbers_stay_as_they_are(tmp_path):
    coco = read(tmp_path, minimal(segmentation=SQUARE, bbox=[1, 1.5, 4, 3.25], area=15))
    assert (coco.images[0].id, coco.annotations[0].id, coco.categories[0].id) == (7, 3, 2)
    assert coco.annotations[0].bbox == [1, 1.5, 4, 3.25] and coco.annotations[0].area == 15


@pytest.mark.parametrize("segmentation", [None, [], "absent"])
def test_a_box_alone_is_read_but_is_no_mask(tmp_path, segmentation):
    row = {"bbox": [1, 1, 4, 2]} | ({} if segmentation == "absent" else {"segmentation": segmentation})
    coco = read(tmp_path, minimal(**row))
    assert coco.annotations[0].segmentation is None and coco.annotations[0].area == 8
    with pytest.raises(InputError, match="only a box"):
        annotation_rle(coco.annotations[0], coco.images[0])


def test_an_empty_list_is_no_mask_however_it_is_spaced(tmp_path):
    text = json.dumps(minimal(segmentation=[], bbox=[1, 1, 4, 2])).replace("[]", "[" + " " * 40 + "]")
    (tmp_path / "f.json").write_text(text)
    assert read_coco(tmp_path / "f.json").annotations[0].segmentation is None


def test_null_in_an_optional_key_is_as_good_as_no_key(tmp_path):
    null = dict.fromkeys(["bbox", "area", "iscrowd", "attributes", "score"])
    data = minimal(segmentation=SQUARE, **null) | {"info": None, "licenses": None, "attribute_schema": None}
    coco = read(tmp_path, data)
    assert coco.annotations[0].area == 16 and coco.info == {} and coco.licenses == [] and len(coco.schema) == 0


def test_a_byte_order_mark_is_stepped_over(tmp_path):
    (tmp_path / "f.json").write_text(json.dumps(minimal(segmentation=SQUARE)), encoding="utf-8-sig")
    assert len(read_coco(tmp_path / "f.json").images) == 1


def test_polygons_compressed_and_uncompressed_rle_give_the_mask_of_pycocotools(tmp_path):
    mask = np.zeros((6, 8), np.uint8)
    mask[1:4, 2:7] = 1
    mask[2, 4] = 0  # a hole
    rle = coco_mask.encode(np.asfortranarray(mask))
    flat = mask.T.ravel()
    runs = np.diff(np.flatnonzero(np.concatenate([[True], flat[1:] != flat[:-1], [True]]))).tolist()
    compressed = {"size": [6, 8], "counts": rle["counts"].decode()}
    for segmentation in (compressed, {"size": [6, 8], "counts": runs}):
        coco = read(tmp_path, minimal(segmentation=segmentation, iscrowd=1))
        assert annotation_rle(coco.annotations[0], coco.images[0]) == compressed
        assert coco.annotations[0].area == 14 and coco.annotations[0].bbox == [2, 1, 5, 3]
        assert coco.annotations[0].iscrowd == 1
    [expected] = coco_mask.frPyObjects([[0.5, 0.5, 6.2, 1, 4, 5.5]], 6, 8)
    coco = read(tmp_path, minimal(segmentation=[[0.5, 0.5, 6.2, 1, 4, 5.5]]))
    assert annotation_rle(coco.annotations[0], coco.images[0])["counts"].encode() == expected["counts"]


def test_unknown_keys_come_back_where_they_were(tmp_path):
    data = minimal(segmentation=SQUARE, bbox=[1, 1, 4, 4], area=16, iscrowd=0, mask_by="hand", checks=[{"a": None}])
    data |= {"info": {"year": 2026}, "licenses": [{"id": 1}], "videos": [1, {"x": 2.5}]}
    data["images"][0]["source_id"] = 12
    data["categories"][0]["supercategory"] = "head"
    data["attribute_schema"] = [{"name": "size", "kind": "number", "note": {"by": "eye"}}]
    assert rewritten(tmp_path, read(tmp_path, data)) == data


def test_an_unknown_key_cannot_overwrite_a_known_one(tmp_path):
    coco = CocoFile([Image(1, "a.jpg", 8, 6, {"id": 9, "x": 1})], [], [Category(1, "hat")], extra={"images": []})
    assert rewritten(tmp_path, coco)["images"] == [{"id": 1, "file_name": "a.jpg", "width": 8, "height": 6, "x": 1}]


def test_numpy_values_and_bytes_counts_are_written_as_json(tmp_path):
    rle = {"size": [3, 4], "counts": b"04"}
    box = list(np.float32([0, 0, 1, 2]))
    annotation = Annotation(1, 1, 1, rle, box, np.float64(2), score=np.float32(0.5), extra={"p": np.arange(2)})
    [row] = rewritten(tmp_path, CocoFile([], [annotation], []))["annotations"]
    assert row["bbox"] == [0, 0, 1, 2] and row["score"] == 0.5 and row["p"] == [0, 1]
    assert row["segmentation"]["counts"] == "04"


@pytest.mark.parametrize("field", [{"bbox": [0, 0, float("nan"), 1]}, {"area": float("inf")}, {"score": float("nan")}])
def test_a_number_that_json_lacks_is_refused_and_the_old_file_stays(tmp_path, field):
    (tmp_path / "f.json").write_text("old")
    annotation = Annotation(**({"id": 5, "image_id": 1, "category_id": 1, "segmentation": None} | BOX | field))
    with pytest.raises(InputError, match="annotation 5 has"):
        write_coco(tmp_path / "f.json", CocoFile([], [annotation], []))
    assert [p.name for p in tmp_path.iterdir()] == ["f.json"] and (tmp_path / "f.json").read_text() == "old"


BOX = {"bbox": [0.0, 0.0, 1.0, 1.0], "area": 1.0}


def test_an_annotation_compares_copies_and_pickles_by_what_it_says(tmp_path):
    [stored] = read(tmp_path, minimal(segmentation=SQUARE)).annotations
    again = pickle.loads(pickle.dumps(stored))
    assert again == stored == Annotation(3, 7, 2, SQUARE, [1, 1, 4, 4], 16)
    again.segmentation = None
    assert again != stored and stored.segmentation == SQUARE


def test_lookups(tmp_path):
    data = minimal(segmentation=SQUARE)
    data["images"].append({"id": 9, "file_name": "b.jpg", "width": 8, "height": 6})
    coco = read(tmp_path, data)
    assert coco.image_by_id[9].file_name == "b.jpg" and coco.category_by_id[2].name == "hat"
    assert coco.annotations_by_image == {7: coco.annotations, 9: []}


def test_the_first_defects_are_named_and_the_others_counted(tmp_path):
    rows = [{"id": i + 1, "image_id": 99, "category_id": 2, "bbox": [0, 0, 1, 1]} for i in range(5)]
    with pytest.raises(InputError) as caught:
        read(tmp_path, minimal() | {"annotations": rows})
    text = str(caught.value)
    assert "f.json: annotations[0].image_id: found 99" in text and "annotations[3]" not in text
    assert "2 more; run 'segattr data validate" in text


def test_what_changes_no_number_is_warned_of(tmp_path):
    data = minimal(bbox=[0, 0, 1, 1])
    data["categories"][0]["id"] = data["annotations"][0]["category_id"] = 0
    with pytest.warns(UserWarning, match=r"categories\[0\].id: found 0"):
        assert read(tmp_path, data).categories[0].id == 0


def test_annotation_ids_are_given_anew_on_request_alone(tmp_path):
    data = minimal(bbox=[0, 0, 1, 1])
    data["annotations"] = [data["annotations"][0] | {"id": 0}, data["annotations"][0] | {"id": 0}]
    with pytest.raises(InputError, match=r"annotations\[0\].id: found 0"):
        read(tmp_path, data)
    assert [a.id for a in read_coco(tmp_path / "f.json", renumber=True).annotations] == [1, 2]


def test_a_missing_file_and_a_folder_are_one_sentence(tmp_path):
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(InputError, match="expected a COCO file"):
            read_coco(path)


# --- round trip -----------------------------------------------------------------------------------------------------

names = st.text(min_size=1, max_size=8)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=5,
)
extras = st.dictionaries(names.map("x_{}".format), json_values, max_size=3)  # no name that COCO has
H, W = 12, 9


@st.composite
def segmentations(draw):
    points = st.floats(0, min(H, W)) | st.integers(0, min(H, W))
    kind = draw(st.sampled_from(["none", "polygons", "compressed", "runs"]))
    if kind == "none":
        return None
    if kind == "polygons":
        return draw(st.lists(st.lists(points, min_size=6, max_size=12).map(lambda p: p[: len(p) // 2 * 2]), min_size=1))
    bits = draw(st.lists(st.booleans(), min_size=H * W, max_size=H * W))
    mask = np.array(bits, np.uint8).reshape(W, H).T
    if kind == "compressed":
        return {"size": [H, W], "counts": coco_mask.encode(np.asfortranarray(mask))["counts"].decode()}
    runs, value = [0], 0
    for bit in mask.T.ravel().tolist():
        if bit != value:
            runs.append(0)
            value = bit
        runs[-1] += 1
    return {"size": [H, W], "counts": runs}


@st.composite
def coco_files(draw):
    schema = Schema(
        [
            Attribute("color", "multi", ("red", "blue", "a b"), extra=draw(extras)),
            Attribute("fit", "single", ("slim", "wide"), categories=("c1", "c2")),
            Attribute("length", "number", unit="cm"),
        ]
    )
    values = st.fixed_dictionaries(
        {},
        optional={
            "color": st.lists(st.sampled_from(["red", "blue", "a b"]), unique=True, min_size=1),
            "fit": st.sampled_from(["slim", "wide"]),
            "length": st.floats(-1e6, 1e6) | st.integers(0, 100),
        },
    )
    categories = [Category(i, f"c{i}", draw(extras)) for i in (1, 2)]
    images = [Image(i + 1, f"d/{i}.jpg", W, H, draw(extras)) for i in range(draw(st.integers(0, 3)))]
    annotations = [
        Annotation(
            id=i + 1,
            image_id=draw(st.sampled_from(images)).id,
            category_id=draw(st.sampled_from(categories)).id,
            segmentation=draw(segmentations()),
            bbox=[draw(st.integers(0, 3)), draw(st.floats(0, 3)), draw(st.floats(0.1, 5)), draw(st.integers(1, 5))],
            area=draw(st.floats(0, 100)),
            iscrowd=draw(st.sampled_from([0, 1])),
            attributes=draw(values),
            score=draw(st.none() | st.floats(0, 1)),
            extra=draw(extras),
        )
        for i in range(draw(st.integers(0, 3)) if images else 0)
    ]
    return CocoFile(images, annotations, categories, schema, draw(extras), [draw(extras)], draw(extras))


@settings(max_examples=60, deadline=None)
@given(coco=coco_files())
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_round_trip_loses_nothing_and_pycocotools_loads_it(tmp_path_factory, coco):
    path = tmp_path_factory.mktemp("round") / "f.json"
    write_coco(path, coco)
    first = json.loads(path.read_text())
    again = read_coco(path)
    assert again == coco
    write_coco(path, again)
    assert json.loads(path.read_text()) == first  # also where a segmentation was never decoded

    reference = COCO()
    reference.dataset = first
    reference.createIndex()
    images = coco.image_by_id
    for annotation in again.annotations:
        if annotation.segmentation is not None:
            expected = reference.annToRLE(reference.anns[annotation.id])
            found = annotation_rle(annotation, images[annotation.image_id])
            assert (coco_mask.decode(found) == coco_mask.decode(expected)).all()


def test_pycocotools_opens_the_file_that_we_write(tmp_path):
    coco = read(tmp_path, minimal(segmentation=SQUARE))
    write_coco(tmp_path / "out.json", coco)
    reference = COCO(tmp_path / "out.json")
    assert reference.annToMask(reference.anns[3]).sum() == 16
    (tmp_path / "results.json").write_text(
        json.dumps([{"image_id": 7, "category_id": 2, "bbox": [0, 0, 1, 1], "score": 1}])
    )
    assert len(reference.loadRes(str(tmp_path / "results.json")).anns) == 1


@pytest.mark.real
@pytest.mark.skipif(not DATA.exists(), reason="the photos of ../shared/data are not here")
@pytest.mark.parametrize("name", ["train", "val", "todo"])
def test_the_real_catalog_comes_back_as_it_was(tmp_path, name):
    path = DATA / f"catalog/{name}.json"
    assert rewritten(tmp_path, read_coco(path)) == json.loads(path.read_text())


# --- where photos lie -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.jpg", "b/c.jpg", "./a.jpg", "b/../a.jpg", "..a.jpg", "b/...jpg", "ä ö.jpg"])
def test_a_name_inside_the_folder_is_resolved(tmp_path, name):
    assert resolve_image(tmp_path, name) == tmp_path / name


@pytest.mark.parametrize(
    "name",
    ["../a.jpg", "b/../../a.jpg", "/etc/passwd", "C:\\a.jpg", "..\\a.jpg", "\\\\host\\a.jpg", "", "a\0.jpg", ".."],
)
def test_a_name_that_leaves_the_folder_is_refused(tmp_path, name):
    with pytest.raises(InputError, match="expected a path inside"):
        resolve_image(tmp_path, name)


def test_a_symlink_out_of_the_folder_is_refused_and_one_inside_is_not(tmp_path):
    inside = tmp_path / "in"
    (inside / "sub").mkdir(parents=True)
    (tmp_path / "secret.jpg").touch()
    (inside / "real.jpg").touch()
    (inside / "out.jpg").symlink_to(tmp_path / "secret.jpg")
    (inside / "sub/up").symlink_to(tmp_path)
    (inside / "same.jpg").symlink_to(inside / "real.jpg")
    (tmp_path / "alias").symlink_to(inside)
    for name in ("out.jpg", "sub/up/secret.jpg"):
        with pytest.raises(InputError, match="is a link out of"):
            resolve_image(inside, name)
    assert resolve_image(inside, "same.jpg").exists()
    assert resolve_image(tmp_path / "alias", "real.jpg").exists()
