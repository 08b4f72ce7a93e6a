"""Label maps against hotcoco's semantic evaluation, slow twins and cases worked by hand."""

import pickle

import numpy as np
import pytest

from segattr.datasets.errors import InputError
from segattr.seg.metrics import boundary_f
from segattr.seg.semantic_eval import SemanticMetrics, semantic_intervals

NAMES = ("ground", "hat", "shoes", "bag")


def random_maps(rng: np.random.Generator, size=(40, 50)) -> tuple[np.ndarray, np.ndarray]:
    """Blocks of labels, the prediction shifted and partly of another label; 255 ignored. (prediction, truth)"""
    truth = np.zeros(size, np.uint8)
    for _ in range(5):
        y, x = rng.integers(0, 35, 2)
        truth[y : y + rng.integers(3, 20), x : x + rng.integers(3, 20)] = rng.choice([0, 1, 2, 3, 255])
    pred = np.roll(truth, rng.integers(-2, 3, 2), (0, 1))
    return np.where(pred == 255, 1, np.where(rng.random(size) < 0.02, 2, pred)).astype(np.uint8), truth


@pytest.mark.parametrize("seed", range(10))
def test_equals_hotcoco(seed):
    semantic = pytest.importorskip("hotcoco.semantic")
    rng = np.random.default_rng(seed)
    ours, theirs = SemanticMetrics(NAMES), semantic.SemanticEval(list(NAMES))
    both = either = 0
    for _ in range(4):
        pred, truth = random_maps(rng)
        ours.update(pred, truth)
        theirs.update(truth, pred)
        counted = truth != 255
        both += ((pred != 0) & (truth != 0) & counted).sum()
        either += (((pred != 0) | (truth != 0)) & counted).sum()
    found, reference = ours.compute(), theirs.results()
    assert found.confusion[:, :-1].tolist() == theirs.confusion().tolist()
    for name, key in (
        ("mIoU", "miou"),
        ("mAcc", "mean_accuracy"),
        ("aAcc", "pixel_accuracy"),
        ("fwIoU", "weighted_iou"),
    ):
        assert getattr(found, key) == pytest.approx(reference[name], abs=1e-12), key


def test_by_hand():
    """Class 1: 2 of 3 pixels in common. The ignored pixel counts on no side; the predicted 4 is none of the classes."""
    truth = np.array([[0, 1, 1, 2, 255, 0]], np.uint8)
    pred = np.array([[0, 1, 1, 1, 2, 4]], np.uint8)
    metrics = SemanticMetrics(NAMES, boundary_px=None)
    metrics.update(pred, truth)
    found = metrics.compute()
    assert found.iou[:3] == pytest.approx([1 / 2, 2 / 3, 0])
    assert np.isnan(found.iou[3])
    assert found.miou == pytest.approx(7 / 18)
    assert found.accuracy[:3] == pytest.approx([1 / 2, 1, 0])
    assert found.pixel_accuracy == pytest.approx(3 / 5)
    assert found.mean_accuracy == pytest.approx(1 / 2)
    assert found.foreground_iou == pytest.approx(3 / 4)
    assert found.confusion[0].tolist() == [1, 0, 0, 0, 1]
    assert np.isnan(found.mean_boundary_f)
    assert found.flat()["semantic/category/hat/iou"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("seed", range(6))
def test_boundary_f_is_the_mean_over_photos_of_that_of_whole_masks(seed):
    rng = np.random.default_rng(seed)
    metrics, expected = SemanticMetrics(NAMES, boundary_px=2), [[] for _ in NAMES]
    for _ in range(3):
        pred, truth = random_maps(rng, (60, 70))
        truth[truth == 255] = 0
        metrics.update(pred, truth)
        for label, values in enumerate(expected):
            if (pred == label).any() or (truth == label).any():
                values.append(boundary_f(pred == label, truth == label, 2))
    means = [np.mean(values) for values in expected]
    found = metrics.compute()
    assert found.boundary_f == pytest.approx(means)
    assert found.mean_boundary_f == pytest.approx(np.mean(means))


def test_boundaries_at_ignored_pixels_do_not_count():
    """The two edges differ, but only where they lie on or beside ignored pixels."""
    truth = np.zeros((20, 20), np.uint8)
    truth[5:15, 5:10] = 1
    pred = truth.copy()
    pred[5:15, 10:14] = 1
    for ignored, score in ((np.s_[:, 9:16], 1.0), (np.s_[:0], None)):
        marked = truth.copy()
        marked[ignored] = 255
        metrics = SemanticMetrics(["ground", "hat"], boundary_px=1)
        metrics.update(pred, marked)
        figure = metrics.compute().boundary_f[1]
        assert figure == score if score else figure < 0.9


def test_parts_merge_and_intervals_hold_the_figure():
    rng = np.random.default_rng(3)
    pairs = [random_maps(rng) for _ in range(12)]
    whole = SemanticMetrics(NAMES)
    halves = [SemanticMetrics(NAMES) for _ in range(2)]
    for i, maps in enumerate(pairs):
        whole.update(*maps)
        halves[i % 2].update(*maps, image_id=i)
    halves[1].update(*pairs[0], image_id=0)  # a photo that a sampler repeats
    found, parts = whole.compute(), halves[0].merge(pickle.loads(pickle.dumps(halves[1]))).compute()
    np.testing.assert_array_equal(parts.table, found.table)
    np.testing.assert_array_equal(parts.confusion, found.confusion)
    assert parts.flat() == pytest.approx(found.flat(), abs=1e-12)
    intervals = semantic_intervals(found, resamples=200)
    assert {"semantic/miou", "semantic/boundary_f", "semantic/foreground_iou"} <= set(intervals)
    for key, (low, high) in intervals.items():
        assert low < found.flat()[key] < high
    grouped = semantic_intervals(found, groups=[i // 6 for i in range(12)], resamples=50)
    assert set(grouped) == set(intervals)


def test_nothing_seen_and_mistakes():
    assert np.isnan(SemanticMetrics(NAMES).compute().miou)
    metrics, one = SemanticMetrics(NAMES), np.zeros((3, 4), np.uint8)
    with pytest.raises(InputError, match=r"\(3, 4\).*\(4, 3\)"):
        metrics.update(one, one.T)
    with pytest.raises(InputError, match=r"truth has labels 4\.\.4; expected 0\.\.3 or 255"):
        metrics.update(one, one + 4)
    with pytest.raises(InputError, match=r"prediction has labels 5"):
        metrics.update(one + 5, one)
    with pytest.raises(InputError, match="whole numbers"):
        metrics.update(one.astype(np.float32), one)
    with pytest.raises(InputError, match="cannot be merged"):
        metrics.merge(SemanticMetrics(NAMES, boundary_px=1))
    for wrong in ([], ["a", "a"]):
        with pytest.raises(InputError, match="each name once"):
            SemanticMetrics(wrong)
    assert metrics.compute().photos == 0
    metrics.update(one, one)
    with pytest.raises(InputError, match="some photos only"):
        metrics.update(one, one, image_id=3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64])
def test_256_classes_and_any_whole_numbers(dtype):
    names = [str(i) for i in range(256)]
    pred, truth = np.array([[255, 3, 254]], dtype), np.array([[1, 3, 255]], dtype)
    metrics = SemanticMetrics(names)
    metrics.update(pred, truth)
    assert metrics.compute().confusion[1, 256] == 1  # a predicted "ignore" is no answer
    assert metrics.compute().pixel_accuracy == 0.5
