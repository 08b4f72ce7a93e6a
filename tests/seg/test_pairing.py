"""Which photo is which, which category is which, and what is said about the rest."""

import json

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segattr.datasets import masks
from segattr.datasets.coco import read_coco
from segattr.datasets.errors import InputError
from segattr.seg.coco_eval import coco_numbers
from segattr.seg.pairing import Predictions, match_names, pair, read_predictions, read_truth


def square(x=5, y=5, side=20) -> dict:
    mask = np.zeros((40, 50), np.uint8)
    mask[y : y + side, x : x + side] = 1
    return masks.encode(mask)


def coco(names, annotations, categories=("hat", "shoes"), **more) -> dict:
    return {
        "images": [{"id": i, "file_name": n, "width": 50, "height": 40} for i, n in enumerate(names, 1)],
        "categories": [{"id": i, "name": n} for i, n in enumerate(categories, 1)],
        "annotations": [{"id": i, "iscrowd": 0, **one} for i, one in enumerate(annotations, 1)],
        **more,
    }


def product(image_id=1, category_id=1, **more) -> dict:
    return {"image_id": image_id, "category_id": category_id, "segmentation": square(), **more}


@pytest.fixture
def paired(tmp_path):
    def run(truth, predictions):
        for name, data in (("gt.json", truth), ("pred.json", predictions)):
            text = data if isinstance(data, str) else json.dumps(data)
            (tmp_path / name).write_text(text)
        return pair(read_coco(tmp_path / "gt.json"), read_predictions(tmp_path / "pred.json"), where="gt.json")

    return run


@pytest.mark.parametrize(
    ("truth", "predicted", "expected"),
    [
        (["images/a.jpg", "images/b.jpg"], ["b.jpg", "a.jpg"], {0: 1, 1: 0}),
        (["a.jpg"], ["out/images/a.jpg"], {0: 0}),
        (["x/1.jpg", "y/1.jpg"], ["y/1.jpg", "x/1.jpg"], {0: 1, 1: 0}),
        (["1.jpg", "x/1.jpg"], ["x/1.jpg"], {0: 1}),
        (["r/x/1.jpg"], ["1.jpg", "x/1.jpg"], {1: 0}),
        (["x/1.jpg"], ["y/1.jpg"], {}),
        (["a.jpg"], ["ba.jpg"], {}),
        (["./a\\b.jpg"], ["a/b.jpg"], {0: 0}),
        ([], ["a.jpg"], {}),
    ],
)
def test_names(truth, predicted, expected):
    assert match_names(truth, predicted) == expected


@pytest.mark.parametrize(
    ("truth", "predicted"),
    [(["x/1.jpg", "y/1.jpg"], ["1.jpg"]), (["1.jpg"], ["x/1.jpg", "y/1.jpg"]), (["1.jpg", "1.jpg"], ["1.jpg"])],
)
def test_a_name_that_fits_two_photos_is_refused(truth, predicted):
    with pytest.raises(InputError, match="fits two photos"):
        match_names(truth, predicted)


paths = st.lists(st.lists(st.sampled_from("ab1"), min_size=1, max_size=4).map("/".join), max_size=6, unique=True)


@settings(max_examples=300, deadline=None)
@given(paths, paths)
def test_matches_are_one_to_one_tails_and_equal_names_always_meet(truth, predicted):
    try:
        found = match_names(truth, predicted)
    except InputError:
        return
    assert len(set(found.values())) == len(found)
    for j, i in found.items():
        assert (
            truth[i] == predicted[j] or truth[i].endswith("/" + predicted[j]) or predicted[j].endswith("/" + truth[i])
        )
    for j, name in enumerate(predicted):
        if name in truth:
            assert found[j] == truth.index(name)


def test_photos_by_name_categories_by_name(paired):
    truth = coco(["images/a.jpg", "images/b.jpg"], [product(1, 1), product(2, 2)])
    found = paired(truth, coco(["b.jpg", "c.jpg", "a.jpg"], [product(1, 1, score=0.4)], categories=("shoes", "hat")))
    assert found.detections.image.tolist() == [1]
    assert found.detections.category.tolist() == [1]
    assert found.detection_categories == ["shoes"]
    assert found.missing == []
    assert found.notes == ["1 photo of the predictions is not in the truth."]
    assert found.sizes == [(40, 50)] * 2


def test_detections_elsewhere_and_of_unknown_categories_are_counted(paired):
    truth = coco(["a.jpg", "b.jpg"], [product()])
    predictions = coco(
        ["a.jpg", "z.jpg"],
        [product(1, 1, score=0.5), product(2, 2, score=0.5), product(1, 1, score=0.1)],
        categories=("belt", "hat"),
    )
    found = paired(truth, predictions)
    assert found.missing == ["b.jpg"]
    assert found.detections.category.tolist() == [-1, -1]
    text = " ".join(found.notes)
    assert "1 detection on photos outside" in text
    assert "2 detections of a category that the truth does not know (belt)" in text


def test_results_list_uses_the_ids_of_the_truth(paired):
    results = [product(2, 2, score=0.5), product(9, 1, score=0.5), product(2, 7, score=2.0)]
    found = paired(coco(["a.jpg", "b.jpg"], [product()]), results)
    assert found.detections.image.tolist() == [1, 1]
    assert found.detection_categories == ["shoes", "id 7"]
    assert found.missing == ["a.jpg"]
    text = " ".join(found.notes)
    assert "1 detection on photos outside" in text
    assert "1 score outside 0..1" in text


