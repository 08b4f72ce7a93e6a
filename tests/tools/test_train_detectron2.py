"""Training with detectron2, end to end. Skipped where detectron2 is not installed."""

import importlib.util
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from segattr.datasets.coco import Annotation, read_coco, write_coco
from segattr.datasets.synthetic import SynthConfig, generate
from segattr.seg import detectron2_data
from segattr.seg.detectron2 import Detectron2Config, Detectron2Segmenter, load_detectron2
from segattr.tools.cli import main
from segattr.weights.bundle import read_bundle

needs_detectron2 = pytest.mark.skipif(
    importlib.util.find_spec("detectron2") is None,
    reason="detectron2 is not installed: it is built from source, see docs/detectron2.md",
)
TINY = (
    *("MODEL.RESNETS.DEPTH", "18", "MODEL.RESNETS.RES2_OUT_CHANNELS", "64", "MODEL.FPN.OUT_CHANNELS", "32"),
    *("MODEL.ROI_BOX_HEAD.FC_DIM", "64", "MODEL.ROI_MASK_HEAD.CONV_DIM", "32", "MODEL.ROI_MASK_HEAD.NUM_CONV", "1"),
    *("MODEL.ANCHOR_GENERATOR.SIZES", "[[8],[16],[32],[64],[96]]", "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE", "16"),
    *("MODEL.RPN.POST_NMS_TOPK_TEST", "30", "MODEL.RPN.POST_NMS_TOPK_TRAIN", "30", "TEST.DETECTIONS_PER_IMAGE", "20"),
)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory) -> Path:
    return generate(SynthConfig(images=6, size_px=96, seed=1, products=(1, 2)), tmp_path_factory.mktemp("catalog"))


def photos() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, (h, w, 3), np.uint8) for h, w in ((90, 64), (150, 211))]


def test_without_detectron2_the_command_ends_in_a_sentence(monkeypatch, catalog, tmp_path, capsys):
    monkeypatch.setattr(detectron2_data, "available", lambda: False)
    command = ["train", "detectron2", "--data", str(catalog), "--val", str(catalog), "--out", str(tmp_path / "out")]
    assert main(command) == 2
    assert "detectron2 is not installed" in capsys.readouterr().err


def train(catalog: Path, out: Path, *flags: str) -> int:
    command = ["train", "detectron2", "--data", str(catalog), "--val", str(catalog), "--out", str(out)]
    command += ["--model.size-px", "96", "--loop.workers", "0", "--loop.device", "cpu", "--loop.batch-size", "2"]
    return main([*command, *flags, "--model.overrides", *TINY])


@pytest.fixture(scope="module")
def trained(catalog) -> Path:
    out = catalog.parent / "out"
    assert train(catalog, out, "--loop.epochs", "1") == 0
    return out


@needs_detectron2
@pytest.mark.slow
def test_a_trained_bundle_predicts_what_its_training_model_does(trained, catalog):
    bundle = read_bundle(trained / "bundle")
    assert set(bundle.parts) == {"detectron2"} and bundle.part("detectron2")["classes"] == ["product"]
    card = bundle.card["detectron2"]
    assert 0 <= card["figures"]["val/segm/AP"] <= 1 and card["versions"]["detectron2"]
    assert str(catalog.parent) not in (trained / "bundle" / "bundle.json").read_text()
    loaded = load_detectron2(bundle)
    torch.manual_seed(1)
    rebuilt = Detectron2Segmenter.from_config(Detectron2Config(size_px=96, overrides=TINY))
    best = torch.load(trained / "best.pt", weights_only=True)
    rebuilt.model.load_state_dict(best["model"])
    assert loaded.cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST == 0.5
    for segmenter in (loaded, rebuilt):
        segmenter.model.roi_heads.box_predictor.test_score_thresh = 0.01
    one, two = (segmenter.predict(photos()) for segmenter in (loaded, rebuilt))
    assert [[s.rle() for s in found] for found in one] == [[s.rle() for s in found] for found in two]
    assert all(s.label is None for found in one for s in found) and sum(map(len, one))


@needs_detectron2
@pytest.mark.slow
def test_training_goes_on_and_joins_other_parts(trained, catalog, tmp_path):
    flags = ["--loop.epochs", "1", "--init", str(trained / "bundle"), "--join", str(trained / "bundle"), "--half"]
    assert train(catalog, tmp_path / "more", *flags) == 0
    assert read_bundle(tmp_path / "more" / "bundle").card["detectron2"]["init"]["from"].endswith("bundle")
    last = (trained / "last_checkpoint").read_text()
    assert train(catalog, trained, "--loop.epochs", "2", "--loop.resume") == 0
    assert (trained / "last_checkpoint").read_text() == last  # model_final.pth, of more steps
    assert torch.load(trained / "model_final.pth", weights_only=True)["iteration"] == 2 * 3 - 1


@needs_detectron2
@pytest.mark.slow
def test_a_loss_that_is_no_number_names_the_photos(catalog, tmp_path, capsys):
    assert train(catalog, tmp_path / "out", "--loop.epochs", "3", "--loop.lr", "1e12") == 2
    said = capsys.readouterr()
    assert re.search(r"the loss is not a number in step \d+ \(photos \d+\.\w+, \d+\.\w+\)", said.err)
    assert "Traceback" not in said.err + said.out


@needs_detectron2
@pytest.mark.slow
def test_a_photo_cut_short_ends_training_in_a_sentence(catalog, tmp_path, capsys):
    shutil.copytree(catalog.parent / "images", tmp_path / "images")
    shutil.copy(catalog, tmp_path / "catalog.json")
    for photo in (tmp_path / "images").iterdir():
        photo.write_bytes(photo.read_bytes()[:-500])
    assert train(tmp_path / "catalog.json", tmp_path / "out") == 2
    said = capsys.readouterr()
    assert "data validate" in said.err and "Traceback" not in said.err + said.out


@needs_detectron2
def test_training_refuses_files_that_cannot_train(catalog, tmp_path, capsys):
    coco = read_coco(catalog)
    for annotation in coco.annotations:
        annotation.segmentation = None
    write_coco(catalog.with_name("boxes.json"), coco)
    assert train(catalog.with_name("boxes.json"), tmp_path / "out") == 2
    assert "no image with a mask" in capsys.readouterr().err
    coco = read_coco(catalog)
    coco.images[0].width += 2
    coco.annotations = [a for a in coco.annotations if a.image_id != coco.images[0].id]
    coco.annotations.append(Annotation(99, coco.images[0].id, 1, [[1.0, 1, 9, 1, 9, 9]], [1, 1, 8, 8], 32))
    write_coco(catalog.with_name("sizes.json"), coco)
    assert train(catalog.with_name("sizes.json"), tmp_path / "out") == 2
    assert "its annotation file says" in capsys.readouterr().err


@needs_detectron2
@pytest.mark.slow
def test_the_commands_of_the_docs_run_as_printed(tmp_path, monkeypatch):
    text = (Path(__file__).parents[2] / "docs" / "detectron2.md").read_text()
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("segattr ")]
    assert len(lines) == 4
    monkeypatch.chdir(tmp_path)
    for line in lines:
        words = shlex.split(line)[1:]
        if words[:2] == ["data", "synth"]:
            words += ["--size-px", "96"]
        if words[0] == "train":
            words += ["--loop.epochs", "1", "--loop.workers", "0", "--loop.device", "cpu", "--model.size-px", "96"]
            words += ["--loop.batch-size", "16", "--model.overrides", *TINY]
        assert main(words) == 0
    assert read_coco(tmp_path / "out-detectron2" / "predictions.json").images
