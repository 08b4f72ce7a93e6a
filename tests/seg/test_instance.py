"""Mask R-CNN: every backbone keeps the contract, odd targets do no harm, predictions come back in the photo."""

from dataclasses import replace
from urllib.error import URLError

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import WeightsEnum
from torchvision.models.detection import maskrcnn_resnet50_fpn_v2
from torchvision.ops import FrozenBatchNorm2d, MultiScaleRoIAlign

from segattr.datasets.errors import InputError
from segattr.seg.encoders import freeze_stages, stages
from segattr.seg.instance import InstanceConfig, InstanceNet, InstanceSegmenter, InstanceTask, collate, usable
from segattr.seg.instance_heads import in_crowd
from segattr.seg.instance_parts import FloatMaskPredictor, FrozenNorm, pool_rois
from segattr.seg.letterbox import letterbox_batches
from segattr.seg.semantic import SemanticConfig, SemanticNet

TINY = InstanceConfig(
    backbone="tu-mobilenetv3_small_050",
    size_px=96,
    fpn_channels=16,
    anchor_px=(16, 32, 64, 96),
    train_proposals=50,
    proposals=20,
    box_samples=16,
    box_convs=(16,),
    box_fc=32,
    mask_convs=(16,),
    detections_per_photo=5,
)


def target(boxes, size=96, crowd=()) -> dict[str, torch.Tensor]:
    """Rectangles as InstanceDataset gives them."""
    masks = torch.zeros((len(boxes), size, size), dtype=torch.uint8)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes, strict=True):
        mask[y0:y1, x0:x1] = 1
    return {
        "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        "labels": torch.ones(len(boxes), dtype=torch.int64),
        "masks": masks,
        "iscrowd": torch.tensor([i in crowd for i in range(len(boxes))], dtype=torch.uint8),
        "image_id": torch.tensor(7),
    }


def photo(size=96) -> torch.Tensor:
    return torch.randint(0, 255, (3, size, size), dtype=torch.uint8)


def losses(task, targets, size=96) -> dict[str, torch.Tensor]:
    found = task(collate([(photo(size), one) for one in targets]))
    task.zero_grad()
    found["loss"].backward()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in task.parameters())
    return found


@pytest.mark.parametrize("norm", ["batch", "group", "frozen"])
@pytest.mark.parametrize(
    ("backbone", "classes"),
    [
        ("tu-mobilenetv3_small_050", ("product",)),
        ("tu-regnetx_002", ("dress", "shoes")),
        ("tu-convnext_atto", ("product",)),
        ("resnet18", ("dress", "shoes")),
        ("mobilenet_v3_large", ("product",)),
    ],
)
def test_every_backbone_keeps_the_contract(backbone, classes, norm):
    torch.manual_seed(0)
    config = replace(TINY, backbone=backbone, classes=classes, norm=norm)
    task = InstanceTask(InstanceNet(config)).train()
    found = losses(task, [target([(10, 10, 50, 60)]), target([(20, 30, 90, 80), (2, 2, 30, 30)])])
    parts = {"class", "box", "mask", "objectness", "rpn_box"}
    assert set(found) == {"loss"} | parts
    assert found["loss"].item() == pytest.approx(sum(found[name].item() for name in parts), rel=1e-5)
    assert any(p.grad is not None and p.grad.any() for p in task.encoder.parameters())
    assert len(stages(task.encoder)) >= 4
    (segments,) = InstanceSegmenter(task.model, score_thr=0.01).predict([np.zeros((50, 70, 3), np.uint8)])
    assert len(segments) <= 5 and all(s.size == (50, 70) and 0 < s.score <= 1 for s in segments)
    assert all(s.label in classes if len(classes) > 1 else s.label is None for s in segments)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["resnet34", "resnet50", "resnet101"])
