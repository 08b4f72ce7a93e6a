"""CVAT: attributes of one value, masks with iscrowd 1."""

import json

import pytest

from segattr.datasets.convert import Notes, read, write
from segattr.datasets.errors import InputError
from segattr.datasets.schema import Attribute, Schema

MASK = {"counts": [20, 5, 83], "size": [9, 12]}


def row(id_, attributes, **more):
    drawn = {"segmentation": [[1.0, 1.0, 6.0, 1.0, 6.0, 5.0]], "area": 10.0, "bbox": [1.0, 1.0, 5.0, 4.0], "iscrowd": 0}
    return {"id": id_, "image_id": 1, "category_id": 1} | drawn | {"attributes": attributes} | more


def file(*rows):
    """As CVAT exports it: a licence 0, empty texts, the mask uncompressed."""
    image = {"id": 1, "width": 12, "height": 9, "file_name": "a.jpg", "license": 0}
    return {
        "licenses": [{"name": "", "id": 0, "url": ""}],
        "info": {"contributor": "", "date_created": "", "description": "", "url": "", "version": "", "year": ""},
        "categories": [{"id": 1, "name": "shirt", "supercategory": ""}],
        "images": [image | {"flickr_url": "", "coco_url": "", "date_captured": 0}],
        "annotations": list(rows),
    }


@pytest.fixture
def converted(put):
    def run(*rows, schema=None):
        notes = Notes()
        return read(put("instances_default.json", file(*rows)), "cvat", notes=notes, schema=schema)[0], notes

    return run


def test_a_mask_with_iscrowd_1_is_one_product(converted):
    coco, notes = converted(
        row(1, {"occluded": False}, segmentation=MASK, iscrowd=1, area=5.0, bbox=[2.0, 1.0, 2.0, 7.0])
    )
    assert coco.annotations[0].iscrowd == 0 and coco.annotations[0].segmentation == MASK
    assert notes.lines() == [
        "masks with iscrowd 1 (CVAT's sign of a mask), read as one product each: 1, first at annotation 1"
    ]


def test_cvats_own_attributes_are_kept_apart_and_go_back(converted, tmp_path):
    own = {"occluded": True, "rotation": 12.5, "track_id": 3, "keyframe": True}
    coco, _ = converted(row(1, own), row(2, {"occluded": False}))
    assert [a.attributes for a in coco.annotations] == [{}, {}] and len(coco.schema) == 0
    assert coco.annotations[0].extra == {"cvat": own} and coco.annotations[1].extra == {}
    write(tmp_path / "f.json", coco, "cvat")
    again, _ = read(tmp_path / "f.json", "coco")
    assert [a.attributes for a in again.annotations] == [own, {"occluded": False}]


def test_a_schema_is_guessed_where_there_is_none(converted):
    coco, _ = converted(
        row(1, {"size": 3, "new": True, "color": "navy", "note": "", "mixed": 1}),
        row(2, {"size": 2.5, "new": False, "color": "red, white", "note": None, "mixed": "x"}),
    )
    assert list(coco.schema) == [
        Attribute("size", "number"),
        Attribute("new", "single", ("true", "false")),
        Attribute("color", "single", ("navy", "red, white")),
        Attribute("mixed", "single", ("1", "x")),
    ]
    assert coco.annotations[0].attributes == {"size": 3, "new": "true", "color": "navy", "mixed": "1"}
    assert coco.annotations[1].attributes == {"size": 2.5, "new": "false", "color": "red, white", "mixed": "x"}


SCHEMA = Schema(
    [
        Attribute("color", "multi", ("navy", "white", "a, b")),
        Attribute("size", "number"),
        Attribute("new", "single", ("true",)),
    ]
)


@pytest.mark.parametrize(
    "said, found",
    [
        ({"color": "navy,white"}, {"color": ["navy", "white"]}),
        ({"color": " white , navy,"}, {"color": ["white", "navy"]}),
        ({"color": '["a, b"]'}, {"color": ["a, b"]}),
        ({"color": "[]"}, {"color": []}),
        ({"color": ""}, {}),  # nobody typed anything
        ({"size": "65.0", "new": True}, {"size": 65.0, "new": "true"}),
        ({"size": 65, "new": None}, {"size": 65}),
    ],
)
def test_attributes_are_read_as_the_schema_says(converted, said, found):
    coco, _ = converted(row(1, said | {"occluded": False}), schema=SCHEMA)
    assert coco.annotations[0].attributes == found and coco.schema == SCHEMA


@pytest.mark.parametrize(
    "said, words",
    [
        ({"color": "nvy"}, r'annotation 1: attributes.color\[0\]: found "nvy", expected one of navy'),
        ({"shape": "x"}, "annotation 1: attribute 'shape' is not in the schema"),
        ({"size": "large"}, 'annotation 1: size: found "large", expected a number'),
        ({"size": "nan"}, "annotation 1: attributes.size"),
        ({"new": "perhaps"}, "annotation 1: attributes.new"),
        ([1], r"annotations\[0\].attributes: found \[1\]"),
    ],
)
def test_attributes_that_the_schema_does_not_know(converted, said, words):
    with pytest.raises(InputError, match=words):
        converted(row(1, said), schema=SCHEMA)


@pytest.mark.parametrize("with_schema", [True, False])
def test_ours_as_cvat_has_it(ours, tmp_path, with_schema):
    ours.schema = ours.schema if with_schema else Schema()
    write(tmp_path / "f.json", ours, "cvat")
    data = json.loads((tmp_path / "f.json").read_text())
    attributes = [one["attributes"] for one in data["annotations"]]
    assert attributes[0] == {"color": '["navy","a, b"]', "occluded": False}
    assert attributes[1] == {"pattern": "striped", "heel": 65, "occluded": False}
    assert attributes[3] == {"occluded": False, "is_crowd": True}
    assert attributes[4]["color"] == "[x],white"
    assert min(category["id"] for category in data["categories"]) == 1  # CVAT loses annotations of category 0
    assert [one["segmentation"] == [] for one in data["annotations"]] == [False, False, True, False, False, False]


def test_an_attribute_with_the_name_of_cvats(ours, tmp_path):
    ours.schema = Schema([*ours.schema, Attribute("occluded", "single", ("yes",))])
    with pytest.raises(InputError, match="'occluded' is one of CVAT's own; rename it"):
        write(tmp_path / "f.json", ours, "cvat")
    assert not (tmp_path / "f.json").exists()


def test_a_multi_value_of_plain_words_is_text_as_a_person_types_it(tmp_path, ours):
    ours.annotations[0].attributes = {"color": ["navy", "white"]}
    write(tmp_path / "f.json", ours, "cvat")
    assert '"color":"navy,white"' in (tmp_path / "f.json").read_text()
