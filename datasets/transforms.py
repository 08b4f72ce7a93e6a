"""Augmentation presets (albumentations 2.0.8) for training, and the letterbox for everything else.

Called as ``transform(image=..., mask=...)`` with image uint8 (h, w, 3) RGB and mask (h, w), a label map or an alpha
(no second channel needed), or with ``masks``, a list of such; the result has the same keys, all size x size.
"""

import random
from dataclasses import dataclass
from typing import Literal

import albumentations as A
import cv2
import numpy as np
from torch.utils.data import get_worker_info

from .errors import InputError
from .images import quick_resize

Strength = Literal["none", "light", "medium", "strong"]

# The mean of ImageNet's photos: after the networks' normalisation the padding is 0.
GROUND = (124, 116, 104)


@dataclass(frozen=True)
class _Preset:
    """How far one strength goes. Probabilities ``*_p``; the rest are ranges."""

    crop_scale: float  # least share of the photo's area that a random crop shows
    zoom: float  # +- of the scale
    rotate_deg: float
    quarter_turn_p: float
    vertical_flip_p: float
    brightness: float  # +- of brightness and contrast, 1 = twofold
    gamma: float  # +- of the exponent's logarithm
    shade: float  # how dark the dark side of uneven light may get, 0 = as it was
    jitter_p: float  # colour jitter; never where a colour head trains
    saturation: float
    hue: float  # share of the colour circle
    blur_p: float
    blur_sigma: float  # px; more would wipe out weave and checks at 128-160 px
    noise_p: float


_PRESETS = {
    "light": _Preset(0.6, 0.08, 5, 0, 0, 0.1, 0.1, 0.15, 0.3, 0.1, 0.01, 0.1, 0.6, 0.0),
    "medium": _Preset(0.5, 0.12, 12, 0, 0.1, 0.2, 0.2, 0.25, 0.6, 0.25, 0.02, 0.2, 0.9, 0.1),
    "strong": _Preset(0.4, 0.18, 25, 0.15, 0.2, 0.3, 0.3, 0.4, 0.8, 0.4, 0.05, 0.3, 1.2, 0.25),
}


def train_transform(
    size_px: int,
    strength: Strength = "medium",
    *,
    colour_safe: bool,
    crop: bool = True,
    margin: float = 1.0,
    light_cast: float = 0.0,
    seed: int | None = None,
) -> A.Compose:
    """Random crop or scale, rotation and flips; brightness and jitter; Gaussian or median blur: to size_px x size_px.

    ``colour_safe``: for samples that train a colour head; changes of brightness only, made so that hue and saturation
    stay. ``crop``: True shows a random part of the photo (segmentation); False keeps the whole and varies it mildly
    (crops of instances, already cut). ``margin``: with ``crop=False``, inputs that show this many times the width that
    the network will see (so that rotation and zoom have something to show at the rim). ``light_cast``: above 0, photos
    are seen under other lamps too, see `LightCast`. ``strength`` "none" is ``eval_transform``, with the margin cut off.
    Where nothing is known the image is GROUND and the mask 0.

    Two transforms with the same ``seed`` give the same sequence. In a DataLoader's workers the generator starts from
    the worker's own seed (and ``seed``): workers and epochs differ, and ``torch.manual_seed`` repeats a run.
    Raises InputError for an unknown strength or a size below 1.
    """
    if size_px < 1 or margin < 1:
        raise InputError(f"a transform to {size_px} px with margin {margin}; expected at least 1 of each")
    if strength == "none":
        return SeededCompose([*_letterbox(size_px, margin, "center" if margin > 1 else "top_left")], seed=seed)
    if strength not in _PRESETS:
        raise InputError(f"augmentation strength {strength!r}; expected one of none, {', '.join(_PRESETS)}")
    preset = _PRESETS[strength]
    photometric = _colour_safe(preset) if colour_safe else _photometric(preset)
    cast = [LightCast(light_cast, p=0.8)] if light_cast else []
    return SeededCompose([*_geometric(preset, size_px, crop, margin), *photometric, *cast, _blur(preset)], seed=seed)


