"""Fashionpedia: numbered attributes to attributes of ours and back, the same file again."""

import copy
import json

import pytest

from segattr.datasets.coco import CocoFile, read_coco, write_coco
from segattr.datasets.convert import Notes, read, write
from segattr.datasets.editing import split
from segattr.datasets.errors import InputError

SLEEVE = {"size": [9, 12], "counts": [20, 5, 83]}


def annotation(id_, category, ids, **more):
    row = {"id": id_, "image_id": 23, "category_id": category, "attribute_ids": ids}
    return row | {"segmentation": [[1, 1, 6, 1, 6, 5]], "bbox": [1.0, 1.0, 5.0, 4.0], "area": 10, "iscrowd": 0} | more


def attribute(id_, name, group):
    return {"id": id_, "name": name, "supercategory": group, "level": 1, "taxonomy_id": f"att{id_}"}


# Ids from 0, attribute ids with gaps and out of order, a name twice in one supercategory, RLE without iscrowd.
FILE = {
    "info": {"year": "2020", "version": "1.0"},
    "licenses": [{"id": 1, "name": "CC BY 4.0"}],
    "images": [
        {
            "id": 23,
            "file_name": "a.jpg",
            "width": 12,
            "height": 9,
            "license": 1,
            "isstatic": 1,
            "original_url": "http://x",
        },
        {"id": 7, "file_name": "b.jpg", "width": 12, "height": 9, "license": 1, "kaggle_id": "c0"},
    ],
    "categories": [
        {"id": 0, "name": "shirt, blouse", "supercategory": "upperbody", "level": 2, "taxonomy_id": "obj0"},
        {"id": 23, "name": "shoe", "supercategory": "legs and feet", "level": 2, "taxonomy_id": "obj23"},
        {"id": 31, "name": "sleeve", "supercategory": "garment parts", "level": 2, "taxonomy_id": "obj31"},
    ],
    "attributes": [
        attribute(115, "symmetrical", "silhouette"),
        attribute(130, "regular (fit)", "silhouette"),
        attribute(4, "plain (pattern)", "textile pattern"),
        attribute(340, "dot", "textile pattern"),
        attribute(341, "dot", "textile pattern"),
        attribute(200, "wrist-length", "length"),
        attribute(9, "nobody's", "leather"),
    ],
    "annotations": [
        annotation(0, 0, [130, 4, 115]),
        annotation(1, 0, [341]),
        annotation(2, 0, []),
        annotation(3, 23, []),
        annotation(7, 31, [200], segmentation=SLEEVE, bbox=[2, 1, 2, 7], area=5),
    ],
}


@pytest.fixture
def back(put):
    """`back(data)` reads a Fashionpedia file; the file of ours and the notes."""

    def run(data) -> tuple[CocoFile, Notes]:
        notes = Notes()
        return read(put("fashionpedia.json", data), "fashionpedia", notes=notes)[0], notes

    return run


def rewritten(coco, tmp_path):
    write(tmp_path / "again.json", coco, "fashionpedia")
    return json.loads((tmp_path / "again.json").read_text())


def test_supercategories_become_attributes(back):
    coco, notes = back(FILE)
    assert not notes
    assert [(a.name, a.kind, a.values, a.categories) for a in coco.schema] == [
        ("silhouette", "multi", ("symmetrical", "regular (fit)"), ("shirt, blouse",)),
        ("textile pattern", "multi", ("plain (pattern)", "dot", "dot (341)"), ("shirt, blouse",)),
        ("length", "multi", ("wrist-length",), ("sleeve",)),
        ("leather", "multi", ("nobody's",), ()),
    ]
    assert [a.attributes for a in coco.annotations] == [
        {"silhouette": ["regular (fit)", "symmetrical"], "textile pattern": ["plain (pattern)"]},
        {"silhouette": [], "textile pattern": ["dot (341)"]},
        {"silhouette": [], "textile pattern": []},  # asked, and none of them
        {},  # shoes have no attributes in this file
        {"length": ["wrist-length"]},
    ]


def test_ids_of_categories_and_annotations_are_raised_by_one_and_crowds_stay_none(back):
    coco, _ = back(FILE)
    assert [c.id for c in coco.categories] == [1, 24, 32] and [i.id for i in coco.images] == [23, 7]
    assert [a.id for a in coco.annotations] == [1, 2, 3, 4, 8] and coco.annotations[4].category_id == 32
    assert coco.annotations[4].segmentation == SLEEVE and coco.annotations[4].iscrowd == 0


def test_the_same_file_comes_back(back, tmp_path):
    coco, _ = back(FILE)
    write_coco(tmp_path / "ours.json", coco)
    for file in (coco, read_coco(tmp_path / "ours.json")):
        assert rewritten(file, tmp_path) == FILE


