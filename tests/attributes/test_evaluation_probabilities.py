"""Figures of probabilities against counting one by one, against values worked by hand and published examples."""

import math
import pickle

import numpy as np
import pytest

from segattr.attributes.calibration import expected_calibration_error
from segattr.attributes.evaluation import (
    AttributeMetrics,
    multi_metrics,
    number_metrics,
    probability_columns,
    probability_metrics,
    single_metrics,
)
from segattr.attributes.evaluation_probabilities import adaptive_calibration_error, average_precision
from segattr.datasets.errors import InputError
from segattr.datasets.schema import Attribute, Schema

VALUES = ["a", "b", "c", "d"]


def test_published_examples():
    # The examples of scikit-learn's documentation of the same figures.
    scores, positive = np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True])
    assert average_precision(scores, positive) == pytest.approx(0.8333333)
    rows = [[0.5, 0.2, 0.2], [0.3, 0.4, 0.2], [0.2, 0.4, 0.3], [0.7, 0.2, 0.1]]
    given = [dict(zip("abc", row, strict=True)) for row in rows]
    assert probability_metrics(["a", "b", "c", "c"], given, "abc").top_k == {2: 0.75}
    assert number_metrics([3, -0.5, 2, 7], [2.5, 0.0, 2, 8]).r2 == pytest.approx(0.948608)
    one = ["negative", "positive", "negative", "neutral", "positive"]
    other = ["negative", "positive", "negative", "neutral", "negative"]
    assert single_metrics(one, other).kappa == pytest.approx(0.6875)


def ap_one_by_one(scores, positive):
    """Precision at every threshold, weighted by what recall it adds; None is never retrieved."""
    total, area, before = sum(positive), 0.0, 0
    for threshold in sorted({s for s in scores if s is not None}, reverse=True):
        taken = [p for s, p in zip(scores, positive, strict=True) if s is not None and s >= threshold]
        area += (sum(taken) - before) / total * sum(taken) / len(taken)
        before = sum(taken)
    return area


def some(seed, multi):
    """60 truths, probabilities and answers; some truths unknown, some rows without probabilities, ties, and a value
    that the truth does not have."""
    rng = np.random.default_rng(seed)
    truth, given = [], []
    for _ in range(60):
        labels = [str(v) for v in rng.permutation(VALUES[:3])[: rng.integers(0, 4) if multi else 1]]
        truth.append(None if rng.random() < 0.1 else labels)
        p = {v: float(round(x, 1)) for v, x in zip([*VALUES, "strange"], rng.random(5), strict=True)}
        for value in labels:
            p[value] = min(1.0, round(p[value] + 0.3, 1))
        given.append(None if rng.random() < 0.1 else p)
    return truth, given