def test_polygons_boxes_only_and_empty_lists(paired):
    truth = coco(["a.jpg"], [product()])
    polygon = [[5, 5, 25, 5, 25, 25, 5, 25]]
    found = paired(truth, [{"image_id": 1, "category_id": 1, "score": 0.5, "segmentation": polygon}])
    assert found.detections.xywh.tolist() == [[5, 5, 20, 20]]
    assert found.masked
    found = paired(truth, [{"image_id": 1, "category_id": 1, "score": 0.5, "bbox": [5, 5, 20, 20]}])
    assert not found.masked
    assert any("boxes are compared" in note for note in found.notes)
    assert len(paired(truth, []).detections) == 0


def test_a_truth_in_the_form_of_lvis_is_told(paired):
    truth = coco(["a.jpg"], [product()])
    truth["images"][0] |= {"neg_category_ids": [2], "not_exhaustive_category_ids": []}
    assert "LVIS" in paired(truth, [product(score=0.5)]).notes[0]


def test_a_missing_score_is_one_and_said(paired):
    found = paired(coco(["a.jpg"], [product()]), coco(["a.jpg"], [product()]))
    assert found.detections.score.tolist() == [1.0]
    assert "without a score" in found.notes[0]


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        (coco(["z.jpg"], []), "share no images"),
        (coco([], []), "share no images"),
        ([product(5, score=0.5)], "share no images"),
        ([{"image_id": 1, "category_id": 1, "segmentation": square()}], "score"),
        ([{"image_id": 1, "category_id": 1, "score": 0.5}], "bbox is None"),
        ([product(1, score=0.5) | {"segmentation": {"size": [4, 4], "counts": "@0"}}], "instance 1 of 1, on a.jpg"),
        ([product(1, score=0.5) | {"segmentation": square() | {"size": [40.0, 50]}}], "size"),
        ([product(1, score=0.5) | {"segmentation": {"size": [50, 40], "counts": square()["counts"]}}], r"\[50, 40\]"),
        ([product(1, score=0.5) | {"segmentation": square() | {"counts": square()["counts"][:-1]}}], "instance 1 of 1"),
        ([product(1, score=0.5) | {"segmentation": [[1, 2, 3]]}], "instance 1 of 1, on a.jpg"),
        ([product(1, score=0.5, bbox=[5, 5, -20, 20])], "both 0 or more"),
        ([product(1, score=0.5), product(1, score=float("nan"))], r"results\[1\]\.score is NaN"),
        ([product(1, score="high")], r"Expected `float`, got `str` - at `\$\[0\]\.score`"),
        ([product(1.5, score=0.5)], r"Expected `int`, got `float`"),
        ("[{", "not a COCO results list"),
        ("", "pred.json"),
    ],
)
def test_mistakes_are_named(paired, predictions, message):
    with pytest.raises(InputError, match=message):
        paired(coco(["a.jpg"], [product()]), predictions)


def test_ids_of_annotations_may_be_0_or_repeated_and_say_nothing(tmp_path):
    truth = coco(["a.jpg"], [product() | {"id": 0}, product(1, 2) | {"id": 0}])
    predictions = coco(["a.jpg"], [product(score=0.9) | {"id": 0}, product(1, 2, score=0.8) | {"id": 0}])
    for name, data in (("gt.json", truth), ("pred.json", predictions)):
        (tmp_path / name).write_text(json.dumps(data))
    found = pair(read_truth(tmp_path / "gt.json"), read_predictions(tmp_path / "pred.json"))
    assert (len(found.truth), len(found.detections)) == (2, 2)
    assert coco_numbers(found.truth, found.detections, sizes=found.sizes, categories=2)["AP"] == pytest.approx(1)


def test_masks_changed_after_reading_are_checked_again(tmp_path):
    (tmp_path / "gt.json").write_text(json.dumps(coco(["a.jpg"], [product(bbox=[5, 5, 20, 20], area=400)])))
    truth = read_truth(tmp_path / "gt.json")
    truth.annotations[0].segmentation = square() | {"counts": "PPYo0"}
    with pytest.raises(InputError, match="instance 1 of 1"):
        pair(truth, Predictions("found", None, None, None, []))


def test_boxes_are_given_or_the_masks_own(paired):
    found = paired(coco(["a.jpg"], [product()]), [product(score=0.9, bbox=[1, 2, 3, 4]), product(score=0.8)])
    assert found.detections.xywh.tolist() == [[1, 2, 3, 4], [5, 5, 20, 20]]
    assert found.detections.mask_area.tolist() == [400, 400]


def test_a_photo_of_another_size_is_refused(paired):
    other = coco(["a.jpg"], [])
    other["images"][0]["width"] = 25
    with pytest.raises(InputError, match=r"25 x 40 px in .* but 50 x 40 px"):
        paired(coco(["a.jpg"], [product()]), other)


def test_missing_file_and_truth_without_images(tmp_path):
    with pytest.raises(InputError, match=r"nothing\.json"):
        read_predictions(tmp_path / "nothing.json")
    (tmp_path / "predictions.json").write_text(json.dumps(coco(["a.jpg"], [])))
    (tmp_path / "gt.json").write_bytes(msgspec.json.encode(coco([], [])))
    with pytest.raises(InputError, match="holds no images"):
        pair(read_coco(tmp_path / "gt.json"), read_predictions(tmp_path))
