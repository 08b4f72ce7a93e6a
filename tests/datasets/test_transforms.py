"""Augmentation: sizes and padding, colours that stay, sequences that repeat or differ as they should."""

import pickle

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset

from segattr.datasets.errors import InputError
from segattr.datasets.transforms import (
    GROUND,
    LightCast,
    content_size,
    eval_transform,
    instance_transform,
    train_transform,
    undo_letterbox,
)

# One of each colour name, and shades of the ones that are told apart by brightness alone.
COLOURS = {
    "white": (240, 240, 238),
    "gray": (128, 128, 130),
    "black": (25, 25, 27),
    "navy": (25, 35, 80),
    "blue": (40, 90, 180),
    "green": (50, 130, 60),
    "olive": (110, 115, 50),
    "yellow": (240, 210, 50),
    "orange": (245, 140, 30),
    "red": (190, 25, 35),
    "burgundy": (110, 20, 40),
    "pink": (240, 150, 180),
    "purple": (110, 50, 130),
    "brown": (110, 70, 45),
    "beige": (220, 200, 165),
}


def picture(height, width):
    """Noise with a mask of labels 0 and 3 whose share is known."""
    rng = np.random.default_rng(0)
    mask = np.zeros((height, width), np.uint8)
    mask[height // 4 : height, width // 3 :] = 3
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8), mask


@pytest.mark.parametrize("strength", ["none", "light", "medium", "strong"])
@pytest.mark.parametrize("colour_safe", [True, False])
@pytest.mark.parametrize(("crop", "margin"), [(True, 1), (False, 1), (False, 1.2)])
def test_output_is_exactly_the_size_and_labels_stay_labels(strength, colour_safe, crop, margin):
    transform = train_transform(64, strength, colour_safe=colour_safe, crop=crop, margin=margin, seed=1)
    for height, width in ((100, 80), (64, 64), (7, 300), (1, 1), (500, 33)):
        image, mask = picture(height, width)
        for _ in range(4):
            result = transform(image=image, mask=mask)
            assert result["image"].shape == (64, 64, 3)
            assert result["image"].dtype == np.uint8
            assert result["mask"].shape == (64, 64)
            assert set(np.unique(result["mask"])) <= {0, 3}


def test_image_and_mask_move_together():
    image = np.zeros((120, 90, 3), np.uint8)
    cv2.ellipse(image, (40, 70), (30, 40), 20, 0, 360, (255, 255, 255), -1)
    mask = (image[..., 0] > 0).astype(np.uint8)
    transform = train_transform(96, "strong", colour_safe=True, seed=3)
    for _ in range(20):
        result = transform(image=image, mask=mask)
        # Padding is GROUND, the ellipse bright even at its darkest: a ramp and a gain leave it above that.
        bright = result["image"].min(axis=2) > 60
        inside = cv2.erode(result["mask"], np.ones((7, 7), np.uint8)) > 0
        assert bright[inside].mean() > 0.97 if inside.any() else True


def test_padding_is_ground_and_no_product():
    image, mask = np.full((40, 10, 3), 255, np.uint8), np.ones((40, 10), np.uint8)
    result = eval_transform(40)(image=image, mask=mask)
    assert (result["image"][:, :10] == 255).all()
    assert (result["image"][:, 10:] == GROUND).all()
    assert (result["mask"][:, :10] == 1).all()
    assert not result["mask"][:, 10:].any()


@given(st.integers(1, 300), st.integers(1, 300), st.integers(8, 96))
@settings(max_examples=60, deadline=None)
def test_the_letterbox_can_be_undone(height, width, size_px):
    mask = np.ones((height, width), np.uint8)
    result = eval_transform(size_px)(image=np.zeros((height, width, 3), np.uint8), mask=mask)
    content = content_size((height, width), size_px)
    assert result["mask"].sum() == content[0] * content[1]
    back = undo_letterbox(result["mask"], (height, width))
    assert back.shape == (height, width)
    assert back.all()
    assert back.dtype == np.uint8
    assert undo_letterbox(result["mask"].astype(bool), (height, width)).dtype == bool


def test_undoing_the_letterbox_puts_things_back_where_they_were():
    image = cv2.GaussianBlur(picture(200, 150)[0], (0, 0), 4)
    boxed = eval_transform(100)(image=image)["image"]
    back = undo_letterbox(boxed, (200, 150))
    assert np.abs(back.astype(int) - image).mean() < 1.5