def test_the_large_resnets_build_and_train(backbone):
    losses(InstanceTask(InstanceNet(replace(TINY, backbone=backbone))).train(), [target([(10, 10, 50, 60)])] * 2)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"backbone": "resnet19"}, "no backbone 'resnet19'"),
        ({"backbone": "tu-nosuchnet"}, "tu-nosuchnet"),
        ({"backbone": "tu-vit_tiny_patch16_224"}, "strides 4, 8, 16 and 32"),
        ({"backbone": "tu-swin_tiny_patch4_window7_224"}, "convolutional"),
        ({"size_px": 100}, "multiple of 32"),
        ({"anchor_px": (32, 64)}, "4 or 5 sides"),
        ({"anchor_ratios": ()}, "anchor-ratios"),
        ({"classes": ()}, "classes"),
        ({"classes": ("a", "a")}, "classes"),
        ({"score_thr": 1.5}, "score-thr 1.5"),
        ({"overlap_thr": 0}, "overlap-thr 0"),
        ({"box_samples": 1}, "box-samples 1: expected 4 or more"),
        ({"mask_convs": ()}, "mask-convs"),
    ],
)
def test_what_no_network_has_is_said(change, said):
    with pytest.raises(InputError, match=said):
        InstanceNet(replace(TINY, **change))


# ---- bad targets


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_photos_without_products_train_and_touch_every_weight(norm):
    """DistributedDataParallel waits for every weight's gradient."""
    task = InstanceTask(InstanceNet(replace(TINY, norm=norm))).train()
    found = losses(task, [target([]), target([])])
    assert found["mask"] == 0 and found["box"] == 0 and found["objectness"] > 0
    assert all(p.grad is not None for p in task.parameters())


def test_products_without_area_are_dropped_and_a_pixel_is_kept():
    boxes = [(10, 10, 10, 30), (5, 5, 6, 6), (20, 20, 60, 60)]
    given = target(boxes)
    given["masks"][2] = 0  # a box whose mask is empty
    kept = usable(given)
    assert kept["boxes"].tolist() == [[5, 5, 6, 6]] and kept["masks"].sum() == 1
    task = InstanceTask(InstanceNet(TINY)).train()
    for _ in range(3):
        assert torch.isfinite(losses(task, [given, target([(95, 95, 96, 96)])])["loss"])


def test_a_crowd_is_neither_product_nor_background():
    boxes = torch.tensor(
        [[0.0, 0.0, 10.0, 10.0], [4.0, 0.0, 14.0, 10.0], [6.0, 0.0, 16.0, 10.0], [50.0, 50.0, 60.0, 60.0]]
    )
    assert in_crowd(boxes, torch.tensor([[0.0, 0.0, 10.0, 20.0]])).tolist() == [True, True, False, False]
    assert not in_crowd(boxes, torch.zeros((0, 4))).any()
    task = InstanceTask(InstanceNet(TINY)).train()
    everywhere = target([(0, 0, 96, 96)], crowd=(0,))
    assert len(usable(everywhere)["boxes"]) == 0 and usable(everywhere)["crowds"].tolist() == [[0, 0, 96, 96]]
    found = losses(task, [everywhere])
    # All boxes that lie in the photo lie in the crowd; what reaches beyond its rim may still be sampled.
    assert found["class"] == 0 and found["box"] == 0
    both = target([(0, 0, 96, 96), (20, 20, 70, 70)], crowd=(0,))
    found = losses(task, [both, both])
    assert found["mask"] > 0


def test_500_products_in_one_photo():
    corners = np.random.default_rng(0).integers(0, 80, (500, 2))
    boxes = [(x, y, x + 8, y + 12) for x, y in corners.tolist()]
    losses(InstanceTask(InstanceNet(TINY)).train(), [target(boxes), target([])])


