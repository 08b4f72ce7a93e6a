"""Semantic networks: the contract of every architecture, the loss, prediction on photos of any size."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from segattr.datasets.errors import InputError
from segattr.seg.encoders import freeze_stages, hold_batchnorm, load_encoder, stages
from segattr.seg.letterbox import shrink
from segattr.seg.semantic import SemanticConfig, SemanticNet, SemanticSegmenter, SemanticTask, soft_dice_loss

SMALL = SemanticConfig(encoder="tu-mobilenetv3_small_050", decoder_channels=(32, 24, 16, 16, 8), size_px=96)


@pytest.mark.parametrize(
    "config",
    [
        SMALL,
        SemanticConfig(encoder="resnet18", decoder_channels=(32, 24, 16, 16, 8)),
        SemanticConfig(architecture="linknet", encoder="resnet18"),
        SemanticConfig(architecture="pan", encoder="resnet18"),
        SemanticConfig(architecture="fpn", encoder="tu-regnetx_002"),
        SemanticConfig(architecture="fcn", encoder="resnet50"),
    ],
    ids=lambda c: f"{c.architecture}-{c.encoder}",
)
@pytest.mark.parametrize("classes", [("product",), ("dress", "shoes")])
def test_every_architecture_keeps_the_contract(config, classes):
    config = SemanticConfig(config.architecture, config.encoder, config.decoder_channels, classes, 64)
    task = SemanticTask(SemanticNet(config))
    images = torch.randint(0, 255, (2, 3, 128, 160), dtype=torch.uint8)
    logits = task.model(images)
    assert logits.shape == (2, 1 if len(classes) == 1 else 3, 128, 160)
    loss = task({"image": images, "mask": torch.randint(0, len(classes) + 1, (2, 128, 160), dtype=torch.uint8)})["loss"]
    loss.backward()
    assert torch.isfinite(loss) and any(p.grad is not None and p.grad.any() for p in task.encoder.parameters())


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (SemanticConfig(architecture="unett"), "no network of architecture 'unett'"),
        (SemanticConfig(encoder="resnet999"), "resnet999"),
        (SemanticConfig(architecture="fcn", encoder="resnet18"), "FCN takes the encoders resnet50, resnet101"),
    ],
)
def test_an_unknown_network_is_said(config, said):
    with pytest.raises(InputError, match=said):
        SemanticNet(config)


def test_dice_loss_of_a_hand_computed_case():
    probability = torch.tensor([[[[1.0, 0.5], [0.0, 0.0]]]])
    truth = torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]])
    valid = torch.ones(1, 1, 2, 2, dtype=torch.bool)
    assert soft_dice_loss(probability, truth, valid).item() == pytest.approx(1 - (2 * 1.5 + 1) / (3.5 + 1))
    valid[0, 0, 0, 1] = False
    assert soft_dice_loss(probability, truth, valid).item() == pytest.approx(0.0)
    assert soft_dice_loss(probability, 0 * truth, valid).item() == 0.0


def test_ignored_pixels_do_not_count():
    task = SemanticTask(SemanticNet(SMALL)).eval()
    images = torch.randint(0, 255, (1, 3, 64, 64), dtype=torch.uint8)
    mask = torch.zeros((1, 64, 64), dtype=torch.uint8)
    mask[:, :32] = 1
    other = mask.clone()
    mask[:, 40:], other[:, 40:] = 255, 255
    logits = task.model(images)[0, 0]
    expected = F.binary_cross_entropy_with_logits(logits[:40], mask[0, :40].float())
    assert task({"image": images, "mask": mask})["ce"].item() == pytest.approx(expected.item(), rel=1e-5)


class Brightness(nn.Module):
    """Stands for a network: bright pixels are the product. Knows nothing of sizes, so geometry errors show."""

    config = SMALL

    def forward(self, images):
        return (images.float().mean(1, keepdim=True) - 128) / 8


@pytest.mark.parametrize("size", [(50, 50), (400, 533), (711, 400), (40, 900), (3, 2)])
def test_probabilities_come_back_in_the_shape_of_the_photo(size):
    photo = np.zeros((*size, 3), np.uint8)
    photo[: size[0] // 2] = 255
    other = np.full((30, 60, 3), 255, np.uint8)
    segmenter = SemanticSegmenter(Brightness())
    upper, full = segmenter.probabilities([photo, other])
    assert max(upper.shape[1:]) == 96 and upper.shape[1:] == shrink(photo, 96).shape[:2]
    assert abs(upper.shape[1] / upper.shape[2] - size[0] / size[1]) <= max(size) / min(size) / 2
    assert full.min() > 0.99
    assert upper.mean() == pytest.approx((size[0] // 2) / size[0], abs=0.03)
    assert segmenter.probabilities([]) == []


def test_the_mirror_image_counts_as_much_as_the_photo():
    photo = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    net = SemanticNet(SMALL)
    (straight,), (mirrored,) = (SemanticSegmenter(net).probabilities([p]) for p in (photo, photo[:, ::-1].copy()))
    net.config = replace(SMALL, mirror=True)
    (both,) = SemanticSegmenter(net).probabilities([photo])
    assert np.abs(straight - mirrored[..., ::-1]).max() > 1e-3
    assert both == pytest.approx((straight + mirrored[..., ::-1]) / 2, abs=1e-5)


def test_a_bright_square_is_found_at_full_resolution():
    photo = np.zeros((600, 800, 3), np.uint8)
    photo[120:400, 200:520] = 255
    (segment,) = SemanticSegmenter(Brightness()).predict([photo])[0]
    truth = np.zeros((600, 800), bool)
    truth[120:400, 200:520] = True
    found = segment.full_mask().astype(bool)
    assert (found & truth).sum() / (found | truth).sum() > 0.96
    assert segment.score > 0.9 and segment.size == (600, 800)


def test_encoder_weights_from_a_file(tmp_path):
    source = SemanticNet(SMALL)
    save_file({k: v.contiguous() for k, v in source.state_dict().items()}, tmp_path / "w.safetensors")
    target = SemanticNet(SMALL, str(tmp_path / "w.safetensors"))  # 'net.encoder.' is found and cut off
    pairs = zip(source.encoder.state_dict().values(), target.encoder.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    with pytest.raises(InputError, match="no such file"):
        load_encoder(target.encoder, str(tmp_path / "none.safetensors"))
    with pytest.raises(InputError, match="found with equal name and shape"):
        SemanticNet(SemanticConfig(encoder="resnet18"), str(tmp_path / "w.safetensors"))
    (tmp_path / "bad.safetensors").write_bytes(b"pickle")
    with pytest.raises(InputError, match="not a safetensors file"):
        load_encoder(target.encoder, str(tmp_path / "bad.safetensors"))


@pytest.mark.parametrize("encoder", ["resnet18", "tu-resnet18"])
def test_stages_freeze_shallow_first_and_their_batchnorm_holds(encoder):
    net = SemanticNet(SemanticConfig(encoder=encoder))
    groups = stages(net.encoder)
    covered = sum(p.numel() for group in groups for module in group for p in module.parameters())
    assert covered == sum(p.numel() for p in net.encoder.parameters()) and len(groups) >= 5
    freeze_stages(net.encoder, 2)
    net.train()
    hold_batchnorm(net, only_frozen=True)
    first = [m for m in net.encoder.modules() if isinstance(m, nn.BatchNorm2d)]
    assert not first[0].training and first[-1].training
    assert not any(p.requires_grad for group in groups[:2] for m in group for p in m.parameters())
    assert all(p.requires_grad for group in groups[2:] for m in group for p in m.parameters())