def hue_and_chroma(rgb: np.ndarray) -> tuple[float, float]:
    """Lab hue in radians and chroma of the mean colour."""
    lab = cv2.cvtColor(np.float32(rgb.reshape(1, -1, 3).mean(axis=1, keepdims=True)) / 255, cv2.COLOR_RGB2LAB)[0, 0]
    return float(np.arctan2(lab[2], lab[1])), float(np.hypot(lab[1], lab[2]))


def hue_move(before: np.ndarray, after: np.ndarray) -> float:
    """How far the hue moved, in Lab units at the smaller chroma (2 C sin(dh / 2), the dH of CIELAB)."""
    (hue, chroma), (hue_after, chroma_after) = hue_and_chroma(before), hue_and_chroma(after)
    return 2 * np.sqrt(chroma * chroma_after) * abs(np.sin((hue_after - hue) / 2))


@pytest.mark.parametrize("name", COLOURS)
@pytest.mark.parametrize("crop", [True, False])
def test_a_colour_safe_transform_keeps_the_hue(name, crop):
    solid = np.full((64, 64, 3), COLOURS[name], np.uint8)
    # What halving the brightness does to the hue: rounding, and the curve of sRGB near black.
    mild = max(hue_move(solid, np.round(solid * gain).astype(np.uint8)) for gain in (0.5, 0.6, 0.7, 0.8, 0.9))
    transform = train_transform(48, "strong", colour_safe=True, crop=crop, seed=5)
    value = solid.max() / 255
    for _ in range(60):
        result = transform(image=solid, mask=np.ones((64, 64), np.uint8))
        # Away from the padding, which bleeds in by interpolation and blur.
        inside = cv2.erode(result["mask"], np.ones((9, 9), np.uint8)) > 0
        seen = result["image"][inside]
        assert hue_move(solid, seen) <= mild + 1.5
        # Saturation of HSV too, (max - min) / max, up to the rounding of the channels.
        mean, own = seen.mean(axis=0), solid[0, 0].astype(float)
        assert np.ptp(mean) / mean.max() == pytest.approx(np.ptp(own) / own.max(), abs=0.02 + 1.5 / mean.max())
        assert 0.35 * value <= mean.max() / 255 <= min(1.5 * value + 0.02, 1)


def test_a_transform_that_is_not_colour_safe_does_move_it():
    solid = np.full((64, 64, 3), COLOURS["orange"], np.uint8)
    transform = train_transform(48, "strong", colour_safe=False, seed=5)
    moves = [hue_move(solid, transform(image=solid, mask=np.ones((64, 64), np.uint8))["image"]) for _ in range(60)]
    assert max(moves) > 8


def test_nothing_that_changes_channels_is_in_a_colour_safe_transform():
    names = str(train_transform(48, "strong", colour_safe=True))
    for forbidden in ("Jitter", "Hue", "Saturation", "Gray", "Channel", "RGBShift", "Contrast", "Gamma", "Noise"):
        assert forbidden not in names


def some(transform, n=6):
    image, mask = picture(60, 50)
    return [transform(image=image, mask=mask)["image"] for _ in range(n)]


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_another_lamp_tints_every_pixel_alike_and_in_linear_light_by_no_more_than_asked():
    image = np.repeat(np.arange(30, 256, dtype=np.uint8)[None, :, None], 3, axis=2)
    gains = []
    for seed in range(20):
        seen = LightCast(0.3, p=1.0)
        seen.set_random_seed(seed)
        tinted = seen(image=image)["image"].astype(float)
        assert (tinted <= image).all()  # nothing clips
        linear = ((tinted + 0.0) / 255) ** 2.4 / (image / 255) ** 2.4  # sRGB's curve above its darkest part, roughly
        assert np.ptp(linear[0, 100:], axis=0).max() < 0.02
        gains.append(linear[0, -1])
    logs = np.log(gains)
    warm = logs[:, 0] - logs[:, 2]
    assert warm.min() < -0.2 and warm.max() > 0.2 and np.abs(warm).max() <= 2 * 0.3 + 0.02
    assert "LightCast" in str(train_transform(48, "light", colour_safe=True, light_cast=0.3))


