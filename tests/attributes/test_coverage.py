"""Coverage at a precision against trying every threshold, and its intervals against drawing instances by hand."""

import numpy as np
import pytest

from segattr.attributes.coverage import coverage_curve, coverage_intervals, left_out_coverage
from segattr.datasets.errors import InputError
from segattr.seg.bootstrap import draws, group_numbers


def best_share(confidence, right, precision, weight=None):
    """The largest share over all thresholds, one by one."""
    weight = np.ones(len(confidence)) if weight is None else weight
    best = (0.0, float("nan"))
    for threshold in np.unique(confidence[~np.isnan(confidence)]):
        taken = confidence >= threshold  # NaN is never taken
        if weight[taken].sum() and (weight * right)[taken].sum() / weight[taken].sum() >= precision:
            best = max(best, (weight[taken].sum() / weight.sum(), threshold), key=lambda pair: pair[0])
    return best


def problem(seed, n=60):
    rng = np.random.default_rng(seed)
    confidence = np.round(rng.random(n), 1 + seed % 2)  # ties
    right = rng.random(n) < 0.4 + 0.6 * confidence
    confidence[rng.random(n) < 0.1] = np.nan
    return rng, confidence, right


@pytest.mark.parametrize("seed", range(30))
def test_equals_trying_every_threshold(seed):
    _, confidence, right = problem(seed)
    curve = coverage_curve(confidence, right)
    for precision in (0.5, 0.8, 0.9, 0.95, 1.0):
        found = curve.at(precision)
        share, threshold = best_share(confidence, right, precision)
        assert found.share == pytest.approx(share)
        assert found.threshold == pytest.approx(threshold, nan_ok=True)
        taken = confidence >= found.threshold
        assert (found.accepted, found.right) == (taken.sum(), right[taken].sum())
        assert found.total == len(confidence)


@pytest.mark.parametrize("seed", range(10))
def test_a_threshold_above_which_there_are_few_is_none(seed):
    _, confidence, right = problem(seed)
    curve = coverage_curve(confidence, right)
    for precision, fewest in ((0.7, 1), (0.8, 10), (0.9, 10), (0.9, 25)):
        found = curve.at(precision, fewest=fewest)
        best = curve.at(precision)  # it accepts the most: where that is too few, so is all else
        assert found.accepted == (best.accepted if best.accepted >= fewest else 0)
        assert np.isnan(found.threshold) == (found.accepted == 0)


@pytest.mark.parametrize("seed", range(5))
def test_left_out_groups_are_judged_by_the_others_threshold(seed):
    rng, confidence, right = problem(seed)
    groups = [f"sender {i}" for i in rng.integers(0, 8, len(confidence))]
    accepted = []
    for i, group in enumerate(groups):
        others = [j for j, other in enumerate(groups) if other != group]
        share, threshold = best_share(confidence[others], right[others], 0.8)
        if round(share * len(others)) >= 12 and confidence[i] >= threshold:
            accepted.append(i)
    found = left_out_coverage(confidence, right, groups, precision=0.8, fewest=12)
    assert (found.accepted, found.right, found.total) == (len(accepted), right[accepted].sum(), len(groups))
    assert found.share == pytest.approx(len(accepted) / len(groups)) and np.isnan(found.threshold)


def test_left_out_of_next_to_nothing():
    nothing = left_out_coverage(np.zeros(0), np.zeros(0, bool), [])
    assert np.isnan(nothing.share) and nothing.total == 0
    alone = left_out_coverage(np.array([0.9, 0.9]), np.array([True, True]), ["a", "a"])
    assert (alone.share, alone.accepted) == (0.0, 0)  # nobody else chooses a threshold


def test_by_hand():
    curve = coverage_curve(np.array([0.9, 0.8, 0.8, 0.3, np.nan]), np.array([True, True, False, True, True]))
    np.testing.assert_allclose(curve.threshold, [0.9, 0.8, 0.3])
    np.testing.assert_allclose(curve.coverage, [0.2, 0.6, 0.8])
    np.testing.assert_allclose(curve.precision, [1, 2 / 3, 3 / 4])
    # A worse threshold on the way does not end the search: .75 is reached again further down.
    assert curve.at(0.75).share == pytest.approx(0.8)
    assert curve.at(0.95).share == pytest.approx(0.2)
    never = coverage_curve(np.array([0.9]), np.array([False])).at()
    assert (never.share, never.accepted) == (0.0, 0)
    assert np.isnan(never.threshold) and np.isnan(never.precision)
    nothing = coverage_curve(np.zeros(0), np.zeros(0, bool)).at()
    assert np.isnan(nothing.share) and nothing.total == 0
    for precision in (0, 1.01, float("nan")):
        with pytest.raises(InputError, match="expected above 0, at most 1"):
            curve.at(precision)
    with pytest.raises(InputError, match="expected both"):
        coverage_curve(np.zeros(2), np.zeros(3, bool))


@pytest.mark.parametrize("seed", range(3))
def test_intervals_equal_drawing_the_instances(seed):
    rng, confidence, right = problem(seed)
    groups = [f"sender {i}" for i in rng.integers(0, 12, 80)]
    row = np.sort(rng.permutation(80)[: len(confidence)])
    found = coverage_intervals(groups, {"color": (confidence, right, row)}, precision=0.9, resamples=100, seed=seed)
    group, count = group_numbers(groups)
    shares = [
        best_share(confidence, right, 0.9, weight=drawn[group[row]])[0]
        for chunk in draws(count, 100, seed)
        for drawn in chunk
    ]
    assert found["color"] == pytest.approx(tuple(np.percentile(shares, [2.5, 97.5])))


def test_intervals_of_next_to_nothing():
    one = np.array([0.5]), np.array([True]), np.array([0])
    assert np.isnan(coverage_intervals(["a"], {"x": one})["x"]).all()
    assert np.isnan(coverage_intervals([], {"x": tuple(part[:0] for part in one)})["x"]).all()
