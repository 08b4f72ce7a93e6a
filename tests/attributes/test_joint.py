"""All figures of small problems worked by hand, and what is said where truth and predictions do not fit."""

import json
import math

import numpy as np
import pytest

from segattr.attributes.agreement import agreement
from segattr.attributes.joint import JointConfig, joint_metrics
from segattr.datasets import masks
from segattr.datasets.coco import read_coco
from segattr.datasets.errors import InputError
from segattr.seg.pairing import pair, read_predictions

SCHEMA = [
    {"name": "color", "kind": "multi", "values": ["red", "blue"]},
    {"name": "pattern", "kind": "single", "values": ["solid", "dotted"]},
    {"name": "length", "kind": "number", "unit": "cm"},
]


def square(x, side=20) -> dict:
    mask = np.zeros((100, 120), np.uint8)
    mask[10 : 10 + side, x : x + 20] = 1
    return masks.encode(mask)


def product(image_id, x=10, category_id=1, side=20, **more) -> dict:
    return {"image_id": image_id, "category_id": category_id, "segmentation": square(x, side), **more}


def coco(images, annotations, schema=SCHEMA, categories=("hat", "shoes"), **extra) -> dict:
    found = {
        "images": [
            {"id": i, "file_name": f"{i}.jpg", "width": 120, "height": 100, **{k: v[i - 1] for k, v in extra.items()}}
            for i in range(1, images + 1)
        ],
        "categories": [{"id": i, "name": n} for i, n in enumerate(categories, 1)],
        "annotations": [{"id": i, "iscrowd": 0, **one} for i, one in enumerate(annotations, 1)],
    }
    return found | ({"attribute_schema": schema} if schema else {})


@pytest.fixture
def judge(tmp_path):
    def run(truth, predictions, **config):
        (tmp_path / "gt.json").write_text(json.dumps(truth))
        (tmp_path / "pred.json").write_text(json.dumps(predictions))
        pairing = pair(read_coco(tmp_path / "gt.json"), read_predictions(tmp_path / "pred.json"))
        return joint_metrics(pairing, JointConfig(**config))

    return run


def test_by_hand(judge):
    truth = coco(
        3,
        [
            product(1, attributes={"color": ["red"], "pattern": "solid", "length": 10}),
            product(1, x=60, attributes={"color": ["blue", "red"], "length": 20}),
            product(2, category_id=2, attributes={"color": ["blue"], "pattern": "dotted"}),
            product(3, attributes={"color": ["red"], "pattern": "solid"}),
        ],
    )
    found = judge(
        truth,
        coco(
            2,
            [
                product(
                    1, side=18, score=0.9, attributes={"color": ["red", "blue"], "pattern": "dotted", "length": 13}
                ),
                product(1, x=60, score=0.8, attributes={"color": ["blue"], "pattern": "solid", "length": 21}),
                product(2, score=0.7, attributes={"color": ["red"], "pattern": "dotted", "length": 5}),
                product(2, x=90, score=0.2, attributes={}),
            ],
        ),
    )
    n = found.numbers
    assert [n[f"images/{k}"] for k in ("truth", "compared", "missing")] == [3, 2, 1]
    assert [n[f"instances/{k}"] for k in ("truth", "detected", "matched", "missed", "extra")] == [4, 4, 3, 1, 1]
    assert n["product/iou"] == pytest.approx((0.9 + 1 + 1 + 0) / 4)
    assert n["product/iou_below_80"] == pytest.approx(1 / 4)
    assert n["product/found"] == pytest.approx(3 / 4)
    assert n["product/boundary_f"] == pytest.approx(3 / 4)  # 2 px too short is within 3 px
    assert n["category/accuracy"] == pytest.approx(2 / 3)
    assert n["attributes/color/accuracy"] == pytest.approx(2 / 3)
    assert n["attributes/color/jaccard"] == pytest.approx((1 / 2 + 1 / 2 + 0) / 3)
    assert n["attributes/pattern/support"] == 2
    assert n["attributes/pattern/accuracy"] == pytest.approx(1 / 2)
    assert n["attributes/length/mae"] == pytest.approx(2)
    assert n["attributes/length/rmse"] == pytest.approx(math.sqrt(5))
    # One class: 3 of 4 found before any mistake. By category, the shoe (2) is missed and a hat is found in its place.
    assert n["segm-agnostic/AP50"] == pytest.approx(76 / 101)
    assert n["segm-agnostic/AR100"] == pytest.approx((2 * 10 + 9) / 40)
    assert n["segm/AR100"] == pytest.approx(((1 + 0.9) / 3 + 0) / 2)
    assert n["segm/APl"] == -1
    assert {"bbox/AP", "bbox-agnostic/AP75"} <= set(n)
    assert found.notes == []
    assert found.groups == 3
    low, high = found.intervals["product/found"]
    assert 0 <= low < 0.75 < high <= 1
    json.dumps(found.flat(), allow_nan=False)