def instance_transform(
    size_px: int,
    strength: Strength = "medium",
    *,
    scale: tuple[float, float] = (0.5, 1.25),
    colour_safe: bool = False,
    seed: int | None = None,
) -> A.Compose:
    """For instances (``image`` and ``masks``): multi-scale, yet always size_px x size_px, so that batches stack.

    The longest side becomes ``size_px`` times a number from ``scale`` (drawn evenly on a logarithmic scale); what is
    smaller than the square lies at random in it (GROUND and 0 about it), of what is larger a random part is seen. Then
    a small rotation, flips, brightness, jitter and blur as in ``train_transform``. An instance may come out empty.
    ``strength`` "none" is ``eval_transform``, without the multi-scale. Seeds work as in ``train_transform``. Raises
    InputError for an unknown strength, a size below 1, a scale that is none.
    """
    if size_px < 1 or not 0 < scale[0] <= scale[1]:
        raise InputError(
            f"a transform to {size_px} px at scales {scale[0]:g} to {scale[1]:g}; expected 1 px or more and scales "
            "above 0, the smaller one first"
        )
    if strength == "none":
        return SeededCompose(_letterbox(size_px), seed=seed)
    if strength not in _PRESETS:
        raise InputError(f"augmentation strength {strength!r}; expected one of none, {', '.join(_PRESETS)}")
    preset = _PRESETS[strength]
    photometric = _colour_safe(preset) if colour_safe else _photometric(preset)
    geometric = [ScaleJitter(size_px, scale), _turn(preset, 0.5), *_flips(preset)]
    return SeededCompose([*geometric, *photometric, _blur(preset)], seed=seed)


def eval_transform(size_px: int) -> A.Compose:
    """Letterbox: the longest side to ``size_px``, the photo at the top left, GROUND (mask: 0) below or to the right.

    Undo it with ``undo_letterbox(result, photo.shape[:2])``.
    """
    if size_px < 1:
        raise InputError(f"a transform to {size_px} px; expected at least 1")
    return SeededCompose(_letterbox(size_px))


