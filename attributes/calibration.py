"""Calibrated probabilities: one temperature per head, fitted on validation data.

Guo, Pleiss, Sun & Weinberger 2017, "On Calibration of Modern Neural Networks" (ICML): logits are divided by one T > 0
that minimises the negative log-likelihood. The order of the values, and so every accuracy, stays as it was.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..datasets.errors import InputError

# A head that is right on all of a small validation set would drive T to 0 and claim certainty; these bounds stop it.
BOUNDS = (0.1, 10.0)
BINS = 15


@dataclass(frozen=True)
class Temperature:
    """A fitted temperature and what it did on the data it was fitted on.

    value: divide logits by it. count: how many labelled entries it was fitted on (0: value is 1). at_bound: the best
    value lies outside the bounds. nll: mean negative log-likelihood, nats; ece: expected calibration error, 0..1; NaN
    for count 0.
    """

    value: float
    count: int
    at_bound: bool
    nll_before: float
    nll_after: float
    ece_before: float
    ece_after: float


def fit_softmax(logits, labels, *, bounds: tuple[float, float] = BOUNDS) -> Temperature:
    """Temperature of a softmax head.

    logits: (n, C) float, array or CPU tensor. labels: (n,) int, -1 = unknown (takes no part). ece is that of the most
    probable class, as in the paper. Raises InputError for shapes that do not fit, labels beyond C, logits not finite.
    """
    logits, labels = _array(logits, np.float64), _array(labels, np.int64)
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise InputError(f"fit_softmax: logits {logits.shape}, labels {labels.shape}; expected (n, C) and (n,).")
    if len(labels) and not -1 <= labels.min() <= labels.max() < logits.shape[1]:
        raise InputError(f"fit_softmax: labels {labels.min()}..{labels.max()}; expected -1..{logits.shape[1] - 1}.")
    known = labels >= 0
    logits, labels = _finite(logits[known], "fit_softmax"), labels[known]
    picked = np.arange(len(labels)), labels

    def nll(t: float) -> float:
        return -float(log_softmax(logits / t)[picked].mean())

    def ece(t: float) -> float:
        log_p = log_softmax(logits / t)
        return expected_calibration_error(np.exp(log_p.max(axis=1)), log_p.argmax(axis=1) == labels)

    return _fit(nll, ece, len(labels), bounds)


def fit_sigmoid(logits, targets, *, bounds: tuple[float, float] = BOUNDS) -> Temperature:
    """Temperature of a sigmoid (multi-label) head, one for all its values.

    logits: (n, C) float. targets: (n, C), 1 = applies, 0 = does not, -1 or NaN = unknown (takes no part). ece compares
    the probability that a value applies with how often it does, over all entries. Raises InputError for shapes that do
    not fit, targets outside 0..1, logits not finite.
    """
    logits, targets = _array(logits, np.float64), _array(targets, np.float64)
    if logits.ndim != 2 or targets.shape != logits.shape:
        raise InputError(f"fit_sigmoid: logits {logits.shape}, targets {targets.shape}; expected both (n, C).")
    known = ~np.isnan(targets) & (targets != -1)
    logits, targets = _finite(logits[known], "fit_sigmoid"), targets[known]
    if len(targets) and not 0 <= targets.min() <= targets.max() <= 1:
        raise InputError(f"fit_sigmoid: targets {targets.min()}..{targets.max()}; expected 0, 1, or -1 for unknown.")

    def nll(t: float) -> float:
        z = logits / t
        # Cross entropy as softplus(-z) + (1 - y) z: no overflow, whatever the logit.
        return float((np.logaddexp(0.0, -z) + (1 - targets) * z).mean())

    def ece(t: float) -> float:
        return expected_calibration_error(np.exp(-np.logaddexp(0.0, -logits / t)), targets)

    return _fit(nll, ece, len(targets), bounds)


def expected_calibration_error(confidence, correct, *, bins: int = BINS) -> float:
    """Mean |confidence - accuracy| over equal-width bins of (0, 1], weighted by their size (Guo et al. 2017, eq. 3).

    confidence: (n,) float, 0..1. correct: (n,) bool, or the observed 0/1. NaN for n = 0.
    """
    rows = reliability(confidence, correct, bins=bins)
    count = rows[:, 2]
    return float(np.sum(count * np.abs(rows[:, 0] - rows[:, 1])) / count.sum()) if count.sum() else float("nan")


def reliability(confidence, correct, *, bins: int = BINS) -> np.ndarray:
    """Per bin the mean confidence, the share that is correct and the count: float64 (bins, 3); zeros in empty bins.

    Bins are (0, 1/bins], (1/bins, 2/bins] ...; 0 itself falls in the first.
    """
    confidence, correct = _array(confidence, np.float64), _array(correct, np.float64)
    if confidence.ndim != 1 or confidence.shape != correct.shape:
        raise InputError(f"reliability: confidence {confidence.shape}, correct {correct.shape}; expected both (n,).")
    if len(confidence) and not (confidence.min() >= 0 and confidence.max() <= 1):
        raise InputError(f"reliability: confidence {confidence.min()}..{confidence.max()}; expected probabilities.")
    index = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    count, conf, hits = (np.bincount(index, w, minlength=bins) for w in (None, confidence, correct))
    divisor = np.maximum(count, 1)
    return np.column_stack([conf / divisor, hits / divisor, count])


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Natural logarithm of softmax over the last axis, stable: float64 (..., C)."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def golden_section(function: Callable[[float], float], low: float, high: float, *, tolerance: float = 1e-5) -> float:
    """The minimum of a function with one valley on [low, high], to ``tolerance`` (Kiefer 1953)."""
    ratio = (math.sqrt(5) - 1) / 2
    a, b = high - ratio * (high - low), low + ratio * (high - low)
    at_a, at_b = function(a), function(b)
    while high - low > tolerance:
        if at_a <= at_b:
            high, b, at_b = b, a, at_a
            a = high - ratio * (high - low)
            at_a = function(a)
        else:
            low, a, at_a = a, b, at_b
            b = low + ratio * (high - low)
            at_b = function(b)
    return (low + high) / 2


def _fit(nll: Callable[[float], float], ece: Callable[[float], float], count: int, bounds) -> Temperature:
    low, high = bounds
    if not 0 < low <= 1 <= high < math.inf:
        raise InputError(f"temperature bounds {bounds}; expected 0 < low <= 1 <= high.")
    if not count:
        nan = float("nan")
        return Temperature(1.0, 0, False, nan, nan, nan, nan)
    # The NLL is convex in 1/T, so along log T it falls to one valley and rises again: no gradient is needed.
    best = math.exp(golden_section(lambda log_t: nll(math.exp(log_t)), math.log(low), math.log(high)))
    at_bound = min(abs(math.log(best / bound)) for bound in bounds) < 1e-4
    if nll(best) >= nll(1.0):  # flat: one class only, or all logits equal
        best, at_bound = 1.0, False
    return Temperature(best, count, at_bound, nll(1.0), nll(best), ece(1.0), ece(best))


def _array(values, dtype) -> np.ndarray:
    return np.asarray(values).astype(dtype)


def _finite(logits: np.ndarray, where: str) -> np.ndarray:
    if not np.isfinite(logits).all():
        raise InputError(f"{where}: {int((~np.isfinite(logits)).sum())} logits are not finite; expected numbers only.")
    return logits
