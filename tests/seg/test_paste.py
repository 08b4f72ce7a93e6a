"""Small masks back in the photo, against torchvision's pasting and exact areas."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.models.detection.roi_heads import paste_masks_in_image

from segattr.seg.instance_heads import mask_targets
from segattr.seg.paste import paste_mask


def full(pasted, size) -> np.ndarray:
    mask = np.zeros(size, bool)
    if pasted is not None:
        (x0, y0, x1, y1), inside = pasted
        mask[y0:y1, x0:x1] = inside
    return mask


def disc(cells: int = 28) -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(cells) + 0.5, torch.arange(cells) + 0.5, indexing="ij")
    away = ((x - cells / 2) ** 2 + (y - cells / 2) ** 2).sqrt()
    return ((cells * 0.4 - away) / 2 + 0.5).clamp(0, 1)


@pytest.mark.parametrize("box", [(20.0, 30.0, 130.0, 90.0), (-10.0, -6.0, 50.0, 70.0), (60.4, 50.7, 171.0, 140.2)])
def test_it_is_what_torchvision_pastes_but_for_its_rounded_boxes(box):
    size = (120, 160)
    theirs = paste_masks_in_image(disc()[None, None], torch.tensor([box]), size)[0, 0] >= 0.5
    ours = full(paste_mask(disc(), box, size), size)
    assert (ours & theirs.numpy()).sum() / (ours | theirs.numpy()).sum() > 0.94


@pytest.mark.parametrize("size", [(90, 70), (400, 700)])
def test_a_full_mask_fills_its_box(size):
    box = (10.0, 20.0, 60.0, 80.0)
    pasted = paste_mask(torch.ones(28, 28), box, size)
    assert pasted[0] == (10, 20, 60, 80) and pasted[1].all()


def test_a_mask_cut_out_of_its_box_comes_back():
    """`mask_targets` and `paste_mask` are each other's inverse up to the size of a cell."""
    y, x = np.mgrid[:200, :240]
    truth = ((x - 120.3) / 70) ** 2 + ((y - 95.2) / 50) ** 2 < 1
    rows, columns = np.flatnonzero(truth.any(1)), np.flatnonzero(truth.any(0))
    box = torch.tensor([[columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]]).float()
    small = mask_targets(torch.from_numpy(truth[None].astype(np.uint8)), box, torch.zeros(1, dtype=torch.long), 28)
    share = truth.sum() / (box[0, 2:] - box[0, :2]).prod().item()
    assert small.mean().item() == pytest.approx(share, rel=0.01)
    found = full(paste_mask(small[0], box[0].tolist(), truth.shape), truth.shape)
    assert (found & truth).sum() / (found | truth).sum() > 0.985
    assert abs(np.argwhere(found).mean(0) - np.argwhere(truth).mean(0)).max() < 0.1


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(*[st.floats(-30, 90, width=32)] * 4),
    st.tuples(st.integers(1, 60), st.integers(1, 60)),
    st.sampled_from([0.2, 0.5, 0.9]),
)
def test_any_box_gives_a_tight_crop_inside_the_photo_or_nothing(corners, size, threshold):
    x0, x1 = sorted((corners[0], corners[1]))
    y0, y1 = sorted((corners[2], corners[3]))
    pasted = paste_mask(disc(), (x0, y0, x1, y1), size, threshold)
    if pasted is not None:
        (left, top, right, bottom), mask = pasted
        assert 0 <= left < right <= size[1] and 0 <= top < bottom <= size[0]
        assert mask.dtype == bool and mask.shape == (bottom - top, right - left)
        assert mask[0].any() and mask[-1].any() and mask[:, 0].any() and mask[:, -1].any()


def test_nothing_above_the_threshold_is_nothing():
    assert paste_mask(torch.full((28, 28), 0.4), (2.0, 2.0, 20.0, 20.0), (30, 30)) is None
