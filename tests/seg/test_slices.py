"""Slices against the evaluation of files that hold nothing but the slice, and by hand."""

import json
from dataclasses import replace

import numpy as np
import pytest

from segattr.attributes.joint import JointConfig, joint_metrics
from segattr.datasets import masks
from segattr.datasets.coco import read_coco
from segattr.datasets.errors import InputError
from segattr.seg.coco_eval import CocoParams, coco_numbers
from segattr.seg.pairing import pair, read_predictions
from segattr.seg.slices import flat_slices, slice_metrics, slices_by

NAMES = ("hat", "shoes", "bag", "belt")
SCHEMA = [
    {"name": "color", "kind": "multi", "values": ["red", "blue", "green"]},
    {"name": "size", "kind": "single", "values": ["S", "M"]},
    {"name": "length", "kind": "number", "unit": "cm"},
]
SENDER = {1: "x", 2: "y", 3: "x", 4: None, 5: "z", 6: "x", 7: "y"}


def blob(x: int, y: int, w: int, h: int) -> dict:
    mask = np.zeros((150, 160), np.uint8)
    mask[y : y + h, x : x + w] = 1
    return masks.encode(mask)


def random_files(seed: int) -> tuple[list[dict], list[dict]]:
    rng = np.random.default_rng(seed)

    def attributes() -> dict:
        found = {"color": rng.permutation(["red", "blue", "green"])[: rng.integers(1, 3)].tolist()}
        found["size"] = str(rng.choice(["S", "M"]))
        found["length"] = float(rng.integers(1, 90))
        return {key: value for key, value in found.items() if rng.random() < 0.85}

    truth, predicted = [], []
    for photo in SENDER:
        for _ in range(rng.integers(0, 5)):
            x, y, w, h = (int(v) for v in np.r_[rng.integers(0, 60, 2), rng.integers(8, 90, 2)])
            one = {"image_id": photo, "category_id": int(rng.integers(1, 4)), "attributes": attributes()}
            truth.append(one | {"segmentation": blob(x, y, w, h), "iscrowd": int(rng.random() < 0.1)})
            for _ in range(rng.integers(0, 3)):
                at = blob(x + int(rng.integers(0, 5)), y + int(rng.integers(0, 5)), w, h)
                predicted.append(one | {"segmentation": at, "attributes": attributes(), "score": rng.random()})
        for _ in range(rng.integers(0, 3)):
            one = {"image_id": photo, "category_id": int(rng.integers(1, 5)), "attributes": attributes()}
            predicted.append(one | {"segmentation": blob(*rng.integers(5, 60, 4).tolist()), "score": rng.random()})
    return truth, predicted


def evaluated(tmp_path, truth, predicted, photos=tuple(SENDER), **config):
    for name, rows in (("gt", truth), ("pred", predicted)):
        senders = [(i, {"sender": SENDER[i]} if SENDER[i] else {}) for i in photos]
        data = {
            "images": [{"id": i, "file_name": f"{i}.jpg", "width": 160, "height": 150, **more} for i, more in senders],
            "categories": [{"id": i, "name": n} for i, n in enumerate(NAMES if name == "pred" else NAMES[:3], 1)],
            "annotations": [{"id": i, **one} for i, one in enumerate(rows, 1) if one["image_id"] in photos],
            "attribute_schema": SCHEMA,
        }
        (tmp_path / f"{name}.json").write_text(json.dumps(data))
    pairing = pair(read_coco(tmp_path / "gt.json"), read_predictions(tmp_path / "pred.json"))
    return pairing, joint_metrics(pairing, JointConfig(resamples=10, **config))


def by_name(rows, key):
    return {row.name: row.numbers for row in rows if row.key == key}


def same(found: dict[str, float], expected: dict[str, float]):
    shared = [key for key in found if "/" in key]
    assert {"segm/AP", "segm/AP50", "product/iou", "attributes/color/accuracy", "attributes/length/mae"} <= set(shared)
    for key in shared:
        assert found[key] == pytest.approx(expected[key], abs=1e-9, nan_ok=True), key


@pytest.mark.parametrize("seed", range(4))
def test_photos_of_one_sender_equal_files_with_only_these(tmp_path, seed):
    files = random_files(seed)
    rows = by_name(slice_metrics(*evaluated(tmp_path, *files), by=["sender"]), "sender")
    for name in ("x", "y", "z", "(none)"):
        photos = [i for i, sender in SENDER.items() if (sender or "(none)") == name]
        _, alone = evaluated(tmp_path, *files, photos=photos)
        same(rows[name], alone.numbers)
        counts = {"photos": "images/truth"} | {key: f"instances/{key}" for key in ("matched", "extra")}
        for key, other in (counts | {"products": "instances/truth"}).items():
            assert rows[name][key] == alone.numbers[other]


