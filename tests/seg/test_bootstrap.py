"""Bootstrap intervals against the normal approximation, a plain loop, and their own promises."""

import math

import numpy as np
import pytest

from segattr.datasets.errors import InputError
from segattr.seg.bootstrap import bootstrap


def mean(sums):
    with np.errstate(invalid="ignore"):
        return {"mean": sums[..., 1] / sums[..., 0]}


def table(values):
    return np.column_stack([np.ones(len(values)), values])


def test_width_is_that_of_the_normal_approximation():
    values = np.random.default_rng(0).random(400) < 0.7
    low, high = bootstrap(range(400), {"x": (table(values), mean)})["x/mean"]
    p = values.mean()
    half = 1.96 * math.sqrt(p * (1 - p) / 400)
    assert low == pytest.approx(p - half, abs=0.008)
    assert high == pytest.approx(p + half, abs=0.008)


def test_equal_to_drawing_groups_one_by_one():
    rng = np.random.default_rng(1)
    group, values = rng.integers(0, 12, 60), rng.normal(size=60)
    low, high = bootstrap(group.tolist(), {"x": (table(values), mean)}, resamples=4000)["x/mean"]
    members = [values[group == g] for g in np.unique(group)]
    drawn = [np.concatenate([members[i] for i in rng.integers(0, 12, 12)]).mean() for _ in range(4000)]
    assert [low, high] == pytest.approx(np.percentile(drawn, [2.5, 97.5]).tolist(), abs=0.03)


def test_copies_of_one_photo_do_not_narrow_the_interval():
    values = np.random.default_rng(2).random(50)
    single = bootstrap(range(50), {"x": (table(values), mean)})["x/mean"]
    copied = bootstrap(np.repeat(range(50), 9).tolist(), {"x": (table(np.repeat(values, 9)), mean)})["x/mean"]
    assert copied == pytest.approx(single)


def test_same_seed_same_interval_and_parts_share_their_draws():
    values = np.random.default_rng(3).random(30)
    parts = {"a": (table(values), mean), "b": (table(values + 1), mean)}
    found = bootstrap(range(30), parts, seed=5)
    assert found == bootstrap(range(30), parts, seed=5)
    assert found != bootstrap(range(30), parts, seed=6)
    assert found["b/mean"] == pytest.approx([end + 1 for end in found["a/mean"]])


def test_nothing_to_tell():
    assert math.isnan(bootstrap([1, 1], {"x": (table(np.array([0.1, 0.9])), mean)})["x/mean"][0])
    assert math.isnan(bootstrap([1, 2], {"x": (np.zeros((2, 2)), mean)})["x/mean"][0])
    assert bootstrap([], {"x": (np.zeros((0, 2)), mean)}) == {}
    with pytest.raises(InputError, match="resamples"):
        bootstrap([1, 2], {}, resamples=0)
