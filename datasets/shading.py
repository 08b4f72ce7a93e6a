"""What a photo tells of the light on one of its products: folds and shadows, gain and cast, blur, noise, the soft rim.

The model of the picture is the usual one of intrinsic images (Barrow & Tenenbaum, Recovering intrinsic scene
characteristics from images, 1978): colour of the cloth times shading. A product of one colour gives the shading itself.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from .synth.colours import SHADES, lab, rgb_of

RIM_PX = 3  # outlines are that soft: farther out nothing of a product is seen
_MARGIN_PX = RIM_PX + 3
_NEUTRAL = ("white", "gray", "black")
_COARSE = 4  # what is blurred widely is blurred at a quarter of the size
_LIFT = 7.0  # of 255: the light that black cloth throws back, so that its noise does not count as shading
_SPREAD = 0.38  # ln of shading, 10th to 90th percentile, that products of medium lightness have
_LOWEST, _HIGHEST = -1.2, 0.36  # ln of shading is bent towards these


@dataclass(frozen=True)
class Lit:
    """A product's crop of its photo at ``box`` xyxy px, and its light.

    ``rgb`` float32 (h, w, 3) 0..255; ``mask`` uint8 (h, w) 0 or 1; ``shading`` float32 (h, w), about 1, its folds and
    shadows; ``gain`` float32 (3,), what a white cloth's colour is multiplied by; ``alpha`` float32 (h, w) 0..1: how
    much of each pixel is product, 0 farther than RIM_PX from the mask; ``ground`` float32 (h, w, 3): the ground near
    by, drawn on under the product; ``blur_px``: deviation; ``noise``: deviation of 255.
    """

    box: tuple[int, int, int, int]
    rgb: np.ndarray
    mask: np.ndarray
    shading: np.ndarray
    gain: np.ndarray
    alpha: np.ndarray
    ground: np.ndarray
    blur_px: float
    noise: float


def lit(photo: np.ndarray, mask: np.ndarray, colour: str) -> Lit:
    """The light on the product of ``mask`` uint8 (h, w), 0 or 1, not empty, that is of one ``colour`` (a name of
    synth.colours.COLOURS, else nothing is known of the exposure), in ``photo`` uint8 (h, w, 3)."""
    x, y, w, h = cv2.boundingRect(mask)
    x0, y0 = max(x - _MARGIN_PX, 0), max(y - _MARGIN_PX, 0)
    x1, y1 = min(x + w + _MARGIN_PX, mask.shape[1]), min(y + h + _MARGIN_PX, mask.shape[0])
    inside = np.ascontiguousarray(mask[y0:y1, x0:x1])
    rgb = photo[y0:y1, x0:x1].astype(np.float32)
    core = cv2.erode(inside, np.ones((2 * RIM_PX + 1,) * 2, np.uint8))
    core = core if core.any() else inside
    few = core[::2, ::2] > 0  # a quarter of the pixels gives the same median
    dye = np.median(rgb[::2, ::2][few] if few.any() else rgb[core > 0], axis=0).astype(np.float32)
    dye = np.maximum(dye, 1)  # a quite black product has no shading
    far = cv2.dilate(inside, np.ones((2 * RIM_PX + 1,) * 2, np.uint8)) == 0
    ground = _spread(rgb, far)
    shading = _shading(rgb, core, dye)
    alpha = _alpha(rgb, inside, dye * shading[..., None], ground, far)
    blur_px, noise = _camera(photo)
    gain = _gain(photo, mask, dye, colour)
    return Lit((x0, y0, x1, y1), rgb, inside, shading, gain, alpha, ground, blur_px, noise)


def _spread(picture: np.ndarray, known: np.ndarray) -> np.ndarray:
    """``picture`` float32 (h, w) or (h, w, 3) where ``known`` bool (h, w), elsewhere the mean of what is known near by,
    and 128 where nothing is."""
    height, width = known.shape
    small = (max(1, width // _COARSE), max(1, height // _COARSE))
    weight = cv2.resize(known.astype(np.float32), small, interpolation=cv2.INTER_AREA)
    values = cv2.resize(cv2.copyTo(picture, known.astype(np.uint8)), small, interpolation=cv2.INTER_AREA)
    values, total, done = np.atleast_3d(values), 0.0, np.zeros((small[1], small[0], 1), np.float32)
    for reach in (3, 9, 31, 101):  # near ones first; farther ones only fill what is still open
        share = np.atleast_3d(cv2.blur(weight, (reach, reach)))
        take = (1 - done) * np.minimum(1, 4 * share)
        total = total + take * np.atleast_3d(cv2.blur(values, (reach, reach))) / np.maximum(share, 1e-6)
        done = done + take
    filled = np.where(done > 1e-3, total / np.maximum(done, 1e-3), np.float32(128)).astype(np.float32)
    filled = cv2.resize(filled, (width, height), interpolation=cv2.INTER_LINEAR)
    return cv2.copyTo(picture, known.astype(np.uint8), filled)


def _shading(rgb: np.ndarray, core: np.ndarray, dye: np.ndarray) -> np.ndarray:
    """Shading float32 (h, w): how bright each pixel is against ``dye``, without weave, logos and other marks."""
    bright = (rgb @ dye + _LIFT * dye.sum()) / (dye @ dye + _LIFT * dye.sum())
    log = np.log(np.clip(bright, 0.05, 12)).astype(np.float32)
    # From outside nothing may leak in: it is taken for cloth of the mean shading near by.
    log = _spread(log, core > 0)
    smooth = cv2.bilateralFilter(log, 7, 0.16, 2.2)
    smooth -= np.median(smooth[core > 0][::4])
    side = max(core.shape)
    kernel = min(255, max(5, side // 9 | 1))
    coarse = cv2.medianBlur(np.clip(smooth * 60 + 150, 0, 255).astype(np.uint8), kernel)
    local = (coarse.astype(np.float32) - 150) / 60
    tinted = rgb - dye * bright[..., None]
    odd = (_dot(tinted, tinted) > (30 + 0.2 * dye.max()) ** 2) & (core > 0)
    odd |= (smooth - local > 0.4) | (smooth - local < -1.0)
    soft = cv2.GaussianBlur(cv2.dilate(odd.astype(np.float32), np.ones((5, 5), np.uint8)), (0, 0), 1.0)
    smooth += soft * (local - smooth)
    inside = smooth[core > 0]
    low, high = np.percentile(inside[::4], (10, 90))
    smooth *= np.clip(_SPREAD / max(float(high - low), 1e-3), 0.45, 1.5) ** 0.7
    bent = np.where(smooth > 0, _HIGHEST * np.tanh(smooth / _HIGHEST), _LOWEST * np.tanh(smooth / _LOWEST))
    return np.exp(bent)


def _alpha(rgb: np.ndarray, mask: np.ndarray, old: np.ndarray, ground: np.ndarray, far: np.ndarray) -> np.ndarray:
    """How much of each pixel is product. At the rim outside the mask: how far its colour is from the ground's towards
    the product's ``old`` one, where these two can be told apart."""
    across = old - ground
    length = _dot(across, across)
    over = rgb - ground
    part = np.clip(_dot(over, across) / np.maximum(length, 1), 0, 1)
    over -= part[..., None] * across
    part[(length < 30**2) | (_dot(over, over) > 0.12 * length + 200)] = 0
    covered = mask.astype(np.float32)
    lens = cv2.GaussianBlur(covered, (0, 0), 0.8)
    outer = np.maximum(lens, part * np.clip(2.2 * cv2.GaussianBlur(covered, (0, 0), 1.2), 0, 1))
    alpha = np.where(mask > 0, np.maximum(np.minimum(1, 0.1 + 1.1 * lens), part), outer)
    alpha[far | (alpha < 0.02)] = 0
    return alpha.astype(np.float32)


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Sum over the channels of ``a * b``, (h, w)."""
    return np.einsum("ijk,ijk->ij", a, b)


def _camera(photo: np.ndarray) -> tuple[float, float]:
    """Blur (deviation, px) and noise (deviation of 255).

    At a step blurred by a Gaussian of deviation s the largest slope is A / (s sqrt(2 pi)), the largest second derivative
    0.242 A / s^2; their ratio gives s. Noise: the Laplacian's deviation is sqrt(20) times it; of its absolute
    values 35 % are below 0.454 deviations, and those are of smooth places.
    """
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY).astype(np.float32)
    second = np.abs(grey[:, 2:] - 2 * grey[:, 1:-1] + grey[:, :-2])
    slope = np.abs(grey[:, 2:] - grey[:, :-2]) / 2
    if slope.size == 0:
        return 0.6, 1.0
    ratio = np.percentile(slope[::2, ::2], 99) / max(1.0, float(np.percentile(second[::2, ::2], 99)))
    laplacian = np.abs(cv2.Laplacian(grey, cv2.CV_32F))
    noise = float(np.percentile(laplacian[::2, ::2], 35)) / (0.454 * np.sqrt(20))
    return float(np.clip(0.607 * ratio, 0.45, 1.1)), float(np.clip(noise, 0.4, 4.0))


def _gain(photo: np.ndarray, mask: np.ndarray, dye: np.ndarray, colour: str) -> np.ndarray:
    """Exposure times the light's colour, float32 (3,).

    Exposure: how bright the product is against the shades of its name, half believed. Cast: the product's own where it
    is neutral, else the ground's (grey world), the less believed the more colour it has.
    """
    seen = float(lab(dye)[0])
    exposure = 0.92
    if colour in SHADES:
        usual = float(np.mean([lab(rgb_of(shade))[0] for shade in SHADES[colour]]))
        exposure = ((seen + 15) / (usual + 15)) ** 0.5
    grey = dye if colour in _NEUTRAL and seen > 30 else _ground_mean(photo, mask)
    grey = np.maximum(grey, 1)
    chroma = float(np.hypot(*lab(grey)[1:]))
    weight = 0.6 * np.clip(1 - chroma / 30, 0, 1)
    cast = (grey / grey.mean()) ** weight
    return (np.clip(exposure, 0.7, 1.04) * np.clip(cast / cast.mean(), 0.92, 1.08)).astype(np.float32)


def _ground_mean(photo: np.ndarray, mask: np.ndarray) -> np.ndarray:
    outside = (cv2.dilate(mask, np.ones((9, 9), np.uint8)) == 0).astype(np.uint8)
    if not outside.any():
        return np.full(3, 128, np.float32)
    return np.array(cv2.mean(photo, outside)[:3], np.float32)
