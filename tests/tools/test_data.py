"""`segattr data`: exit codes, what is printed, what is written where."""

import json

import pytest

from segattr.datasets.coco import read_coco
from segattr.tools.cli import main


def catalog(images=10, **annotation):
    return {
        "images": [
            {"id": i, "file_name": f"images/{i}.jpg", "width": 8, "height": 6, "who": i // 2}
            for i in range(1, images + 1)
        ],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 1, "bbox": [1, 1, 3, 2], "attributes": {"color": ["red"]}}
            | annotation
            for i in range(1, images + 1)
        ],
        "categories": [{"id": 1, "name": "hat"}],
        "attribute_schema": [{"name": "color", "kind": "multi", "values": ["red", "blue"]}],
    }


@pytest.fixture
def file(tmp_path):
    """A catalog with its (empty) photos beside it."""
    folder = tmp_path / "shop"
    (folder / "images").mkdir(parents=True)
    for i in range(1, 11):
        (folder / f"images/{i}.jpg").touch()
    (folder / "all.json").write_text(json.dumps(catalog()))
    return folder / "all.json"


def data(*argv):
    return main(["data", *map(str, argv)])


def test_validate_of_a_good_file_is_0(file, capsys):
    assert data("validate", file) == 0
    assert "without a defect" in capsys.readouterr().out


def test_validate_lists_every_defect_and_is_1(file, capsys):
    file.write_text(json.dumps(catalog(area=-1) | {"categories": [{"id": 1, "name": "hat"}, {"id": 0, "name": "x"}]}))
    assert data("validate", file) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 12 and lines[-1] == "10 errors, 1 warning"
    assert lines[0].startswith(f"warning: {file}: categories[1].id: found 0")
    assert lines[10].startswith(f"error: {file}: annotations[9].area: found -1, expected")


