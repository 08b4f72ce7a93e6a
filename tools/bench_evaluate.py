"""``segattr bench evaluate``: COCO mAP and the joint AP against pycocotools, on one problem, each in its own process."""

import contextlib
import io
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pycocotools import mask as coco_mask
from rich.console import Console
from rich.table import Table

from ..datasets.coco import read_coco
from ..datasets.errors import InputError
from ..seg.coco_eval import COCO_KEYS, coco_evaluate
from ..seg.pairing import pair, read_predictions
from .peak_memory import highest_mib

Clock = Callable[[], float]

HEIGHT, WIDTH = 480, 640  # px
SIDES = {"segattr": "COCO mAP, segattr", "joint": "joint AP, segattr", "pycocotools": "COCO mAP, pycocotools"}


@dataclass(frozen=True)
class BenchEvaluate:
    """Time the evaluation of a random catalog: read both files, pair, measure; against pycocotools in the same run."""

    photos: int = 2000
    detections: int = 20
    """A photo."""
    products: int = 7
    """A photo."""
    categories: int = 10
    kind: Literal["segm", "bbox"] = "segm"
    repeats: int = 3
    """Runs of each, in turns, every one in a process of its own; the medians count."""
    clock: Literal["wall", "cpu"] = "wall"
    """cpu: seconds of all threads together, where other work shares the machine."""
    seed: int = 0


def bench_evaluate(config: BenchEvaluate) -> int:
    """Print the table. InputError for numbers below 1; 1 where the twelve numbers are not those of pycocotools."""
    for name in ("photos", "detections", "products", "categories", "repeats"):
        if getattr(config, name) < 1:
            raise InputError(f"--{name} {getattr(config, name)}: expected 1 or more")
    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        size = write_problem(config, Path(folder))
        console.print(
            f"{config.photos:,} photos, {config.photos * config.detections:,} detections, {config.photos * config.products:,} "
            f"products, {size / 1e6:.0f} MB of JSON, {config.kind}; {os.cpu_count()} cores, "
            + ", ".join(f"{name} {version(name)}" for name in ("hotcoco", "pycocotools", "numpy")),
            highlight=False,
        )
        runs: dict[str, list[dict]] = {side: [] for side in SIDES}
        for _ in range(config.repeats):
            for side, found in runs.items():
                found.append(_elsewhere(config, side, Path(folder)))
    console.print(_table(runs))
    ours, theirs = ([runs[side][0]["numbers"][key] for key in COCO_KEYS] for side in ("segattr", "pycocotools"))
    equal = np.allclose(ours, theirs, rtol=0, atol=1e-9)
    console.print("The twelve numbers are " + ("equal to 1e-9." if equal else f"NOT equal: {ours} and {theirs}."))
    return 0 if equal else 1


def _elsewhere(config: BenchEvaluate, side: str, folder: Path) -> dict[str, Any]:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, config, side, folder).result()


def measure(config: BenchEvaluate, side: str, folder: Path) -> dict[str, Any]:
    """One evaluation of the problem in ``folder``: ``read`` and ``evaluate`` in seconds, ``mib`` at the highest,
    libraries and all, and ``numbers``."""
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints what it does
        run = _by_pycocotools if side == "pycocotools" else _by_segattr
        clock = time.perf_counter if config.clock == "wall" else time.process_time
        read, evaluate, numbers = run(side, folder, config.kind, clock)
    return {"read": read, "evaluate": evaluate, "mib": highest_mib(), "numbers": numbers}


def _by_segattr(side: str, folder: Path, kind: str, clock: Clock) -> tuple[float, float, dict[str, float]]:
    stem = "joint_" if side == "joint" else ""
    if side == "joint":
        from ..attributes.joint_ap import pairing_joint_ap
    begin = clock()
    pairing = pair(read_coco(folder / f"{stem}truth.json"), read_predictions(folder / f"{stem}results.json"))
    middle = clock()
    if side == "joint":
        numbers = pairing_joint_ap(pairing, list(pairing.schema), kind=kind).numbers
    else:
        found = coco_evaluate(
            pairing.truth,
            pairing.detections,
            sizes=pairing.sizes,
            categories=len(pairing.categories),
            kind=kind,
        )
        numbers = found.numbers
    return middle - begin, clock() - middle, numbers


def _by_pycocotools(side: str, folder: Path, kind: str, clock: Clock) -> tuple[float, float, dict[str, float]]:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    begin = clock()
    truth = COCO(folder / "truth.json")
    results = truth.loadRes(str(folder / "results.json"))
    middle = clock()
    evaluator = COCOeval(truth, results, kind)
    evaluator.evaluate()
    evaluator.accumulate()
    evaluator.summarize()
    numbers = dict(zip(COCO_KEYS, map(float, evaluator.stats), strict=True))
    return middle - begin, clock() - middle, numbers


def _table(runs: dict[str, list[dict]]) -> Table:
    table = Table("seconds", "read", "evaluate", "total", "speed", "peak MiB", title="medians")
    theirs = _medians(runs["pycocotools"])
    for side, name in SIDES.items():
        mine = _medians(runs[side])
        together = mine["read"] + mine["evaluate"]
        ratio = (theirs["read"] + theirs["evaluate"]) / together
        seconds = [f"{value:.2f}" for value in (mine["read"], mine["evaluate"], together)]
        table.add_row(name, *seconds, f"{ratio:.1f}x", f"{mine['mib']:.0f}")
    return table