def content_size(size: tuple[int, int], size_px: int) -> tuple[int, int]:
    """(height, width) in px that a photo of ``size`` (h, w) has inside the letterbox of ``size_px``."""
    scale = size_px / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def undo_letterbox(letterboxed: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """What ``eval_transform`` made of a photo of ``size`` (h, w), at the photo's size again: the padding is cut off and
    the rest resized. (s, s, ...) of float or uint8, linear; integers of other kinds and bool, nearest."""
    height, width = content_size(size, max(letterboxed.shape[:2]))
    content = letterboxed[:height, :width]
    smooth = letterboxed.dtype.kind == "f" or (letterboxed.dtype == np.uint8 and letterboxed.ndim == 3)
    if letterboxed.dtype == bool:
        content = content.astype(np.uint8)
    how = cv2.INTER_LINEAR if smooth else cv2.INTER_NEAREST
    return cv2.resize(content, size[::-1], interpolation=how).astype(letterboxed.dtype)


class SeededCompose(A.Compose):
    """A Compose whose transforms draw from one generator, started anew in every DataLoader worker.

    albumentations 2.0.8 gives every transform its own generator of the same seed, so that, with a seed, two flips
    always come together; and forked workers inherit the same state, so that all of them, in every epoch, repeat one
    another's augmentations.
    """

    def set_random_seed(self, seed: int | None) -> None:
        self.seed = seed
        self._worker_seed: int | None = None
        self._start(seed)

    def __call__(self, *args, **data):
        worker = get_worker_info()
        if worker is not None and worker.seed != self._worker_seed:
            self._worker_seed = worker.seed
            mixed = np.random.SeedSequence([worker.seed, *([] if self.seed is None else [self.seed])])
            self._start(int(mixed.generate_state(1)[0]))
        return super().__call__(*args, **data)

    def _start(self, seed: int | None) -> None:
        self.set_random_state(np.random.default_rng(seed), random.Random(seed))


class ValueCurve(A.ImageOnlyTransform):
    """Brightness without a change of hue or saturation: every pixel's channels are multiplied by one factor.

    The factor takes the HSV value v (the largest channel, 0..1) to ``gain * v ** gamma`` with gain <= 1, times a linear
    ramp over the image for uneven light, so nothing clips. (Adding to the channels, contrast about the mean, gamma a
    channel, and gains that clip all move the hue: orange brightened by 50 turns yellow.)
    """

    def __init__(self, gamma: float, brightness: float, shade: float, p: float):
        super().__init__(p=p)
        self.gamma, self.brightness, self.shade = gamma, brightness, shade

    def get_params(self) -> dict[str, float]:
        draw = self.py_random.uniform
        return {
            "exponent": float(np.exp(draw(-self.gamma, self.gamma))),
            "gain": draw(1 - self.brightness, 1),
            "depth": draw(0, self.shade) if draw(0, 1) < 0.5 else 0.0,
            "angle": draw(0, 2 * np.pi),
        }

    def apply(self, img: np.ndarray, exponent: float, gain: float, depth: float, angle: float, **_) -> np.ndarray:
        value = np.arange(256) / 255
        factors = gain * np.maximum(value, 1 / 255) ** (exponent - 1)
        # Black has no colour to keep: lifting it (exponent < 1) would only amplify its noise.
        factors = np.minimum(factors, 2.0).astype(np.float32)
        red, green, blue = cv2.split(img)
        factor = cv2.LUT(cv2.max(cv2.max(red, green), blue), factors)
        if depth:
            factor *= 1 - depth * _ramp(img.shape[:2], angle)
        return cv2.multiply(img, cv2.merge([factor] * 3), dtype=cv2.CV_8U)

    def get_transform_init_args_names(self) -> tuple[str, ...]:
        return ("gamma", "brightness", "shade")


class LightCast(A.ImageOnlyTransform):
    """The whole photo under another lamp: von Kries gains in linear light, warm to cool along red and blue, a third as far
    along green; the largest gain is 1, so nothing clips. ``strength``: the largest |log gain|.

    It moves hues, yet is safe where names of colours allow for the light of the photo: product and ground move together.
    """

    def __init__(self, strength: float, p: float):
        super().__init__(p=p)
        self.strength = strength

    def get_params(self) -> dict[str, np.ndarray]:
        draw = self.py_random.uniform
        warm, green = draw(-self.strength, self.strength), draw(-self.strength, self.strength) / 3
        logs = np.array([warm, green, -warm])
        return {"gains": np.exp(logs - logs.max())}

    def apply(self, img: np.ndarray, gains: np.ndarray, **_) -> np.ndarray:
        # A gain in linear light is a factor gain ** (1 / 2.4) of the sRGB value, but for its darkest part.
        table = np.arange(256)[:, None] * gains ** (1 / 2.4)
        return cv2.LUT(img, np.rint(table).astype(np.uint8)[None])

    def get_transform_init_args_names(self) -> tuple[str, ...]:
        return ("strength",)


class ScaleJitter(A.DualTransform):
    """The photo at a random scale, in a square of ``size_px``: see ``instance_transform``. Only what will be seen is
    resized, masks (of whatever labels) by the nearest pixel."""

    def __init__(self, size_px: int, scale: tuple[float, float]):
        super().__init__(p=1.0)
        self.size_px, self.scale = size_px, scale

    def get_params_dependent_on_data(self, params: dict, data: dict) -> dict[str, tuple[int, int, int, int]]:
        draw = self.py_random.uniform
        factor = self.size_px / max(params["shape"][:2]) * np.exp(draw(*np.log(self.scale)))
        seen, placed = [], []
        for side in params["shape"][:2]:
            scaled = max(1, round(side * factor))
            shown = min(scaled, self.size_px)
            part = min(side, max(1, round(shown / factor)))
            first = round(draw(0, side - part))
            seen += [first, first + part]
            placed += [round(draw(0, self.size_px - shown)), shown]
        return {"seen": tuple(seen), "placed": tuple(placed)}

    def apply(self, img: np.ndarray, seen: tuple, placed: tuple, **_) -> np.ndarray:
        part = img[seen[0] : seen[1], seen[2] : seen[3]]
        return self._framed(quick_resize(part, placed[3], placed[1]), placed, GROUND)

    def apply_to_mask(self, mask: np.ndarray, seen: tuple, placed: tuple, **_) -> np.ndarray:
        part = mask[seen[0] : seen[1], seen[2] : seen[3]]
        how = cv2.INTER_NEAREST_EXACT
        return self._framed(cv2.resize(part, (placed[3], placed[1]), interpolation=how), placed, 0)

    def _framed(self, part: np.ndarray, placed: tuple, fill: tuple[int, ...] | int) -> np.ndarray:
        top, height, left, width = placed
        if (height, width) == (self.size_px, self.size_px):
            return part
        framed = np.empty((self.size_px, self.size_px, *part.shape[2:]), part.dtype)
        framed[:] = fill
        framed[top : top + height, left : left + width] = part
        return framed

    def get_transform_init_args_names(self) -> tuple[str, ...]:
        return ("size_px", "scale")


def _ramp(size: tuple[int, int], angle: float) -> np.ndarray:
    """float32 (h, w), 0 at one corner to 1 at the opposite one, along ``angle`` (radians)."""
    y, x = np.ogrid[0 : 1 : size[0] * 1j, 0 : 1 : size[1] * 1j]
    ramp = np.cos(angle) * x + np.sin(angle) * y
    return ((ramp - ramp.min()) / max(float(np.ptp(ramp)), 1e-6)).astype(np.float32)


def _letterbox(size_px: int, margin: float = 1.0, position: str = "top_left") -> list[A.BasicTransform]:
    large = round(size_px * margin)
    fit = [
        A.LongestMaxSize(large, area_for_downscale="image"),
        A.PadIfNeeded(large, large, position=position, fill=GROUND, fill_mask=0),
    ]
    return fit if large == size_px else [*fit, A.CenterCrop(size_px, size_px)]


def _geometric(preset: _Preset, size_px: int, crop: bool, margin: float) -> list[A.BasicTransform]:
    turn, flips = _turn(preset, 0.5 if crop else 0.9), _flips(preset)
    if crop:
        part = A.RandomResizedCrop(
            (size_px, size_px), scale=(preset.crop_scale, 1.0), ratio=(3 / 4, 4 / 3), area_for_downscale="image"
        )
        return [part, turn, *flips]
    # At the larger size first: the zoom then shows detail, and the rotation what lies beyond the rim.
    whole = _letterbox(size_px, margin, position="center")
    return [*whole[:2], turn, *whole[2:], *flips]


def _turn(preset: _Preset, probability: float) -> A.BasicTransform:
    return A.Affine(
        scale=(1 - preset.zoom, 1 + preset.zoom),
        keep_ratio=True,
        rotate=(-preset.rotate_deg, preset.rotate_deg),
        shear=(-preset.rotate_deg / 5, preset.rotate_deg / 5),
        translate_percent=(-preset.zoom / 3, preset.zoom / 3),
        fill=GROUND,
        fill_mask=0,
        p=probability,
    )


def _flips(preset: _Preset) -> list[A.BasicTransform]:
    return [
        A.HorizontalFlip(p=0.5),
        A.VerticalFlip(p=preset.vertical_flip_p),
        A.RandomRotate90(p=preset.quarter_turn_p),
    ]


def _colour_safe(preset: _Preset) -> list[A.BasicTransform]:
    return [ValueCurve(preset.gamma, preset.brightness, preset.shade, p=0.8)]


def _photometric(preset: _Preset) -> list[A.BasicTransform]:
    return [
        ValueCurve(preset.gamma, preset.brightness / 2, preset.shade, p=0.5),
        A.RandomBrightnessContrast(preset.brightness, preset.brightness, p=0.5),
        A.ColorJitter(
            brightness=(1 - preset.brightness / 2, 1 + preset.brightness / 2),
            contrast=(1 - preset.brightness / 2, 1 + preset.brightness / 2),
            saturation=(1 - preset.saturation, 1 + preset.saturation),
            hue=(-preset.hue, preset.hue),
            p=preset.jitter_p,
        ),
        A.OneOf([A.GaussNoise(std_range=(0.01, 0.05)), A.ImageCompression(quality_range=(40, 90))], p=preset.noise_p),
    ]


def _blur(preset: _Preset) -> A.BasicTransform:
    kinds = [
        A.GaussianBlur(blur_limit=0, sigma_limit=(0.3, preset.blur_sigma), p=0.7),
        A.MedianBlur(blur_limit=(3, 3), p=0.3),
    ]
    return A.OneOf(kinds, p=preset.blur_p)
