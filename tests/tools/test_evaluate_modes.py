"""The other modes of the verb: Fashionpedia's files, label maps, a second annotator, true masks, own thresholds."""

import json

import numpy as np
import pytest
from PIL import Image

from segattr.attributes.fashionpedia_eval import fashionpedia_numbers
from segattr.datasets import masks
from segattr.tools.cli import main

HEIGHT, WIDTH = 60, 80


def square(x: int, width: int = 30) -> dict:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[10:40, x : x + width] = 1
    return masks.encode(mask)


def evaluated(capsys, *arguments, code=0) -> dict:
    capsys.readouterr()
    assert main(["evaluate", *map(str, arguments), "--resamples", "50", "--json"]) == code
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def fashionpedia(tmp_path):
    """Ids from 0, attribute_ids, no bbox: on each of 6 photos two garments of a category with attributes, one without."""
    truth, results = [], []
    for photo in range(6):
        for k, (category, x) in enumerate([(0, 0), (1, 40), (23, 20)]):
            ids = [[0, 3], [4], []][k]
            one = {"image_id": photo, "category_id": category, "segmentation": square(x), "attribute_ids": ids}
            truth.append(one | {"id": len(truth) + 1, "iscrowd": 0, "area": 900.0})
            shift = 2 * (photo % 3)
            said = ids if photo % 2 else [0]
            results.append(one | {"segmentation": square(x + shift), "attribute_ids": said, "score": 0.9 - photo / 10})
    data = {
        "images": [{"id": i, "file_name": f"{i}.jpg", "height": HEIGHT, "width": WIDTH} for i in range(6)],
        "categories": [{"id": i, "name": f"category {i}", "supercategory": ""} for i in range(46)],
        "attributes": [{"id": i, "name": f"v{i}", "supercategory": "style" if i < 3 else "fit"} for i in range(6)],
        "annotations": truth,
    }
    (tmp_path / "gt.json").write_text(json.dumps(data))
    (tmp_path / "results.json").write_text(json.dumps(results))
    return tmp_path / "gt.json", tmp_path / "results.json"


def test_fashionpedia_files_give_the_published_numbers_and_ours(fashionpedia, tmp_path, capsys):
    flat = evaluated(capsys, *fashionpedia, "--fashionpedia", "--out", tmp_path / "out")
    published = fashionpedia_numbers(*fashionpedia)
    assert {key: flat[key] for key in published} == pytest.approx(published)
    assert flat["fashionpedia/iou/AP"] == pytest.approx(flat["segm/AP"])  # no constraint: plain COCO
    assert flat["joint/segm/AP"] < flat["segm/AP"]
    assert flat["instances/matched"] == 18
    assert flat["attributes/fit/exact"] == pytest.approx(0.5) and flat["attributes/fit/support"] == 12
    assert "published evaluator" in (tmp_path / "out" / "report.html").read_text()
    assert main(["evaluate", *map(str, fashionpedia), "--fashionpedia"]) == 0
    text = capsys.readouterr().out
    assert "AP_F175" in text and max(len(line.rstrip()) for line in text.splitlines()) <= 100
    assert main(["evaluate", str(fashionpedia[0]), "--compare", "a", "b", "--fashionpedia"]) == 2


def products(path, fits, *, shift=0, **more):
    """A photo a product; fits: its attribute, None = unknown."""
    annotations = []
    for i, fit in enumerate(fits, 1):
        one = {"id": i, "image_id": i, "category_id": 1 + i % 2, "segmentation": square(10 + shift), "iscrowd": 0}
        annotations.append(one | {"attributes": {"fit": fit} if fit else {}} | more)
    data = {
        "images": [
            {"id": i, "file_name": f"{i}.jpg", "height": HEIGHT, "width": WIDTH} for i in range(1, len(fits) + 1)
        ],
        "categories": [{"id": 1, "name": "hat"}, {"id": 2, "name": "[shoes]"}],
        "attribute_schema": [{"name": "fit", "kind": "single", "values": ["slim", "wide"]}],
        "annotations": annotations,
    }
    path.write_text(json.dumps(data))
    return path


@pytest.fixture
def runs(tmp_path):
    slim, wide = "slim", "wide"
    return {
        "gt": products(tmp_path / "gt.json", [slim, slim, wide, wide, None, slim]),
        "pred": products(tmp_path / "pred.json", [wide, wide, wide, wide, slim, slim], shift=3, score=0.9),
        "true": products(tmp_path / "true.json", [slim, wide, wide, wide, slim, slim], score=1.0),
        "second": products(tmp_path / "second.json", [slim, slim, None, wide, slim, wide]),
    }


def test_true_masks_and_a_second_annotator_stand_beside_the_matched_products(runs, tmp_path, capsys):
    flags = ["--true-masks", runs["true"], "--second", runs["second"]]
    flat = evaluated(capsys, runs["gt"], runs["pred"], *flags, "--out", tmp_path / "out")
    assert flat["attributes/fit/accuracy"] == pytest.approx(3 / 5)
    assert flat["true_masks/attributes/fit/accuracy"] == pytest.approx(4 / 5)
    assert flat["second/attributes/fit/accuracy"] == pytest.approx(3 / 4)  # both have labelled four
    assert flat["second/attributes/fit/kappa"] == pytest.approx((3 / 4 - 1 / 2) / (1 - 1 / 2))
    assert not any(key.startswith(("second/segm", "true_masks/segm")) for key in flat)
    report = (tmp_path / "out" / "report.html").read_text()
    assert "under true masks" in report and "second annotator" in report and "kappa" in report
    assert main(["evaluate", str(runs["gt"]), str(runs["pred"]), "--true-masks", str(runs["pred"])]) == 0
    assert "6 products have no prediction under their very mask" in " ".join(capsys.readouterr().out.split())