def test_validate_as_json_and_with_the_photos(file, capsys):
    (file.parent / "images/3.jpg").unlink()
    assert data("validate", file, "--images", file.parent, "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert len(found) == 10  # the others are empty files
    assert found[2]["path"] == "images[2].file_name" and "is not in" in found[2]["message"]
    assert found[2]["file"] == str(file) and found[2]["fatal"] is True


@pytest.mark.parametrize("argv", [["validate"], ["validate", "none.json"], ["nope"], ["stats", "none.json"]])
def test_a_mistake_in_what_is_asked_is_one_sentence_and_2(argv, capsys):
    assert data(*argv) == 2
    error = capsys.readouterr().err
    assert error.startswith("segattr: error: ") and error.count("\n") == 1


def test_a_wrong_flag_is_2(file):
    with pytest.raises(SystemExit) as caught:
        data("validate", file, "--wrong")
    assert caught.value.code == 2


def test_stats_as_a_table_and_as_json(file, capsys):
    assert data("stats", file) == 0
    table = capsys.readouterr().out
    for words in ("hat", "red", "missing", "mask area", "a box only"):
        assert words in table
    assert data("stats", file, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["categories"] == {"hat": 10} and found["attributes"]["color"]["values"] == {"red": 10, "blue": 0}


def test_a_defect_file_stops_the_other_verbs(file, capsys):
    file.write_text(json.dumps(catalog(area=-1)))
    for argv in (["stats", file], ["split", file], ["merge", file, "--out", file.parent / "m.json"]):
        assert data(*argv) == 2
        assert "annotations[0].area: found -1" in capsys.readouterr().err
    assert sorted(p.name for p in file.parent.iterdir()) == ["all.json", "images"]


def test_split_writes_beside_the_file_and_keeps_groups_whole(file, capsys):
    assert data("split", file, "--val", "0.2", "--test", "0.2", "--group-by", "who") == 0
    parts = [read_coco(file.parent / f"all.{name}.json") for name in ("train", "val", "test")]
    assert sum(len(part.images) for part in parts) == 10 and all(part.images for part in parts)
    groups = [{image.extra["who"] for image in part.images} for part in parts]
    assert not (groups[0] & groups[1] or groups[0] & groups[2] or groups[1] & groups[2])
    assert all((file.parent / image.file_name).exists() for part in parts for image in part.images)
    assert "all.val.json: " in capsys.readouterr().out


def test_split_into_the_folder_above_renames_and_elsewhere_says_which_folder_to_use(file, tmp_path, capsys):
    assert data("split", file, "--out", tmp_path) == 0
    assert read_coco(tmp_path / "val.json").images[0].file_name.startswith("shop/images/")
    assert "--images" not in capsys.readouterr().out
    assert data("split", file, "--out", tmp_path / "parts") == 0
    assert read_coco(tmp_path / "parts/val.json").images[0].file_name.startswith("images/")
    assert f"use --images {file.parent}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "flags", [["--val", "0"], ["--val", "0.7", "--test", "0.4"], ["--val", "-0.1"], ["--val", "nan"]]
)
def test_split_refuses_shares_that_are_none(file, flags, capsys):
    assert data("split", file, *flags) == 2
    assert "expected shares" in capsys.readouterr().err


def test_split_into_folds(file, tmp_path, capsys):
    assert data("split", file, "--folds", "3", "--group-by", "who", "--out", tmp_path) == 0
    assert "fold2.val.json: " in capsys.readouterr().out
    vals = [read_coco(tmp_path / f"fold{i}.val.json") for i in range(3)]
    assert sorted(i.id for val in vals for i in val.images) == list(range(1, 11))
    train = read_coco(tmp_path / "fold0.train.json")
    assert {i.id for i in train.images} == {i.id for val in vals[1:] for i in val.images}
    assert all((tmp_path / image.file_name).exists() for image in train.images)


def test_folds_and_shares_do_not_go_together(file, capsys):
    assert data("split", file, "--folds", "3", "--val", "0.3") == 2
    assert "leave out --val and --test" in capsys.readouterr().err
    assert [p.name for p in file.parent.glob("*.json")] == ["all.json"]


def test_samples_are_nested_and_their_names_follow_the_file(file, tmp_path, capsys):
    for images in (4, 6):
        out = tmp_path / f"some{images}.json"
        assert data("sample", file, "--images", images, "--group-by", "who", "--seed", 3, "--out", out) == 0
    assert "some6.json: 6 images (60.0%), 6 annotations" in capsys.readouterr().out
    four, six = (read_coco(tmp_path / f"some{n}.json") for n in (4, 6))
    assert {i.file_name for i in four.images} < {i.file_name for i in six.images}
    assert all((tmp_path / image.file_name).exists() for image in six.images)
    assert data("sample", file, "--images", 11, "--out", tmp_path / "x.json") == 2
    assert data("sample", file, "--images", 5, "--out", file) == 2
    assert "would overwrite" in capsys.readouterr().err


def test_split_does_not_overwrite_its_source(file, capsys):
    source = file.rename(file.parent / "train.json")
    assert data("split", source, "--out", source.parent) == 2
    assert "would overwrite" in capsys.readouterr().err


def test_merge_puts_parts_together_again(file, tmp_path):
    assert data("split", file) == 0
    parts = [file.parent / "all.train.json", file.parent / "all.val.json"]
    assert data("merge", *parts, "--out", file.parent / "again.json") == 0
    merged = read_coco(file.parent / "again.json")
    assert sorted(i.file_name for i in merged.images) == sorted(i.file_name for i in read_coco(file).images)
    assert [i.id for i in merged.images] == list(range(1, 11))


def test_merge_of_two_folders_names_the_photos_from_the_folder_above(file, tmp_path, capsys):
    other = tmp_path / "other"
    (other / "images").mkdir(parents=True)
    (other / "images/1.jpg").touch()
    (other / "one.json").write_text(json.dumps(catalog(images=1)))
    assert data("merge", file, other / "one.json", "--out", tmp_path / "both.json") == 0
    names = [image.file_name for image in read_coco(tmp_path / "both.json").images]
    assert names[0] == "shop/images/1.jpg" and names[-1] == "other/images/1.jpg"
    capsys.readouterr()
    assert data("merge", file, other / "one.json", "--out", tmp_path / "deep/er/both.json") == 2
    assert "write --out into a folder above all the files" in capsys.readouterr().err
    assert not (tmp_path / "deep").exists()


def test_merge_of_one_file_mends_its_ids(file, capsys):
    broken = catalog()
    for row in broken["annotations"]:
        row["id"] = 0
    file.write_text(json.dumps(broken))
    assert data("validate", file) == 1
    assert "segattr data merge FILE --out NEW" in capsys.readouterr().out
    assert data("merge", file, "--out", file) == 0  # in place, in one step
    assert data("validate", file) == 0


def test_the_same_photo_twice_stops_a_merge_and_nothing_is_written(file, capsys):
    again = file.parent / "again.json"
    again.write_text(file.read_text())
    assert data("merge", file, again, "--out", file.parent / "m.json") == 2
    assert "is also in" in capsys.readouterr().err and not (file.parent / "m.json").exists()


def test_a_warning_is_a_line_on_stderr(file, capsys):
    zero = catalog() | {"categories": [{"id": 0, "name": "hat"}]}
    for row in zero["annotations"]:
        row["category_id"] = 0
    file.write_text(json.dumps(zero))
    assert data("stats", file) == 0
    assert capsys.readouterr().err.startswith(f"segattr: warning: {file}: categories[0].id: found 0")


def test_a_place_that_cannot_be_written_is_one_sentence(file, capsys):
    (file.parent / "taken").write_text("a file, no folder")
    assert data("split", file, "--out", file.parent / "taken/parts") == 2
    assert data("merge", file, "--out", file.parent / "images") == 2
    assert capsys.readouterr().err.count("segattr: error: ") == 2
    assert not [p for p in file.parent.iterdir() if p.name.endswith(".tmp")]


def test_synth_draws_a_catalog_without_a_defect(tmp_path, capsys):
    pytest.importorskip("segattr.datasets.synthetic")
    out = tmp_path / "drawn"
    assert data("synth", out, "--images", "2", "--size-px", "96", "--seed", "3") == 0
    assert data("validate", out / "catalog.json", "--images", out) == 0
    assert len(read_coco(out / "catalog.json").images) == 2


def test_compose_makes_scenes_without_a_defect(tmp_path, capsys):
    assert data("synth", tmp_path / "one", "--images", "4", "--size-px", "96", "--products", "1", "1") == 0
    scenes = tmp_path / "scenes"
    command = ("compose", tmp_path / "one" / "catalog.json", "--out", scenes, "--images", "3", "--size-px", "128")
    assert data(*command, "--seed", "5", "--products", "2", "3", "--grounds", "synthetic") == 0
    assert "3 images" in capsys.readouterr().out
    assert data("validate", scenes / "catalog.json", "--images", scenes) == 0
    annotations = json.loads((scenes / "catalog.json").read_bytes())["annotations"]
    assert len(annotations) >= 4 and all(a["attributes"] for a in annotations)


def test_refabric_of_a_drawn_catalog(tmp_path, capsys):
    assert data("synth", tmp_path / "one", "--images", "12", "--size-px", "96", "--products", "1", "2") == 0
    made = tmp_path / "made"
    assert data("refabric", tmp_path / "one" / "catalog.json", "--out", made, "--images", "3", "--workers", "1") == 0
    assert "3 images" in capsys.readouterr().out
    assert data("validate", made / "catalog.json", "--images", made) == 0


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_odd_products_are_left_alone_or_get_a_fabric(odd_catalog, tmp_path):
    path = odd_catalog(tmp_path / "odd")
    said = json.loads(path.read_text())
    for annotation in said["annotations"]:
        annotation["attributes"] = {"color": ["red"], "pattern": "solid"}
    values = {"color": ["red", "blue", "white", "black"], "pattern": ["solid", "striped", "dotted"]}
    kinds = {"color": "multi", "pattern": "single"}
    said["attribute_schema"] = [{"name": n, "kind": kinds[n], "values": v} for n, v in values.items()]
    path.write_text(json.dumps(said))
    assert data("refabric", path, "--out", tmp_path / "made", "--images", "20") == 0
    assert data("validate", tmp_path / "made" / "catalog.json", "--images", tmp_path / "made") == 0


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_scenes_of_odd_products(odd_catalog, tmp_path, capsys):
    """Crowds, specks, boxes, masks without a pixel and photos without a product are no cut-outs; 500 of a photo are."""
    path = odd_catalog(tmp_path / "odd")
    scenes = tmp_path / "scenes"
    command = ("compose", path, "--out", scenes, "--images", "4", "--size-px", "96", "--grounds", "real")
    assert data(*command, "--products", "3", "6") == 0
    assert data("validate", scenes / "catalog.json", "--images", scenes) == 0
    odd = {a["id"]: a for a in json.loads(path.read_text())["annotations"]}
    laid = read_coco(scenes / "catalog.json").annotations
    assert len(laid) > 4 and not any(a.iscrowd for a in laid)
    sources = [odd[a.extra["source"]["annotation_id"]] for a in laid]
    assert all(one["segmentation"] and not one["iscrowd"] and one["area"] >= 64 for one in sources)


def test_scenes_of_one_photo(tmp_path, capsys):
    assert data("synth", tmp_path / "one", "--images", "1", "--size-px", "96", "--products", "1", "1") == 0
    assert data("compose", tmp_path / "one" / "catalog.json", "--out", tmp_path / "s", "--images", "2") == 0
    assert len(read_coco(tmp_path / "s" / "catalog.json").annotations) == 2


def test_products_outside_of_their_photo_are_refused_and_convert_leaves_them_out(odd_catalog, tmp_path, capsys):
    path = odd_catalog(tmp_path / "odd", outside=True)
    capsys.readouterr()
    for command in (
        ("data", "compose", path, "--out", tmp_path / "o"),
        ("train", "instance", "--data", path, "--val", path, "--out", tmp_path / "o"),
    ):
        assert main([str(word) for word in command]) == 2
        said = capsys.readouterr().err
        assert "expected points in the image, 96 x 96 px" in said and "Traceback" not in said
        assert not (tmp_path / "o").exists()
    mended = path.with_name("mended.json")
    assert data("convert", path, "--from", "coco", "--out", mended) == 0
    said = capsys.readouterr().err
    assert "masks without a pixel left out: 2" in said and "neither a mask nor a box in the photo" in said
    coco = read_coco(mended)
    # Without its mask, that of no pixel is still a box.
    assert len(coco.annotations) == len(json.loads(path.read_text())["annotations"]) - 3
    assert len(coco.images) == 7 and len(coco.categories) == 2
    assert len(coco.annotations_by_image[14]) == 500 and coco.annotations_by_image[11] == []
    assert all(a.bbox[2] > 0 and a.bbox[3] > 0 for a in coco.annotations)