@pytest.mark.parametrize("seed", range(20, 23))
def test_by_category_and_size(tmp_path, seed):
    pairing, metrics = evaluated(tmp_path, *random_files(seed), score_thr=0.2)
    rows = slice_metrics(pairing, metrics)
    for name, numbers in by_name(rows, "category").items():
        one = [objects.select(objects.category == NAMES.index(name)) for objects in (pairing.truth, pairing.detections)]
        one = [replace(objects, category=np.zeros_like(objects.category)) for objects in one]
        coco = coco_numbers(*one, sizes=pairing.sizes, categories=1)
        for key in ("AP", "AP50", "AP75"):
            assert numbers[f"segm/{key}"] == pytest.approx(coco[key], abs=1e-9)
        own = ~pairing.truth.crowd & (pairing.truth.category == NAMES.index(name))
        assert numbers["product/iou"] == pytest.approx(metrics.best_iou[own].mean())
        assert numbers["extra"] == sum(pairing.detection_categories[j] == name for j in metrics.extra)
        assert numbers["photos"] == len(set(pairing.truth.image[own].tolist()))
    sizes = by_name(rows, "size")
    assert list(sizes) == ["small", "medium", "large"]
    for name, numbers in sizes.items():
        assert numbers["segm/AP"] == pytest.approx(metrics.numbers[f"segm/AP{name[0]}"], abs=1e-12)
    assert sum(one["products"] for one in sizes.values()) == metrics.numbers["instances/truth"]
    assert sum(one["matched"] for one in sizes.values()) == metrics.numbers["instances/matched"]


def test_by_attribute_a_product_is_in_the_slice_of_each_of_its_values(tmp_path):
    truth, predicted = random_files(40)
    pairing, metrics = evaluated(tmp_path, truth, predicted)
    rows = by_name(slice_metrics(pairing, metrics, by=["color"]), "color")
    own = [one.get("attributes", {}).get("color") for one in truth if not one["iscrowd"]]
    best = metrics.best_iou[~pairing.truth.crowd]
    assert set(rows) == {"red", "blue", "green", "(none)"}
    for name, numbers in rows.items():
        mine = np.array([name in value if value else name == "(none)" for value in own])
        assert numbers["products"] == mine.sum()
        assert numbers["product/iou"] == pytest.approx(best[mine].mean())
        assert "segm/AP" not in numbers
        assert "extra" not in numbers
    assert np.isnan(rows["(none)"]["attributes/color/accuracy"])


def test_the_parameters_of_the_evaluation_hold_in_the_slices(tmp_path):
    """Own IoUs, areas and one detection a photo: the slice that holds everything has the numbers of all."""
    params = CocoParams(iou_thrs=(0.6, 0.75), areas={"all": (0, 1e10), "wee": (0, 600.5)}, max_dets=(1,))
    pairing, metrics = evaluated(tmp_path, *random_files(44), coco=params)
    for image in pairing.images:
        image.extra["set"] = 7
    rows = slice_metrics(pairing, metrics, by=["set", "size", "category"])
    (everything,) = by_name(rows, "set").values()
    for key in ("segm/AP", "segm/AP75", "product/iou"):
        assert everything[key] == pytest.approx(metrics.numbers[key], abs=1e-9)
    assert "segm/AP50" not in everything
    (wee,) = by_name(rows, "size").values()
    assert wee["segm/AP"] == pytest.approx(metrics.numbers["segm/APwee"], abs=1e-12)
    assert wee["products"] == (pairing.truth.area[~pairing.truth.crowd] <= 600).sum()
    for name, numbers in by_name(rows, "category").items():
        assert numbers["segm/AP"] == metrics.coco["segm"].per_category[NAMES.index(name)]["AP"]


def test_many_values_the_rest_together(tmp_path):
    pairing, metrics = evaluated(tmp_path, *random_files(41))
    rows = slice_metrics(pairing, metrics, by=["sender"], most=1, resamples=20)
    assert [row.name for row in rows] == ["x", "(other)", "(none)"]
    assert sum(row.numbers["products"] for row in rows) == metrics.numbers["instances/truth"]
    low, high = rows[0].intervals["product/iou"]
    assert low <= rows[0].numbers["product/iou"] <= high
    flat = flat_slices(rows)
    assert flat["slices/sender/(other)/products"] == rows[1].numbers["products"]
    assert flat["slices/sender/x/product/iou/ci95_low"] == low


def test_what_a_key_means(tmp_path):
    """ "size" is COCO's unless the attribute is asked for; a number is no slice; an unknown key names the known ones."""
    pairing, _ = evaluated(tmp_path, *random_files(42))
    assert [one.name for one in slices_by(pairing, "size")] == ["small", "medium", "large"]
    assert {one.name for one in slices_by(pairing, "attribute:size")} <= {"S", "M", "(none)"}
    assert {one.name for one in slices_by(pairing, "image:sender")} == {"x", "y", "z", "(none)"}
    for key in ("length", "nothing", "image:color", "attribute:sender"):
        with pytest.raises(InputError, match=r"no slices by .*color, size.*sender"):
            slices_by(pairing, key)


def test_without_common_categories_and_without_detections(tmp_path):
    truth, predicted = random_files(43)
    strange = [one | {"category_id": 4} for one in predicted]
    pairing, metrics = evaluated(tmp_path, truth, strange)
    rows = slice_metrics(pairing, metrics, by=["category", "size", "sender"])
    assert all("segm/AP" not in row.numbers for row in rows)
    assert by_name(rows, "sender")["x"]["segm-agnostic/AP"] > 0
    rows = slice_metrics(*evaluated(tmp_path, truth, []), by=["category", "sender"])
    assert {row.numbers["segm/AP"] for row in rows} <= {0.0, -1.0}
    assert {row.numbers["matched"] for row in rows} == {0}
