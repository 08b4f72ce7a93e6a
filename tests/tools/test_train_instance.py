"""Mask R-CNN end to end on a small synthetic catalog: training, bundles, extract and evaluate with its masks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import segattr
from segattr.attributes.network import AttributeConfig, AttributeNetwork
from segattr.datasets.coco import read_coco
from segattr.datasets.errors import InputError
from segattr.tools import loop
from segattr.tools.cli import main
from segattr.tools.train_instance import with_classes
from segattr.weights.bundle import read_bundle, write_bundle

TINY = [
    *("--model.backbone", "tu-mobilenetv3_small_050", "--model.size-px", "96", "--model.fpn-channels", "16"),
    *("--model.anchor-px", "16", "32", "64", "96", "--model.train-proposals", "50", "--model.proposals", "20"),
    *("--model.box-samples", "16", "--model.box-convs", "16", "--model.box-fc", "32", "--model.mask-convs", "16"),
    *("--loop.workers", "0", "--loop.device", "cpu", "--loop.batch-size", "4", "--loop.warmup-epochs", "0.5"),
]
SMALL_BATCH = ["--loop.batch-size", "2", "--model.norm", "group"]
SMALL = AttributeConfig(encoder="mobilenetv3_small_050", crop_px=48, stages=(3, 4))


@pytest.fixture(scope="module")
def catalog(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("catalog")
    assert main(["data", "synth", str(folder / "c"), "--images", "12", "--size-px", "128", "--seed", "3"]) == 0
    return folder / "c" / "catalog.json"


@pytest.fixture(scope="module")
def heads(catalog) -> Path:
    """A bundle with an attribute part that knows nothing."""
    coco = read_coco(catalog)
    categories = [category.name for category in coco.categories]
    network = AttributeNetwork(SMALL, coco.schema, categories)
    part = {"kind": "attributes", "model": vars(SMALL), "categories": categories, "schema": coco.schema.to_json()}
    part |= {"temperatures": {}, "scales": {}}
    folder = catalog.parent.parent / "heads"
    return write_bundle(folder, {"attributes": part}, {"attributes": network.state_dict()}, {}).folder


def train(data: Path, out: Path, *more: str) -> int:
    return main(["train", "instance", "--data", str(data), "--val", str(data), "--out", str(out), *TINY, *more])


@pytest.fixture(scope="module")
def bundle(catalog, heads) -> Path:
    out = catalog.parent.parent / "run"
    # A threshold that two epochs on twelve photos reach: what is found does not matter here, that it is found does.
    more = ("--join", str(heads), "--loop.epochs", "2", "--half", "--model.score-thr", "0.02", "--loop.amp", "bf16")
    assert train(catalog, out, *more) == 0
    return out / "bundle"


@pytest.mark.slow
def test_the_bundle_holds_both_parts_and_says_where_it_comes_from(bundle, catalog):
    info = read_bundle(bundle)
    assert set(info.parts) == {"instance", "attributes"}
    assert info.part("instance")["kind"] == "instance" and info.part("instance")["model"]["size_px"] == 96
    card = info.card["instance"]
    assert card["data"][0]["images"] == 12 and card["command"].startswith("segattr")
    assert 0 <= card["figures"]["val/segm/AP"] <= 1 and 0 <= card["figures"]["val/iou"] <= 1
    assert "segm/AP" in (bundle.parent / "log.csv").read_text()


@pytest.mark.slow
def test_extract_evaluate_and_the_report_work_with_it_unchanged(bundle, catalog, tmp_path, capsys):
    out, photos = tmp_path / "out", str(catalog.parent / "images")
    command = ["extract", photos, "--out", str(out), "--model", str(bundle), "--device", "cpu"]
    assert main(command) == 0
    predictions = read_coco(out / "predictions.json")
    assert len(predictions.images) == 12 and predictions.annotations
    assert predictions.schema == read_coco(catalog).schema
    assert all(0.02 <= a.score <= 1 and a.area > 0 and a.attributes for a in predictions.annotations)
    assert (out / "report.html").stat().st_size > 0
    assert main(["evaluate", str(catalog), str(out / "predictions.json"), "--out", str(tmp_path / "figures")]) == 0
    figures = json.loads((tmp_path / "figures" / "metrics.json").read_text())
    assert figures["images/compared"] == 12 and 0 <= figures["segm/AP"] <= 1
    # The same with the flag: the same journal serves, nothing is computed again.
    before = (out / "predictions.json").read_bytes()
    assert main([*command, "--segmenter", "instance"]) == 0
    after = json.loads((out / "predictions.json").read_bytes())
    assert after["annotations"] == json.loads(before)["annotations"]
    capsys.readouterr()
    assert main([*command, "--segmenter", "semantic"]) == 2
    assert "no part 'semantic'" in capsys.readouterr().err


@pytest.mark.slow
def test_the_segmenter_of_another_bundle_serves_heads_that_have_none(bundle, heads, catalog, tmp_path, capsys):
    photos = str(catalog.parent / "images")
    model = segattr.load(heads, device="cpu", segmenter=bundle)
    whole = segattr.load(bundle, device="cpu")
    assert model.card["instance"] == read_bundle(bundle).card["instance"]
    assert model.predictor.fingerprint != whole.predictor.fingerprint
    photo = sorted((catalog.parent / "images").iterdir())[0]
    ours, theirs = model(photo), whole(photo)
    assert [item.xyxy for item in ours] == [item.xyxy for item in theirs] and len(ours)
    drafts = ["annotate", photos, "--out", str(catalog.parent / "drafts.json"), "--no-serve", "--model", str(heads)]
    assert main([*drafts, "--segmenter", str(bundle), "--device", "cpu"]) == 0
    assert read_coco(catalog.parent / "drafts.json").annotations
    assert main(["extract", photos, "--out", str(tmp_path / "o"), "--model", str(heads)]) == 2
    assert "no part 'semantic' (found: attributes)" in capsys.readouterr().err


@pytest.mark.slow
def test_a_resumed_training_ends_where_an_unbroken_one_does(catalog, tmp_path, monkeypatch):
    assert train(catalog, tmp_path / "whole", "--loop.epochs", "2") == 0

    def save(path, content):
        keep(path, content)
        if path.name == "last.pt":
            raise RuntimeError("stopped by hand")

    keep = loop.save
    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="stopped by hand"):
        patch.setattr(loop, "save", save)
        train(catalog, tmp_path / "halves", "--loop.epochs", "2")
    assert train(catalog, tmp_path / "halves", "--loop.epochs", "2", "--loop.resume") == 0
    one, other = (read_bundle(tmp_path / run / "bundle").tensors("instance") for run in ("whole", "halves"))
    assert all(torch.equal(one[name], other[name]) for name in one)


# ---- attribute heads on shared features


@pytest.fixture(scope="module")
def joint(catalog) -> Path:
    """A bundle of masks and attributes from one network, with no attribute part."""
    out = catalog.parent.parent / "joint"
    more = ("--heads", "roi", "--loop.epochs", "2", "--model.score-thr", "0.02", "--roi.convs", "16", "--half")
    assert train(catalog, out, *more) == 0
    return out / "bundle"


@pytest.mark.slow
def test_one_network_gives_masks_and_attributes(joint, catalog, tmp_path, capsys):
    coco, card = read_coco(catalog), read_bundle(joint).card["instance"]
    assert set(read_bundle(joint).parts) == {"instance"}
    assert 0 <= card["figures"]["val/roi/color.first"] <= 1 and 0 <= card["figures"]["val/joint"] <= 1
    photos = str(catalog.parent / "images")
    command = ["extract", photos, "--out", str(tmp_path / "o"), "--model", str(joint), "--device", "cpu"]
    assert main([*command, "--heads", "roi"]) == 0
    predictions = read_coco(tmp_path / "o" / "predictions.json")
    assert predictions.schema == coco.schema and predictions.annotations
    assert [c.name for c in predictions.categories] == [c.name for c in coco.categories]
    assert all(set(a.attributes) == {"color", "pattern", "material"} for a in predictions.annotations)
    figures = ["evaluate", str(catalog), str(tmp_path / "o" / "predictions.json"), "--out", str(tmp_path / "figures")]
    assert main(figures) == 0
    capsys.readouterr()
    assert main(command) == 2
    assert "no part 'attributes'" in capsys.readouterr().err


@pytest.mark.slow
def test_its_masks_serve_crop_heads_and_its_heads_are_no_other_bundles(joint, bundle, heads, catalog):
    photo = sorted((catalog.parent / "images").iterdir())[0]
    roi = segattr.load(joint, device="cpu", heads="roi")
    crops = segattr.load(heads, device="cpu", segmenter=joint)
    both = segattr.load(heads, device="cpu", segmenter=joint, heads="roi")
    assert [item.xyxy for item in roi(photo)] == [item.xyxy for item in crops(photo)] and len(roi(photo))
    assert [item.category_probs for item in both(photo)] == [item.category_probs for item in roi(photo)]
    assert len({model.predictor.fingerprint for model in (roi, crops, both)}) == 3
    with pytest.raises(InputError, match=r"instance part of bundle .* has no attribute heads"):
        segattr.load(bundle, device="cpu", heads="roi")
    with pytest.raises(InputError, match="expected crops or roi"):
        segattr.load(heads, device="cpu", segmenter=joint, heads="fpn")


@pytest.mark.slow
def test_joint_training_survives_odd_photos_and_says_when_there_is_nothing_to_read(tmp_path, odd_catalog, capsys):
    path = odd_catalog(tmp_path / "odd")
    assert train(path, tmp_path / "run", "--heads", "roi", "--loop.epochs", "1", *SMALL_BATCH) == 0
    coco = json.loads(path.read_text())
    coco["categories"] = coco["categories"][:1]
    path.write_text(json.dumps(coco))
    assert train(path, tmp_path / "run", "--heads", "roi") == 2
    assert "there is nothing to read" in capsys.readouterr().err


# ---- bad input


@pytest.mark.slow
@pytest.mark.parametrize("classes", [(), ("--model.classes", "hat", "shirt")])
def test_odd_photos_and_products_train(tmp_path, odd_catalog, classes):
    path = odd_catalog(tmp_path / "odd")
    assert train(path, tmp_path / "run", "--loop.epochs", "1", *SMALL_BATCH, *classes) == 0
    assert set(read_bundle(tmp_path / "run" / "bundle").parts) == {"instance"}


@pytest.mark.slow
def test_photos_without_products_train_beside_others_and_nothing_is_pasted_where_nothing_can_be(
    catalog, tmp_path, capfd
):
    coco = json.loads(catalog.read_text())
    empty = catalog.parent / "empty.json"
    empty.write_text(json.dumps(coco | {"annotations": [], "images": coco["images"][:3]}))
    assert train(catalog, tmp_path / "run", "--data", str(empty), "--loop.epochs", "1") == 0
    said = capfd.readouterr().err
    assert "15 photos to train on" in said and f"{empty}: no product can be cut out" in said
    assert [one["images"] for one in read_bundle(tmp_path / "run" / "bundle").card["instance"]["data"]] == [12, 3]


@pytest.mark.parametrize(
    "change", [{"segmentation": None}, {"iscrowd": 1, "segmentation": {"size": [128, 128], "counts": [0, 16384]}}, None]
)
def test_files_without_a_product_are_refused_before_anything_is_trained(catalog, tmp_path, change, capsys):
    coco = json.loads(catalog.read_text())
    coco["annotations"] = [] if change is None else [one | change for one in coco["annotations"]]
    nothing = catalog.parent / "nothing.json"
    nothing.write_text(json.dumps(coco))
    assert train(nothing, tmp_path / "run") == 2
    assert "no product with a mask" in capsys.readouterr().err
    assert train(catalog, tmp_path / "run", "--val", str(nothing)) == 2
    assert "the validation file has no product with a mask" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_half_precision_frozen_statistics_and_several_scales(bundle, catalog, tmp_path):
    flags = ("--init", str(bundle), "--model.norm", "frozen", "--loop.batch-size", "2", "--scale", "0.4", "1.6")
    assert train(catalog, tmp_path / "run", *flags, "--loop.epochs", "1", "--loop.amp", "fp16") == 0
    before, after = (read_bundle(one).tensors("instance") for one in (bundle, tmp_path / "run" / "bundle"))
    statistics = [name for name in after if name.startswith("net.backbone.body") and name.endswith("running_mean")]
    assert statistics and all(torch.equal(before[name].float(), after[name]) for name in statistics)
    trained = [name for name in after if name.endswith("weight") and not torch.equal(before[name].float(), after[name])]
    assert len(trained) > 50


@pytest.mark.slow
def test_two_processes_train_one_network(catalog, tmp_path):
    """Every weight of it has a gradient in every step, also where one process sees no product: else the other waits."""
    coco = json.loads(catalog.read_text())
    coco["annotations"] = [one for one in coco["annotations"] if one["image_id"] % 3 == 0]
    few = catalog.parent / "few.json"
    few.write_text(json.dumps(coco))
    words = ["train", "instance", "--data", few, "--val", catalog, "--out", tmp_path / "run", *TINY, "--heads", "roi"]
    words += ["--roi.convs", "16", "--copy-paste.probability", "0", "--loop.epochs", "1", *SMALL_BATCH]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += ["-m", "segattr.tools.cli", *words]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([str(c) for c in command], env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert len((tmp_path / "run" / "log.csv").read_text().splitlines()) == 2
    assert set(read_bundle(tmp_path / "run" / "bundle").parts) == {"instance"}


def one_photo(catalog: Path) -> Path:
    coco = json.loads(catalog.read_text())
    coco["images"] = coco["images"][:1]
    coco["annotations"] = [a for a in coco["annotations"] if a["image_id"] == coco["images"][0]["id"]]
    path = catalog.parent / "one.json"
    path.write_text(json.dumps(coco))
    return path


@pytest.mark.slow
def test_one_photo_trains(tmp_path, catalog):
    assert train(one_photo(catalog), tmp_path / "run", "--loop.epochs", "1") == 0


@pytest.mark.slow
def test_a_loss_that_is_no_number_names_the_photos_and_keeps_the_last_epoch(catalog, tmp_path, capsys, monkeypatch):
    out = tmp_path / "run"
    assert train(catalog, out, "--loop.epochs", "1") == 0
    kept = (out / "last.pt").read_bytes()
    from segattr.seg.instance import InstanceTask

    forward = InstanceTask.forward
    monkeypatch.setattr(
        InstanceTask, "forward", lambda self, batch: forward(self, batch) | {"loss": torch.tensor(np.nan)}
    )
    capsys.readouterr()
    assert train(catalog, out, "--loop.epochs", "2") == 2
    error = capsys.readouterr().err
    assert "the loss became nan in epoch 1, batch 1 (image ids " in error and "Traceback" not in error
    named = error.split("image ids ")[1].split(")")[0].split(", ")
    assert len(named) == 4 and {int(one) for one in named} <= {image.id for image in read_coco(catalog).images}
    assert (out / "last.pt").read_bytes() == kept


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--model.norm", "frozen"], "--model.norm frozen keeps the statistics"),
        (["--loop.batch-size", "2"], "--loop.batch-size 2 is too small for BatchNorm"),
        (["--model.classes", "shirt", "sofa"], "class 'sofa'"),
        (["--model.backbone", "resnet19"], "no backbone 'resnet19'"),
        (["--encoder-weights", "nowhere.safetensors"], "no such file"),
        (["--encoder-weights", str(Path(__file__))], "not a safetensors file"),
        (["--model.score-thr", "2"], "score-thr"),
        (["--join", "nowhere"], "no bundle at nowhere"),
        (["--scale", "2", "1"], "scales 2 to 1"),
    ],
)
def test_mistakes_end_with_a_sentence_and_code_2(catalog, tmp_path, flags, said, capsys):
    assert train(catalog, tmp_path / "run", *flags) == 2
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error
    assert not (tmp_path / "run").exists()


def test_classes_are_the_categories_in_the_order_asked_for(catalog):
    coco = read_coco(catalog)
    one = with_classes(coco, ("product",))
    assert [c.name for c in one.categories] == ["product"] and len(one.annotations) == len(coco.annotations)
    assert {a.category_id for a in one.annotations} == {1}
    names = {c.id: c.name for c in coco.categories}
    used = sorted({names[a.category_id] for a in coco.annotations})[:2]
    two = with_classes(coco, tuple(reversed(used)))
    assert [c.name for c in two.categories] == used[::-1]
    expected = [
        (a.id, 1 + used[::-1].index(names[a.category_id])) for a in coco.annotations if names[a.category_id] in used
    ]
    assert [(a.id, a.category_id) for a in two.annotations] == expected
    assert {a.category_id for a in coco.annotations} <= set(names)  # the file given is as it was
    with pytest.raises(InputError, match="class 'sofa'"):
        with_classes(coco, ("sofa", used[0]))
