"""Attribute metrics against values worked by hand and against counting one by one."""

import math

import numpy as np
import pytest

from segattr.attributes.evaluation import (
    AttributeMetrics,
    label_statistics,
    label_table,
    multi_metrics,
    number_metrics,
    single_metrics,
)
from segattr.datasets.errors import InputError
from segattr.datasets.schema import Attribute, Schema


def test_single_by_hand():
    truth = ["solid", "solid", "striped", None, "dotted", "solid"]
    pred = ["solid", "striped", "striped", "solid", None, "solid"]
    found = single_metrics(truth, pred, ["solid", "striped", "dotted", "floral"])
    assert found.support == 5
    assert found.accuracy == pytest.approx(3 / 5)
    # solid: 2 of 2 predicted, 2 of 3 found; striped: 1 of 2, 1 of 1; dotted: never predicted.
    assert found.per_value["solid"].precision == 1.0
    assert found.per_value["solid"].recall == pytest.approx(2 / 3)
    assert found.per_value["solid"].f1 == pytest.approx(0.8)
    assert found.per_value["striped"].f1 == pytest.approx(2 / 3)
    assert math.isnan(found.per_value["dotted"].precision)
    assert found.per_value["dotted"].f1 == 0.0
    assert found.per_value["floral"].support == 0
    # floral does not occur in the truth: three terms, not four.
    assert found.macro_f1 == pytest.approx((0.8 + 2 / 3 + 0) / 3)
    assert found.jaccard is None and found.exact is None
    # Never predicted is precision 0 in the mean.
    assert found.macro_precision == pytest.approx((1 + 1 / 2 + 0) / 3)
    assert found.macro_recall == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert found.per_value["solid"].accuracy == pytest.approx(4 / 5)
    assert found.per_value["floral"].accuracy == 1
    assert found.probability is None
    expected = np.zeros((5, 5), int)
    expected[0, 0], expected[0, 1], expected[1, 1], expected[2, 4] = 2, 1, 1, 1
    np.testing.assert_array_equal(found.confusion, expected)
    flat = found.flat()
    assert flat["accuracy"] == found.accuracy
    assert flat["value/striped/support"] == 1


def test_a_value_that_is_only_predicted_lowers_precision_but_adds_no_term():
    found = single_metrics(["a", "a"], ["a", "b"], ["a", "b"])
    assert found.macro_f1 == pytest.approx(2 / 3)
    assert found.per_value["b"].f1 == 0.0
    assert math.isnan(found.per_value["b"].recall)


def test_multi_by_hand():
    truth = [["navy", "white"], ["red"], None, ["white"], []]
    pred = [["navy"], ["white", "red"], ["red"], ["white"], []]
    found = multi_metrics(truth, pred, ["navy", "white", "red"])
    assert found.support == 4
    assert found.accuracy == pytest.approx(3 / 4)  # the second one's first value is wrong
    assert found.jaccard == pytest.approx((1 / 2 + 1 / 2 + 1 + 1) / 4)
    assert found.exact == pytest.approx(2 / 4)
    assert found.per_value["white"].precision == pytest.approx(1 / 2)
    assert found.per_value["white"].recall == pytest.approx(1 / 2)
    assert found.macro_f1 == pytest.approx((1 + 1 / 2 + 1) / 3)
    assert found.confusion[2, 1] == 1  # red read as white
    assert found.confusion[3, 3] == 1  # rightly nothing


def test_nothing_known_is_not_a_number_and_no_error():
    found = single_metrics([None, None], ["a", "b"], ["a", "b"])
    assert found.support == 0
    assert math.isnan(found.accuracy)
    assert math.isnan(found.macro_f1)
    assert math.isnan(multi_metrics([], [], ["a"]).jaccard)
    assert math.isnan(number_metrics([None], [1.0]).mae)


def test_a_prediction_outside_the_values_is_wrong_and_counted_in_the_last_column():
    found = single_metrics(["a"], ["z"], ["a"])
    assert found.accuracy == 0.0
    assert found.confusion[0, 1] == 1
    assert multi_metrics([["a"]], [["a", "z"]], ["a"]).jaccard == pytest.approx(1 / 2)