def test_probabilities_of_matched_products(judge):
    colours = [["red"], ["red"], ["blue"], ["blue"]]
    given = [{"red": 0.9, "blue": 0.2}, {"red": 0.6, "blue": 0.7}, {"red": 0.1, "blue": 0.8}, None]
    answers = [["red"], ["blue", "red"], ["blue"], ["blue"]]
    truth = coco(4, [product(i, category_id=1 + i // 3, attributes={"color": c}) for i, c in enumerate(colours, 1)])
    predictions = coco(
        4,
        [
            product(i, score=0.5, attributes={"color": a}, probabilities={"category": {"hat": 0.75}, "color": p or {}})
            for i, (a, p) in enumerate(zip(answers, given, strict=True), 1)
        ],
    )
    found = judge(truth, predictions)
    n = found.numbers
    color = found.attributes["color"].probability
    assert (color.support, color.answered) == (4, 3)
    assert n["attributes/color/value/red/ap"] == 1
    # blue: 0.8 right, 0.7 wrong; the fourth product is never retrieved.
    assert n["attributes/color/value/blue/ap"] == pytest.approx(1 / 2)
    # Sure of {red} at .9 x .8, of {blue} at .8 x .9: accepted together, both right.
    assert n["attributes/color/coverage95"] == pytest.approx(2 / 4)
    assert n["attributes/color/coverage95_threshold"] == pytest.approx(0.72)
    assert n["category/value/hat/ap"] == pytest.approx(1 / 2)
    low, high = found.intervals["attributes/color/coverage95"]
    assert 0 <= low < 0.5 < high <= 1
    assert set(found.by_category) == {"hat", "shoes"}
    assert found.by_category["shoes"]["color"].probability.answered == 1
    assert n["attributes/color/category/hat/accuracy"] == pytest.approx(1 / 2)
    assert n["attributes/color/category/shoes/coverage95"] == pytest.approx(1 / 2)
    assert "attributes/pattern/category/hat/accuracy" not in n
    assert any("color: 1 of 4 matched products" in note for note in found.notes)
    assert "attributes/color/coverage80" in judge(truth, predictions, precision=0.8).numbers
    predictions["annotations"][0]["probabilities"]["color"]["red"] = 7
    with pytest.raises(
        InputError, match=r"probabilities\.color of detection 1, on 1\.jpg: red has 7; expected a probability"
    ):
        judge(truth, predictions)


def test_a_second_annotator_counts_where_both_have_labelled(tmp_path):
    schema = [*SCHEMA[:2], {"name": "fit", "kind": "single", "values": ["slim", "wide"]}, SCHEMA[2]]
    pattern = ["solid", "solid", "dotted", "dotted", None]
    again = ["solid", "dotted", "dotted", None, "solid"]

    def annotated(labels, **more):
        products = [product(i, attributes={"pattern": p} if p else {}) for i, p in enumerate(labels, 1)]
        return coco(5, [*products, more], schema)

    crowd = product(1, x=60, iscrowd=1)
    (tmp_path / "a.json").write_text(json.dumps(annotated(pattern, **crowd)))
    (tmp_path / "b.json").write_text(json.dumps(annotated(again, **product(2, x=60, iscrowd=1))))
    pairing, found = agreement(read_coco(tmp_path / "a.json"), read_predictions(tmp_path / "b.json"))
    assert found.numbers["instances/matched"] == 5
    assert found.numbers["instances/extra"] == 0
    assert found.numbers["product/iou"] == found.numbers["category/accuracy"] == 1
    label = found.attributes["pattern"]
    # Three labelled by both: s-s, s-d, d-d. By chance 2/3 x 1/3 + 1/3 x 2/3.
    assert (label.support, label.accuracy) == (3, pytest.approx(2 / 3))
    assert label.kappa == pytest.approx((2 / 3 - 4 / 9) / (1 - 4 / 9))
    assert label.probability is None
    assert found.attributes["fit"].support == 0
    assert not any(key.startswith(("segm", "bbox")) for key in found.numbers)
    assert found.notes == pairing.notes == []


def test_score_thr_spares_the_coco_numbers(judge):
    truth = coco(1, [product(1, attributes={"color": ["red"]})])
    predictions = coco(1, [product(1, score=0.3, attributes={"color": ["red"]})])
    plain, strict = judge(truth, predictions), judge(truth, predictions, score_thr=0.5)
    assert plain.numbers["segm/AP"] == strict.numbers["segm/AP"] == pytest.approx(1)
    assert strict.numbers["instances/missed"] == 1
    assert math.isnan(strict.numbers["attributes/color/accuracy"])
    assert strict.flat()["attributes/color/accuracy"] is None


def test_iou_thr_and_crowd_regions(judge):
    truth = coco(1, [product(1), product(1, x=60, iscrowd=1)])
    predictions = coco(1, [product(1, side=14, score=0.9), product(1, x=60, score=0.9)])
    n = judge(truth, predictions, iou_thr=0.75).numbers
    assert [n[f"instances/{k}"] for k in ("truth", "matched", "missed", "extra")] == [1, 0, 1, 1]
    assert n["product/iou"] == pytest.approx(0.7)
    assert judge(truth, predictions).numbers["instances/matched"] == 1


def test_groups_are_drawn_whole(judge):
    truth = coco(6, [product(i, side=20 if i < 4 else 10) for i in range(1, 7)], sender=[1, 1, 1, 2, 2, None])
    predictions = coco(6, [product(i, score=0.5) for i in range(1, 7)])
    by_photo, by_sender = judge(truth, predictions), judge(truth, predictions, group_by="sender")
    assert (by_photo.groups, by_sender.groups) == (6, 3)
    assert "Photos without 'sender' (1)" in by_sender.notes[0]
    width = [np.ptp(one.intervals["product/iou"]) for one in (by_photo, by_sender)]
    assert width[1] > width[0]
    assert judge(truth, predictions).intervals == by_photo.intervals
    with pytest.raises(InputError, match=r"no image of the truth has 'source'.* sender"):
        judge(truth, predictions, group_by="source")


def test_schemas_that_do_not_fit_are_told_in_one_sentence_each(judge):
    truth = coco(1, [product(1, attributes={"color": ["blue"], "pattern": "solid", "length": 3})])
    other = [
        {"name": "color", "kind": "multi", "values": ["red", "teal"]},
        {"name": "pattern", "kind": "multi", "values": ["solid"]},
        {"name": "length", "kind": "number", "unit": "inch"},
        {"name": "fit", "kind": "single", "values": ["slim"]},
    ]
    found = judge(truth, coco(1, [product(1, score=0.5, attributes={"color": ["teal"]})], other))
    text = "\n".join(found.notes)
    assert "color: the predictor does not know blue, the truth of 1 instance: counted as wrong" in text
    assert "color: predicted values that the truth does not know (teal)" in text
    assert "pattern is single in the truth, multi in the predictions: not compared" in text
    assert "length is in cm in the truth, inch in the predictions: not compared" in text
    assert "Predicted, but not in the truth: fit" in text
    assert set(found.attributes) == {"color"}
    assert found.numbers["attributes/color/accuracy"] == 0


def test_no_attribute_in_common_is_a_note(judge):
    truth = coco(1, [product(1, attributes={"pattern": "solid"})])
    found = judge(truth, coco(1, [product(1, score=0.5)], [{"name": "fit", "kind": "single", "values": ["slim"]}]))
    assert found.attributes == {}
    assert "No attribute in common: the truth has color, pattern, length, the predictions fit." in found.notes
    assert any("no attribute_schema" in note for note in judge(coco(1, [product(1)], None), truth).notes)
    assert judge(truth, [product(1, score=0.5)]).attributes == {}


def test_a_results_list_is_read_by_the_schema_of_the_truth(judge):
    truth = coco(1, [product(1, attributes={"color": ["red"], "pattern": "solid"})])
    found = judge(truth, [product(1, score=0.5, attributes={"color": "red", "pattern": 7, "fit": "slim"})])
    assert found.numbers["attributes/color/accuracy"] == 1
    assert found.numbers["attributes/pattern/accuracy"] == 0
    assert "Not predicted, so not judged: length." in found.notes
    assert "Predicted, but not in the truth: fit." in found.notes


def test_no_category_in_common(judge):
    found = judge(coco(1, [product(1)]), coco(1, [product(1, score=0.5)], categories=("product",)))
    assert found.category is None
    assert "segm/AP" not in found.numbers
    assert found.numbers["segm-agnostic/AP"] == pytest.approx(1)
    assert sum("category" in note for note in found.notes) == 3


def test_nothing_predicted_is_zero_and_no_crash(judge):
    found = judge(coco(1, [product(1, attributes={"color": ["red"]})]), [])
    assert found.numbers["segm/AP"] == found.numbers["product/iou"] == 0
    assert found.numbers["instances/missed"] == 1
    empty = judge(coco(1, []), coco(1, []))
    assert empty.numbers["segm/AP"] == -1
    assert math.isnan(empty.numbers["product/iou"])
    json.dumps(empty.flat(), allow_nan=False)


def test_boxes_alone(judge):
    found = judge(coco(1, [product(1)]), [{"image_id": 1, "category_id": 1, "score": 0.5, "bbox": [10, 10, 20, 20]}])
    assert found.numbers["bbox/AP"] == pytest.approx(1)
    assert found.numbers["product/iou"] == 1
    assert not any(key.startswith("segm") or key == "product/boundary_f" for key in found.numbers)


@pytest.mark.parametrize(
    "config", [{"iou_thr": 0}, {"iou_thr": 1.1}, {"boundary_px": 0}, {"resamples": 0}, {"precision": 0}]
)
def test_config_out_of_range(config):
    with pytest.raises(InputError):
        JointConfig(**config)
