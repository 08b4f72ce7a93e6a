"""``segattr bench extract``: images per second of every stage, and of batched crops against the usual loop.

``segattr bench instance`` is in bench_instance, ``segattr bench evaluate`` in bench_evaluate."""

import contextlib
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.table import Table

from .. import __version__
from ..attributes.crops import cut_crops, cut_one
from ..attributes.predictor import CHUNK, Predictor, load_predictor
from ..datasets.errors import InputError
from ..datasets.images import list_images, load_rgb
from ..datasets.synthetic import SynthConfig, generate
from ..seg.segments import Segment
from . import extraction_output
from .extract import ExtractConfig, extract
from .extraction import scan
from .extraction_log import Journal, journal_folder

LOOP_PX = 224  # what the usual per-instance loop feeds its network


@dataclass(frozen=True)
class BenchExtract:
    """Time extraction on this machine: decode, segment, crops + attributes, write, and the whole."""

    images: Path | None = None
    """Photos to time on; default: a synthetic catalog of 400 px photos."""
    count: int = 64
    """How many photos."""
    model: str = "default"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    batch_size: int = 16
    instances: int = 8
    """Instances a photo in the comparison of batched crops with the per-instance loop."""
    repeats: int = 3
    """The best of so many runs counts for a stage; the median ratio of so many pairs for the comparison."""
    threads: int | None = None
    """Torch's threads; default: as torch chooses."""


def main(argv: list[str]) -> int:
    if argv and argv[0] == "instance":
        from .bench_instance import BenchInstance, bench_instance

        return bench_instance(tyro.cli(BenchInstance, args=argv[1:], prog="segattr bench instance"))
    if argv and argv[0] == "evaluate":
        from .bench_evaluate import BenchEvaluate, bench_evaluate

        return bench_evaluate(tyro.cli(BenchEvaluate, args=argv[1:], prog="segattr bench evaluate"))
    if argv and argv[0] == "extract":
        return bench_extract(tyro.cli(BenchExtract, args=argv[1:], prog="segattr bench extract"))
    print("usage: segattr bench evaluate|extract|instance [--help]")
    return 0 if argv and argv[0] in ("-h", "--help") else 2


def bench_extract(config: BenchExtract) -> int:
    """Print the tables. InputError for a missing folder or a count below 1."""
    for flag in ("count", "batch_size", "instances", "repeats"):
        if getattr(config, flag) < 1:
            raise InputError(f"--{flag.replace('_', '-')} {getattr(config, flag)}: expected 1 or more")
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    console = Console()
    predictor = load_predictor(config.model, config.device)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        paths = _photos(config, folder)
        console.print(
            f"{len(paths)} photos, batches of {config.batch_size}, {torch.get_num_threads()} torch threads, "
            f"{predictor.device}, torch {torch.__version__}",
            highlight=False,
        )
        console.print(_stages(config, predictor, paths, folder))
        console.print(_crops_table(config, predictor, [load_rgb(path) for path in paths[:8]]))
    return 0


def _photos(config: BenchExtract, folder: Path) -> list[Path]:
    if config.images is None:
        with contextlib.redirect_stderr(io.StringIO()):
            generate(SynthConfig(images=config.count, size_px=400, seed=0, products=(1, 1)), folder / "photos")
        return list_images([folder / "photos"])
    return list_images([config.images])[: config.count]


