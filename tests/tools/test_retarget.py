"""The recipe on another trade: jewellery, with a number attribute in grams, from drawn pictures to a judged catalog."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from segattr.datasets.coco import read_coco
from segattr.tools.cli import main
from segattr.weights.bundle import read_bundle

# Small enough for seconds: 48 px crops, a few epochs, no augmentation.
HEADS = "model.encoder=resnet10t model.stages=1,2 model.crop-px=48 model.dropout=0 augment=none mask-jitter=0 "
HEADS += "loop.epochs=8 loop.eval-every=8 loop.batch-size=16 loop.lr=0.002 loop.ema-decay=0.9 loop.workers=0 "
HEADS += "loop.device=cpu"
MASKS = "model.encoder=tu-mobilenetv3_small_050 model.decoder-channels=32,24,16,16,8 model.size-px=96 crop-px=64 "
MASKS += "loop.epochs=1 loop.workers=0 loop.device=cpu instances.merge=all"


def flags(said: str, prefix: str = "") -> list[str]:
    """ "model.crop-px=48 ..." as flags; a comma separates values."""
    pairs = (word.split("=") for word in said.split())
    return [word for name, value in pairs for word in (f"--{prefix}{name}", *value.split(","))]


def draw(folder: Path, images: int, seed: int) -> Path:
    command = ["data", "synth", str(folder), "--trade", "jewellery", "--images", str(images), "--seed", str(seed)]
    assert main([*command, "--products", "4", "4", "--size-px", "128", "--ground", "studio"]) == 0
    return folder / "catalog.json"


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Path:
    return draw(tmp_path_factory.mktemp("jewellery") / "shop", images=50, seed=1)


@pytest.fixture(scope="module")
def held_out(shop) -> Path:
    return draw(shop.parent.parent / "held-out", images=16, seed=2)


@pytest.fixture(scope="module")
def recipe(shop) -> Path:
    """`train recipe`, its numbers taught by the mean absolute error."""
    out = shop.parent.parent / "recipe"
    command = ["train", "recipe", "--data", str(shop), "--out", str(out), "--attributes.loss.number", "l1"]
    assert main([*command, *flags(MASKS, "masks."), *flags(HEADS, "attributes.")]) == 0
    return out


@pytest.fixture(scope="module")
def squared(shop, recipe) -> Path:
    """`train attributes` on the recipe's parts, its numbers taught by the squared error."""
    out = shop.parent.parent / "squared"
    parts = [f"{recipe}/split/{name}.json" for name in ("train", "val")]
    command = ["train", "attributes", "--data", parts[0], "--val", parts[1], "--images", str(shop.parent)]
    assert main([*command, "--out", str(out), "--loss.number", "l2", *flags(HEADS)]) == 0
    return out


def weights(file: Path) -> np.ndarray:
    return np.array([annotation.attributes["weight"] for annotation in read_coco(file).annotations])


@pytest.mark.slow
@pytest.mark.parametrize("number", ["l1", "l2"])
def test_the_weight_is_read_from_pictures_that_nobody_trained_on(number, request, shop, held_out, tmp_path, capsys):
    bundle = request.getfixturevalue({"l1": "recipe", "l2": "squared"}[number]) / "bundle"
    out, figures = tmp_path / "out", tmp_path / "figures"
    command = ["extract", str(held_out.parent / "images"), "--out", str(out), "--model", str(bundle)]
    assert main([*command, "--masks", str(held_out), "--device", "cpu"]) == 0
    capsys.readouterr()
    command = ["evaluate", str(held_out), str(out / "predictions.json"), "--out", str(figures), "--resamples", "50"]
    assert main(command) == 0
    table = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("weight (g)"))
    found = json.loads((figures / "metrics.json").read_text())
    mae, rmse = (found[f"attributes/weight/{name}"] for name in ("mae", "rmse"))
    assert f"{mae:.3f}" in table and f"{rmse:.3f}" in table
    assert "<td>weight (g)</td>" in (figures / "report.html").read_text()
    truth, mean = weights(held_out), weights(shop).mean()
    assert mae < 0.7 * np.abs(truth - mean).mean()
    assert rmse < 0.8 * np.sqrt(np.mean((truth - mean) ** 2))
    # The unit comes along, and what does not apply is not said.
    predictions = read_coco(out / "predictions.json")
    assert predictions.schema == read_coco(held_out).schema and predictions.schema["weight"].unit == "g"
    names = {category.id: category.name for category in predictions.categories}
    assert all(("earring" in a.attributes) == (names[a.category_id] == "earrings") for a in predictions.annotations)
    rows = pq.read_table(out / "instances.parquet")
    schema = json.loads(rows.schema.metadata[b"attribute_schema"])
    assert {"name": "weight", "kind": "number", "unit": "g"} in schema
    assert rows["weight"].to_pylist() == [a.attributes["weight"] for a in predictions.annotations]


