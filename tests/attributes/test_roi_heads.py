"""Attribute heads on RoI features: they learn, alone and jointly, and read given segments as well as found ones."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from segattr.attributes.losses import AttributeLossConfig
from segattr.attributes.roi_heads import JointNet, JointTask, RoIAttributes, RoIConfig, RoIReader, rows
from segattr.attributes.targets import Decoder
from segattr.datasets.coco import Annotation
from segattr.datasets.schema import Attribute, Schema
from segattr.seg.instance import InstanceConfig, collate
from segattr.seg.segments import Segment

SCHEMA = Schema(
    [
        Attribute("color", "multi", ("red", "blue")),
        Attribute("pattern", "single", ("solid", "striped")),
        Attribute("length", "number", unit="cm"),
    ]
)
CATEGORIES = ["shirt", "hat"]
NAMES = {4: "shirt", 7: "hat"}
TINY = InstanceConfig(
    backbone="tu-mobilenetv3_small_050",
    size_px=96,
    norm="group",
    fpn_channels=16,
    anchor_px=(16, 32, 64, 96),
    train_proposals=50,
    proposals=20,
    box_samples=16,
    box_convs=(16,),
    box_fc=32,
    mask_convs=(16,),
    detections_per_photo=5,
    score_thr=0.01,
)
ROI = RoIConfig(convs=(16,), dropout=0.0)


def annotation(i: int, colour: str | None, category: int = 4) -> Annotation:
    given = {} if colour is None else {"color": [colour], "pattern": "solid", "length": 10.0 + i}
    return Annotation(i, 1, category, None, [0, 0, 10, 10], 100, attributes=given)


def sample(colour: str, corner: int) -> tuple[torch.Tensor, dict]:
    """A photo with one square of the colour on grey, as InstanceDataset gives it."""
    image = torch.full((3, 96, 96), 128, dtype=torch.uint8)
    rgb = {"red": (220, 20, 20), "blue": (20, 20, 220)}[colour]
    box = (corner, corner, corner + 44, corner + 40)
    mask = torch.zeros((1, 96, 96), dtype=torch.uint8)
    mask[0, box[1] : box[3], box[0] : box[2]] = 1
    for channel, value in enumerate(rgb):
        image[channel][mask[0].bool()] = value
    category = 4 if colour == "red" else 7
    target = {
        "boxes": torch.tensor([box], dtype=torch.float32),
        "labels": torch.tensor([2]),
        "masks": mask,
        "iscrowd": torch.zeros(1, dtype=torch.uint8),
        "attributes": rows([annotation(corner, colour, category)], NAMES, SCHEMA, CATEGORIES),
    }
    return image, target


def build() -> JointTask:
    torch.manual_seed(0)
    every = rows([annotation(1, "red"), annotation(2, "blue", 7), annotation(3, None)], NAMES, SCHEMA, CATEGORIES)
    net = JointNet(TINY, ROI, SCHEMA, CATEGORIES)
    return JointTask(net, AttributeLossConfig(label_smoothing=0.0), every, {"length": [15.0, 5.0]})


def test_no_annotations_are_no_rows_of_the_same_kind():
    none, some = rows([], NAMES, SCHEMA, CATEGORIES), rows([annotation(1, "red")], NAMES, SCHEMA, CATEGORIES)
    assert set(none) == set(some) == {"category", "color", "color.first", "pattern", "length"}
    for name, row in some.items():
        assert none[name].shape == (0, *row.shape[1:]) and none[name].dtype == row.dtype == torch.float32


def test_the_mask_decides_what_is_read():
    heads = RoIAttributes(8, RoIConfig(convs=()), SCHEMA, CATEGORIES).eval()
    features = torch.zeros(1, 8, 7, 7)
    features[..., :3], features[..., 4:] = 1.0, -1.0
    left, right = torch.zeros(2, 1, 1, 7, 7)
    left[..., :3], right[..., 4:] = 1, 1
    read = [heads(features, mask)["category"] for mask in (left, right)]
    assert not torch.allclose(*read)
    hidden = features.clone()
    hidden[..., 4:] = -1.0
    assert torch.allclose(heads(hidden, left)["category"], read[0])
    assert all(len(rows) == 0 for rows in heads(features[:0], left[:0]).values())


def test_masks_and_attributes_are_learnt_together():
    task = build().train()
    optimizer = torch.optim.AdamW(task.parameters(), 3e-3)
    batch = collate([sample(colour, corner) for corner in (8, 30) for colour in ("red", "blue")])
    for _ in range(60):
        losses = task(batch)
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
    assert {"box", "mask", "loss/color", "loss/category", "loss/length"} <= set(losses)
    reader = RoIReader(task.model, Decoder(SCHEMA, CATEGORIES, {}, {"length": [15.0, 5.0]}))
    photos = [np.ascontiguousarray(sample(c, 20)[0].permute(1, 2, 0).numpy()) for c in ("red", "blue", "red")]
    mask = np.ones((40, 44), bool)
    given = [[Segment((20, 20, 64, 60), mask, (96, 96))], [], [Segment((20, 20, 64, 60), mask, (96, 96))] * 2]
    read = reader.decoder(reader.read(photos, given))
    assert len(read) == 3 and [values["color"].value[0] for _, values in read] == ["red"] * 3
    given[1] = given[0]
    assert reader.decoder(reader.read(photos, given))[1][1]["color"].value[0] == "blue"
    photos = [np.ascontiguousarray(sample(c, 30)[0].permute(1, 2, 0).numpy()) for c in ("red", "blue", "red")]
    segments, logits = reader.find(photos)
    assert sum(map(len, segments)) == len(logits["embedding"]) == len(logits["category"]) and all(map(len, segments))
    best = np.cumsum([0, *map(len, segments)])[:-1]
    assert [reader.decoder(logits)[row][1]["color"].value[0] for row in best] == ["red", "blue", "red"]


def test_photos_without_products_touch_every_weight():
    task = build().train()
    image, target = sample("red", 8)
    empty = {key: value[:0] for key, value in target.items() if key != "attributes"}
    empty["attributes"] = rows([], NAMES, SCHEMA, CATEGORIES)
    losses = task(collate([(image, empty), (image, empty)]))
    losses["loss"].backward()
    assert torch.isfinite(losses["loss"]) and all(p.grad is not None for p in task.parameters())
    task.zero_grad()
    task(collate([(image, empty), (image, target)]))["loss"].backward()
    assert any(p.grad.any() for p in task.model.attributes.parameters())


def test_a_photo_in_which_nothing_is_found_has_no_rows():
    task = build()
    task.model.config = replace(TINY, score_thr=0.999)
    reader = RoIReader(task.model, Decoder(SCHEMA, CATEGORIES, {}, {"length": [15.0, 5.0]}))
    segments, logits = reader.find([np.zeros((50, 40, 3), np.uint8)])
    assert segments == [[]] and all(len(each) == 0 for each in logits.values())
    assert reader.find([]) == ([], {}) and reader.read([], []) == {}
    assert all(len(each) == 0 for each in reader.read([np.zeros((50, 40, 3), np.uint8)], [[]]).values())


@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (200, 150)])
def test_segments_of_any_size_are_read(shape):
    task = build()
    reader = RoIReader(task.model, Decoder(SCHEMA, CATEGORIES, {}, {"length": [15.0, 5.0]}))
    segment = Segment((0, 0, shape[1], shape[0]), np.ones(shape, bool), (220, 180))
    logits = reader.read([np.zeros((220, 180, 3), np.uint8)], [[segment]])
    assert logits["category"].shape == (1, 2) and all(torch.isfinite(each).all() for each in logits.values())
