"""Label Studio: ids from 0, names of photos from the upload, outlines in place of masks."""

import json

import numpy as np
import pytest
from PIL import Image as PilImage

from segattr.datasets import masks
from segattr.datasets.convert import Notes, read, write
from segattr.datasets.convert.labelstudio import found_name
from segattr.datasets.errors import InputError


def row(id_, **more):
    drawn = {"segmentation": [[1.5, 1, 6, 1, 6, 5]], "area": 9.0, "bbox": [1.5, 1, 4.5, 4], "ignore": 0, "iscrowd": 0}
    return {"id": id_, "image_id": 0, "category_id": 0} | drawn | more


def file(*rows, **image):
    """As Label Studio exports it: no licences, all ids from 0."""
    return {
        "images": [{"width": 12, "height": 9, "id": 0, "file_name": "images/1a2b3c4d-a.jpg"} | image],
        "categories": [{"id": 0, "name": "hat"}, {"id": 1, "name": "bag"}],
        "annotations": list(rows),
        "info": {"year": 2026, "version": "1.0", "contributor": "Label Studio", "url": ""},
    }


@pytest.fixture
def converted(put):
    def run(data, **options):
        notes = Notes()
        return read(put("result.json", data), "labelstudio", notes=notes, **options)[0], notes

    return run


def test_ids_are_raised_and_come_back(converted, tmp_path):
    data = file(row(0), row(1, category_id=1, segmentation=[]), row(5))
    coco, notes = converted(data)
    assert not notes
    assert [i.id for i in coco.images] == [1] and [c.id for c in coco.categories] == [1, 2]
    assert [(a.id, a.image_id, a.category_id) for a in coco.annotations] == [(1, 1, 1), (2, 1, 2), (6, 1, 1)]
    assert coco.annotations[1].segmentation is None and coco.annotations[0].extra == {}
    write(tmp_path / "again.json", coco, "labelstudio")
    assert json.loads((tmp_path / "again.json").read_text()) == data | {"licenses": []}


def test_a_brush_export_has_categories_from_1_and_gaps_in_its_photos(converted):
    data = file(row(0, image_id=4, category_id=1, annotator="a@b"), id=4, path="/data/upload/1/x.jpg")
    data["categories"] = [{"id": 1, "name": "hat", "supercategory": "", "color": "#aabbcc", "metadata": {}}]
    coco, notes = converted(data)
    assert coco.images[0].id == 5 and coco.annotations[0].extra == {"annotator": "a@b"} and not notes
    assert coco.category_by_id[coco.annotations[0].category_id].name == "hat"


def test_the_size_of_a_photo_it_could_not_open(converted, tmp_path):
    data = file(row(0), width=None, height=None)
    with pytest.raises(InputError, match=r"images\[0\] .* has no width and height.*--images"):
        converted(data)
    (tmp_path / "photos").mkdir()
    PilImage.new("RGB", (12, 9)).save(tmp_path / "photos/a.jpg")
    coco, notes = converted(data, images=tmp_path / "photos")
    assert (coco.images[0].file_name, coco.images[0].width, coco.images[0].height) == ("a.jpg", 12, 9)
    assert len(notes.counts) == 2


@pytest.mark.parametrize(
    "said, there, found",
    [
        ("images/1a2b3c4d-a.jpg", None, "images/1a2b3c4d-a.jpg"),
        ("images/1a2b3c4d-a.jpg", "images/1a2b3c4d-a.jpg", "images/1a2b3c4d-a.jpg"),
        ("images/1a2b3c4d-a.jpg", "1a2b3c4d-a.jpg", "1a2b3c4d-a.jpg"),
        ("images/1a2b3c4d-a.jpg", "a.jpg", "a.jpg"),
        ("images\\1a2b3c4d-a.jpg", None, "images/1a2b3c4d-a.jpg"),
        ("../../media/upload/1/1a2b3c4d-a.jpg", None, "1a2b3c4d-a.jpg"),
        ("../../media/upload/1/1a2b3c4d-a.jpg", "a.jpg", "a.jpg"),
        ("/data/upload/1/1a2b3c4d-a.jpg", "a.jpg", "a.jpg"),
        ("/data/local-files/?d=shop/my%20hat.jpg", "shop/my hat.jpg", "shop/my hat.jpg"),
        ("images/1a2b3c4d-my%20hat.jpg", "my hat.jpg", "my hat.jpg"),
        ("C:\\photos\\a.jpg", None, "a.jpg"),
        ("s3://bucket/shop/a.jpg", None, "a.jpg"),
        ("https://example.com/x/a.jpg?size=2", "a.jpg", "a.jpg"),
        ("deadbeef-", None, "deadbeef-"),
    ],
)
def test_names_of_photos(tmp_path, said, there, found):
    if there:
        (tmp_path / there).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / there).touch()
    assert found_name(said, tmp_path) == found


def test_a_changed_name_goes_back(converted, tmp_path):
    coco, notes = converted(file(row(0), file_name="../../media/upload/1/1a2b3c4d-a.jpg"))
    assert coco.images[0].file_name == "1a2b3c4d-a.jpg" and "names of photos changed" in notes.lines()[0]
    write(tmp_path / "again.json", coco, "labelstudio")
    assert (
        json.loads((tmp_path / "again.json").read_text())["images"][0]["file_name"]
        == "../../media/upload/1/1a2b3c4d-a.jpg"
    )


def test_every_mask_is_outlines_for_its_importer(ours, tmp_path):
    notes = Notes()
    write(tmp_path / "f.json", ours, "labelstudio", notes=notes)
    data = json.loads((tmp_path / "f.json").read_text())
    assert all(isinstance(one["segmentation"], list) for one in data["annotations"])
    assert [one["id"] for one in data["annotations"]] == [0, 1, 4, 5, 7, 8] and data["images"][0]["id"] == 0
    assert notes.lines() == ["masks with holes, which outlines fill (whole under segattr): 1, first at annotation 1"]


def test_outlines_changed_in_another_tool_count(ours, converted, tmp_path):
    write(tmp_path / "f.json", ours, "labelstudio")
    data = json.loads((tmp_path / "f.json").read_text())
    data["annotations"][0]["segmentation"] = [[3, 2, 9, 2, 9, 12, 3, 12]]
    data["annotations"][0]["bbox"] = [3, 2, 6, 10]
    coco, notes = converted(data)
    assert coco.annotations[0].segmentation == [[3, 2, 9, 2, 9, 12, 3, 12]] and coco.annotations[0].bbox == [
        3,
        2,
        6,
        10,
    ]
    assert "masks whose outlines were changed in another tool (the outlines count): 1" in notes.lines()[0]


def test_outlines_are_the_mask_but_for_its_holes(ours, tmp_path):
    write(tmp_path / "f.json", ours, "labelstudio")
    crowd = json.loads((tmp_path / "f.json").read_text())["annotations"][3]["segmentation"]
    assert np.array_equal(masks.decode(masks.to_rle(crowd, 50, 40)), np.eye(50, 40))
