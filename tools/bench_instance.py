"""``segattr bench instance``: our Mask R-CNN (on torchvision's) and detectron2's, at equal work, in one run."""

import contextlib
import io
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from rich.console import Console
from rich.table import Table

from ..datasets.coco import read_coco
from ..datasets.errors import InputError
from ..datasets.synthetic import SynthConfig, generate
from ..datasets.torch_datasets import InstanceDataset
from ..seg import detectron2
from ..seg.instance import InstanceConfig, InstanceNet, InstanceSegmenter, InstanceTask, collate
from .peak_memory import highest_mib

_LR = 1e-6  # weights that hardly move: every step is the same work
_DONE = {"predict": "masks found", "step": "tensors trained"}


@dataclass(frozen=True)
class BenchInstance:
    """Time prediction and a training step of Mask R-CNN on this machine: ours, and detectron2's where installed.

    Both have the same layers (a ResNet with an FPN of 256 channels and torchvision's v2 heads), the same weights, which
    are random, the same anchors, proposals, samples and detections, and float32; the photos are drawn.
    """

    backbone: Literal["resnet18", "resnet34", "resnet50", "resnet101"] = "resnet50"
    norm: Literal["frozen", "group", "batch"] = "frozen"
    size_px: int = 512
    """Side of the photos, and longest side at the input."""
    proposals: int = 100
    """Proposals a photo, when predicting and when training."""
    samples: int = 64
    """Boxes a photo that a training step trains on."""
    detections: int = 10
    """Detections a photo, whose masks are pasted."""
    count: int = 4
    """Photos predicted in one run."""
    batch_size: int = 2
    """Photos of a training step."""
    repeats: int = 3
    """Runs of each, in turns; the medians are shown."""
    clock: Literal["wall", "cpu"] = "wall"
    """cpu: the processor's time of all threads, for a machine that is busy with something else too."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = None
    """Torch's threads; default: as torch chooses."""
    memory: bool = True
    """Measure peak memory as well, each in a process of its own."""


def bench_instance(config: BenchInstance) -> int:
    """Print the two tables. InputError for numbers below 1 or a device that is not there."""
    for name in ("proposals", "detections", "count", "batch_size", "repeats"):
        if getattr(config, name) < 1:
            raise InputError(f"--{name.replace('_', '-')} {getattr(config, name)}: expected 1 or more")
    if config.device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: torch sees no CUDA device here; use --device cpu")
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    console = Console()
    made = {"ours, on torchvision": _Ours(config)}
    if detectron2.available():
        made["detectron2"] = _Theirs(config)
    else:
        console.print("detectron2 is not installed here (docs/detectron2.md): ours alone", highlight=False)
    console.print(
        f"Mask R-CNN {config.backbone} FPN, {config.norm} norm, {config.size_px} px, {config.proposals} proposals, "
        f"{config.detections} detections, float32, {torch.get_num_threads()} torch threads, {device_of(config)}, torch "
        f"{torch.__version__}",
        highlight=False,
    )
    title = f"prediction, {config.count} photos"
    console.print(_table(title, config, config.count, {name: one.predict for name, one in made.items()}, "predict"))
    title = f"training step, {config.batch_size} photos, {config.samples} samples each"
    console.print(_table(title, config, config.batch_size, {name: one.step for name, one in made.items()}, "step"))
    return 0


def device_of(config: BenchInstance) -> torch.device:
    return torch.device("cuda" if config.device != "cpu" and torch.cuda.is_available() else "cpu")


# ---- the two networks


class _Work:
    """Photos, and targets for a training step, drawn in memory: decoding is no part of what is timed."""

    def __init__(self, config: BenchInstance):
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
            images = max(config.count, config.batch_size)
            path = generate(SynthConfig(images=images, size_px=config.size_px, seed=0, products=(3, 3)), Path(folder))
            data = InstanceDataset(read_coco(path), path.parent)
            self.samples = [data[i] for i in range(images)]
        for _, target in self.samples:
            target["labels"].fill_(1)
        self.photos = [image.permute(1, 2, 0).numpy().copy() for image, _ in self.samples[: config.count]]
        self.samples = self.samples[: config.batch_size]


def instance_config(config: BenchInstance) -> InstanceConfig:
    return InstanceConfig(
        backbone=config.backbone,
        size_px=config.size_px,
        norm=config.norm,
        fpn_channels=256,
        anchor_px=(32, 64, 128, 256, 512),
        rpn_convs=2,
        train_proposals=config.proposals,
        proposals=config.proposals,
        box_samples=config.samples,
        box_convs=(256, 256, 256, 256),
        box_fc=1024,
        mask_convs=(256, 256, 256, 256),
        score_thr=0.001,  # random weights are sure of nothing: every detection that is asked for is there
        detections_per_photo=config.detections,
    )


