"""Training end to end on a small synthetic catalog: bundles that predict, evaluate, and say what they were trained on."""

import json
import shutil
from pathlib import Path

import pytest

import segattr
from segattr.datasets.coco import read_coco, write_coco
from segattr.datasets.errors import InputError
from segattr.datasets.schema import Schema
from segattr.tools.cli import main
from segattr.weights.bundle import read_bundle

TINY = ["--model.encoder", "tu-mobilenetv3_small_050", "--model.decoder-channels", "32", "24", "16", "16", "8"]
TINY += ["--model.size-px", "96", "--crop-px", "64", "--loop.workers", "0", "--loop.device", "cpu"]
TINY_HEADS = ["--model.crop-px", "48", "--loop.workers", "0", "--loop.device", "cpu", "--loop.batch-size", "8"]


@pytest.fixture(scope="module")
def catalog(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("catalog")
    assert main(["data", "synth", str(folder / "c"), "--images", "16", "--size-px", "128", "--seed", "3"]) == 0
    return folder / "c" / "catalog.json"


@pytest.fixture(scope="module")
def masks(catalog) -> Path:
    out = catalog.parent.parent / "masks"
    command = [
        "train",
        "semantic",
        "--data",
        str(catalog),
        "--val",
        str(catalog),
        "--out",
        str(out),
        "--loop.epochs",
        "2",
    ]
    assert main([*command, *TINY]) == 0
    return out / "bundle"


@pytest.fixture(scope="module")
def bundle(catalog, masks) -> Path:
    out = catalog.parent.parent / "attributes"
    command = ["train", "attributes", "--data", str(catalog), "--val", str(catalog), "--out", str(out)]
    assert main([*command, "--join", str(masks), "--loop.epochs", "2", "--half", *TINY_HEADS]) == 0
    return out / "bundle"


@pytest.mark.slow
def test_the_two_trainings_join_into_one_bundle_that_says_where_it_comes_from(bundle, masks, catalog):
    info = read_bundle(bundle)
    assert set(info.parts) == {"semantic", "attributes"}
    assert info.part("attributes")["categories"] == [c.name for c in read_coco(catalog).categories]
    assert info.card["semantic"] == read_bundle(masks).card["semantic"]
    card = info.card["attributes"]
    assert card["data"][0]["images"] == 16 and card["command"].startswith("segattr")
    assert 0 <= card["figures"]["val/pattern"] <= 1
    assert card["seed"] == 0 and card["seconds"] >= 1
    assert card["machine"]["device"] == "cpu" and card["machine"]["name"] and card["machine"]["cores"] >= 1


@pytest.mark.slow
def test_a_teachers_answers_train_on_photos_without_labels(bundle, catalog, tmp_path):
    coco = read_coco(catalog)
    for annotation in coco.annotations:
        annotation.attributes = {}
    write_coco(catalog.parent / "bare.json", coco)
    command = ["train", "attributes", "--data", str(catalog), "--unlabeled", str(catalog.parent / "bare.json")]
    command += ["--val", str(catalog), "--teacher", str(bundle), "--teacher", str(bundle), "--out", str(tmp_path)]
    command += ["--model.ground", "keep", "--model.colour-statistics", "--loop.epochs", "1", *TINY_HEADS]
    assert main(command) == 0
    card = read_bundle(tmp_path / "bundle").card["attributes"]
    assert card["unlabeled"][0]["file"] == "bare.json" and len(card["teachers"]) == 2
    assert card["teachers"][0]["card"]["data"][0]["file"] == "catalog.json"


@pytest.mark.slow
def test_a_trained_bundle_extracts_and_is_evaluated(bundle, catalog, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["extract", str(catalog.parent / "images"), "--out", str(out), "--model", str(bundle), "--device", "cpu"]
    assert main(command) == 0
    predictions = read_coco(out / "predictions.json")
    assert len(predictions.images) == 16 and predictions.schema == read_coco(catalog).schema
    assert main(["evaluate", str(catalog), str(out / "predictions.json"), "--out", str(tmp_path / "figures")]) == 0
    figures = json.loads((tmp_path / "figures" / "metrics.json").read_text())
    assert figures["images/compared"] == 16 and 0 <= figures["segm/AP"] <= 1


@pytest.mark.slow
def test_three_lines_to_a_result(bundle, catalog):
    model = segattr.load(bundle, device="cpu")
    photo = sorted((catalog.parent / "images").iterdir())[0]
    items = model(photo)
    assert items.width == 128 and items.source == str(photo)
    several = model([photo, items.image])
    assert [len(s) for s in several] == [len(items)] * 2
    for item in items:
        assert item.mask.shape == (items.height, items.width) and item.mask.any()
        assert item.category in model.predictor.categories
        assert set(item.attributes) == {"color", "pattern", "material"}
        assert item.embedding.shape == (256,)
    assert items.plot().size == (items.width, items.height)


@pytest.mark.slow
def test_resuming_a_finished_training_only_writes_the_bundle_again(masks, catalog, capfd):
    before = read_bundle(masks).fingerprint
    out = masks.parent
    command = [
        "train",
        "semantic",
        "--data",
        str(catalog),
        "--val",
        str(catalog),
        "--out",
        str(out),
        "--loop.epochs",
        "2",
    ]
    assert main([*command, *TINY, "--loop.resume"]) == 0
    assert read_bundle(masks).fingerprint == before
    assert "epoch 1" not in capfd.readouterr().err


@pytest.mark.slow
def test_mistakes_end_with_a_sentence_and_code_2(catalog, masks, tmp_path, capsys):
    other = read_coco(catalog)
    other.schema = Schema.from_json([{"name": "metal", "kind": "single", "values": ["gold", "silver"]}], "test")
    for annotation in other.annotations:
        annotation.attributes = {}
    write_coco(catalog.parent / "other.json", other)
    other_json, photos = str(catalog.parent / "other.json"), str(catalog.parent / "images")
    base = ["--val", str(catalog), "--out", str(tmp_path / "run")]
    cases = [
        (
            ["train", "attributes", "--data", str(catalog), "--data", other_json, *base],
            "attribute_schema",
        ),
        (["train", "attributes", "--data", str(catalog), *base, "--join", "nowhere"], "no bundle at nowhere"),
        (["train", "attributes", "--data", str(catalog), *base, "--unlabeled", str(catalog)], "go together"),
        (["train", "semantic", "--data", str(tmp_path / "none.json"), *base], "none.json"),
        (["train", "semantic", "--data", str(catalog), *base, "--crop-px", "50"], "--crop-px 50"),
        (["train", "semantic", "--data", str(catalog), *base, "--encoder-weights", "w.pt"], "w.pt"),
        (
            ["extract", photos, "--out", str(tmp_path / "o"), "--model", str(masks)],
            "no part 'attributes'",
        ),
        (
            ["extract", photos, "--out", str(tmp_path / "o"), "--model", "nowhere"],
            "no bundle at nowhere",
        ),
    ]
    for command, said in cases:
        assert main(command) == 2, command
        error = capsys.readouterr().err
        assert said in error and "Traceback" not in error
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "o").exists() or not any((tmp_path / "o").glob("*.json"))


@pytest.mark.slow
@pytest.mark.parametrize("part", ["semantic", "attributes"])
def test_a_bundle_whose_description_was_edited_is_refused_with_a_sentence(bundle, part, tmp_path):
    shutil.copytree(bundle, tmp_path / "b")
    info = json.loads((tmp_path / "b" / "bundle.json").read_text())
    info["parts"][part]["model"]["no_such_option"] = 1
    (tmp_path / "b" / "bundle.json").write_text(json.dumps(info))
    with pytest.raises(InputError, match=rf"bundle\.json: parts\.{part}: .*no_such_option"):
        segattr.load(tmp_path / "b", device="cpu")
