"""`segattr data convert`: exit codes, what is printed, what is written where."""

import json

import pytest
from pycocotools.coco import COCO

from segattr.datasets.coco import read_coco
from segattr.tools.cli import main

FILE = {
    "images": [
        {"id": 0, "file_name": "a.png", "width": 12, "height": 9},
        {"id": 1, "file_name": "b.png", "width": 12, "height": 9},
    ],
    "categories": [{"id": 0, "name": "hat"}],
    "annotations": [
        {"id": 0, "image_id": 0, "category_id": 0, "segmentation": [[1, 1, 6, 1, 6, 5]]},
        {"id": 0, "image_id": 1, "category_id": 0, "segmentation": None, "bbox": [1, 1, 5, 4]},
        {"id": 1, "image_id": 5, "category_id": 0, "segmentation": []},
    ],
}


@pytest.fixture
def shop(tmp_path):
    """A file with quirks and one of its two photos."""
    folder = tmp_path / "shop"
    (folder / "photos").mkdir(parents=True)
    (folder / "photos/a.png").touch()
    (folder / "quirks.json").write_text(json.dumps(FILE))
    return folder


def convert(*argv):
    return main(["data", "convert", *map(str, argv)])


def test_a_file_with_quirks_becomes_one_without(shop, capsys):
    out = shop / "ours.json"
    assert convert(shop / "quirks.json", "--from", "coco", "--images", shop / "photos", "--out", out) == 0
    said = capsys.readouterr()
    assert said.out == f"{out}: 2 images, 2 annotations, 1 of 1 categories used\n"
    assert said.err.splitlines() == [
        "segattr: warning: lists whose ids begin below 1 (every id raised by 1): 3, first at images",
        "segattr: warning: annotations left out (their photo is not in the file): 1, first at annotations[2]",
        "segattr: warning: annotations whose id was used before, numbered anew: 1, first at annotations[1]",
        f"segattr: warning: photos that are not in {shop / 'photos'} (kept): 1, first at b.png",
    ]
    assert main(["data", "validate", str(out)]) == 0
    assert [image.file_name for image in read_coco(out).images] == ["photos/a.png", "photos/b.png"]  # beside the file
    assert len(COCO(str(out)).anns) == 2


# Ids from 0, an annotation id used twice, no area, no mask in two ways, fractions, attribute ids with gaps.
QUIRKS = {
    "images": FILE["images"],
    "categories": [{"id": 0, "name": "hat"}, {"id": 2, "name": "bag"}],
    "attributes": [
        {"id": 340, "name": "dot", "supercategory": "pattern"},
        {"id": 4, "name": "plain", "supercategory": "pattern"},
    ],
    "annotations": [
        {
            "id": 0,
            "image_id": 0,
            "category_id": 0,
            "segmentation": [[1.25, 1, 6.5, 1, 6.5, 5.75]],
            "attribute_ids": [340],
        },
        {"id": 0, "image_id": 1, "category_id": 2, "segmentation": [], "bbox": [1.25, 1.5, 5.5, 4.25], "iscrowd": 0},
        {"id": 3, "image_id": 1, "category_id": 2, "segmentation": None, "bbox": [2.0, 1.0, 3.5, 4.0], "area": None},
        {"id": 7, "image_id": 0, "category_id": 2, "segmentation": {"size": [9, 12], "counts": [20, 5, 83]}},
    ],
}


@pytest.mark.parametrize("form", ["coco", "fashionpedia", "modanet", "cvat", "labelstudio"])
def test_the_quirks_of_real_files_in_every_form_of_coco(form, tmp_path, capsys):
    (tmp_path / "theirs.json").write_text(json.dumps(QUIRKS))
    out = tmp_path / "ours.json"
    assert convert(tmp_path / "theirs.json", "--from", form, "--out", out) == 0
    assert "used before, numbered anew: 1" in capsys.readouterr().err
    assert main(["data", "validate", str(out)]) == 0
    coco, theirs = read_coco(out), COCO(str(out))
    by_name = {(coco.category_by_id[a.category_id].name, tuple(a.bbox)): a for a in coco.annotations}
    assert len(coco.images) == 2 and len(by_name) == len(theirs.anns) == 4
    assert min(theirs.anns) > 0 and min(theirs.cats) > 0 and min(theirs.imgs) >= 0
    assert by_name["bag", (1.25, 1.5, 5.5, 4.25)].segmentation is None
    assert by_name["bag", (2, 1, 3.5, 4)].area == 14
    assert by_name["bag", (2, 2, 1, 5)].area == 5
    (drawn,) = (a for (name, _), a in by_name.items() if name == "hat")
    assert drawn.area == theirs.annToMask(theirs.anns[drawn.id]).sum() > 0
    if form == "fashionpedia":
        assert drawn.attributes == {"pattern": ["dot"]}