def test_one_seed_one_sequence():
    first, again, other = (some(train_transform(32, colour_safe=False, seed=seed)) for seed in (7, 7, 8))
    assert same(first, again)
    assert not same(first, other)
    assert not same(some(train_transform(32, colour_safe=False)), some(train_transform(32, colour_safe=False)))
    assert not np.array_equal(first[0], first[1])
    pickled = pickle.loads(pickle.dumps(train_transform(32, colour_safe=False, seed=7)))
    assert same(first, some(pickled))


def test_flips_are_drawn_independently():
    # albumentations alone gives every transform the same generator: all flips would come together.
    image = np.zeros((32, 32, 3), np.uint8)
    image[:8, :8] = (255, 0, 0)
    transform = train_transform(32, "strong", colour_safe=True, crop=False, seed=0)
    corners = set()
    for _ in range(80):
        red = transform(image=image, mask=image[..., 0])["mask"] > 0
        y, x = np.argwhere(red).mean(axis=0)
        corners.add((bool(y > 16), bool(x > 16)))
    assert len(corners) == 4


class Augmented(Dataset):
    def __init__(self, seed):
        self.transform = train_transform(16, "strong", colour_safe=False, seed=seed)

    def __len__(self):
        return 8

    def __getitem__(self, _):
        image, mask = picture(40, 30)
        return self.transform(image=image, mask=mask)["image"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("persistent", [False, True])
def test_workers_and_epochs_differ_and_a_run_repeats(seed, persistent):
    def two_epochs():
        torch.manual_seed(0)
        loader = DataLoader(Augmented(seed), batch_size=4, num_workers=2, persistent_workers=persistent)
        return [batch.numpy() for _ in range(2) for batch in loader]

    first, again = two_epochs(), two_epochs()
    assert same(first, again)
    samples = [sample.tobytes() for batch in first for sample in batch]
    assert len(set(samples)) == len(samples) == 16


def test_wrong_arguments_are_named():
    with pytest.raises(InputError, match=r"'huge'; expected one of none, light, medium, strong"):
        train_transform(32, "huge", colour_safe=True)
    with pytest.raises(InputError, match="0 px"):
        train_transform(0, colour_safe=True)
    with pytest.raises(InputError, match="0 px"):
        eval_transform(0)


@pytest.mark.parametrize("strength", ["none", "light", "medium", "strong"])
@pytest.mark.parametrize("colour_safe", [True, False])
def test_instances_come_out_square_and_each_mask_stays_with_its_own(strength, colour_safe):
    transform = instance_transform(64, strength, colour_safe=colour_safe, seed=1)
    for height, width in ((100, 80), (64, 64), (7, 300), (1, 1), (500, 33)):
        image = np.zeros((height, width, 3), np.uint8)
        image[:, : width // 2], image[:, width // 2 :] = (250, 10, 10), (10, 10, 250)
        left = (image[..., 0] > 128).astype(np.uint8)
        for _ in range(6):
            result = transform(image=image, masks=[left, 1 - left])
            assert result["image"].shape == (64, 64, 3) and result["image"].dtype == np.uint8
            first, second = result["masks"]
            assert first.shape == second.shape == (64, 64) and first.dtype == np.uint8
            assert (first + second).max() <= 1
            red = result["image"].astype(int) @ (1, 0, -1)
            for mask, sign in ((first, 1), (second, -1)):
                inside = cv2.erode(mask, np.ones((7, 7), np.uint8)) > 0
                assert not inside.any() or (sign * red[inside] > 0).mean() > 0.97


def test_scales_of_instances_are_those_asked_for():
    image, mask = np.zeros((50, 100, 3), np.uint8), np.ones((50, 100), np.uint8)
    transform = instance_transform(80, "light", scale=(0.5, 0.5), seed=2)
    smaller = [transform(image=image, masks=[mask])["masks"][0].sum() for _ in range(30)]
    assert np.median(smaller) == pytest.approx(40 * 20, rel=0.1)
    places = set()
    transform = instance_transform(80, "light", scale=(2, 2), seed=2)
    for _ in range(30):
        result = transform(image=image, masks=[mask])["masks"][0]
        assert result.sum() > 0.7 * 80 * 80  # 160 x 80 px, half of it seen
        places.add(result.tobytes())
    assert len(places) > 5
    with pytest.raises(InputError, match="scales 0 to 1"):
        instance_transform(80, scale=(0, 1))
    with pytest.raises(InputError, match="'huge'"):
        instance_transform(80, "huge")
