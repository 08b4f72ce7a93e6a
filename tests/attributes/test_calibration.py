"""Temperatures recovered from data drawn with a known one; the calibration error by hand."""

import math

import numpy as np
import pytest
import torch

from segattr.attributes.calibration import (
    expected_calibration_error,
    fit_sigmoid,
    fit_softmax,
    golden_section,
    reliability,
)
from segattr.datasets.errors import InputError


def drawn_softmax(rng, n=4000, classes=5):
    """Logits and labels drawn from exactly their softmax: calibrated by construction."""
    logits = rng.normal(0, 2, (n, classes))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return logits, (p.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(max=classes - 1)


@pytest.mark.parametrize("true_t", [0.5, 1.0, 2.5])
def test_softmax_temperature_is_found_again(true_t):
    logits, labels = drawn_softmax(np.random.default_rng(0))
    found = fit_softmax(logits * true_t, labels)
    assert found.value == pytest.approx(true_t, rel=0.08)
    assert found.nll_after <= found.nll_before
    assert found.count == len(labels)
    assert not found.at_bound
    if true_t != 1:
        assert found.ece_after < found.ece_before


def test_softmax_equals_a_grid_search_with_torch():
    logits, labels = drawn_softmax(np.random.default_rng(1), n=300)
    logits = torch.from_numpy(logits * 3)
    grid = np.exp(np.linspace(math.log(0.1), math.log(10), 4000))
    nll = [torch.nn.functional.cross_entropy(logits / t, torch.from_numpy(labels)).item() for t in grid]
    found = fit_softmax(logits, labels)
    assert found.value == pytest.approx(grid[int(np.argmin(nll))], rel=2e-3)
    assert found.nll_after <= min(nll) + 1e-9
    assert found.nll_before == pytest.approx(torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels)).item())


@pytest.mark.parametrize("true_t", [0.5, 3.0])
def test_sigmoid_temperature_is_found_again_and_unknowns_take_no_part(true_t):
    rng = np.random.default_rng(2)
    logits = rng.normal(0, 2, (1500, 4))
    targets = (rng.random(logits.shape) < 1 / (1 + np.exp(-logits))).astype(float)
    found = fit_sigmoid(logits * true_t, targets)
    assert found.value == pytest.approx(true_t, rel=0.08)
    known = rng.random(targets.shape) < 0.5
    some = fit_sigmoid(logits * true_t, np.where(known, targets, np.nan))
    same = fit_sigmoid((logits * true_t)[known][:, None], targets[known][:, None])
    assert some == same
    assert some == fit_sigmoid(logits * true_t, np.where(known, targets, -1))
    bce = torch.nn.functional.binary_cross_entropy_with_logits(
        torch.from_numpy(logits * true_t), torch.from_numpy(targets)
    )
    assert found.nll_before == pytest.approx(bce.item())


def test_unknown_labels_take_no_part():
    logits, labels = drawn_softmax(np.random.default_rng(3), n=500)
    half = np.where(np.arange(500) % 2, labels, -1)
    assert fit_softmax(logits, half) == fit_softmax(logits[1::2], labels[1::2])


def test_separable_and_useless_heads_stay_within_bounds():
    certain = fit_softmax(np.eye(4), np.arange(4))
    assert certain.value == pytest.approx(0.1, rel=1e-3)
    assert certain.at_bound
    wrong = fit_softmax(5 * np.eye(4), (np.arange(4) + 1) % 4, bounds=(0.5, 2))
    assert wrong.value == pytest.approx(2, rel=1e-3)
    assert wrong.at_bound
    flat = fit_softmax(np.zeros((5, 3)), np.zeros(5, int))
    assert (flat.value, flat.at_bound) == (1.0, False)
    nothing = fit_softmax(np.zeros((0, 3)), np.zeros(0, int))
    assert (nothing.value, nothing.count) == (1.0, 0)
    assert math.isnan(nothing.ece_before)
    huge = fit_sigmoid([[1e4, -1e4]], [[1, 0]])
    assert math.isfinite(huge.nll_after)


def test_calibration_error_by_hand():
    # Bins of 1/15: 0.9 and 0.92 share (13/15, 14/15], 0.5 lies in (7/15, 8/15].
    confidence, correct = [0.9, 0.92, 0.5, 0.5], [True, False, True, True]
    expected = (2 * abs(0.91 - 0.5) + 2 * abs(0.5 - 1.0)) / 4
    assert expected_calibration_error(confidence, correct) == pytest.approx(expected)
    assert expected_calibration_error([1.0, 0.0], [1, 0]) == 0.0
    assert math.isnan(expected_calibration_error([], []))
    rows = reliability([0.1, 0.2, 1.0], [0, 1, 1], bins=5)
    np.testing.assert_allclose(rows, [[0.15, 0.5, 2], [0, 0, 0], [0, 0, 0], [0, 0, 0], [1, 1, 1]])


def test_golden_section():
    assert golden_section(lambda x: (x - 0.3) ** 2, -2, 5) == pytest.approx(0.3, abs=1e-4)
    assert golden_section(lambda x: x, 1, 2) == pytest.approx(1, abs=1e-4)


def test_mistakes_are_named():
    with pytest.raises(InputError, match=r"expected \(n, C\) and \(n,\)"):
        fit_softmax(np.zeros((3, 2)), np.zeros(2, int))
    with pytest.raises(InputError, match=r"labels 0\.\.5"):
        fit_softmax(np.zeros((2, 2)), [0, 5])
    with pytest.raises(InputError, match="not finite"):
        fit_softmax([[np.nan, 0]], [0])
    with pytest.raises(InputError, match="expected both"):
        fit_sigmoid(np.zeros((3, 2)), np.zeros((2, 3)))
    with pytest.raises(InputError, match=r"targets 0\.0\.\.2\.0"):
        fit_sigmoid(np.zeros((1, 2)), [[0, 2]])
    with pytest.raises(InputError, match="probabilities"):
        expected_calibration_error([1.5], [1])
    with pytest.raises(InputError, match="bounds"):
        fit_softmax(np.zeros((2, 2)), [0, 1], bounds=(2, 3))