def test_photos_that_are_missing_can_be_left_out(shop, capsys):
    words = [
        shop / "quirks.json",
        "--from",
        "coco",
        "--skip-missing",
        "--images",
        shop / "photos",
        "--out",
        shop / "ours.json",
    ]
    assert convert(*words) == 0
    assert [i.file_name for i in read_coco(shop / "ours.json").images] == ["photos/a.png"]
    (shop / "photos/a.png").unlink()
    assert convert(*words) == 2
    assert "none of the photos is in" in capsys.readouterr().err


def test_a_file_elsewhere_says_which_folder_its_photos_are_in(shop, tmp_path, capsys):
    out = tmp_path / "elsewhere/ours.json"
    assert convert(shop / "quirks.json", "--from", "coco", "--images", shop / "photos", "--out", out) == 0
    assert f"use --images {shop / 'photos'}" in capsys.readouterr().out
    assert read_coco(out).images[0].file_name == "a.png"


@pytest.mark.parametrize("form", ["fashionpedia", "cvat", "labelstudio"])
def test_there_and_back(form, tmp_path):
    assert main(["data", "synth", str(tmp_path), "--images", "3", "--size-px", "96", "--seed", "1"]) == 0
    there, back = tmp_path / f"{form}.json", tmp_path / "back.json"
    assert convert(tmp_path / "catalog.json", "--from", "coco", "--to", form, "--out", there) == 0
    assert convert(there, "--from", form, "--out", back) == 0
    assert read_coco(back) == read_coco(tmp_path / "catalog.json")
    assert len(COCO(str(there)).anns) == len(read_coco(back).annotations)


def test_a_schema_for_a_cvat_export(shop, capsys):
    rows = [{"id": 1, "image_id": 1, "category_id": 0, "bbox": [1, 1, 5, 4], "attributes": {"color": "red,blue"}}]
    (shop / "cvat.json").write_text(json.dumps(FILE | {"annotations": rows}))
    (shop / "ours.json").write_text(
        json.dumps({"attribute_schema": [{"name": "color", "kind": "multi", "values": ["red", "blue"]}]})
    )
    words = [shop / "cvat.json", "--from", "cvat", "--out", shop / "out.json", "--schema"]
    assert convert(*words, shop / "ours.json") == 0
    assert read_coco(shop / "out.json").annotations[0].attributes == {"color": ["red", "blue"]}
    (shop / "broken.json").write_text("{")
    (shop / "empty.json").write_text("{}")
    for name, said in (("none", "cannot be read"), ("broken", "not JSON"), ("empty", "no attribute_schema")):
        assert convert(*words, shop / f"{name}.json") == 2
        assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "words, said",
    [
        (["quirks.json", "--from", "coco", "--out", "quirks.json"], "would overwrite"),
        (["none.json", "--from", "coco", "--out", "o.json"], "does not exist"),
        ([".", "--from", "ccp", "--out", "o.json"], "label_list.mat"),
        (["quirks.json", "--from", "cvat", "--labels", "x", "--out", "o.json"], "--labels with ccp or imaterialist"),
        (["quirks.json", "--from", "coco", "--images", "nowhere", "--out", "o.json"], "is not a folder"),
        (["quirks.json", "--from", "coco", "--out", "photos"], "photos"),
    ],
)
def test_a_mistake_is_one_sentence_and_2(shop, monkeypatch, capsys, words, said):
    monkeypatch.chdir(shop)
    assert convert(*words) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("segattr: error: ") and said in error
    assert not (shop / "o.json").exists()


def test_a_format_that_is_none_is_2(shop):
    with pytest.raises(SystemExit) as caught:
        convert(shop / "quirks.json", "--from", "yolo", "--out", shop / "o.json")
    assert caught.value.code == 2
