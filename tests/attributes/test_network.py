"""The attribute network, its targets, losses and decoding."""

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from segattr.attributes.lab import STATISTICS, masked_lab_histogram, masked_lab_statistics, rgb_to_lab
from segattr.attributes.losses import AttributeLossConfig, AttributeTask, asymmetric_loss, class_weights, cutmix
from segattr.attributes.network import AttributeConfig, AttributeNetwork, masked_mean
from segattr.attributes.targets import Decoder, distributions, encode, number_scales
from segattr.datasets.coco import Annotation
from segattr.datasets.errors import InputError
from segattr.datasets.schema import Schema

SCHEMA = Schema.from_json(
    [
        {"name": "color", "kind": "multi", "values": ["red", "green", "blue"]},
        {"name": "pattern", "kind": "single", "values": ["solid", "striped"]},
        {"name": "heel", "kind": "number", "unit": "mm", "categories": ["shoes"]},
    ],
    "test",
)
CATEGORIES = ["dress", "shoes"]
SMALL = AttributeConfig(encoder="resnet10t", crop_px=64)


def annotation(category_id, attributes):
    return Annotation(1, 1, category_id, None, [0, 0, 1, 1], 1.0, attributes=attributes)


def crops(n=4, size=64, seed=0):
    torch.manual_seed(seed)
    batch = torch.randint(0, 255, (n, 4, size, size), dtype=torch.uint8)
    batch[:, 3] = 0
    batch[:, 3, 16:48, 16:48] = 255
    return batch


@pytest.mark.parametrize("attention", ["none", "spatial", "channel", "cbam"])
def test_shapes_of_every_head_and_a_unit_embedding(attention):
    net = AttributeNetwork(AttributeConfig(crop_px=64, attention=attention), SCHEMA, CATEGORIES).eval()
    out = net(crops())
    shapes = {name: tuple(value.shape) for name, value in out.items()}
    assert shapes == {
        "category": (4, 2),
        "color": (4, 3),
        "color.first": (4, 3),
        "pattern": (4, 2),
        "heel": (4, 1),
        "embedding": (4, 256),
    }
    assert torch.allclose(out["embedding"].norm(dim=1), torch.ones(4), atol=1e-5)


def test_a_blank_ground_cannot_be_seen_and_a_kept_one_can():
    for ground, same in (("blank", True), ("keep", False)):
        torch.manual_seed(0)
        net = AttributeNetwork(AttributeConfig(crop_px=64, ground=ground), SCHEMA, CATEGORIES).eval()
        batch = crops()
        other = batch.clone()
        other[:, :3] = torch.where(batch[:, 3:] == 0, 255 - batch[:, :3], batch[:, :3])
        assert torch.allclose(net(batch)["embedding"], net(other)["embedding"], atol=1e-5) == same


def test_an_unknown_encoder_is_said():
    with pytest.raises(InputError, match=r"no encoder 'resnet999'.*timm"):
        AttributeNetwork(AttributeConfig(encoder="resnet999"), SCHEMA, CATEGORIES)


def test_masked_mean_is_the_mean_of_the_pixels_inside():
    torch.manual_seed(0)
    feature, mask = torch.randn(2, 3, 8, 8), torch.zeros(2, 1, 32, 32)
    mask[0, :, 8:16, :16] = 1  # covers cells rows 2..3, columns 0..3
    expected = feature[0, :, 2:4, 0:4].mean((1, 2))
    got = masked_mean(feature, mask)
    assert torch.allclose(got[0], expected, atol=1e-6)
    assert torch.allclose(got[1], feature[1].mean((1, 2)), atol=1e-6)  # an empty mask: the whole map


def test_rgb_to_lab_equals_opencv():
    rng = np.random.default_rng(0)
    rgb = rng.uniform(0, 1, (40, 50, 3)).astype(np.float32)
    expected = cv2.cvtColor(rgb, cv2.COLOR_RGB2Lab)
    got = rgb_to_lab(torch.from_numpy(rgb).permute(2, 0, 1)).permute(1, 2, 0).numpy()
    assert np.abs(got - expected).max() < 0.6  # OpenCV's own tables are that coarse
    assert np.abs(got - expected).mean() < 0.1


def test_histogram_counts_only_under_the_mask():
    batch = torch.zeros((1, 4, 32, 32), dtype=torch.uint8)
    batch[0, 0], batch[0, 3, :16] = 255, 255
    batch[0, :3, 16:] = 90  # grey outside the mask
    counts = masked_lab_histogram(batch, (8, 10, 10))
    assert (counts > 0).sum() == 1 and counts.max() == pytest.approx(1.0)
    batch[0, :3, :8] = torch.tensor([0, 255, 0], dtype=torch.uint8)[:, None, None]  # half of the product is green
    counts = masked_lab_histogram(batch, (8, 10, 10))
    assert sorted(counts[counts > 0].tolist()) == pytest.approx([math.sqrt(0.5)] * 2)


