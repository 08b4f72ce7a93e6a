"""Pretraining end to end on a small synthetic catalog: a file that `train attributes` starts from."""

import csv
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from segattr.attributes.network import AttributeConfig, CropEncoder
from segattr.datasets.coco import read_coco, write_coco
from segattr.tools.cli import main
from segattr.weights.bundle import read_bundle

MODEL = ["--model.encoder", "mobilenetv3_small_050", "--model.stages", "3", "4", "--model.crop-px", "48"]
LOOP = ["--loop.workers", "0", "--loop.device", "cpu", "--loop.batch-size", "8", "--loop.epochs", "2"]
TINY = [*MODEL, *LOOP, "--expander", "16"]


@pytest.fixture(scope="module")
def catalog(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("catalog")
    assert main(["data", "synth", str(folder / "c"), "--images", "16", "--size-px", "128", "--seed", "3"]) == 0
    return folder / "c" / "catalog.json"


@pytest.fixture(scope="module")
def bare(catalog) -> Path:
    """The same photos and masks, nothing known of them."""
    coco = read_coco(catalog)
    for annotation in coco.annotations:
        annotation.attributes = {}
    write_coco(catalog.parent / "bare.json", coco)
    return catalog.parent / "bare.json"


@pytest.fixture(scope="module")
def pretrained(catalog, bare) -> Path:
    out = catalog.parent.parent / "encoder"
    assert main(["train", "encoder", "--data", str(bare), "--val", str(catalog), "--out", str(out), *TINY]) == 0
    return out


@pytest.mark.slow
def test_the_weights_are_those_of_the_best_epoch_and_their_card_says_where_they_come_from(pretrained):
    card = json.loads((pretrained / "encoder.card.json").read_text())
    assert card["data"][0]["file"] == "bare.json" and card["encoder"] == "mobilenetv3_small_050"
    assert set(card["figures"]) >= {"loss", "std", "knn", "knn category", "knn pattern", "knn color.first"}
    rows = list(csv.DictReader((pretrained / "log.csv").open()))
    assert card["figures"]["knn"] == pytest.approx(max(float(row["val/knn"]) for row in rows), abs=1e-4)
    weights = load_file(pretrained / "encoder.safetensors")
    encoder = CropEncoder(AttributeConfig(encoder="mobilenetv3_small_050", stages=(3, 4))).encoder
    assert {name: v.shape for name, v in weights.items()} == {n: v.shape for n, v in encoder.state_dict().items()}


@pytest.mark.slow
def test_train_attributes_starts_from_the_file_and_says_so(pretrained, catalog, tmp_path):
    weights = pretrained / "encoder.safetensors"
    command = ["train", "attributes", "--data", str(catalog), "--val", str(catalog), "--out", str(tmp_path)]
    command += ["--encoder-weights", str(weights), *MODEL, *LOOP, "--loop.freeze-stages", "1"]
    assert main([*command, "--loop.epochs", "1"]) == 0
    bundle = read_bundle(tmp_path / "bundle")
    card = bundle.card["attributes"]["encoder_weights"]["card"]
    assert card["data"][0]["file"] == "bare.json"
    trained, given = bundle.tensors("attributes"), load_file(weights)
    first = "conv_stem.weight"  # in the frozen stage
    assert torch.equal(trained[f"encoder.{first}"], given[first])


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights_and_without_val_the_loss_chooses(bare, tmp_path):
    command = ["train", "encoder", "--data", str(bare), *TINY, "--loop.passes", "2"]
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert main([*command, "--out", str(tmp_path / name), "--loop.seed", seed]) == 0
    a, b, c = (load_file(tmp_path / name / "encoder.safetensors") for name in "abc")
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not all(torch.equal(a[name], c[name]) for name in a)
    rows = list(csv.DictReader((tmp_path / "a" / "log.csv").open()))
    best = max(float(row["val/minus_loss"]) for row in rows)
    assert json.loads((tmp_path / "a" / "encoder.card.json").read_text())["figures"]["minus_loss"] == pytest.approx(
        best, abs=1e-3
    )


@pytest.mark.slow
def test_mistakes_end_with_a_sentence_and_code_2(catalog, bare, tmp_path, capsys):
    coco = read_coco(catalog)
    for image in coco.images:
        image.extra["source_id"] = 7
    write_coco(catalog.parent / "one_source.json", coco)
    for annotation in coco.annotations:
        annotation.segmentation = None
    write_coco(catalog.parent / "boxes.json", coco)
    cases = [
        (["--data", "none.json"], "none.json"),
        (["--data", str(catalog.parent / "boxes.json")], "no annotation with a mask"),
        (["--data", str(bare), "--loop.batch-size", "1"], "--loop.batch-size 1"),
        (["--data", str(bare), "--gray", "2"], "gray from 0 to 1"),
        (["--data", str(bare), "--val", str(catalog.parent / "one_source.json")], "all products are of one source"),
        (["--data", str(bare), "--encoder-weights", "w.pt"], "w.pt"),
    ]
    for options, said in cases:
        assert main(["train", "encoder", *TINY, *options, "--out", str(tmp_path / "run")]) == 2, options
        error = capsys.readouterr().err
        assert said in error and "Traceback" not in error
    assert not (tmp_path / "run").exists()
