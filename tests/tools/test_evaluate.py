"""The verb: what it prints, what it writes, and how it ends on bad input."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segattr.attributes.evaluation import single_metrics
from segattr.datasets import masks
from segattr.tools.cli import main
from segattr.tools.confusion import draw_confusion, shown_labels

SCHEMA = [
    {"name": "color", "kind": "multi", "values": ["red", "blue"]},
    {"name": "fit/cut", "kind": "single", "values": ["slim", "wide", "[odd]"]},
    {"name": "length", "kind": "number", "unit": "cm"},
]


def catalog(photos=12, folder="", seed=0, **attributes) -> dict:
    rng = np.random.default_rng(seed)
    mask = np.zeros((100, 120), np.uint8)
    mask[20:80, 30 : 90 - seed] = 1
    rle, speck = masks.encode(mask), masks.encode(mask * (np.arange(120) < 40))
    annotations = [
        {
            "id": i,
            "image_id": i,
            "category_id": 1 + i % 2,
            "iscrowd": 0,
            "segmentation": speck if i == 1 else rle,
            "area": 20000 if i == 2 else 600 if i == 1 else 3600,  # so that every size occurs
            "score": round(float(rng.random()), 3),
            "attributes": {
                "color": [["red"], ["blue", "red"]][rng.integers(2)],
                "fit/cut": SCHEMA[1]["values"][rng.integers(3)],
                "length": float(rng.integers(50, 60)),
            }
            | attributes,
        }
        for i in range(1, photos + 1)
    ]
    return {
        "images": [
            {"id": i, "file_name": f"{folder}{i}.jpg", "width": 120, "height": 100, "sender": i % 5}
            for i in range(1, photos + 1)
        ],
        "categories": [{"id": 1, "name": "hat"}, {"id": 2, "name": "shoes"}],
        "annotations": annotations,
        "attribute_schema": SCHEMA,
    }


@pytest.fixture
def files(tmp_path):
    paths = tmp_path / "gt.json", tmp_path / "out" / "predictions.json"
    paths[1].parent.mkdir()
    for path, data in zip(paths, (catalog(folder="images/"), catalog(photos=20, seed=1)), strict=True):
        path.write_text(json.dumps(data))
    return [str(path) for path in paths]


def test_tables_fit_100_columns_and_name_what_matters(files, capsys):
    assert main(["evaluate", *files, "--group-by", "sender"]) == 0
    text = capsys.readouterr().out
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 100
    assert "…" not in text  # nothing cut off
    for expected in ("12 of 12 photos compared", "masks, by category", "boxes, one class", "mask IoU", "macro-F1"):
        assert expected in text
    for expected in ("fit/cut", "[odd]", "length", "5 groups (by sender)", "8 photos of the predictions"):
        assert expected in text


def test_out_holds_flat_metrics_and_confusion_matrices(files, tmp_path, capsys):
    out = tmp_path / "metrics"
    assert main(["evaluate", *files, "--out", str(out)]) == 0
    metrics = json.loads((out / "metrics.json").read_text())
    assert all(value is None or isinstance(value, int | float) for value in metrics.values())
    # Names that scripts rely on.
    keys = ["segm/AP", "segm/ARl", "bbox/AP50", "segm-agnostic/AP", "bbox-agnostic/AP75", "product/iou"]
    keys += ["product/iou_below_80", "product/boundary_f", "product/found", "images/compared", "instances/missed"]
    keys += ["category/accuracy", "category/macro_f1", "attributes/color/accuracy", "attributes/color/macro_f1"]
    keys += ["attributes/color/jaccard", "attributes/color/value/red/recall", "attributes/length/mae"]
    keys += ["attributes/color/accuracy/ci95_low", "attributes/color/accuracy/ci95_high", "product/iou/ci95_low"]
    assert set(keys) <= set(metrics)
    assert metrics["category/accuracy"] == 1
    names = {path.name for path in out.iterdir()}
    assert names == {"metrics.json", "report.html"} | {
        f"confusion_{name}.{kind}"
        for name in ("category", "attribute_color", "attribute_fit_cut")
        for kind in ("png", "csv")
    }
    rows = list(csv.reader((out / "confusion_attribute_fit_cut.csv").open()))
    assert rows[0][1:] == ["slim", "wide", "[odd]"]
    assert sum(int(cell) for row in rows[1:] for cell in row[1:]) == 12
    with Image.open(out / "confusion_category.png") as picture:
        assert picture.size[0] >= 400
    assert main(["evaluate", *files, "--json"]) == 0
    printed = capsys.readouterr().out
    assert json.loads(printed[printed.index("{") :]) == metrics


def test_worst_masks_are_drawn_where_the_photos_are(files, tmp_path, capsys):
    photos = tmp_path / "photos" / "images"
    photos.mkdir(parents=True)
    for i in range(1, 13):
        Image.new("RGB", (120, 100), (90, 90, 200)).save(photos / f"{i}.jpg")
    arguments = ["evaluate", *files, "--out", str(tmp_path / "m")]
    assert main(arguments) == 0
    assert "No worst.jpg and no photos in the report" in " ".join(capsys.readouterr().out.split())
    assert main([*arguments, "--images", str(photos.parent)]) == 0
    with Image.open(tmp_path / "m" / "worst.jpg") as sheet:
        assert (np.asarray(sheet)[:, :, 1] > 150).any()  # green outlines on blue photos
    (photos / "3.jpg").unlink()
    assert main([*arguments, "--images", str(photos.parent)]) == 2
    assert "3.jpg" in capsys.readouterr().err


def test_the_folder_of_an_extraction_will_do_and_the_flags_arrive(files, capsys):
    assert main(["evaluate", files[0], files[1].rsplit("/", 1)[0], "--json", "--class-agnostic", "--iou-thr", "1"]) == 0
    captured = capsys.readouterr()
    metrics = json.loads(captured.out)
    assert "segm/AP" not in metrics
    assert metrics["instances/matched"] == 1  # the speck is the same in both
    assert "note: 8 photos of the predictions" in captured.err


def test_an_almost_perfect_prediction_scores_what_it_should(tmp_path, capsys):
    path = tmp_path / "gt.json"
    path.write_text(json.dumps(catalog()))
    assert main(["evaluate", str(path), str(path), "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out)
    ones = [
        "segm/AP",
        "bbox/AP",
        "product/iou",
        "product/boundary_f",
        "category/macro_f1",
        "attributes/fit/cut/macro_f1",
    ]
    assert [metrics[key] for key in ones] == pytest.approx([1] * len(ones))
    assert metrics["attributes/length/mae"] == 0


@pytest.mark.real
def test_the_real_truth_judged_by_itself_is_perfect(capsys):
    data = Path(os.environ.get("SEGATTR_DATA", Path(__file__).parents[3] / "shared" / "data"))
    truth = data / "catalog" / "val.json"
    if not truth.is_file():
        pytest.skip(f"no real photos at {data}")
    assert main(["evaluate", str(truth), str(truth), "--group-by", "source_id", "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out)
    ones = [
        "segm/AP",
        "product/boundary_f",
        "category/accuracy",
        "attributes/color/jaccard",
        "attributes/material/macro_f1",
    ]
    assert [metrics[key] for key in ones] == pytest.approx([1] * len(ones))
    assert metrics["attributes/material/support"] < metrics["instances/matched"]  # the unknown ones do not count


@pytest.mark.parametrize(
    ("change", "flags", "message"),
    [
        ({}, ["--iou-thr", "0"], "iou_thr is 0.0"),
        ({}, ["--resamples", "0"], "resamples 0"),
        ({}, ["--group-by", "source_id"], "'source_id'"),
        ({}, ["--out", "gt.json"], "is a file"),
        ({"pred": "missing.json"}, [], "missing.json"),
        ({"gt": "missing.json"}, [], "missing.json"),
        ({"pred": "empty.json"}, [], "empty.json"),
        ({"pred": "list.json"}, [], "share no images"),
        ({"pred": "half.json"}, [], "half.json"),
        ({"pred": "folder"}, [], "folder"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(change, flags, message, files, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.json").write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / "half.json").write_text(json.dumps(catalog())[:500])
    (tmp_path / "list.json").write_text('[{"image_id": 99, "category_id": 1, "score": 0.5, "bbox": [1, 1, 2, 2]}]')
    gt, pred = change.get("gt", "gt.json"), change.get("pred", "out/predictions.json")
    assert main(["evaluate", gt, pred, *flags]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("segattr: error: ")
    assert message in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""


def test_wrong_flag_exits_2(files):
    with pytest.raises(SystemExit) as stopped:
        main(["evaluate", *files, "--nonsense"])
    assert stopped.value.code == 2


def test_torch_is_not_loaded():
    code = "import sys, segattr.tools.evaluate, segattr.tools.evaluate_tables; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_confusion_leaves_out_values_that_nobody_names():
    found = single_metrics(["a", "b", "b"], ["a", "c", None], ["a", "b", "c", "never"])
    rows, columns, counts = shown_labels(found)
    assert rows == ["a", "b", "c"]
    assert columns == ["a", "b", "c", "(none)"]
    assert counts.tolist() == [[1, 0, 0, 0], [0, 0, 1, 1], [0, 0, 0, 0]]
    picture = np.asarray(draw_confusion(found, title="material"))
    assert picture.ndim == 3
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 10
