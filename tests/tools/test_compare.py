"""--compare and --fail-under: what two runs differ by, and when continuous integration stops."""

import json

import numpy as np
import pytest

from segattr.attributes.joint import JointConfig, joint_metrics
from segattr.datasets import masks
from segattr.datasets.coco import read_coco
from segattr.datasets.errors import InputError
from segattr.seg.pairing import pair, read_predictions
from segattr.tools.cli import main
from segattr.tools.compare import Difference, compare
from segattr.tools.gates import failures, parse_gates

SCHEMA = [{"name": "fit", "kind": "single", "values": ["slim", "wide"]}]


def catalog(photos: int, *, shift=0, wrong=()) -> dict:
    """A square a photo, `shift` px beside the true one; `wrong`: ids whose attribute is not the true one."""
    annotations = []
    for i in range(1, photos + 1):
        mask = np.zeros((40, 60), np.uint8)
        mask[5:35, 5 + shift * (i % 3) : 35 + shift * (i % 3)] = 1
        fit = SCHEMA[0]["values"][(i + (i in wrong)) % 2]
        one = {"id": i, "image_id": i, "category_id": 1 + i % 2, "segmentation": masks.encode(mask), "iscrowd": 0}
        annotations.append(one | {"score": 1 - i / 100, "attributes": {"fit": fit}})
    return {
        "images": [
            {"id": i, "file_name": f"{i}.jpg", "width": 60, "height": 40, "sender": i // 2}
            for i in range(1, photos + 1)
        ],
        "categories": [{"id": 1, "name": "hat"}, {"id": 2, "name": "shoes"}],
        "annotations": annotations,
        "attribute_schema": SCHEMA,
    }


@pytest.fixture
def files(tmp_path):
    """Truth, a poor run and a good one."""
    made = {"gt": catalog(16), "a": catalog(16, shift=4, wrong=range(1, 13)), "b": catalog(16, shift=1, wrong=(3,))}
    for name, data in made.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(data))
    return {name: str(tmp_path / f"{name}.json") for name in made}


def both(files):
    truth = read_coco(files["gt"])
    pairings = tuple(pair(truth, read_predictions(files[name])) for name in "ab")
    return pairings, tuple(joint_metrics(one, JointConfig(resamples=1)) for one in pairings)


def test_differences_are_those_of_the_two_runs_and_their_intervals_hold_them(files):
    pairings, metrics = both(files)
    found = compare(pairings, metrics, resamples=300)
    rows = {row.key: row for row in found.rows}
    for key in ("segm/AP", "segm-agnostic/AP75", "product/iou", "attributes/fit/accuracy"):
        row = rows[key]
        assert (row.a, row.b) == (metrics[0].numbers[key], metrics[1].numbers[key])
        assert row.difference == row.b - row.a and row.low <= row.difference <= row.high
        assert row.verdict == "better"
    assert rows["category/accuracy"].verdict == "equal"
    back = {row.key: row for row in compare(pairings[::-1], metrics[::-1], resamples=300).rows}
    assert back["segm/AP"].verdict == "worse"
    assert (back["segm/AP"].low, back["segm/AP"].high) == pytest.approx((-rows["segm/AP"].high, -rows["segm/AP"].low))


def test_pairing_the_draws_narrows_the_interval_of_a_difference(files):
    """Photos that are hard for both runs are drawn for both: here every mask of B is better by the same, so the
    difference of mean IoU varies less than either mean."""
    pairings, metrics = both(files)
    (row,) = [row for row in compare(pairings, metrics, resamples=500).rows if row.key == "attributes/fit/accuracy"]
    right = [one.parts["attributes/fit"][0][:, 1] for one in metrics]
    random = np.random.default_rng(1)
    drawn = random.integers(0, 16, (2, 4000, 16))
    paired = right[1][drawn[0]].mean(axis=1) - right[0][drawn[0]].mean(axis=1)
    low, high = np.percentile(paired, [2.5, 97.5])
    assert (row.low, row.high) == pytest.approx((low, high), abs=0.07)