def _stages(config: BenchExtract, predictor: Predictor, paths: list[Path], folder: Path) -> Table:
    photos = [load_rgb(path) for path in paths]
    batches = [photos[i : i + config.batch_size] for i in range(0, len(photos), config.batch_size)]
    predictor(batches[0])  # the first call compiles kernels and allocates
    segments = [predictor.segmenter.predict(batch) for batch in batches]
    products = sum(len(found) for batch in segments for found in batch)
    seconds = {
        "decode (one thread)": _best(config, lambda: [load_rgb(path) for path in paths]),
        "segment": _best(config, lambda: [predictor.segmenter.predict(batch) for batch in batches]),
        "crops + attributes + palette": _best(
            config, lambda: [predictor.describe(b, s) for b, s in zip(batches, segments, strict=True)]
        ),
    }
    out = folder / "out"
    runs = ExtractConfig(paths=tuple(paths), out=out, batch_size=config.batch_size, restart=True)
    with contextlib.redirect_stderr(io.StringIO()):
        whole = _best(config, lambda: extract(runs, predictor))
    seconds["write (json, parquet, html)"] = _best(config, lambda: _write_again(config, predictor, paths, out))
    seconds["the whole: segattr extract"] = whole
    table = Table("stage", "images/s", "ms an image", title=f"extract: {len(paths)} photos, {products} products found")
    for stage, spent in seconds.items():
        table.add_row(stage, f"{len(paths) / spent:.1f}", f"{1000 * spent / len(paths):.1f}")
    return table


def _write_again(config: BenchExtract, predictor: Predictor, paths: list[Path], out: Path) -> None:
    from .report import write_report

    found = scan(paths)
    identity = {"segattr": __version__, "model": predictor.fingerprint}
    with Journal(journal_folder(out), identity, restart=False) as journal:
        extraction = extraction_output.Extraction(
            found, journal, list(predictor.categories), predictor.schema, config.model, predictor.fingerprint
        )
        extraction_output.write_predictions(extraction, out / "predictions.json")
        extraction_output.write_parquet(extraction, out / "instances.parquet")
        write_report(extraction, out / "report.html", max_photos=400)


def _crops_table(config: BenchExtract, predictor: Predictor, photos: list[np.ndarray]) -> Table:
    """The batched path and the usual loop (one 224 px crop at a time), same weights, same instances, in turns."""
    segments = [_ellipses(photo, config.instances, seed) for seed, photo in enumerate(photos)]
    flat = [segment for of_photo in segments for segment in of_photo]
    owner = [i for i, of_photo in enumerate(segments) for _ in of_photo]
    network, grow = predictor.network, predictor.network.config.grow

    @torch.inference_mode()
    def batched() -> None:
        for begin in range(0, len(flat), CHUNK):
            some = slice(begin, begin + CHUNK)
            network(cut_crops(photos, flat[some], owner[some], network.config.crop_px, grow, predictor.device))

    @torch.inference_mode()
    def loop() -> None:
        for segment, i in zip(flat, owner, strict=True):
            crop = torch.from_numpy(cut_one(photos[i], segment, LOOP_PX, grow)).permute(2, 0, 1)[None]
            network(crop.to(predictor.device))

    batched(), loop()
    pairs = [(_timed(batched), _timed(loop)) for _ in range(config.repeats)]
    ours, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = statistics.median(slow / fast for fast, slow in pairs)
    table = Table("crops + heads", "instances/s", "ratio", title=f"{config.instances} instances a photo, same weights")
    table.add_row(f"batches of {CHUNK}, {network.config.crop_px} px", f"{len(flat) / ours:.0f}", f"{ratio:.1f}x")
    table.add_row(f"one by one, {LOOP_PX} px", f"{len(flat) / theirs:.0f}", "1.0x")
    return table


def _ellipses(photo: np.ndarray, count: int, seed: int) -> list[Segment]:
    """Instances of a size that many products in one photo have."""
    rng = np.random.default_rng(seed)
    height, width = photo.shape[:2]
    found = []
    for _ in range(count):
        w, h = (max(8, int(side * rng.uniform(0.2, 0.45))) for side in (width, height))
        x, y = int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))
        rows, columns = np.ogrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j]
        found.append(Segment((x, y, x + w, y + h), rows**2 + columns**2 <= 1, (height, width)))
    return found


def _best(config: BenchExtract, work: Callable[[], object]) -> float:
    return min(_timed(work) for _ in range(config.repeats))


def _timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - begin
