"""Catalogs that a program makes: any number of processes draw the pictures, one folder takes them."""

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import msgspec
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from . import masks
from .coco import Annotation, CocoFile, Image, write_coco
from .errors import InputError
from .files import write_atomic

_UNFINISHED = ".unfinished"
_IMAGE_NAME = re.compile(r"images/\d{6,}\.(jpg|png)")


class DrawnProduct(NamedTuple):
    """``rle`` of the visible part, ``category_id``, and what the annotation says besides."""

    rle: dict[str, Any]
    category_id: int
    attributes: dict[str, Any]
    extra: dict[str, Any]


@dataclass(frozen=True)
class Drawn:
    """A picture that lies in the folder already: ``size`` (h, w) px."""

    file_name: str
    size: tuple[int, int]
    products: list[DrawnProduct]
    extra: dict[str, Any] = field(default_factory=dict)


def write_picture(rgb: np.ndarray, out_dir: Path, index: int, kind: str) -> str:
    """Write picture ``index`` (from 0) as jpg at quality 92 or as png; returns its file name, relative to ``out_dir``."""
    flags = [cv2.IMWRITE_JPEG_QUALITY, 92] if kind == "jpg" else [cv2.IMWRITE_PNG_COMPRESSION, 3]
    _, data = cv2.imencode(f".{kind}", rgb[..., ::-1], flags)
    file_name = f"images/{index + 1:06d}.{kind}"
    (out_dir / file_name).write_bytes(data.tobytes())
    return file_name


def write_catalog(out_dir: Path, head: CocoFile, drawn: Iterable[Drawn], total: int, progress: bool) -> Path:
    """Collect ``drawn`` into ``out_dir``/catalog.json, whose path is returned; ids start at 1.

    ``head``: categories, schema, licences and info, whose description tells who made the catalog: an earlier one of the
    same maker is replaced, its spare images removed; InputError where the folder holds somebody else's work. Nothing of
    ``drawn`` is asked for before that is known.
    """
    path = out_dir / "catalog.json"
    earlier = _earlier_images(out_dir, head.info["description"])
    (out_dir / "images").mkdir(parents=True, exist_ok=True)
    # While images change under it the old JSON would tell lies; the marker says that what lies here is ours.
    write_atomic(out_dir / _UNFINISHED, "This folder's catalog is unfinished: draw it again.\n")
    path.unlink(missing_ok=True)
    coco = replace(head, images=[], annotations=[])
    for number, picture in enumerate(_shown(drawn, total, progress), 1):
        height, width = picture.size
        coco.images.append(Image(number, picture.file_name, width, height, picture.extra))
        coco.annotations += [_annotation(product, number) for product in picture.products]
    for number, annotation in enumerate(coco.annotations, 1):
        annotation.id = number
    for name in earlier - {image.file_name for image in coco.images}:
        (out_dir / name).unlink(missing_ok=True)
    write_coco(path, coco)
    (out_dir / _UNFINISHED).unlink()
    return path


def _annotation(product: DrawnProduct, image_id: int) -> Annotation:
    rle, area = product.rle, float(masks.area(product.rle))
    said = {"attributes": product.attributes, "extra": product.extra}
    return Annotation(0, image_id, product.category_id, rle, list(masks.xywh(rle)), area, **said)


def _shown(drawn: Iterable[Drawn], total: int, progress: bool) -> Iterator[Drawn]:
    bar = BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn()
    with Progress(TextColumn("drawing"), *bar, console=Console(stderr=True), disable=not progress) as shown:
        job = shown.add_task("", total=total, rate="")
        for picture in drawn:
            yield picture
            speed = shown.tasks[0].speed
            shown.update(job, advance=1, rate=f"{speed:.1f} images/s" if speed else "")


def draw_all(make: Callable[[], Callable[[int], Drawn]], total: int, workers: int) -> Iterator[Drawn]:
    """Pictures 0 to ``total`` - 1 in order. ``make`` is called once in every process and gives what draws picture i;
    at most a few pictures a worker are waiting at any time."""
    if workers == 1:
        yield from map(make(), range(total))
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), _Worker.start, (make,)) as pool:
        numbers = iter(range(total))
        waiting = deque(pool.submit(_Worker.draw, i) for i in islice(numbers, 8 * workers))
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(pool.submit(_Worker.draw, i) for i in islice(numbers, 1))


class _Worker:
    """What a process of the pool keeps: a task that brought it along would be sent for every picture."""

    drawer: Callable[[int], Drawn]

    @classmethod
    def start(cls, make: Callable[[], Callable[[int], Drawn]]) -> None:
        cv2.setNumThreads(1)
        cls.drawer = staticmethod(make())

    @classmethod
    def draw(cls, index: int) -> Drawn:
        return cls.drawer(index)


def _earlier_images(out_dir: Path, description: str) -> set[str]:
    """File names of the maker's earlier catalog in ``out_dir``; InputError where it holds somebody else's work."""
    path, images = out_dir / "catalog.json", out_dir / "images"
    if out_dir.exists() and not out_dir.is_dir():
        raise InputError(f"{out_dir} is a file; give a folder to draw the catalog into.")
    if not path.exists():
        present = {f"images/{file.name}" for file in images.iterdir()} if images.is_dir() else set()
        if present and not (out_dir / _UNFINISHED).exists():
            raise InputError(f"{images} holds files that were not drawn here; give another folder.")
        return {name for name in present if _IMAGE_NAME.fullmatch(name)}
    try:
        found = msgspec.json.decode(path.read_bytes(), type=dict)
        ours = str((found.get("info") or {}).get("description", "")).startswith(description)
        names = {str(image["file_name"]) for image in found["images"]} if ours else set()
    except (msgspec.MsgspecError, AttributeError, KeyError, TypeError, UnicodeDecodeError):
        ours = False
    if not ours:
        raise InputError(f"{path} is a catalog that was not drawn here; give another folder, or move that file away.")
    return {name for name in names if _IMAGE_NAME.fullmatch(name)}