def test_encode_marks_unknown():
    annotations = [
        annotation(7, {"color": ["blue", "red"], "pattern": "striped"}),
        annotation(8, {"heel": 30}),
        annotation(9, {"color": ["green"]}),
    ]
    targets = encode(annotations, {7: "dress", 8: "shoes", 9: "glove"}, SCHEMA, CATEGORIES)
    assert targets["category"].tolist() == [0, 1, -1]
    assert targets["color"].tolist() == [[1, 0, 1], [-1, -1, -1], [0, 1, 0]]
    assert targets["color.first"].tolist() == [2, -1, 1]
    assert targets["pattern"].tolist() == [1, -1, -1]
    assert targets["heel"].isnan().tolist() == [True, False, True]
    assert number_scales(targets, SCHEMA) == {"heel": [30.0, 1e-6]}


def task_and_batch(**loss):
    annotations = [
        annotation(7, {"color": ["blue", "red"], "pattern": "striped"}),
        annotation(8, {"heel": 30.0, "pattern": "solid"}),
        annotation(8, {"heel": 50.0}),
        annotation(7, {"color": ["green"]}),
    ]
    targets = encode(annotations, {7: "dress", 8: "shoes"}, SCHEMA, CATEGORIES)
    torch.manual_seed(0)
    net = AttributeNetwork(SMALL, SCHEMA, CATEGORIES)
    scales = number_scales(targets, SCHEMA)
    targets = distributions(targets, SCHEMA, CATEGORIES)
    task = AttributeTask(net, AttributeLossConfig(**loss), targets, scales).eval()
    return task, {"crop": crops(), **targets}


def test_losses_equal_hand_computed_ones_and_skip_missing_labels():
    task, batch = task_and_batch(label_smoothing=0.0, class_balance=0.0, number="l2")
    out = {name: value.detach() for name, value in task.model(batch["crop"]).items()}
    said = task(batch)
    assert said["loss/pattern"].item() == pytest.approx(
        F.cross_entropy(out["pattern"][:2], torch.tensor([1, 0])).item(), rel=1e-5
    )
    presence = F.binary_cross_entropy_with_logits(
        out["color"][[0, 3]], torch.tensor([[1.0, 0, 1], [0, 1, 0]]), reduction="none"
    )
    assert said["loss/color"].item() == pytest.approx((presence.sum() / 2).item(), rel=1e-5)
    heel = ((out["heel"][[1, 2], 0] - torch.tensor([-1.0, 1.0])) ** 2).mean()  # mean 40, deviation 10
    assert said["loss/heel"].item() == pytest.approx(heel.item(), rel=1e-5)


@pytest.mark.parametrize("multi", ["bce", "asymmetric"])
@pytest.mark.parametrize("number", ["l1", "l2", "huber"])
def test_a_batch_without_any_label_has_a_finite_loss_and_gradient(multi, number):
    task, batch = task_and_batch(multi=multi, number=number)
    blank = encode([annotation(3, {})] * 4, {3: "unheard"}, SCHEMA, CATEGORIES)
    blank = distributions(blank, SCHEMA, CATEGORIES)
    loss = task({"crop": batch["crop"], **blank})["loss"]
    loss.backward()
    assert loss.item() == 0.0
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in task.parameters())


