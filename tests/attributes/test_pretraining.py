"""VICReg's terms against loops in numpy, neighbours against a search one by one."""

import math

import numpy as np
import pytest
import torch

from segattr.attributes.network import AttributeConfig
from segattr.attributes.pretraining import PretrainingTask, ViewPairs, grayed, knn_accuracy, vicreg_terms

SMALL = AttributeConfig(encoder="mobilenetv3_small_050", crop_px=32, stages=(3, 4))


def test_the_terms_of_vicreg_are_those_of_the_paper():
    rng = np.random.default_rng(0)
    first, second = rng.normal(0, 0.7, (5, 3)), rng.normal(1, 1.2, (5, 3))
    variance = covariance = 0.0
    for z in (first, second):
        # Equation 1 and 2 of the paper, dimension by dimension
        variance += sum(max(0, 1 - math.sqrt(np.var(z[:, j], ddof=1) + 1e-4)) for j in range(3)) / 3 / 2
        for i in range(3):
            for j in range(3):
                if i != j:
                    covariance += np.cov(z[:, i], z[:, j])[0, 1] ** 2 / 3
    wanted = {"invariance": np.mean((first - second) ** 2), "variance": variance, "covariance": covariance}
    found = vicreg_terms(torch.tensor(first), torch.tensor(second))
    assert {name: float(value) for name, value in found.items()} == pytest.approx(wanted)


def test_the_loss_weighs_its_terms_and_tells_a_collapsed_encoder_by_std():
    torch.manual_seed(0)
    task = PretrainingTask(SMALL, 8)
    views = torch.randint(0, 255, (6, 2, 4, 32, 32), dtype=torch.uint8)
    out = task({"views": views})
    wanted = 25 * out["invariance"] + 25 * out["variance"] + out["covariance"]
    assert out["loss"].item() == pytest.approx(wanted.item()) and float(out["std"]) > 0.1
    same = task({"views": views[:1, :1].expand(6, 2, -1, -1, -1)})
    assert float(same["std"]) < 1e-3 and float(same["variance"]) == pytest.approx(0.99, abs=0.01)


def test_a_step_pulls_two_views_together():
    torch.manual_seed(0)
    task = PretrainingTask(SMALL, 16).train()
    optimizer = torch.optim.AdamW(task.parameters(), 1e-3)
    views = torch.randint(0, 255, (16, 2, 4, 32, 32), dtype=torch.uint8)
    losses = []
    for _ in range(8):
        out = task({"views": views})
        optimizer.zero_grad()
        out["loss"].backward()
        optimizer.step()
        losses.append(out["loss"].item())
    assert losses[-1] < losses[0]


def test_neighbours_of_the_same_group_and_without_a_label_do_not_vote():
    rng = np.random.default_rng(1)
    features, labels, groups = rng.normal(size=(40, 6)), rng.integers(-1, 3, 40), rng.integers(0, 8, 40)
    known = labels >= 0
    kept = features[known]
    standard = (kept - kept.mean(0)) / kept.std(0)
    standard /= np.linalg.norm(standard, axis=1, keepdims=True)
    right = 0
    for i, own in enumerate(standard):
        others = [j for j in range(len(kept)) if groups[known][j] != groups[known][i]]
        nearest = sorted(others, key=lambda j: -own @ standard[j])[:5]
        votes = [sum(math.exp(own @ standard[j] / 0.07) for j in nearest if labels[known][j] == v) for v in range(3)]
        right += int(np.argmax(votes) == labels[known][i])
    found = knn_accuracy(torch.tensor(features), torch.tensor(labels), torch.tensor(groups), neighbours=5)
    assert found == pytest.approx(right / known.sum())


def test_without_neighbours_or_labels_there_is_no_accuracy():
    features, zeros = torch.randn(4, 2), torch.zeros(4, dtype=torch.int64)
    assert math.isnan(knn_accuracy(features, zeros, zeros))
    assert math.isnan(knn_accuracy(features, zeros - 1, torch.arange(4)))


def test_a_pair_is_one_crop_drawn_twice():
    crops = np.zeros((3, 8, 8, 4), np.uint8)
    crops[1] = 7
    count = iter(range(100))

    def transform(image, mask):
        return {"image": image + np.uint8(next(count)), "mask": mask}

    data = ViewPairs(crops, transform)
    assert len(data) == 3
    views = data[1]["views"]
    assert views.shape == (2, 4, 8, 8) and views.dtype == torch.uint8
    assert views[0, 0, 0, 0] == 7 and views[1, 0, 0, 0] == 8 and (views[:, 3] == 7).all()


def test_gray_views_keep_their_lightness_and_their_mask():
    torch.manual_seed(0)
    views = torch.randint(0, 255, (50, 2, 4, 3, 3), dtype=torch.uint8)
    assert torch.equal(grayed(views, 0.0), views)
    luma = np.einsum("nvchw,c->nvhw", views[:, :, :3].numpy().astype(float), [0.299, 0.587, 0.114])
    assert np.abs(grayed(views, 1.0)[:, :, :3].numpy() - luma[:, :, None]).max() <= 0.51
    some = grayed(views, 0.25)
    lost = (some[:, :, :3] != views[:, :, :3]).flatten(2).any(2)
    assert 0.1 < lost.float().mean() < 0.4 and not lost[:, 0].equal(lost[:, 1])
    assert torch.equal(some[:, :, 3], views[:, :, 3])