@pytest.mark.parametrize("multi", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_equals_counting_one_by_one(seed, multi):
    truth, given = some(seed, multi)
    answers = [None if p is None else sorted([*VALUES, "strange"], key=lambda v, p=p: -p[v]) for p in given]
    if multi:
        answers = [
            None if a is None else [a[0], *(v for v in a[1:] if p[v] >= 0.5)]
            for a, p in zip(answers, given, strict=True)
        ]
    else:
        answers = [a and a[:1] for a in answers]
    found = probability_metrics(truth, given, VALUES, answers, multi=multi)
    rows = [(t, p, a) for t, p, a in zip(truth, given, answers, strict=True) if t is not None]
    assert (found.support, found.answered) == (len(rows), sum(p is not None for _, p, _ in rows))

    for value in VALUES:
        positive = [value in t for t, _, _ in rows]
        if not any(positive):
            assert math.isnan(found.per_value[value].ap)
            continue
        expected = ap_one_by_one([p and p[value] for _, p, _ in rows], positive)
        assert found.per_value[value].ap == pytest.approx(expected)
        named = [(p[value], value in t) for t, p, a in rows if a and value in a]
        shares = [sum(s >= x for s, _ in named) for x, _ in named if _precise(named, x, 0.95)]
        assert found.per_value[value].coverage.accepted == max(shares, default=0)
    assert found.macro_ap == pytest.approx(
        np.mean([one.ap for one in found.per_value.values() if not math.isnan(one.ap)])
    )

    for k in (2, 3):
        hits = []
        for t, p, _ in rows:
            if t:
                likeliest = sorted(["strange", *VALUES], key=lambda v, p=p: -p[v])[:k] if p else []
                hits.append(t[0] in likeliest)
        assert found.top_k[k] == pytest.approx(np.mean(hits))

    answered = [(t, p, a) for t, p, a in rows if p]
    if multi:
        stated = [(p[v], v in t) for t, p, _ in answered for v in VALUES]
        sure = [(math.prod(p[v] if v in a else 1 - p[v] for v in VALUES), set(t) == set(a)) for t, p, a in answered]
        lead = [(p[a[0]] * (1 - max(p[v] for v in p if v != a[0])), t[:1] == a[:1]) for t, p, a in answered]
        accepted = max((sum(s >= x for s, _ in lead) for x, _ in lead if _precise(lead, x, 0.95)), default=0)
        assert found.coverage_first.accepted == accepted
    else:
        stated = sure = [(p[a[0]], t == a) for t, p, a in answered]
        assert found.coverage_first is None
    assert found.ece == pytest.approx(expected_calibration_error(*zip(*stated, strict=True)))
    accepted = max((sum(s >= x for s, _ in sure) for x, _ in sure if _precise(sure, x, 0.95)), default=0)
    assert found.coverage.share == pytest.approx(accepted / len(rows))


def _precise(pairs, threshold, target):
    taken = [right for s, right in pairs if s >= threshold]
    return sum(taken) / len(taken) >= target


def test_without_an_answer_the_likeliest_value_is_it():
    given = [{"a": 0.9, "b": 0.7}, {"a": 0.2, "b": 0.6}, {}, None]
    found = probability_metrics(["a", "a", "a", None], given, VALUES)
    assert (found.support, found.answered, found.coverage.share) == (3, 2, pytest.approx(1 / 3))
    assert found.coverage.threshold == 0.9
    found = probability_metrics([["b", "a"], ["b"], [], ["a"]], given[:2] * 2, VALUES, multi=True)
    assert found.coverage.right == 0 or found.coverage.precision >= 0.95
    assert found.curve.right[-1] == 2  # {a, b} and {b}; "none" and {a} are not what was said


def test_adaptive_bins_hold_equal_counts_and_do_not_cut_ties():
    rng = np.random.default_rng(0)
    confidence = rng.permutation(np.arange(1, 31) / 31)
    right = rng.random(30) < confidence
    order = np.argsort(confidence)
    gaps = [abs(confidence[part].mean() - right[part].mean()) for part in np.split(order, 15)]
    assert adaptive_calibration_error(confidence, right) == pytest.approx(np.mean(gaps))
    tied = np.array([0.9] * 20), np.array([True] * 15 + [False] * 5)
    assert adaptive_calibration_error(*tied) == pytest.approx(0.15)
    assert math.isnan(adaptive_calibration_error(np.zeros(0), np.zeros(0)))


def test_keys_and_precision():
    truth, given = some(0, multi=True)
    flat = probability_metrics(truth, given, VALUES, multi=True, precision=0.8).flat()
    expected = {"macro_ap", "top2", "top3", "ece", "ece_adaptive", "answered", "coverage80", "coverage80_threshold"}
    expected |= {"coverage80_first", "coverage80_first_threshold", "value/a/ap", "value/a/coverage80"}
    assert expected <= set(flat)
    assert (
        set(probability_metrics([["a"]], given[:1], ["a", "b"]).top_k) == set()
    )  # of two values, two are always there


@pytest.mark.parametrize("wrong", [-0.1, 1.1, float("nan"), "0.5", None, True])
def test_what_is_no_probability_is_told(wrong):
    with pytest.raises(InputError, match=r"color of instance 1: red has .*expected a probability, 0 to 1"):
        probability_columns("color", [{"color": {"red": 0.5}}, {"color": {"red": wrong}}])
    with pytest.raises(InputError, match="expected a probability"):
        probability_metrics(["red"], [{"red": wrong}], ["red"])


def test_other_mistakes_are_told():
    assert probability_columns("color", [None, {}, {"color": {}}, {"color": {"red": 1}}]) == [None] * 3 + [{"red": 1}]
    with pytest.raises(InputError, match="probabilities of instance 0 are \\[1\\]"):
        probability_columns("color", [[1]])
    with pytest.raises(InputError, match=r"probabilities\.color of instance 0: found 0\.5; expected an object"):
        probability_columns("color", [{"color": 0.5}])
    with pytest.raises(InputError, match="2 true and 1 predicted"):
        probability_metrics(["a", "b"], [None], VALUES)
    with pytest.raises(InputError, match="'z' of instance 0 is not among"):
        probability_metrics(["z"], [None], VALUES)
    with pytest.raises(InputError, match=r"precision 1\.5"):
        AttributeMetrics(SCHEMA, precision=1.5)


SCHEMA = Schema(
    [
        Attribute("color", "multi", tuple(VALUES)),
        Attribute("pattern", "single", ("solid", "dotted")),
        Attribute("length", "number", unit="cm"),
    ]
)


def batch(seed):
    rng = np.random.default_rng(seed)
    truth, given = some(seed, multi=True)
    truths = [{"length": float(1e6 + rng.normal())} | ({} if t is None else {"color": t}) for t in truth]
    preds = [{"length": one["length"] + float(rng.normal()), "color": ["a", "b"]} for one in truths]
    probabilities = [p and {"color": {v: p[v] for v in VALUES}} for p in given]
    for t, p in zip(truths, preds, strict=True):
        t["pattern"], p["pattern"] = (str(rng.choice(["solid", "dotted"])) for _ in range(2))
    return truths, preds, probabilities, [str(c) for c in rng.choice(["hat", "shoe", "bag"], len(truths))]


def test_batches_and_processes_add_up_also_by_category():
    whole, parts = AttributeMetrics(SCHEMA), [AttributeMetrics(SCHEMA) for _ in range(2)]
    truth, pred, probabilities, categories = ([*a, *b] for a, b in zip(batch(1), batch(2), strict=True))
    whole.update(truth, pred, probabilities=probabilities, categories=categories)
    for part, seed in zip(parts, (1, 2), strict=True):
        t, p, given, names = batch(seed)
        for start in range(0, 60, 17):
            rows = slice(start, start + 17)
            part.update(t[rows], p[rows], probabilities=given[rows], categories=names[rows])
    merged = pickle.loads(pickle.dumps(parts[1]))  # as a process would send it
    merged.merge(parts[0])
    assert merged.flat() == pytest.approx(whole.flat(), nan_ok=True)

    color = whole.compute()["color"]
    labels = [one.get("color") for one in truth]
    direct = multi_metrics(labels, [one["color"] for one in pred], VALUES)
    assert (color.exact, color.macro_precision) == (direct.exact, direct.macro_precision)
    assert color.probability.flat() == pytest.approx(
        probability_metrics(
            labels, [p and p["color"] for p in probabilities], VALUES, [p["color"] for p in pred], multi=True
        ).flat(),
        nan_ok=True,
    )
    assert whole.compute()["pattern"].probability is None  # none were given
    hats = [i for i, name in enumerate(categories) if name == "hat"]
    by_hand = single_metrics([truth[i]["pattern"] for i in hats], [pred[i]["pattern"] for i in hats])
    assert whole.by_category()["hat"]["pattern"].accuracy == by_hand.accuracy
    assert whole.flat()["attributes/pattern/category/hat/accuracy"] == by_hand.accuracy
    a, b = (np.array([one["length"] for one in column]) for column in (truth, pred))
    assert whole.flat()["attributes/length/r2"] == pytest.approx(1 - ((a - b) ** 2).sum() / ((a - a.mean()) ** 2).sum())


def test_a_batch_without_probabilities_counts_as_not_answered():
    metrics = AttributeMetrics(Schema([SCHEMA["pattern"]]))
    metrics.update([{"pattern": "solid"}], [{"pattern": "solid"}])
    metrics.update([{"pattern": "solid"}], [{"pattern": "solid"}], probabilities=[{"pattern": {"solid": 0.9}}])
    found = metrics.compute()["pattern"].probability
    assert (found.support, found.answered, found.coverage.share, found.per_value["solid"].ap) == (2, 1, 0.5, 0.5)