# ---- parts


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("size", [7, 14])
def test_roi_pooling_is_torchvisions(aligned, size):
    torch.manual_seed(1)
    maps = [torch.randn(2, 5, 320 // s, 256 // s, requires_grad=True) for s in (4, 8, 16, 32)]
    corners = torch.rand(40, 2) * 100
    boxes = torch.cat([corners, corners + 2 + torch.rand(40, 2) * torch.tensor([150.0, 215.0])], 1)
    boxes[0] = torch.tensor([0.0, 0.0, 256.0, 320.0])
    split = [boxes[:25], boxes[25:]]
    reference = MultiScaleRoIAlign(["0", "1", "2", "3"], size, 2)
    if not aligned:
        expected = reference({str(i): m for i, m in enumerate(maps)}, split, [(320, 256)] * 2)
    else:  # torchvision's has no such option: the same, half a cell of each level further up and left
        from segattr.seg.instance_parts import _kernel_pool, _located

        expected = _kernel_pool(maps, *_located(split, maps[0].device), size, True)
    (found,) = pool_rois(maps, [(split, size)], aligned)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    towards = torch.randn_like(expected)
    ours = torch.autograd.grad((found * towards).sum(), maps)
    theirs = torch.autograd.grad((expected * towards).sum(), maps)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-3)


def test_the_mask_predictor_is_torchvisions():
    ours = FloatMaskPredictor(8, 6, 3)
    x = torch.randn(4, 8, 14, 14)
    expected = ours.mask_fcn_logits(ours.conv5_mask(x).relu())
    torch.testing.assert_close(ours(x), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.slow
def test_torchvisions_weights_predict_what_torchvision_predicts(tmp_path):
    """From a file of its weights: feature maps, proposals' logits, boxes and masks of given boxes."""
    torch.manual_seed(0)
    theirs = maskrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None, num_classes=2).eval()
    save_file(theirs.state_dict(), tmp_path / "w.safetensors")
    config = InstanceConfig(
        backbone="resnet50", fpn_channels=256, rpn_convs=2, box_convs=(256,) * 4, box_fc=1024, mask_convs=(256,) * 4,
        anchor_px=(32, 64, 128, 256, 512), roi_aligned=False,
    )  # fmt: skip
    ours = InstanceNet(config, str(tmp_path / "w.safetensors")).eval().net
    images = torch.randn(1, 3, 96, 96)
    boxes, sizes = [torch.tensor([[3.0, 5.0, 60.0, 90.0], [20.5, 20.2, 40.1, 33.3]])], [(96, 96)]
    with torch.inference_mode():
        for net in (ours, theirs):
            net.maps = net.backbone(images)
            net.said = net.rpn.head(list(net.maps.values()))
            heads = net.roi_heads
            net.boxes = heads.box_predictor(heads.box_head(heads.box_roi_pool(net.maps, boxes, sizes)))
            net.masks = heads.mask_predictor(heads.mask_head(heads.mask_roi_pool(net.maps, boxes, sizes)))
    for name in ("maps", "said", "boxes", "masks"):
        torch.testing.assert_close(getattr(ours, name), getattr(theirs, name), atol=1e-3, rtol=1e-3)
    with pytest.raises(InputError, match="expected the weights of the same network"):
        InstanceNet(TINY, str(tmp_path / "w.safetensors"))


def test_weights_of_a_semantic_encoder_and_of_a_whole_network(tmp_path):
    unet = SemanticNet(SemanticConfig(encoder=TINY.backbone, decoder_channels=(32, 24, 16, 16, 8)))
    save_file({k: v.contiguous() for k, v in unet.state_dict().items()}, tmp_path / "unet.safetensors")
    net = InstanceNet(TINY, str(tmp_path / "unet.safetensors"))
    same = [torch.equal(v, unet.state_dict()["net.encoder.model." + k]) for k, v in net.encoder.state_dict().items()]
    assert len(same) > 100 and all(same)
    save_file({k: v.contiguous() for k, v in net.state_dict().items()}, tmp_path / "net.safetensors")
    again = InstanceNet(replace(TINY, classes=("a", "b")), str(tmp_path / "net.safetensors"))
    assert torch.equal(again.net.roi_heads.mask_head[0][0].weight, net.net.roi_heads.mask_head[0][0].weight)
    with pytest.raises(InputError, match="no such file"):
        InstanceNet(TINY, str(tmp_path / "none.safetensors"))
    (tmp_path / "bad.safetensors").write_bytes(b"pickle")
    with pytest.raises(InputError, match="not a safetensors file"):
        InstanceNet(TINY, str(tmp_path / "bad.safetensors"))


@pytest.mark.parametrize("build", [
    lambda: InstanceNet(TINY, "coco"),
    lambda: InstanceNet(replace(TINY, backbone="resnet18"), "imagenet"),
    lambda: SemanticNet(SemanticConfig(architecture="fcn", encoder="resnet50"), "imagenet"),
])  # fmt: skip
def test_weights_that_cannot_be_downloaded_are_said(build, monkeypatch):
    def offline(self, **_):
        raise URLError("no route to host")

    monkeypatch.setattr(WeightsEnum, "get_state_dict", offline)
    with pytest.raises(
        InputError, match=r"cannot be downloaded here \(.*no route to host.*\); give a .safetensors file"
    ):
        build()


def test_frozen_stages_do_not_train():
    task = InstanceTask(InstanceNet(TINY)).train()
    freeze_stages(task.encoder, 2)
    losses(task, [target([(10, 10, 50, 60)])])
    trained = [p.grad is not None for p in task.encoder.parameters()]
    assert not trained[0] and trained[-1]


# ---- prediction


class Known(torch.nn.Module):
    """Stands for a network: one box and mask, in shares of the photo inside the padded input."""

    config = replace(TINY, size_px=96, classes=("dress", "shoes"))

    def __init__(self):
        super().__init__()
        self.net = torch.nn.Module()
        self.net.roi_heads = torch.nn.Module()

    def forward(self, images, sizes):
        assert images.dtype == torch.uint8 and images.shape[2] % 32 == images.shape[3] % 32 == 0
        found = []
        for h, w in sizes:
            boxes = torch.tensor([[0.25 * w, 0.5 * h, 0.75 * w, h], [0.0, 0.0, 0.5 * w, 0.5 * h]])
            masks = torch.stack([torch.ones(28, 28), torch.zeros(28, 28)])
            found.append(
                {"boxes": boxes, "scores": torch.tensor([0.9, 0.8]), "labels": torch.tensor([2, 1]), "masks": masks}
            )
        return found


@pytest.mark.parametrize("size", [(50, 50), (400, 533), (711, 400), (40, 900), (3, 2)])
def test_detections_come_back_in_the_photo_at_its_full_size(size):
    h, w = size
    other = np.zeros((30, 60, 3), np.uint8)
    segmenter = InstanceSegmenter(Known())
    found, _ = segmenter.detect([np.zeros((*size, 3), np.uint8), other])
    np.testing.assert_allclose(found.xyxy[0], [0.25 * w, 0.5 * h, 0.75 * w, h], rtol=1e-5)
    assert found.labels.tolist() == [1, 0] and found.segments[1] is None
    (segment,) = segmenter.predict([np.zeros((*size, 3), np.uint8)])[0]
    assert segment.label == "shoes" and segment.score == pytest.approx(0.9) and segment.size == size
    assert np.abs(np.array(segment.xyxy) - found.xyxy[0]).max() <= 0.51 or min(size) < 4
    assert segment.mask.all() and segmenter.predict([]) == []


class Nested(Known):
    """A product, its lower half again, and one beside it that overlaps it a little; all of one class."""

    def forward(self, images, sizes):
        boxes = torch.tensor([[0.0, 0, 60, 60], [0, 30, 60, 60], [50, 0, 90, 60]])
        scores, masks = torch.tensor([0.9, 0.8, 0.7]), torch.ones(3, 28, 28)
        return [{"boxes": boxes, "scores": scores, "labels": torch.ones(3).long(), "masks": masks} for _ in sizes]


@pytest.mark.parametrize(("overlap_thr", "kept"), [(1.0, [0, 1, 2]), (0.7, [0, 2]), (0.2, [0])])
def test_a_part_of_a_product_found_again_is_dropped(overlap_thr, kept):
    net = Nested()
    net.config = replace(Known.config, overlap_thr=overlap_thr)
    (found,) = InstanceSegmenter(net).detect([np.zeros((96, 96, 3), np.uint8)])
    assert [i for i, segment in enumerate(found.segments) if segment is not None] == kept


def test_a_frozen_norm_gives_torchvisions_values_with_and_without_gradients():
    torch.manual_seed(0)
    ours, theirs, x = FrozenNorm(7), FrozenBatchNorm2d(7), torch.randn(2, 7, 5, 6)
    for buffer in ours.buffers():
        buffer.uniform_(0.5, 2)
    theirs.load_state_dict(ours.state_dict())
    torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours(x.requires_grad_()), theirs(x))
    net = InstanceNet(InstanceConfig(backbone="resnet18", norm="frozen", fpn_channels=16))
    assert not any(type(module) is FrozenBatchNorm2d for module in net.modules())


def test_batches_hold_so_many_pixels_at_most_and_every_photo_once():
    photos = [np.full((64, width, 3), i, np.uint8) for i, width in enumerate((64, 64, 32, 64, 64, 64))]
    batches = list(letterbox_batches(photos, 64, most_pixels=2 * 64 * 64))
    assert [members for members, _, _ in batches] == [[0, 1], [3, 4], [5], [2]]
    for members, batch, sizes in batches:
        assert len(batch) == len(members) == len(sizes)
        assert [int(row[0, 0, 0]) for row in batch] == members
    assert [len(batch) for _, batch, _ in letterbox_batches(photos, 64, most_pixels=1)] == [1] * 6
