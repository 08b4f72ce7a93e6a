"""`segattr evaluate --card`, `segattr card` and `segattr extract --sure`: what is measured is what the card says."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from torch import nn

from segattr.datasets import masks
from segattr.datasets.errors import InputError
from segattr.tools.cli import main
from segattr.tools.extract import ExtractConfig, extract
from segattr.weights.bundle import read_bundle, write_bundle

SCHEMA = [
    {"name": "color", "kind": "multi", "values": ["red", "blue"]},
    {"name": "pattern", "kind": "single", "values": ["solid", "striped"]},
    {"name": "length", "kind": "number", "unit": "cm"},
]
TRAINED = {
    "command": "segattr train attributes --data shop.json",
    "date": "2026-01-01",
    "seed": 3,
    "seconds": 5400,
    "machine": {"device": "cpu", "name": "A | B", "cores": 2, "processes": 1},
    "data": [
        {
            "file": "shop.json",
            "description": "a shop",
            "images": 9,
            "annotations": 9,
            "licenses": [{"id": 1, "name": "CC0-1.0"}],
        }
    ],
    "encoder_weights": {"from": "none"},
    "init": {"from": "a/bundle", "card": {"command": "segattr train attributes --data drawn.json", "data": []}},
    "validation": {"file": "val.json"},
}


def make_bundle(folder):
    state = {"attributes": nn.Linear(2, 2).state_dict()}
    return write_bundle(folder, {"attributes": {"kind": "attributes"}}, state, {"attributes": TRAINED})


@pytest.fixture
def shop(tmp_path):
    """A bundle, a truth of 120 products of 8 senders, and predictions that are the surer the more often they are right."""
    bundle = make_bundle(tmp_path / "b")
    rng = np.random.default_rng(0)
    mask = np.zeros((20, 20), np.uint8)
    mask[4:16, 4:16] = 1
    rle, n = masks.encode(mask), 120
    sure = np.round(rng.uniform(0.5, 1, n), 3)
    right = rng.random(n) < np.clip(1.6 * sure - 0.45, 0, 1)
    images = [{"id": i + 1, "file_name": f"{i}.jpg", "width": 20, "height": 20, "who": i % 8} for i in range(n)]
    true, read = [], []
    for i in range(n):
        one = {"id": i + 1, "image_id": i + 1, "category_id": 1, "segmentation": rle, "iscrowd": 0, "area": 144}
        true.append(one | {"attributes": {"color": ["red"], "pattern": "solid", "length": 5.0}})
        pattern = "solid" if right[i] else "striped"
        other = {"solid": "striped", "striped": "solid"}[pattern]
        probabilities = {"category": {"hat": 1.0}, "pattern": {pattern: sure[i], other: round(1 - sure[i], 3)}}
        probabilities["color"] = {"red": 0.9, "blue": 0.6}  # always both: never right
        attributes = {"color": ["red", "blue"], "pattern": pattern, "length": 6.0}
        read.append(one | {"score": 0.9, "attributes": attributes, "probabilities": probabilities})
    both = {"images": images, "categories": [{"id": 1, "name": "hat"}], "attribute_schema": SCHEMA}
    info = {"model": "b", "fingerprint": "how-1", "bundles": [bundle.fingerprint]}
    gt, out = tmp_path / "val.json", tmp_path / "out"
    out.mkdir()
    gt.write_text(json.dumps(both | {"annotations": true, "info": {"description": "our shop"}}))
    (out / "predictions.json").write_text(json.dumps(both | {"annotations": read, "info": info}))
    return SimpleNamespace(bundle=bundle.folder, gt=gt, out=out, sure=sure, right=right, info=info, folder=tmp_path)


def evaluate(shop, *more):
    return main(["evaluate", str(shop.gt), str(shop.out), "--card", str(shop.bundle), "--group-by", "who", *more])


def test_the_card_says_what_was_measured(shop, capsys):
    before = read_bundle(shop.bundle)
    assert evaluate(shop, "--out", str(shop.folder / "figures")) == 0
    after = read_bundle(shop.bundle)
    assert (after.fingerprint, after.parts) == (before.fingerprint, before.parts)
    assert after.card["attributes"] == TRAINED
    (entry,) = after.card["evaluations"]
    assert (entry["model"], entry["fingerprint"], entry["chose"]) == ("b", "how-1", ["attributes"])
    assert entry["truth"] | {"licenses": []} == {
        "file": "val.json",
        "description": "our shop",
        "images": 120,
        "products": 120,
        "groups": 8,
        "group_by": "who",
        "licenses": [],
    }
    metrics = json.loads((shop.folder / "figures/metrics.json").read_text())
    assert {"product/iou", "segm-agnostic/AP", "attributes/pattern/ece", "attributes/length/mae"} <= set(
        entry["figures"]
    )
    for key, figure in entry["figures"].items():
        assert figure["value"] == pytest.approx(metrics[key], abs=1e-6)
        ends = [metrics.get(f"{key}/ci95_{end}") for end in ("low", "high")]
        assert figure["ci95"] == (None if None in ends else pytest.approx(ends, abs=1e-6))
    assert {"true": "solid", "read": "striped", "count": int((~shop.right).sum()), "of": 120} in entry["mistakes"][
        "pattern"
    ]


def test_thresholds_are_the_least_that_enough_answers_hold(shop):
    assert evaluate(shop) == 0
    found = read_bundle(shop.bundle).card["evaluations"][0]["thresholds"]
    assert set(found) == {"category", "color", "color.first", "pattern"}
    taken = {t: shop.sure >= t for t in shop.sure}
    good = [t for t, rows in taken.items() if rows.sum() >= 30 and shop.right[rows].mean() >= 0.95]
    pattern = found["pattern"]
    assert pattern["threshold"] == min(good)
    assert pattern["accepted"] == taken[min(good)].sum() and pattern["of"] == 120
    assert pattern["right"] == pytest.approx(shop.right[taken[min(good)]].mean(), abs=1e-4)
    assert found["color"]["threshold"] is None and "30 answers or more" in found["color"]["why"]
    assert found["color.first"]["accepted"] == found["category"]["accepted"] == 120


def test_a_few_right_answers_make_no_threshold(shop):
    order = np.argsort(-shop.sure)
    predictions = json.loads((shop.out / "predictions.json").read_text())
    for place, i in enumerate(order):  # the 28 surest are right, and nothing else is: of 30 that is 93 %
        pattern = "solid" if place < 28 else "striped"
        one = predictions["annotations"][i]
        one["attributes"]["pattern"], one["probabilities"]["pattern"] = pattern, {pattern: 1 - place / 1000}
    (shop.out / "predictions.json").write_text(json.dumps(predictions))
    assert evaluate(shop) == 0
    assert read_bundle(shop.bundle).card["evaluations"][0]["thresholds"]["pattern"]["threshold"] is None


def test_an_evaluation_takes_the_place_of_the_same_and_failures_stay(shop):
    said = shop.folder / "known.txt"
    said.write_text("- Grey is read\n  as white.\n- Hats are missed.\n")
    assert evaluate(shop, "--known-failures", str(said)) == 0
    assert evaluate(shop, "--seed", "7") == 0
    card = read_bundle(shop.bundle).card
    assert len(card["evaluations"]) == 1
    assert card["known_failures"] == ["Grey is read as white.", "Hats are missed."]
    other = shop.gt.rename(shop.folder / "scenes.json")
    shop.gt = other
    assert evaluate(shop) == 0
    assert [one["truth"]["file"] for one in read_bundle(shop.bundle).card["evaluations"]] == ["val.json", "scenes.json"]


@pytest.mark.parametrize(
    ("info", "flags", "said"),
    [
        ({"bundles": ["another"]}, [], "does not say that this bundle took part"),
        ({"bundles": None}, [], "does not say that this bundle took part"),
        ({"sure": {}}, [], "was made with --sure"),
        ({}, ["--known-failures", "nowhere.txt"], "cannot be read as text"),
    ],
)
def test_what_does_not_belong_into_the_card_leaves_it_as_it_was(shop, info, flags, said, capsys):
    made = {key: value for key, value in (shop.info | info).items() if value is not None}
    predictions = json.loads((shop.out / "predictions.json").read_text()) | {"info": made}
    (shop.out / "predictions.json").write_text(json.dumps(predictions))
    before = (shop.bundle / "bundle.json").read_bytes()
    assert evaluate(shop, *flags) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert (shop.bundle / "bundle.json").read_bytes() == before


def test_mistakes_in_the_flags_are_told(shop, capsys):
    results = shop.folder / "results.json"
    results.write_text("[]")
    given = ["evaluate", str(shop.gt)]
    assert main([*given, str(results), "--card", str(shop.bundle)]) == 2
    assert "not what segattr extract writes" in capsys.readouterr().err
    assert main([*given, "--compare", str(shop.out), str(shop.out), "--card", str(shop.bundle)]) == 2
    assert "leave out --compare" in capsys.readouterr().err
    assert main([*given, str(shop.out), "--known-failures", "a.txt"]) == 2
    assert "give --card" in capsys.readouterr().err
    assert main(["card", str(shop.folder)]) == 2
    assert "no bundle.json" in capsys.readouterr().err


def test_the_page_has_data_recipe_figures_thresholds_and_failures(shop, capsys):
    said = shop.folder / "known.txt"
    said.write_text("Hats are missed.")
    assert evaluate(shop, "--known-failures", str(said)) == 0
    capsys.readouterr()
    assert main(["card", str(shop.bundle)]) == 0
    page = capsys.readouterr().out
    assert "| shop.json | a shop | 9 | 9 | CC0-1.0 | attributes |" in page
    assert page.index("--data drawn.json") < page.index("--data shop.json\n")  # the earlier training first
    assert "seed 3, 1.5 hours on A | B (cpu), 2 CPU cores" in page
    assert "| product IoU, mean | 1.000 | 1.000 to 1.000 |" in page and "by who (8)" in page
    assert "These photos chose the best epoch of attributes" in page
    assert "| color | no threshold has 30 answers or more" in page and "- Hats are missed." in page
    rows = [line for line in page.splitlines() if line.startswith("| pattern | ")]
    assert len(rows) == 2  # its threshold and its one mistake
    assert main(["card", str(shop.bundle), "--out", str(shop.folder / "new/card.md")]) == 0
    assert (shop.folder / "new/card.md").read_text() == page


def test_a_bundle_that_nobody_measured_and_one_that_ships_have_a_page(tmp_path, capsys):
    make_bundle(tmp_path / "b")
    for name in (str(tmp_path / "b"), "default", "instance"):
        assert main(["card", name]) == 0
        page = capsys.readouterr().out
        assert "## Data and licences" in page and "segattr train" in page


@pytest.mark.parametrize(
    ("thresholds", "kept"),
    [
        ({"color": 0.432, "pattern": 0.71}, {"color", "length"}),  # 0.8 x 0.6 x (1 - 0.1); a number has no probability
        ({"color": 0.433, "pattern": 0.7}, {"pattern", "length"}),
        ({"color": None}, {"length"}),  # none that is sure enough, none that was measured
    ],
)
def test_only_sure_attributes_are_kept(photos, fake, tmp_path, thresholds, kept):
    photos.many(6)
    heads = {head: {"precision": 0.95, "threshold": threshold} for head, threshold in thresholds.items()}
    measured = {"fingerprint": "fake-1", "thresholds": heads, "truth": {"file": "val.json"}, "date": "2026-01-01"}
    predictor = fake.FakePredictor()
    predictor.bundle = SimpleNamespace(folder="b", card={"evaluations": [{"fingerprint": "other"}, measured]})
    config = ExtractConfig((photos.folder,), tmp_path / "out", sure=True)
    summary = extract(config, predictor)
    assert "right in 95% of the cases on val.json" in summary.notes[0]
    sure = json.loads((tmp_path / "out/predictions.json").read_text())
    assert sure["info"]["sure"] == thresholds and sure["annotations"]
    assert all(set(one["attributes"]) == kept for one in sure["annotations"])
    extract(ExtractConfig((photos.folder,), tmp_path / "out"), predictor)  # the same journal: nothing is read again
    whole = json.loads((tmp_path / "out/predictions.json").read_text())
    assert all(set(one["attributes"]) == {"color", "pattern", "length"} for one in whole["annotations"])
    assert [a["probabilities"] for a in sure["annotations"]] == [a["probabilities"] for a in whole["annotations"]]
    assert sum(predictor.calls) == 6


def test_sure_needs_a_card_that_was_measured_in_this_way(photos, fake, tmp_path):
    photos.many(2)
    predictor = fake.FakePredictor(fingerprint="fake-2")
    predictor.bundle = SimpleNamespace(folder="b", card={"evaluations": [{"fingerprint": "fake-1"}]})
    with pytest.raises(InputError, match="no thresholds for these masks and heads; measure them"):
        extract(ExtractConfig((photos.folder,), tmp_path / "out", sure=True), predictor)
    assert not predictor.calls