def test_own_thresholds_sizes_and_detections_name_their_figures(runs, capsys):
    flags = ["--iou-thrs", "0.6", "0.8", "--areas", "tiny=0:500", "huge=500:", "--max-dets", "1", "5", "--boundary"]
    flat = evaluated(capsys, runs["gt"], runs["pred"], *flags)
    assert {"segm/AP60", "segm/AP80", "segm/APtiny", "segm/ARhuge", "segm/AR5", "boundary/AP60"} <= set(flat)
    assert "segm/AP50" not in flat and "segm/APs" not in flat
    assert flat["segm/APtiny"] == -1 and flat["segm/APhuge"] == flat["segm/AP"] == 1  # IoU 27 / 33 = 0.82
    assert flat["boundary/AP60"] < 1  # a shift of three pixels is most of the rim of two
    other = evaluated(capsys, runs["gt"], "--compare", runs["true"], runs["pred"], *flags[:3])
    assert other["compare/segm/AP80"] == 0 and "compare/segm/AP50" not in other
    for broken in (["--areas", "tiny"], ["--areas", "tiny=a:b"], ["--iou-thrs", "2"], ["--max-dets", "0"]):
        assert main(["evaluate", str(runs["gt"]), str(runs["pred"]), *broken]) == 2


def test_an_annotation_of_id_0_is_found_like_any_other(runs, capsys):
    data = json.loads(runs["gt"].read_text())
    data["annotations"][0]["id"] = 0
    runs["gt"].write_text(json.dumps(data))
    flat = evaluated(capsys, runs["gt"], runs["true"])
    assert flat["segm/AP"] == 1 and flat["instances/matched"] == 6


def test_intervals_of_ap(runs, capsys):
    flat = evaluated(capsys, runs["gt"], runs["pred"], "--ap-intervals")
    for key in ("segm/AP", "segm/AP50", "segm-agnostic/AP75", "joint/segm/AP"):
        assert flat[f"{key}/ci95_low"] <= flat[key] <= flat[f"{key}/ci95_high"], key
    assert flat["joint/segm/AP/ci95_low"] < flat["joint/segm/AP/ci95_high"]
    assert main(["evaluate", str(runs["gt"]), str(runs["pred"]), "--ap-intervals"]) == 0
    assert "AP with 95 % intervals" in capsys.readouterr().out


def test_slices_and_their_errors(runs, capsys):
    flat = evaluated(capsys, runs["gt"], runs["pred"], "--slice-by", "fit", "size")
    assert flat["slices/fit/slim/attributes/fit/accuracy"] == pytest.approx(1 / 3)
    assert flat["slices/size/small/product/iou"] == pytest.approx(27 / 33)
    assert main(["evaluate", str(runs["gt"]), str(runs["pred"]), "--slice-by", "colour"]) == 2
    assert "fit" in capsys.readouterr().err


def test_label_maps_are_painted_from_instances(runs, tmp_path, capsys):
    flat = evaluated(capsys, runs["gt"], runs["pred"], "--semantic", "--out", tmp_path / "out")
    assert flat["semantic/foreground_iou"] == pytest.approx(27 / 33)
    assert flat["semantic/category/hat/iou"] == pytest.approx(27 / 33)
    assert flat["semantic/miou/ci95_low"] <= flat["semantic/miou"]
    assert "Label maps" in (tmp_path / "out" / "report.html").read_text()
    assert main(["evaluate", str(runs["gt"]), str(runs["pred"]), "--semantic"]) == 0
    assert "[shoes]" in capsys.readouterr().out


def test_label_maps_of_two_folders(tmp_path, capsys):
    for side, shift in (("truth", 0), ("found", 4)):
        (tmp_path / side).mkdir()
        for i in range(3):
            labels = np.zeros((HEIGHT, WIDTH), np.uint8)
            labels[10:40, 10 + shift : 40 + shift] = 1 + i % 2
            labels[:5] = 255 if side == "truth" else 0
            Image.fromarray(labels).save(tmp_path / side / f"{i}.png")
    folders = [tmp_path / "truth", tmp_path / "found"]
    names = ["--labels", "ground", "<b>shirt</b>", "hat"]
    flat = evaluated(
        capsys, *folders, "--semantic", *names, "--out", tmp_path / "out", "--fail-under", "semantic/miou=0.5"
    )
    assert flat["semantic/photos"] == 3
    assert flat["semantic/category/hat/iou"] == pytest.approx(26 / 34)
    report = (tmp_path / "out" / "report.html").read_text()
    assert "&lt;b&gt;shirt&lt;/b&gt;" in report and "<b>shirt" not in report
    evaluated(capsys, *folders, "--semantic", "--fail-under", "semantic/miou=0.99", code=1)
    assert main(["evaluate", *map(str, folders), "--semantic"]) == 0
    assert "3 label maps compared" in capsys.readouterr().out
    for wrong in (folders, [folders[0], tmp_path / "out" / "metrics.json", "--semantic"]):
        assert main(["evaluate", *map(str, wrong)]) == 2
        assert "folder" in capsys.readouterr().err
