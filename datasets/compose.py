"""Scenes of several products, composed of cut-outs on grounds: exact masks for files whose photos show one product."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import cv2
import numpy as np

from . import masks
from .coco import Annotation, read_coco
from .cutouts import Cutouts, Layers, Piece, Shadow, turned
from .drawing import Drawn, DrawnProduct, draw_all, write_catalog, write_picture
from .errors import InputError
from .real_grounds import RealGrounds
from .synth.grounds import GROUNDS, ground
from .synth.noise import camera_noise
from .synth.ornaments import bright
from .synth.paint import Light
from .synth.scene import SIZES

DESCRIPTION = "segattr composed scenes"
_SHAPES = ((1, 1), (3, 4), (3, 4), (4, 3))  # width : height
_OWN_COLOUR = 0.2  # share of the drawn grounds that have the colour of one of the products
_TRIES = 8


@dataclass(frozen=True)
class ComposeConfig:
    """What to compose. Raises InputError where a value makes no sense."""

    images: int = 100
    """How many scenes."""
    size_px: int = 480
    """Longest side of the scenes, which are square, upright or wide; 64 to 2048."""
    seed: int = 0
    """Scene i depends on (seed, i), the file of the cut-outs and the settings of the picture alone."""
    products: tuple[int, int] = (1, 6)
    """Fewest and most products in a scene, 1 to 6; one that finds no place is left out."""
    grounds: Literal["both", "synthetic", "real"] = "both"
    """synthetic: drawn; real: the photos' own, without their products; both: half of each."""
    ground_images: Path | None = None
    """Photos of grounds with no product on them: real grounds come from these."""
    grades: tuple[str, ...] = ()
    """Cut out only annotations whose mask_grade is one of these; none given: all."""
    min_visible: float = 0.3
    """Every product shows at least this share of its area."""
    photos: Path | None = None
    """Folder that file names of the cut-outs are relative to; default: the folder of their file."""
    format: Literal["jpg", "png"] = "jpg"
    """jpg at quality 92, or png."""
    workers: int = 1
    """Processes that compose. Their number changes no byte of the result."""

    def __post_init__(self) -> None:
        low, high = self.products
        checks = (
            (self.images >= 1, f"images is {self.images}, expected 1 or more"),
            (64 <= self.size_px <= 2048, f"size_px is {self.size_px}, expected 64 to 2048"),
            (self.seed >= 0, f"seed is {self.seed}, expected 0 or more"),
            (1 <= low <= high <= max(SIZES), f"products is {low} {high}, expected fewest and most between 1 and 6"),
            (
                self.grounds in ("both", "synthetic", "real"),
                f"grounds is {self.grounds!r}, expected both, synthetic, real",
            ),
            (0 < self.min_visible <= 1, f"min_visible is {self.min_visible:g}, expected above 0, at most 1"),
            (self.format in ("jpg", "png"), f"format is {self.format!r}, expected jpg or png"),
            (self.workers >= 1, f"workers is {self.workers}, expected 1 or more"),
        )
        for holds, message in checks:
            if not holds:
                raise InputError(f"composed scenes: {message}.")


class Scene(NamedTuple):
    """``rgb`` uint8 (h, w, 3); ``masks`` uint8 (h, w), the visible parts, of ``annotations``, which are those of the
    cut-outs; ``ground``: where the ground is from."""

    rgb: np.ndarray
    masks: list[np.ndarray]
    annotations: list[Annotation]
    ground: str


def compose(cutouts: str | Path, config: ComposeConfig, out_dir: str | Path, progress: bool = True) -> Path:
    """Compose scenes of the products of the COCO file ``cutouts`` into ``out_dir``: images/ and catalog.json, whose path
    is returned.

    Masks are exact, attributes and categories those of the cut-outs; every annotation says in ``source`` which file and
    annotation it was cut from, every image in ``ground`` what it shows it on. Earlier scenes in ``out_dir`` are
    replaced. Raises InputError where there is nothing to cut out, and where ``out_dir`` holds somebody else's work.
    """
    cutouts, out_dir = Path(cutouts), Path(out_dir)
    coco = Composer(cutouts, config).coco  # what is wrong with the input is said before anything is drawn
    told = ("seed", "size_px", "products", "grounds", "grades", "min_visible")
    info = {"description": DESCRIPTION, "version": "1", "cut_from": cutouts.name}
    info |= {name: getattr(config, name) for name in told}
    head = replace(coco, images=[], annotations=[], info=info)
    drawn = draw_all(partial(_Painter, cutouts, config, out_dir), config.images, config.workers)
    return write_catalog(out_dir, head, drawn, config.images, progress)