def test_numbers_by_hand():
    found = number_metrics([1.0, 2.0, None, 4.0], [1.5, 0.0, 7.0, None])
    assert (found.support, found.answered) == (3, 2)
    assert found.mae == pytest.approx(1.25)
    assert found.rmse == pytest.approx(math.sqrt((0.25 + 4) / 2))
    assert found.r2 == pytest.approx(1 - 4.25 / 0.5)  # the truths 1 and 2 lie half a unit from their mean
    assert number_metrics([float("nan"), 1.0], [1.0, float("nan")]).support == 1
    assert math.isnan(number_metrics([0.1] * 3, [0.1, 0.2, 0.3]).r2)


@pytest.mark.parametrize("seed", range(10))
def test_f1_equals_counting_one_by_one(seed):
    rng = np.random.default_rng(seed)
    values = [f"v{i}" for i in range(6)]
    truth, pred = ([list(rng.permutation(values)[: rng.integers(0, 4)]) for _ in range(50)] for _ in range(2))
    found = multi_metrics(truth, pred, values)
    terms = []
    for value in values:
        tp = sum(value in a and value in b for a, b in zip(truth, pred, strict=True))
        fp = sum(value not in a and value in b for a, b in zip(truth, pred, strict=True))
        fn = sum(value in a and value not in b for a, b in zip(truth, pred, strict=True))
        if tp + fn:
            precision, recall = tp / (tp + fp) if tp + fp else 0, tp / (tp + fn)
            terms.append(2 * precision * recall / (precision + recall) if precision + recall else 0)
    assert found.macro_f1 == pytest.approx(np.mean(terms))


SCHEMA = Schema(
    [
        Attribute("color", "multi", ("red", "blue")),
        Attribute("pattern", "single", ("solid", "dotted")),
        Attribute("length", "number", unit="cm"),
    ]
)


def test_batches_and_processes_add_up():
    rng = np.random.default_rng(0)

    def some() -> dict:
        made = {"color": [["red"], ["blue", "red"]][rng.integers(2)], "pattern": ["solid", "dotted"][rng.integers(2)]}
        made["length"] = float(rng.normal())
        return {name: value for name, value in made.items() if rng.random() < 0.8}

    truth, pred = [some() for _ in range(40)], [some() for _ in range(40)]
    whole, left, right = (AttributeMetrics(SCHEMA) for _ in range(3))
    whole.update(truth, pred)
    for start in range(0, 20, 5):
        left.update(truth[start : start + 5], pred[start : start + 5])
    right.update(truth[20:], pred[20:])
    left.merge(right)
    assert left.flat() == pytest.approx(whole.flat(), nan_ok=True)
    found = whole.compute()
    direct = single_metrics(
        [one.get("pattern") for one in truth], [one.get("pattern") for one in pred], ("solid", "dotted")
    )
    assert found["pattern"].accuracy == direct.accuracy
    np.testing.assert_array_equal(found["pattern"].confusion, direct.confusion)
    assert found["length"].support == sum("length" in one for one in truth)
    assert "attributes/color/jaccard" in whole.flat()


def test_statistics_of_many_sums_at_once():
    table = label_table([["a"], ["b"], None], [["a"], ["a"], ["b"]], ["a", "b"])
    counts = np.array([[1, 1, 1], [2, 0, 5], [0, 3, 0]], float)
    found = label_statistics(counts @ table)
    np.testing.assert_allclose(found["accuracy"], [1 / 2, 1, 0])
    np.testing.assert_allclose(found["macro_f1"], [(2 / 3 + 0) / 2, 1, 0])


def test_mistakes_are_named():
    with pytest.raises(InputError, match="'z' of instance 1"):
        single_metrics(["a", "z"], ["a", "a"], ["a"])
    with pytest.raises(InputError, match="2 true and 1 predicted"):
        single_metrics(["a", "a"], ["a"], ["a"])
    with pytest.raises(InputError, match="two schemas"):
        AttributeMetrics(SCHEMA).merge(AttributeMetrics(Schema()))