def build_ours(config: BenchInstance) -> InstanceNet:
    """Random weights that find something: without trained statistics the residual sums would grow without end."""
    torch.manual_seed(0)
    model = InstanceNet(instance_config(config))
    last = "bn2" if config.backbone in ("resnet18", "resnet34") else "bn3"
    for name, module in model.encoder.named_modules():
        if "layer" in name and name.endswith(last):
            module.weight.data.fill_(0.2)
    return model


class _Ours:
    def __init__(self, config: BenchInstance):
        work, device = _Work(config), device_of(config)
        self.photos = work.photos
        self.segmenter = InstanceSegmenter(build_ours(config), device)
        self.task = InstanceTask(self.segmenter.model)
        batch = collate(work.samples)
        targets = [{key: value.to(device) for key, value in target.items()} for target in batch["targets"]]
        self.batch = {"image": batch["image"].to(device), "targets": targets}
        self.optimizer = torch.optim.SGD(self.task.parameters(), _LR, momentum=0.9)

    def predict(self) -> int:
        self.segmenter.model.eval()
        return sum(map(len, self.segmenter.predict(self.photos)))

    def step(self) -> int:
        self.task.train()
        loss = self.task(self.batch)["loss"]
        return _descend(loss, self.optimizer)


class _Theirs:
    def __init__(self, config: BenchInstance):
        from detectron2.structures import BitMasks, Boxes, Instances
        from detectron2.utils.events import EventStorage

        from ..seg.detectron2_weights import same_network, same_weights

        work, device = _Work(config), device_of(config)
        self.photos = work.photos
        network = same_network(instance_config(config))
        cfg = detectron2.build_cfg(network)
        model = detectron2.build_model(cfg, device)
        model.load_state_dict(same_weights(build_ours(config).state_dict()))
        self.segmenter = detectron2.Detectron2Segmenter(model, cfg, network.classes, device)
        self.batch = []
        for image, target in work.samples:
            truth = Instances(
                tuple(image.shape[1:]),
                gt_boxes=Boxes(target["boxes"]),
                gt_classes=target["labels"] - 1,
                gt_masks=BitMasks(target["masks"].bool()),
            )
            self.batch.append({"image": image.to(device), "instances": truth.to(device)})
        self.optimizer = torch.optim.SGD(self.segmenter.model.parameters(), _LR, momentum=0.9)
        self.storage = EventStorage

    def predict(self) -> int:
        self.segmenter.model.eval()
        return sum(map(len, self.segmenter.predict(self.photos)))

    def step(self) -> int:
        self.segmenter.model.train()
        with self.storage():  # its heads count there
            loss = sum(self.segmenter.model(self.batch).values())
        return _descend(loss, self.optimizer)


def _descend(loss: torch.Tensor, optimizer: torch.optim.Optimizer) -> int:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    return len(optimizer.param_groups[0]["params"])


# ---- measuring


def _table(title: str, config: BenchInstance, photos: int, work: dict[str, Callable[[], int]], job: str) -> Table:
    # The first call compiles kernels and allocates; it says, too, that both do the same work.
    done = {name: one() for name, one in work.items()}
    seconds = _in_turns(config, work)
    rate, spent = ("images/s", "ms") if config.clock == "wall" else ("images a CPU second", "CPU ms")
    columns = ["backend", rate, f"{spent} an image", "ratio", "peak MiB"]
    table = Table(*columns, title=title, caption=f"{' and '.join(map(str, done.values()))} {_DONE[job]}")
    for name, spent in seconds.items():
        typical = statistics.median(spent)
        base = seconds.get("detectron2", spent)
        ratio = statistics.median(b / s for b, s in zip(base, spent, strict=True))
        row = (f"{photos / typical:.2f}", f"{1000 * typical / photos:.0f}", f"{ratio:.2f}x")
        table.add_row(name, *row, f"{_peak_mib(config, name, job):.0f}" if config.memory else "-")
    return table


def _in_turns(config: BenchInstance, work: dict[str, Callable[[], int]]) -> dict[str, list[float]]:
    """Seconds of every run. In turns: what else the machine does meets all alike."""
    clock = time.perf_counter if config.clock == "wall" else time.process_time
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(config.repeats):
        for name, one in work.items():
            begin = clock()
            one()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            seconds[name].append(clock() - begin)
    return seconds


def _peak_mib(config: BenchInstance, name: str, job: str) -> float:
    """Memory at its highest, weights and all, above what the libraries take: in a process of its own, since one process
    keeps what an earlier run allocated. On a GPU: of the device, as torch counts it."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_peak_here, config, name, job).result()


def _peak_here(config: BenchInstance, name: str, job: str) -> float:
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    kind = _Theirs if name == "detectron2" else _Ours
    if kind is _Theirs:
        import detectron2.engine  # noqa: F401
    before = highest_mib()
    one = kind(config)
    for _ in range(2):  # the second step has the optimizer's state as well
        getattr(one, job)()
    if device_of(config).type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return highest_mib() - before