def _medians(runs: list[dict]) -> dict[str, float]:
    return {key: statistics.median(run[key] for run in runs) for key in ("read", "evaluate", "mib")}


def write_problem(config: BenchEvaluate, folder: Path) -> int:
    """truth.json and results.json in ``folder``, and, as joint_*.json, the same with attributes; the plain two's bytes.

    Half of the detections are products, a little moved, the others lie anywhere; a twentieth of the truth are crowds.
    """
    rng = np.random.default_rng(config.seed)
    values = {"color": [f"color {i}" for i in range(13)], "pattern": [f"pattern {i}" for i in range(10)]}
    annotations, results = [], []
    for photo in range(1, config.photos + 1):
        shapes = [(_shape(rng), int(rng.integers(1, config.categories + 1))) for _ in range(config.products)]
        for shape, category in shapes:
            row = {"id": len(annotations) + 1, "image_id": photo, "category_id": category, **_drawn(shape)}
            crowd = int(rng.random() < 0.05)
            annotations.append(row | {"iscrowd": crowd, "attributes": _attributes(rng, values)})
        for _ in range(config.detections):
            shape, category = shapes[rng.integers(config.products)]
            shape = _moved(shape, rng) if rng.random() < 0.5 else _shape(rng)
            place = _drawn(shape)
            place = {"segmentation": place["segmentation"]} if config.kind == "segm" else {"bbox": place["bbox"]}
            score = round(float(rng.random()), 3)  # some are tied
            row = {"image_id": photo, "category_id": category, "score": score, **place}
            results.append(row | {"attributes": _attributes(rng, values)})
    size = {"height": HEIGHT, "width": WIDTH}
    images = [{"id": i, "file_name": f"{i:06d}.jpg", **size} for i in range(1, config.photos + 1)]
    names = [{"id": i, "name": f"category {i}"} for i in range(1, config.categories + 1)]
    schema = [{"name": name, "kind": "multi", "values": of_one} for name, of_one in values.items()]
    plain = {"images": images, "categories": names}
    joint = {**plain, "annotations": annotations, "attribute_schema": schema}
    (folder / "joint_truth.json").write_text(json.dumps(joint))
    (folder / "joint_results.json").write_text(json.dumps(results))
    for row in (*annotations, *results):
        del row["attributes"]
    written = [json.dumps({**plain, "annotations": annotations}), json.dumps(results)]
    (folder / "truth.json").write_text(written[0])
    (folder / "results.json").write_text(written[1])
    return sum(map(len, written))


def _attributes(rng: np.random.Generator, values: dict[str, list[str]]) -> dict[str, list[str]]:
    return {
        name: [of_one[i] for i in set(rng.integers(len(of_one), size=2).tolist())] for name, of_one in values.items()
    }


_Shape = tuple[int, int, np.ndarray]  # left, top, heights int (2, w) above and below the middle


def _shape(rng: np.random.Generator) -> _Shape:
    """A blob with an uneven rim, 16 to 250 px wide."""
    width, height = np.exp(rng.uniform(np.log(16), np.log(250), 2)).astype(int)
    arch = np.sqrt(1 - np.linspace(-1, 1, width + 2)[1:-1] ** 2)
    rim = 1 + 0.1 * np.sin(np.linspace(0, rng.uniform(5, 25), width))
    halves = np.maximum(1, np.stack([arch * rim, arch / rim]) * height / 2).astype(int)
    return int(rng.integers(WIDTH - width)), int(rng.integers(20, HEIGHT - 20)), halves


def _moved(shape: _Shape, rng: np.random.Generator) -> _Shape:
    left, middle, halves = shape
    dx, dy = (rng.normal(0, 0.04, 2) * (halves.shape[1], 2 * halves.max())).astype(int)
    left = int(np.clip(left + dx, 0, WIDTH - halves.shape[1]))
    return left, int(np.clip(middle + dy, 20, HEIGHT - 20)), np.maximum(1, halves + rng.integers(-2, 3))


def _drawn(shape: _Shape) -> dict[str, Any]:
    """Segmentation, bbox (xywh, px) and area (px) of a shape: one run a column."""
    left, middle, (above, below) = shape
    tops, feet = np.maximum(middle - above, 0), np.minimum(middle + below, HEIGHT)
    columns = (left + np.arange(len(tops))) * HEIGHT
    edges = np.stack([columns + tops, columns + feet], axis=1).ravel()
    joined = np.flatnonzero(edges[2::2] == edges[1:-1:2])  # from the foot of one column to the head of the next
    edges = np.delete(edges, np.r_[2 * joined + 1, 2 * joined + 2])
    runs = np.diff(edges, prepend=0, append=HEIGHT * WIDTH).tolist()
    rle = coco_mask.frPyObjects({"size": [HEIGHT, WIDTH], "counts": runs}, HEIGHT, WIDTH)
    box = [left, int(tops.min()), len(tops), int(feet.max() - tops.min())]
    segmentation = {"size": [HEIGHT, WIDTH], "counts": rle["counts"].decode()}
    return {"segmentation": segmentation, "bbox": box, "area": int((feet - tops).sum())}