@pytest.mark.parametrize(
    ("key", "difference", "low", "high", "verdict"),
    [
        ("segm/AP", 0.1, 0.02, 0.2, "better"),
        ("segm/AP", -0.1, -0.2, -0.02, "worse"),
        ("segm/AP", 0.1, -0.02, 0.2, "unclear"),
        ("attributes/length/mae", 0.1, 0.02, 0.2, "worse"),
        ("product/iou_below_80", -0.1, -0.2, -0.02, "better"),
        ("segm/AP", 0.1, float("nan"), float("nan"), "unclear"),
        ("segm/AP", 0.0, 0.0, 0.0, "equal"),
    ],
)
def test_a_verdict_needs_an_interval_without_0_and_knows_which_way_is_up(key, difference, low, high, verdict):
    assert Difference(key, 0.5, 0.5 + difference, difference, low, high).verdict == verdict


def test_the_command_writes_prints_and_reports_the_comparison(files, tmp_path, capsys):
    assert main(["evaluate", files["gt"], "--compare", files["a"], files["b"], "--out", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    assert "B against A" in text and "segm-agnostic/AP50" in text and "better" in text
    flat = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert flat["compare/segm/AP"] == pytest.approx(flat["compare/segm/AP/b"] - flat["compare/segm/AP/a"])
    assert flat["segm/AP"] == flat["compare/segm/AP/b"]
    assert flat["compare/segm/AP/ci95_low"] > 0
    assert "B against A" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize("flags", [[], ["--class-agnostic"], ["--group-by", "sender"]])
def test_nothing_predicted_one_photo_or_one_class_can_be_compared(files, tmp_path, flags, capsys):
    (tmp_path / "none.json").write_text("[]")
    assert main(["evaluate", files["gt"], "--compare", str(tmp_path / "none.json"), files["b"], *flags]) == 0
    assert "segm-agnostic/AP50" in capsys.readouterr().out
    (tmp_path / "one.json").write_text(json.dumps(catalog(1)))
    assert main(["evaluate", str(tmp_path / "one.json"), "--compare", files["a"], files["b"], *flags]) == 0
    text = capsys.readouterr().out
    assert "nan" not in text and "unclear" in text and "equal" not in text  # of one photo no spread is known


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["b", "--compare", "a", "b"], "give one of them"),
        ([], "no predictions"),
        (["b", "--fail-under", "segm/AP"], "expected KEY=NUMBER"),
        (["b", "--fail-under", "segm/AP=high"], "expected KEY=NUMBER"),
        (["b", "--fail-under", "segm/ap=0.4"], "nearest are segm/AP"),
        (["b", "--fail-under", "attributes/fits/accuracy=0.4"], "attributes/fit/accuracy"),
    ],
)
def test_what_cannot_be_meant_is_a_sentence_and_exit_code_2(flags, message, files, capsys):
    assert main(["evaluate", files["gt"], *(files.get(flag, flag) for flag in flags)]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("segattr: error: ") and message in captured.err and captured.out == ""


def test_fail_under_ends_with_1_and_a_sentence_per_figure(files, tmp_path, capsys):
    held = ["--fail-under", "segm/AP=0.2", "--fail-over", "product/iou_below_80=0.9"]
    assert main(["evaluate", files["gt"], files["b"], *held]) == 0
    assert "failed" not in capsys.readouterr().err
    broken = ["--fail-under", "segm/AP=1.5", "--fail-under", "segm/APl=0.1", "--fail-over", "product/iou=0.1"]
    assert main(["evaluate", files["gt"], files["b"], *held, *broken, "--out", str(tmp_path / "out")]) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert [line.split()[2] for line in lines] == ["segm/AP", "segm/APl", "product/iou"]
    assert (tmp_path / "out" / "metrics.json").is_file()  # what failed can be looked at
    gate = ["--compare", files["b"], files["a"], "--fail-under", "compare/segm/AP/ci95_low=-0.02"]
    assert main(["evaluate", files["gt"], *gate]) == 1


def test_an_undefined_figure_passes_no_gate():
    gates = parse_gates(["a=0", "b=-2", "c=0.5"])
    found = failures(gates, {"a": None, "b": -1, "c": 0.5})
    assert len(found) == 2 and "a is undefined" in found[0] and "b is undefined" in found[1]
    with pytest.raises(InputError, match="KEY=NUMBER"):
        parse_gates(["=3"])
