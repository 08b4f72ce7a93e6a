"""A procedural catalog: product photos with exact masks and attributes, for demos, tests and pretraining.

Image i depends on (seed, i) and the picture settings alone, so any number of processes may draw parts of one catalog.
"""

import re
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal, NamedTuple

import cv2
import msgspec
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from . import masks
from .coco import Annotation, Category, CocoFile, Image, write_coco
from .errors import InputError
from .files import write_atomic
from .schema import Attribute, Schema
from .synth.colours import COLOURS
from .synth.grounds import GROUNDS
from .synth.materials import SURFACES, fabric
from .synth.scene import SynthProduct, compose

__all__ = ["CATEGORIES", "SCHEMA", "SynthConfig", "SynthProduct", "fabric", "generate", "render"]

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
DESCRIPTION = "segattr synthetic catalog"
LICENSES = [{"id": 1, "name": "CC0-1.0"}]  # drawn pictures: whoever draws them may do with them what they like
UNFINISHED = ".unfinished"
IMAGE_NAME = re.compile(r"images/\d{6,}\.(jpg|png)")


@dataclass(frozen=True)
class SynthConfig:
    """What to draw. Raises InputError where a value cannot be drawn."""

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
            (self.format in ("jpg", "png"), f"format is {self.format!r}, expected jpg or png"),
        )
        for holds, message in checks:
            if not holds:
                raise InputError(f"synthetic catalog: {message}.")


GROUND_CHOICES = ("mixed", *GROUNDS)


def render(seed: int, index: int, config: SynthConfig) -> tuple[np.ndarray, list[SynthProduct]]:
    """Image ``index`` (from 0) of the catalog ``seed``: uint8 (size_px, size_px, 3) RGB, and its products.

    Masks are the visible parts and do not overlap. Of ``config`` only size_px, products and ground count.
    """
    return compose(np.random.default_rng([seed, index]), config.size_px, config.products, config.ground)


class _Drawn(NamedTuple):
    file_name: str
    products: list[tuple[dict[str, Any], str, dict[str, Any]]]  # rle, category, attributes


def _draw(task: tuple[int, SynthConfig, Path]) -> _Drawn:
    """Draw one image and write it."""
    index, config, out_dir = task
    rgb, products = render(config.seed, index, config)
    flags = [cv2.IMWRITE_JPEG_QUALITY, 92] if config.format == "jpg" else [cv2.IMWRITE_PNG_COMPRESSION, 3]
    _, data = cv2.imencode(f".{config.format}", rgb[..., ::-1], flags)
    file_name = f"images/{index + 1:06d}.{config.format}"
    (out_dir / file_name).write_bytes(data.tobytes())
    return _Drawn(file_name, [(masks.encode(p.mask), p.category, p.attributes) for p in products])


def _one_thread() -> None:
    cv2.setNumThreads(1)


def _draw_all(config: SynthConfig, out_dir: Path) -> Iterator[_Drawn]:
    """All images in order; at most a few tasks a worker are waiting at any time."""
    tasks = ((index, config, out_dir) for index in range(config.images))
    if config.workers == 1:
        yield from map(_draw, tasks)
        return
    with ProcessPoolExecutor(config.workers, get_context("spawn"), _one_thread) as pool:
        waiting = deque(pool.submit(_draw, task) for task in islice(tasks, 8 * config.workers))
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(pool.submit(_draw, task) for task in islice(tasks, 1))


def _earlier_images(out_dir: Path) -> set[str]:
    """File names of the synthetic catalog that ``out_dir`` holds; InputError where it holds somebody else's work."""
    path, images = out_dir / "catalog.json", out_dir / "images"
    if out_dir.exists() and not out_dir.is_dir():
        raise InputError(f"{out_dir} is a file; give a folder to draw the catalog into.")
    if not path.exists():
        present = {f"images/{file.name}" for file in images.iterdir()} if images.is_dir() else set()
        if present and not (out_dir / UNFINISHED).exists():
            raise InputError(f"{images} holds files that were not drawn here; give another folder.")
        return {name for name in present if IMAGE_NAME.fullmatch(name)}
    try:
        found = msgspec.json.decode(path.read_bytes(), type=dict)
        ours = str((found.get("info") or {}).get("description", "")).startswith(DESCRIPTION)
        names = {str(image["file_name"]) for image in found["images"]} if ours else set()
    except (msgspec.MsgspecError, AttributeError, KeyError, TypeError, UnicodeDecodeError):
        ours = False
    if not ours:
        raise InputError(f"{path} is a catalog that was not drawn here; give another folder, or move that file away.")
    return {name for name in names if IMAGE_NAME.fullmatch(name)}


def generate(config: SynthConfig, out_dir: str | Path, progress: bool = True) -> Path:
    """Draw a catalog into ``out_dir``: images/000001.jpg ... and catalog.json, whose path is returned.

    The JSON is COCO with RLE masks, attributes and ``attribute_schema``; ids start at 1. An earlier synthetic catalog
    in ``out_dir`` is replaced, its spare images removed; raises InputError where catalog.json is somebody else's.
    """
    out_dir = Path(out_dir)
    earlier = _earlier_images(out_dir)
    (out_dir / "images").mkdir(parents=True, exist_ok=True)
    # While images change under it the old JSON would tell lies; the marker says that what lies here is ours.
    write_atomic(out_dir / UNFINISHED, "This folder's synthetic catalog is unfinished: draw it again.\n")
    (out_dir / "catalog.json").unlink(missing_ok=True)
    images, annotations = [], []
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=not progress) as bar:
        job = bar.add_task("drawing", total=config.images, rate="")
        for number, drawn in enumerate(_draw_all(config, out_dir), 1):
            images.append(Image(number, drawn.file_name, config.size_px, config.size_px))
            for rle, category, attributes in drawn.products:
                x, y, w, h = masks.xywh(rle)
                annotations.append(
                    Annotation(
                        len(annotations) + 1,
                        number,
                        CATEGORIES.index(category) + 1,
                        rle,
                        [x, y, w, h],
                        float(masks.area(rle)),
                        attributes=attributes,
                    )
                )
            speed = bar.tasks[0].speed
            bar.update(job, advance=1, rate=f"{speed:.1f} images/s" if speed else "")
    for name in earlier - {image.file_name for image in images}:
        (out_dir / name).unlink(missing_ok=True)
    categories = [Category(i, name) for i, name in enumerate(CATEGORIES, 1)]
    info = {"description": DESCRIPTION, "version": "1", "seed": config.seed, "size_px": config.size_px}
    path = out_dir / "catalog.json"
    write_coco(path, CocoFile(images, annotations, categories, SCHEMA, info, licenses=LICENSES))
    (out_dir / UNFINISHED).unlink()
    return path