def test_a_teachers_doubt_is_learnt_as_it_is():
    task, batch = task_and_batch(label_smoothing=0.0, class_balance=0.0)
    said = torch.tensor([[0.25, 0.75], [0.0, 0.0], [1.0, 0.0], [0.0, 0.0]])  # rows of zeros are unknown
    logits = task.model(batch["crop"])["pattern"].detach().log_softmax(1)
    expected = -(said * logits).sum() / 2
    assert task(batch | {"pattern": said})["loss/pattern"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_asymmetric_loss_of_a_hand_computed_pair():
    logits = torch.tensor([0.0, 0.0])
    positive, negative = asymmetric_loss(logits, torch.tensor([1.0, 0.0])).tolist()
    assert positive == pytest.approx(math.log(2))
    assert negative == pytest.approx(0.45**4 * -math.log(0.55), rel=1e-5)


def test_class_weights_balance_fully_or_not_at_all():
    targets = torch.tensor([[1.0, 0, 0], [1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0]])  # the last is unknown
    assert class_weights(targets, 0.0).tolist() == [1, 1, 1]
    full = class_weights(targets, 1.0)
    assert (full[0] * 3).item() == pytest.approx(full[1].item()) and full[2] == 1
    assert (full[0] * 3 + full[1]).item() == pytest.approx(4)


def test_decoder_orders_multi_values_applies_temperature_and_respects_applicability():
    logits = {
        "category": torch.tensor([[2.0, 0.0], [0.0, 2.0]]),
        "color": torch.tensor([[3.0, -3.0, 3.0], [-3.0, -3.0, -3.0]]),
        "color.first": torch.tensor([[0.0, -5.0, 4.0], [0.0, 9.0, 0.0]]),
        "pattern": torch.tensor([[0.0, 2.0], [0.0, 2.0]]),
        "heel": torch.tensor([[0.5], [0.5]]),
    }
    decoder = Decoder(SCHEMA, CATEGORIES, {"pattern": 2.0}, {"heel": [40.0, 10.0]})
    (dress, first), (shoes, second) = decoder(logits)
    assert dress["dress"] == pytest.approx(1 / (1 + math.exp(-2)))
    assert max(shoes, key=shoes.get) == "shoes"
    assert first["color"].value == ["blue", "red"]
    assert second["color"].value == ["green"]  # none is likely present: the likeliest first one is still named
    assert first["pattern"].probs["striped"] == pytest.approx(1 / (1 + math.exp(-1)))
    assert first["heel"].value is None and second["heel"].value == pytest.approx(45.0)


def test_cutmix_keeps_pixels_and_tells_whose_they_are():
    torch.manual_seed(1)
    batch = torch.zeros((5, 4, 32, 32), dtype=torch.uint8)
    for i in range(5):
        batch[i, :3] = 10 * (i + 1)
        batch[i, 3, 4:28, 4:28] = 255
    mixed, share, order = cutmix(batch)
    for i in range(5):
        product = mixed[i, 0][mixed[i, 3] > 0]
        own = (product == 10 * (i + 1)).float().mean()
        if order[i] != i:
            assert share[i].item() == pytest.approx(own.item(), abs=1e-6)
        assert set(product.tolist()) <= {10 * (i + 1), 10 * (int(order[i]) + 1)}


def test_cutmix_without_a_mask_leaves_the_label_to_the_crop():
    mixed, share, _ = cutmix(torch.zeros((3, 4, 16, 16), dtype=torch.uint8))
    assert share.tolist() == [1, 1, 1] and not mixed.any()


def test_cutmix_weighs_both_labels():
    task, batch = task_and_batch(cutmix=1.0)
    torch.manual_seed(5)
    task.train()
    loss = task(batch)["loss"]
    loss.backward()
    assert torch.isfinite(loss)


def test_colour_statistics_equal_numpys_quantiles_inside_and_outside():
    rng = np.random.default_rng(0)
    rgb = np.kron(rng.integers(0, 256, (3, 8, 8)), np.ones((4, 4), int)).astype(np.uint8)  # quarters keep every value
    mask = np.zeros((1, 32, 32), np.uint8)
    mask[:, :, :16] = 255
    found = masked_lab_statistics(torch.from_numpy(np.concatenate([rgb, mask]))[None])[0].numpy()
    assert found.shape == (STATISTICS,)
    lab = rgb_to_lab(torch.from_numpy(rgb[:, ::4, ::4] / 255.0)[None])[0].numpy()
    lab = np.concatenate([lab, np.hypot(lab[1], lab[2])[None]])
    for part, region in zip(np.split(found, 2), (lab[:, :, :4], lab[:, :, 4:]), strict=True):
        values = region.reshape(4, -1)
        quantiles = np.quantile(values, (0.05, 0.25, 0.5, 0.75, 0.95), axis=1, method="inverted_cdf").T
        assert part[:20].reshape(4, 5) == pytest.approx(quantiles, abs=1e-2)
        assert part[20:24] == pytest.approx(values.mean(1), abs=1e-2)
        assert part[24:] == pytest.approx(values.std(1), abs=1e-2)


@pytest.mark.parametrize(("ground", "sees"), [("blank", False), ("keep", True)])
def test_what_the_network_sees_of_the_ground(ground, sees):
    torch.manual_seed(0)
    net = AttributeNetwork(replace(SMALL, ground=ground, colour_histogram=False), SCHEMA, CATEGORIES).eval()
    dark = crops()
    dark[:, 3] = 0
    dark[:, 3, 10:30, 10:30] = 255
    light = dark.clone()
    light[:, :3] = torch.where(dark[:, 3:] == 0, torch.full_like(light[:, :3], 240), light[:, :3])
    assert torch.equal(net(dark)["pattern"], net(light)["pattern"]) != sees