class _Painter:
    """Composes the scenes of one catalog into its folder."""

    def __init__(self, cutouts: Path, config: ComposeConfig, out_dir: Path):
        self.composer, self.out_dir = Composer(cutouts, config), out_dir

    def __call__(self, index: int) -> Drawn:
        scene = self.composer.scene(index)
        name = write_picture(scene.rgb, self.out_dir, index, self.composer.config.format)
        by_id = self.composer.coco.image_by_id
        products = []
        for mask, donor in zip(scene.masks, scene.annotations, strict=True):
            source = {"file_name": by_id[donor.image_id].file_name, "annotation_id": donor.id}
            extra = donor.extra | {"source": source}
            products.append(DrawnProduct(masks.encode(mask), donor.category_id, donor.attributes, extra))
        return Drawn(name, scene.rgb.shape[:2], products, {"ground": scene.ground})


class Composer:
    """Scenes of one file's cut-outs: ``scene(i)`` depends on nothing but the file, the config and i."""

    def __init__(self, cutouts: Path, config: ComposeConfig):
        self.config = config
        photos = config.photos or cutouts.parent
        self.coco = read_coco(cutouts)
        usable = [a for a in self.coco.annotations if self._good(a)]
        if config.grades and not usable:
            asked = " or ".join(config.grades)
            raise InputError(f"{cutouts}: no annotation has the mask_grade {asked}; leave --grades out to take all")
        side = round(1.1 * config.size_px * max(high for _, high in SIZES.values()))
        try:
            self.cutouts = Cutouts(replace(self.coco, annotations=usable), photos, side, cache_mib=256)
        except InputError as error:
            raise InputError(f"{cutouts}: {error}") from None
        large = min(max(round(1.2 * config.size_px), 480), 720)  # px at which holes are filled best
        self.grounds = RealGrounds(self.coco, photos, config.ground_images, self._good, large, config.seed)

    def _good(self, annotation: Annotation) -> bool:
        return not self.config.grades or annotation.extra.get("mask_grade") in self.config.grades

    def scene(self, index: int) -> Scene:
        """Scene ``index`` (from 0)."""
        config = self.config
        rng = np.random.default_rng([config.seed, index])
        wide, high = _SHAPES[int(rng.integers(len(_SHAPES)))]
        height, width = (max(32, config.size_px * side // max(wide, high)) for side in (high, wide))
        count = int(rng.integers(config.products[0], config.products[1] + 1))
        donors = rng.permutation(len(self.cutouts))[:count].tolist()
        light = _light(rng)
        shown, where = self._ground(rng, height, width, light, donors)
        layers = Layers(shown)
        covered = np.zeros((height, width), np.uint8)
        for k in donors:
            self._lay(layers, covered, k, len(donors), light, rng)
        return Scene(_camera(rng, layers.image), layers.masks, layers.tags, where)

    def _ground(
        self, rng: np.random.Generator, height: int, width: int, light: Light, donors: list[int]
    ) -> tuple[np.ndarray, str]:
        kinds = ("synthetic", "real") if self.config.grounds == "both" else (self.config.grounds,)
        if kinds[int(rng.integers(len(kinds)))] == "real":
            found = self.grounds.draw(rng, height, width)
            if found is not None:
                return found
        side = max(height, width)
        picture = self.cutouts[donors[int(rng.integers(len(donors)))]]
        if rng.random() < _OWN_COLOUR and picture[..., 3].any():
            own = np.median(picture[picture[..., 3] > 0][:, :3], axis=0) * rng.uniform(0.85, 1.15)
            square, name = bright(rng, side, light, own.astype(np.float32)), "own colour"
        else:
            name = GROUNDS[int(rng.integers(len(GROUNDS)))]
            square = ground(rng, name, side, light)
        return np.ascontiguousarray(square[:height, :width]), f"synthetic: {name}"

    def _lay(
        self, layers: Layers, covered: np.ndarray, k: int, count: int, light: Light, rng: np.random.Generator
    ) -> None:
        """The product where it overlaps little or, in half of the cases, somewhat; smaller where it finds no place."""
        height, width = covered.shape
        picture = self.cutouts[k]
        side = rng.uniform(*SIZES[count]) * rng.uniform(0.75, 1.05) * np.sqrt(height * width)
        angle = rng.normal(0, 12) if rng.random() < 0.8 else rng.uniform(-180, 180)
        flip, feather_px, gain = rng.random() < 0.5, rng.uniform(0.4, 0.9), rng.uniform(0.85, 1)
        bearable = 0.35 if rng.random() < 0.5 else 0.04
        beyond = 0.1 if rng.random() < 0.2 else 0.0
        for side_px in (side, 0.6 * side):
            piece = turned(picture, side_px / max(picture.shape[:2]), angle, flip, feather_px, gain)
            place = self._place(layers, covered, piece, bearable, beyond, rng)
            if place is not None:
                layers.lay(piece, *place, self.cutouts.annotations[k], _shadow(rng, side_px, light))
                covered |= layers.masks[-1]
                return

    def _place(
        self,
        layers: Layers,
        covered: np.ndarray,
        piece: Piece,
        bearable: float,
        beyond: float,
        rng: np.random.Generator,
    ) -> tuple[int, int] | None:
        """(x, y) of the first place tried where at most the share ``bearable`` of the piece overlaps, else the best."""
        best, least = None, np.inf
        for _ in range(_TRIES):
            x = _somewhere(rng, covered.shape[1], piece.mask.shape[1], beyond)
            y = _somewhere(rng, covered.shape[0], piece.mask.shape[0], beyond)
            if not layers.bears(piece, x, y, self.config.min_visible):
                continue
            overlap = _overlap(covered, piece, x, y)
            if overlap < least:
                best, least = (x, y), overlap
            if overlap <= bearable:
                break
        return best


def _somewhere(rng: np.random.Generator, have: int, need: int, beyond: float) -> int:
    """Where a piece of ``need`` px begins in ``have`` px: inside, or up to ``beyond`` of it outside."""
    spare = have - need
    begin = spare * rng.random() if spare > 0 else spare / 2
    return round(begin + need * rng.uniform(-beyond, beyond))


def _overlap(covered: np.ndarray, piece: Piece, x: int, y: int) -> float:
    """Share of the piece that would lie on other products."""
    window = masks.crop(covered, (x, y, x + piece.mask.shape[1], y + piece.mask.shape[0]))
    top, left = max(-y, 0), max(-x, 0)
    mask = piece.mask[top : top + window.shape[0], left : left + window.shape[1]]
    return cv2.countNonZero(window & mask) / max(1, piece.area)


def _light(rng: np.random.Generator) -> Light:
    angle = rng.normal(-np.pi / 2, 0.8)
    hard = 0.0 if rng.random() < 0.15 else rng.uniform(0.2, 1.0)  # at times none falls
    return Light((float(np.cos(angle)), float(np.sin(angle))), float(hard))


def _shadow(rng: np.random.Generator, side: float, light: Light) -> Shadow | None:
    if light.hard == 0:
        return None
    lift = max(1.0, side * rng.uniform(0.006, 0.03))
    shift = (round(-light.direction[0] * lift), round(-light.direction[1] * lift))
    return Shadow(shift, max(1, round(lift * rng.uniform(0.7, 1.4))), 0.15 + 0.35 * light.hard)


def _camera(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """What makes one photo of ground and products: a fall-off of the light, a little blur, noise. No hue changes."""
    height, width = picture.shape[:2]
    angle, fall = rng.uniform(0, 2 * np.pi), rng.uniform(0.0, 0.12)
    y, x = np.linspace(-0.5, 0.5, height)[:, None], np.linspace(-0.5, 0.5, width)[None]
    tone = 1 - fall * (0.5 + 0.7 * (np.cos(angle) * x + np.sin(angle) * y))
    if rng.random() < 0.4:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 0.8))
    noise = camera_noise()
    if max(height, width) > len(noise):
        noise = np.tile(noise, (2, 2, 1))
    top, left = rng.integers(0, len(noise) + 1 - height), rng.integers(0, len(noise) + 1 - width)
    grain = noise[top : top + height, left : left + width]
    lit = picture * tone[..., None].astype(np.float32) + rng.uniform(0.0, 0.18) * grain
    return np.clip(lit + 0.5, 0, 255).astype(np.uint8)
