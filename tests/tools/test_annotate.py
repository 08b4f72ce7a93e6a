"""`segattr annotate`: drafts are added, what a person did is kept."""

import json

import pytest

from segattr.datasets.coco import read_coco
from segattr.datasets.errors import InputError
from segattr.tools.annotate import AnnotateConfig, annotate, find_new
from segattr.tools.cli import main as segattr


@pytest.fixture
def draft(photos, fake):
    def make(out, predictor=None, **options):
        config = AnnotateConfig((photos.folder,), out, **options)
        return annotate(config, find_new(config), predictor or fake.FakePredictor())

    return make


def test_drafts_are_valid_coco_beside_the_photos(photos, tmp_path, fake, draft, capsys):
    photos.many(8)
    out = tmp_path / "catalog.json"
    drafts = draft(out)
    assert drafts.photos == 8
    coco = read_coco(out)
    assert [image.file_name for image in coco.images] == [f"photos/{i:03d}.png" for i in range(8)]
    assert len(coco.annotations) == drafts.products > 0
    assert all(
        a.extra["review"] == "draft" and a.score > 0.8 and "color" in a.extra["probabilities"] for a in coco.annotations
    )
    assert coco.schema == fake.SCHEMA
    assert not (tmp_path / ".segattr").exists()
    assert segattr(["data", "validate", str(out), "--images", str(tmp_path)]) == 0


def test_what_a_person_edited_stays(photos, tmp_path, draft, fake):
    photos.many(4)
    out = tmp_path / "catalog.json"
    draft(out)
    data = json.loads(out.read_text())
    edited = data["annotations"][0]
    edited["review"], edited["attributes"], edited["note"] = "done", {"color": ["green"]}, "mine"
    edited["segmentation"], edited["bbox"], edited["area"] = [[1, 1, 30, 1, 30, 20, 1, 20]], [1, 1, 29, 19], 551
    data["annotations"] = [edited, *data["annotations"][2:]]
    data["my_key"] = {"kept": True}
    data["images"][0]["license"] = 3
    out.write_text(json.dumps(data))

    photos.add("zzz.png")
    predictor = fake.FakePredictor()
    assert draft(out, predictor).photos == 1
    assert sum(predictor.calls) == 1
    after = json.loads(out.read_text())
    assert after["images"][:4] == data["images"] and after["annotations"][:-1] == data["annotations"]
    assert after["my_key"] == {"kept": True}
    new = after["annotations"][-1]
    assert new["id"] == max(a["id"] for a in data["annotations"]) + 1
    assert (new["image_id"], after["images"][-1]["file_name"]) == (5, "photos/zzz.png")
    read_coco(out)


def test_a_file_with_its_own_categories_and_schema_rules(photos, tmp_path, draft):
    photos.add("a.png", [(30, 5, 70, 25, (0, 10, 90))])  # a "hat": blue, green
    out = tmp_path / "catalog.json"
    mine = {
        "images": [{"id": 7, "file_name": "old.png", "width": 10, "height": 10}],
        "categories": [{"id": 40, "name": "hat", "supercategory": "clothes"}],
        "annotations": [
            {"id": 9, "image_id": 7, "category_id": 40, "bbox": [0, 0, 5, 5], "attributes": {"color": ["red"]}}
        ],
        "attribute_schema": [{"name": "color", "kind": "multi", "values": ["red", "blue"]}],
    }
    out.write_text(json.dumps(mine))
    drafts = draft(out)
    assert dict(drafts.dropped) == {"color": 1, "pattern": 1, "length": 1}
    coco = read_coco(out)
    new = coco.annotations[-1]
    assert (new.id, new.image_id, new.category_id, new.attributes) == (10, 8, 40, {"color": ["blue"]})
    assert [(c.id, c.name) for c in coco.categories] == [(40, "hat"), (41, "shirt")]
    assert coco.categories[0].extra == {"supercategory": "clothes"}


def test_an_interrupted_run_goes_on(photos, tmp_path, fake, draft):
    photos.many(9)
    out = tmp_path / "catalog.json"

    class Stopped(fake.FakePredictor):
        def __call__(self, images):
            if len(self.calls) == 2:
                raise KeyboardInterrupt
            return super().__call__(images)

    with pytest.raises(KeyboardInterrupt):
        draft(out, Stopped(), batch_size=2)
    assert not out.exists()
    predictor = fake.FakePredictor()
    assert draft(out, predictor, batch_size=2).photos == 9
    assert sum(predictor.calls) == 5


def test_images_elsewhere(photos, tmp_path, draft):
    photos.add("a.png")
    out = tmp_path / "annotations" / "catalog.json"
    with pytest.raises(InputError, match="--images"):
        draft(out)
    draft(out, images=photos.folder)
    assert [image.file_name for image in read_coco(out).images] == ["a.png"]


def test_nothing_new_needs_no_model(photos, tmp_path, draft, capsys):
    photos.add("a.png")
    out = tmp_path / "catalog.json"
    draft(out)
    before = out.read_bytes()
    assert segattr(["annotate", str(photos.folder), "--out", str(out), "--model", "nowhere", "--no-serve"]) == 0
    assert "nothing to add" in capsys.readouterr().out and out.read_bytes() == before


def test_a_bad_photo_is_told_and_left_out(photos, tmp_path, draft):
    photos.add("a.png")
    (photos.folder / "b.jpg").write_text("no")
    drafts = draft(tmp_path / "catalog.json")
    assert drafts.photos == 1 and [file for file, _ in drafts.errors] == ["photos/b.jpg"]


def test_mistakes(photos, tmp_path, capsys):
    photos.add("a.png")
    broken = tmp_path / "broken.json"
    broken.write_text('{"images": [')
    for argv in (
        [str(photos.folder), "--out", str(tmp_path)],
        [str(photos.folder), "--out", str(broken)],
        [str(tmp_path / "nowhere"), "--out", str(tmp_path / "c.json")],
        [str(photos.folder), "--out", str(tmp_path / "c.json"), "--batch-size", "-1"],
    ):
        assert segattr(["annotate", *argv, "--no-serve"]) == 2
        assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert broken.read_text() == '{"images": ['


def test_help_tells_of_the_editor(capsys):
    with pytest.raises(SystemExit) as stop:
        segattr(["annotate", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert stop.value.code == 0 and "correct and accept them in the browser" in text
    assert all(flag in text for flag in ("--from", "--no-serve", "--no-browser", "--port", "--token", "--export"))


def test_min_prob_leaves_out_what_the_model_is_not_sure_of(photos, tmp_path, draft):
    photos.add("tall.png", boxes=((10, 5, 30, 55, (90, 20, 10)),))  # a shirt, sure by 0.9
    photos.add("wide.png", boxes=((10, 20, 70, 40, (90, 20, 10)),))  # a hat, sure by 0.6
    draft(tmp_path / "all.json")
    draft(tmp_path / "sure.json", min_prob=0.65)
    every, sure = read_coco(tmp_path / "all.json"), read_coco(tmp_path / "sure.json")
    assert [sorted(a.attributes) for a in every.annotations] == [["color", "length", "pattern"]] * 2
    (shirt,) = sure.annotations
    assert sure.category_by_id[shirt.category_id].name == "shirt" and len(sure.images) == 2
    assert sorted(shirt.attributes) == ["length", "pattern"]  # its second colour is sure by 0.6 only
    with pytest.raises(InputError, match=r"--min-prob 1\.5"):
        draft(tmp_path / "x.json", min_prob=1.5)