def test_a_part_of_it_has_the_ids_of_the_whole(back, tmp_path):
    coco, _ = back(FILE)
    part = split(coco, {"a": 0.5, "b": 0.5})["a"]
    again = rewritten(part, tmp_path)
    whole = {row["id"]: row for row in FILE["annotations"]}
    assert again["categories"] == FILE["categories"] and again["attributes"] == FILE["attributes"]
    for row in again["annotations"]:
        row.pop("segattr", None)
        assert row == whole[row["id"]]


def test_edited_attributes_become_edited_ids(back, tmp_path):
    coco, _ = back(FILE)
    coco.annotations[0].attributes = {"silhouette": ["symmetrical"], "textile pattern": ["dot", "dot (341)"]}
    again = rewritten(coco, tmp_path)
    assert again["annotations"][0] == FILE["annotations"][0] | {"attribute_ids": [115, 340, 341]}
    assert back(again)[0].annotations[0].attributes == coco.annotations[0].attributes


def test_an_attribute_nobody_asked_for_stays_unknown(back, tmp_path):
    """An empty list says "none of these"; Fashionpedia's list of ids cannot say less."""
    coco, _ = back(FILE)
    del coco.annotations[0].attributes["silhouette"]
    again = rewritten(coco, tmp_path)
    assert again["annotations"][0]["attribute_ids"] == [4]
    assert back(again)[0].annotations[0].attributes == {"textile pattern": ["plain (pattern)"]}


def test_ours_gets_numbers_and_they_say_the_same(ours, back, tmp_path):
    data = rewritten(ours, tmp_path)
    names = {entry["id"]: (entry["supercategory"], entry["name"]) for entry in data["attributes"]}
    assert [names[i] for i in data["annotations"][0]["attribute_ids"]] == [("color", "navy"), ("color", "a, b")]
    assert [names[i] for i in data["annotations"][1]["attribute_ids"]] == [("pattern", "striped")]
    assert all("attribute_ids" in row and "attributes" not in row for row in data["annotations"])
    assert [row["id"] for row in data["annotations"]] == [0, 1, 4, 5, 7, 8]


def test_ids_changed_by_another_tool_count(ours, back, tmp_path):
    data = rewritten(ours, tmp_path)
    numbers = {entry["name"]: entry["id"] for entry in data["attributes"]}
    data["annotations"][1]["attribute_ids"] = [numbers["1"]]
    coco, notes = back(data)
    assert coco.annotations[1].attributes == {"color": [], "pattern": "1", "heel": 65}
    assert notes.lines() == ["attributes changed in another tool (its attribute_ids count): 1, first at annotation 2"]


@pytest.mark.parametrize(
    "ids, attributes, said",
    [
        ([9999, 4], ["plain (pattern)"], "attribute ids that the file does not list (kept as attribute_ids): 1"),
        ([4, 4], ["plain (pattern)"], None),
        ("4", None, "attribute_ids that are no list of ids"),
    ],
)
def test_odd_ids_come_back_as_they_were(back, tmp_path, ids, attributes, said):
    data = copy.deepcopy(FILE)
    data["annotations"][0]["attribute_ids"] = ids
    coco, notes = back(data)
    assert coco.annotations[0].attributes.get("textile pattern") == attributes
    assert said in notes.lines()[0] if said else not notes
    assert isinstance(ids, str) or rewritten(coco, tmp_path) == data


def test_a_missing_list_of_ids_says_nothing_and_comes_back_missing(back, tmp_path):
    data = copy.deepcopy(FILE)
    del data["annotations"][0]["attribute_ids"]
    coco, _ = back(data)
    assert coco.annotations[0].attributes == {}
    assert rewritten(coco, tmp_path) == data


def test_two_annotations_with_one_id(back):
    """A published version of the file had such."""
    data = copy.deepcopy(FILE)
    data["annotations"][1]["id"] = 0
    coco, notes = back(data)
    assert [a.id for a in coco.annotations] == [1, 9, 3, 4, 8] and coco.annotations[1].extra["original_id"] == 0
    assert notes.lines() == ["annotations whose id was used before, numbered anew: 1, first at annotations[1]"]


@pytest.mark.parametrize(
    "entries, words",
    [
        ({}, None),
        ("x", 'attributes: found "x", expected a list'),
        ([{"id": 1}], r"attributes\[0\]: found {\"id\":1}, expected an object"),
        ([attribute(1, "a", "b"), attribute(1, "c", "b")], r"attributes\[1\].id: found 1 a second time"),
    ],
)
def test_attributes_that_are_none(back, entries, words):
    data = FILE | {"attributes": entries}
    if words is None:
        assert len(back(data)[0].schema) == 0
        return
    with pytest.raises(InputError, match=words):
        back(data)


def test_attributes_without_a_supercategory_are_one_group(back):
    entries = [{"id": 1, "name": "red"}, {"id": 2, "name": "blue", "supercategory": None}]
    data = FILE | {"attributes": entries, "annotations": [annotation(0, 0, [2])]}
    coco, _ = back(data)
    assert coco.annotations[0].attributes == {"attributes": ["blue"]} and coco.schema["attributes"].values == (
        "red",
        "blue",
    )
