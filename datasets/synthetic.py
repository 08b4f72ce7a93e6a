"""Procedural catalogs: product photos with exact masks and attributes, for demos, tests and pretraining.

Image i depends on (seed, i) and the picture settings alone, so any number of processes may draw parts of one catalog.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from . import masks
from .coco import Category, CocoFile
from .drawing import Drawn, DrawnProduct, draw_all, write_catalog, write_picture
from .errors import InputError
from .schema import Attribute, Schema
from .synth import scene, tray
from .synth.colours import COLOURS
from .synth.grounds import GROUNDS
from .synth.jewels import BUILDERS, METALS, STONES
from .synth.materials import SURFACES, fabric
from .synth.metalwork import FINISHES
from .synth.scene import SynthProduct

__all__ = ["CATEGORIES", "SCHEMA", "TRADES", "SynthConfig", "SynthProduct", "Trade", "fabric", "generate", "render"]

CATEGORIES: tuple[str, ...] = (
    "t-shirt",
    "longsleeve",
    "pants",
    "shoes",
    "shirt",
    "dress",
    "outwear",
    "shorts",
    "hat",
    "skirt",
    "polo",
    "undershirt",
    "blazer",
    "hoodie",
    "body",
    "top",
    "blouse",
)
"""Category names; the id in a file is the place + 1."""
PATTERNS = (
    "solid",
    "striped",
    "checked",
    "dotted",
    "floral",
    "graphic",
    "animal",
    "camouflage",
    "colorblock",
    "allover",
)
SCHEMA = Schema(
    (
        Attribute("color", "multi", COLOURS),
        Attribute("pattern", "single", PATTERNS),
        Attribute("material", "single", tuple(SURFACES)),
    )
)
JEWELLERY = Schema(
    (
        Attribute("metal", "single", METALS),
        Attribute("stone", "single", STONES),
        Attribute("finish", "single", FINISHES),
        Attribute("earring", "single", ("stud", "hoop", "drop"), categories=("earrings",)),
        Attribute("chain", "single", ("none", "beads", "links"), categories=("bracelet", "necklace")),
        Attribute("weight", "number", unit="g"),
    )
)


class Trade(NamedTuple):
    """What a shop sells. ``categories``: the id in a file is the place + 1. ``compose``: draws a picture from (generator,
    size_px, products, ground); returns rgb, products and what the file says of the image besides."""

    categories: tuple[str, ...]
    schema: Schema
    compose: Callable[..., tuple[np.ndarray, list[SynthProduct], dict[str, Any]]]


TRADES: dict[str, Trade] = {
    "garments": Trade(CATEGORIES, SCHEMA, lambda *args: (*scene.compose(*args), {})),
    "jewellery": Trade(tuple(BUILDERS), JEWELLERY, tray.compose),
}
DESCRIPTION = "segattr synthetic catalog"
LICENSES = [{"id": 1, "name": "CC0-1.0"}]  # drawn pictures: whoever draws them may do with them what they like


@dataclass(frozen=True)
class SynthConfig:
    """What to draw. Raises InputError where a value cannot be drawn."""

    trade: Literal["garments", "jewellery"] = "garments"
    """What the shop sells. jewellery: rings, earrings, bracelets, necklaces, each category at one scale (an image's
    mm_per_px); metal, stone, finish, and the weight in g that follows from what is drawn."""
    images: int = 100
    """How many images."""
    size_px: int = 384
    """Side of the square images, in pixels; 32 to 2048."""
    seed: int = 0
    """Image i depends on (seed, i) and the picture settings alone."""
    products: tuple[int, int] = (1, 3)
    """Fewest and most products in an image, 1 to 6. One hidden by more than 70 % is left out again."""
    ground: Literal["mixed", "studio", "wood", "cloth", "cluttered", "bright", "ornament"] = "mixed"
    """What the products lie on."""
    format: Literal["jpg", "png"] = "jpg"
    """jpg at quality 92, or png."""
    workers: int = 1
    """Processes that draw. Their number changes no byte of the result."""

    def __post_init__(self) -> None:
        low, high = self.products
        checks = (
            (self.images >= 1, f"images is {self.images}, expected 1 or more"),
            (32 <= self.size_px <= 2048, f"size_px is {self.size_px}, expected 32 to 2048"),
            (self.seed >= 0, f"seed is {self.seed}, expected 0 or more"),
            (1 <= low <= high <= 6, f"products is {low} {high}, expected fewest and most between 1 and 6"),
            (self.workers >= 1, f"workers is {self.workers}, expected 1 or more"),
            (self.ground in GROUND_CHOICES, f"ground is {self.ground!r}, expected one of {', '.join(GROUND_CHOICES)}"),
            (self.trade in TRADES, f"trade is {self.trade!r}, expected one of {', '.join(TRADES)}"),
            (self.format in ("jpg", "png"), f"format is {self.format!r}, expected jpg or png"),
        )
        for holds, message in checks:
            if not holds:
                raise InputError(f"synthetic catalog: {message}.")


GROUND_CHOICES = ("mixed", *GROUNDS)


def render(seed: int, index: int, config: SynthConfig) -> tuple[np.ndarray, list[SynthProduct]]:
    """Image ``index`` (from 0) of the catalog ``seed``: uint8 (size_px, size_px, 3) RGB, and its products.

    Masks are the visible parts and do not overlap. Of ``config`` only trade, size_px, products and ground count.
    """
    return _draw(seed, index, config)[:2]


def _draw(seed: int, index: int, config: SynthConfig) -> tuple[np.ndarray, list[SynthProduct], dict[str, Any]]:
    rng = np.random.default_rng([seed, index])
    return TRADES[config.trade].compose(rng, config.size_px, config.products, config.ground)


class _Painter:
    """Draws the images of one catalog into its folder."""

    def __init__(self, config: SynthConfig, out_dir: Path):
        self.config, self.out_dir = config, out_dir

    def __call__(self, index: int) -> Drawn:
        categories = TRADES[self.config.trade].categories
        rgb, products, extra = _draw(self.config.seed, index, self.config)
        name = write_picture(rgb, self.out_dir, index, self.config.format)
        drawn = [
            DrawnProduct(masks.encode(p.mask), categories.index(p.category) + 1, p.attributes, {}) for p in products
        ]
        return Drawn(name, rgb.shape[:2], drawn, extra)


def generate(config: SynthConfig, out_dir: str | Path, progress: bool = True) -> Path:
    """Draw a catalog into ``out_dir``: images/000001.jpg ... and catalog.json, whose path is returned.

    The JSON is COCO with RLE masks, attributes and ``attribute_schema``; ids start at 1. An earlier synthetic catalog
    in ``out_dir`` is replaced, its spare images removed; raises InputError where catalog.json is somebody else's.
    """
    out_dir = Path(out_dir)
    trade = TRADES[config.trade]
    categories = [Category(i, name) for i, name in enumerate(trade.categories, 1)]
    info = {"description": DESCRIPTION, "version": "1", "seed": config.seed, "size_px": config.size_px}
    head = CocoFile([], [], categories, trade.schema, info | {"trade": config.trade}, licenses=LICENSES)
    drawn = draw_all(partial(_Painter, config, out_dir), config.images, config.workers)
    return write_catalog(out_dir, head, drawn, config.images, progress)