@pytest.mark.slow
def test_the_recipe_splits_trains_both_and_joins_them(recipe, shop, tmp_path):
    bundle = read_bundle(recipe / "bundle")
    assert set(bundle.parts) == {"semantic", "attributes"}
    assert bundle.part("attributes")["categories"] == [category.name for category in read_coco(shop).categories]
    assert bundle.part("semantic")["instances"]["merge"] == "all"
    train, val = ({image.file_name for image in read_coco(recipe / f"split/{n}.json").images} for n in ("train", "val"))
    assert not train & val and len(train) == 40 and len(val) == 10
    mean, deviation = bundle.part("attributes")["scales"]["weight"]
    known = weights(recipe / "split/train.json")
    assert (mean, deviation) == pytest.approx((known.mean(), known.std()), rel=1e-5)
    # From photos alone, too.
    command = ["extract", str(shop.parent / "images" / "000001.jpg"), "--out", str(tmp_path), "--model"]
    assert main([*command, str(recipe / "bundle"), "--device", "cpu"]) == 0


@pytest.mark.slow
def test_a_finished_recipe_goes_on_to_the_same_bundle(recipe, shop):
    before = read_bundle(recipe / "bundle").info["files"]
    command = ["train", "recipe", "--data", str(shop), "--out", str(recipe), "--attributes.loss.number", "l1"]
    assert main([*command, *flags(MASKS, "masks."), *flags(HEADS, "attributes."), "--resume"]) == 0
    assert read_bundle(recipe / "bundle").info["files"] == before


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ('"3.4 g"', 'found "3.4 g", expected a number in g'),
        ("true", "found true, expected a number in g"),
        ("null", "found null; leave an unknown attribute out"),
    ],
)
@pytest.mark.parametrize("verb", ["recipe", "attributes"])
def test_a_weight_that_is_no_number_is_one_sentence(verb, value, said, shop, tmp_path, capsys):
    data = json.loads(shop.read_bytes())
    data["annotations"][2]["attributes"]["weight"] = json.loads(value)
    wrong = tmp_path / "wrong.json"
    wrong.write_text(json.dumps(data))
    command = ["train", verb, "--data", str(wrong), "--out", str(tmp_path / "out")]
    assert main(command + (["--val", str(shop)] if verb == "attributes" else [])) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and f"{wrong}: annotations[2].attributes.weight: {said}" in error
    assert not (tmp_path / "out").exists()


def test_mistakes_in_a_recipe_are_told_before_anything_is_written(shop, tmp_path, capsys):
    inside = tmp_path / "split" / "train.json"
    inside.parent.mkdir()
    inside.write_bytes(shop.read_bytes())
    for flags_, said in (
        (["--data", str(shop), "--val-share", "1"], "--val-share 1: expected a share above 0 and below 1"),
        (["--data", str(shop), "--group-by", "maker"], "maker"),
        (["--data", str(inside)], "would be overwritten"),
        (["--data", str(tmp_path / "none.json")], "none.json"),
    ):
        assert main(["train", "recipe", *flags_, "--out", str(tmp_path)]) == 2
        assert said in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["split"]
    assert inside.read_bytes() == shop.read_bytes()
