"""The one training loop. A task is a module that maps a batch to a dict with ``loss``; `fit` trains it."""

import math
import os
import random
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import ConcatDataset, DataLoader, Dataset, DistributedSampler, RandomSampler

from ..datasets.errors import InputError
from ..datasets.files import atomic_path
from ..seg.encoders import freeze_stages, hold_batchnorm
from .training_log import TrainingLog


@dataclass(frozen=True)
class LoopConfig:
    """How to train; the same for every task."""

    epochs: int = 40
    passes: int = 1
    """Passes over the data that make one epoch. More than one where the data is small and the device quick: every epoch
    starts the loading processes anew."""
    batch_size: int = 16
    """Of one process; with torchrun the whole batch is this times the number of processes."""
    lr: float = 1e-3
    """Peak learning rate (AdamW), after the warm-up and before the cosine."""
    encoder_lr_factor: float = 1.0
    """Learning rate of the encoder relative to `lr`: 0.1 is usual with pretrained encoders."""
    freeze_stages: int = 0
    """Stages of the encoder, shallow first, that do not train."""
    freeze_batchnorm: Literal["auto", "yes", "no"] = "auto"
    """Keep BatchNorm statistics as they are; auto: when a process sees fewer than 4 samples a step."""
    weight_decay: float = 0.02
    warmup_epochs: float = 2.0
    clip_norm: float = 1.0
    ema_decay: float = 0.998
    """Decay a step of the averaged weights, which are what is evaluated and shipped. 0: none."""
    amp: Literal["auto", "bf16", "fp16", "off"] = "auto"
    """Autocast; auto: bf16 (or fp16) on a GPU, off on a CPU. bf16 on a CPU pays where it has AMX or AVX512-BF16."""
    eval_every: int = 1
    workers: int = 2
    """Processes that load and augment data."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    seed: int = 0
    resume: bool = False
    """Go on from the last epoch in the output folder, exactly as if the run had not stopped."""


def fit(
    task: nn.Module,
    data: Dataset,
    config: LoopConfig,
    out: Path,
    evaluate: Callable[[nn.Module], dict[str, float]],
    best_key: str,
    collate: Callable[[list], dict] | None = None,
) -> nn.Module:
    """Train ``task`` on ``data`` and return it with the best averaged weights by ``evaluate(task)[best_key]``.

    ``task(batch)`` returns a dict with a scalar ``loss``; ``task.encoder`` is the module that freezing and
    ``encoder_lr_factor`` mean. ``collate`` makes a batch of samples that torch's own cannot stack. Writes ``last.pt``
    (everything needed to resume exactly), ``best.pt`` (weights), ``log.csv`` and TensorBoard events to ``out``.
    Started by torchrun, every process calls it (DDP); rank 0 writes.
    Raises InputError on bad options and on a loss or gradient that is not finite, naming the step; files of earlier
    epochs stay.
    """
    rank, world, device = start(config)
    data = ConcatDataset([*getattr(data, "datasets", [data])] * config.passes)
    task.to(device, memory_format=torch.channels_last)
    freeze_stages(task.encoder, config.freeze_stages)
    loader, steps = make_loader(data, config, rank, world, collate)
    optimizer = torch.optim.AdamW(parameter_groups(task, config), weight_decay=config.weight_decay)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lr_schedule(config, steps))
    ema = AveragedModel(task, multi_avg_fn=ema_average(config.ema_decay), use_buffers=True)
    dtype = amp_dtype(config, device)
    scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
    state = {"task": task, "ema": ema, "optimizer": optimizer, "scheduler": scheduler, "scaler": scaler}
    first, best, seconds = resume(out, state, device) if config.resume else (0, -math.inf, 0.0)
    began = time.monotonic() - seconds
    parallel = DistributedDataParallel(task) if world > 1 else task
    hold_all = config.freeze_batchnorm == "yes" or (config.freeze_batchnorm == "auto" and config.batch_size < 4)

    with TrainingLog(out, config.epochs, steps, first, enabled=rank == 0) as log:
        for epoch in range(first, config.epochs):
            seed_everything(data, config.seed, epoch, rank)  # so that a resumed epoch sees the same batches
            loader.sampler.set_epoch(epoch)
            parallel.train()
            hold_batchnorm(task, only_frozen=not hold_all)
            for step, batch in enumerate(loader):
                batch = to_device(batch, device)
                with torch.autocast(device.type, dtype) if dtype else nullcontext():
                    losses = parallel(batch)
                check_finite(losses["loss"], epoch, step, out, batch)
                optimizer.zero_grad(set_to_none=True)
                scaler.scale(losses["loss"]).backward()
                scaler.unscale_(optimizer)
                norm = nn.utils.clip_grad_norm_(task.parameters(), config.clip_norm)
                if not scaler.is_enabled():  # fp16's scaler skips such a step and lowers its scale
                    check_finite(norm, epoch, step, out, batch, "gradient")
                scaler.step(optimizer)
                scaler.update()
                scheduler.step()
                ema.update_parameters(task)
                log.step(epoch, step, losses, scheduler.get_last_lr()[0])
            if rank == 0:
                if (epoch + 1) % config.eval_every == 0 or epoch + 1 == config.epochs:
                    shown = ema.module if config.ema_decay > 0 else task
                    metrics = evaluate(shown.eval())
                    log.epoch(epoch, metrics)
                    if metrics[best_key] > best:
                        best = metrics[best_key]
                        save(out / "best.pt", {"task": shown.state_dict(), "epoch": epoch, "metrics": metrics})
                said = {name: part.state_dict() for name, part in state.items()}
                save(out / "last.pt", {**said, "epoch": epoch + 1, "best": best, "seconds": time.monotonic() - began})
            if world > 1:
                dist.barrier()
    chosen = torch.load(out / "best.pt", map_location=device, weights_only=True)
    task.load_state_dict(chosen["task"])
    return task.eval()


def start(config: LoopConfig) -> tuple[int, int, torch.device]:
    """Join torchrun's processes, if it started us. Returns rank, number of processes, device."""
    if min(config.epochs, config.passes, config.batch_size, config.eval_every) < 1:
        raise InputError("--loop.epochs, --loop.passes, --loop.batch-size and --loop.eval-every must be 1 or more")
    if config.lr <= 0 or not 0 <= config.ema_decay < 1:
        raise InputError("--loop.lr must be above 0 and --loop.ema-decay in [0, 1)")
    use_cuda = config.device == "cuda" or (config.device == "auto" and torch.cuda.is_available())
    if use_cuda and not torch.cuda.is_available():
        raise InputError("--loop.device cuda: torch sees no CUDA device here; use --loop.device cpu")
    world = int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_RANK", "0"))
    device = torch.device("cuda", local) if use_cuda else torch.device("cpu")
    if use_cuda:
        torch.cuda.set_device(device)
    if world > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if use_cuda else "gloo")
    return (dist.get_rank() if world > 1 else 0), world, device


class _EpochSampler(RandomSampler):
    """A RandomSampler whose order depends on (seed, epoch) alone, as DistributedSampler's does."""

    def __init__(self, data: Dataset, seed: int):
        super().__init__(data, generator=torch.Generator())
        self.seed = seed

    def set_epoch(self, epoch: int) -> None:
        self.generator.manual_seed(self.seed * 100_003 + epoch)


def make_loader(
    data: Dataset, config: LoopConfig, rank: int, world: int, collate: Callable | None = None
) -> tuple[DataLoader, int]:
    if world > 1:
        sampler = DistributedSampler(data, world, rank, seed=config.seed, drop_last=False)
    else:
        sampler = _EpochSampler(data, config.seed)
    loader = DataLoader(
        data,
        config.batch_size,
        sampler=sampler,
        num_workers=config.workers,
        drop_last=len(sampler) > config.batch_size,  # a last batch of one sample would upset BatchNorm
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=_seed_worker,
        collate_fn=collate,
    )
    return loader, len(loader)


def _seed_worker(worker: int) -> None:
    import cv2

    cv2.setNumThreads(0)  # one process a core already
    seed = torch.initial_seed() % 2**32  # differs by worker and, since the base seed is drawn anew, by epoch
    random.seed(seed)
    np.random.seed(seed)


def seed_everything(data: Dataset, seed: int, epoch: int, rank: int) -> None:
    """Start all generators of this process, those of the data's transforms included, from (seed, epoch, rank)."""
    mixed = ((seed * 100_003 + epoch) * 1_009 + rank) % 2**32
    random.seed(mixed)
    np.random.seed(mixed)
    torch.manual_seed(mixed)
    for part in getattr(data, "datasets", [data]):
        transform = getattr(part, "transform", None)
        if hasattr(transform, "set_random_seed"):
            transform.set_random_seed(mixed)


def parameter_groups(task: nn.Module, config: LoopConfig) -> list[dict]:
    """AdamW groups: the encoder with its own rate; biases and norms (one-dimensional) without weight decay."""
    encoder = {id(p) for p in task.encoder.parameters()}
    groups: dict[tuple[bool, bool], list] = {}
    for parameter in task.parameters():
        if parameter.requires_grad:
            groups.setdefault((id(parameter) in encoder, parameter.ndim < 2), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": config.lr * (config.encoder_lr_factor if in_encoder else 1.0),
            "weight_decay": 0.0 if flat else config.weight_decay,
        }
        for (in_encoder, flat), parameters in groups.items()
    ]


def lr_schedule(config: LoopConfig, steps: int) -> Callable[[int], float]:
    """Linear warm-up, then a cosine to 1 % (Loshchilov & Hutter, SGDR, 2017)."""
    warm, total = max(1, round(config.warmup_epochs * steps)), config.epochs * steps

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        done = (step - warm) / max(1, total - warm)
        return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    return factor


def ema_average(decay: float) -> Callable:
    """Exponential averaging whose decay rises to ``decay`` over the first steps: a fixed one would carry the random
    first weights for thousands of steps. For AveragedModel's ``multi_avg_fn``."""

    @torch.no_grad()
    def average(averaged: list[torch.Tensor], current: list[torch.Tensor], count: torch.Tensor | int) -> None:
        now = min(decay, (1 + int(count)) / (10 + int(count)))
        if averaged[0].is_floating_point():
            torch._foreach_lerp_(averaged, current, 1 - now)
        else:  # BatchNorm's step counters
            torch._foreach_copy_(averaged, current)

    return average


def amp_dtype(config: LoopConfig, device: torch.device) -> torch.dtype | None:
    if config.amp == "auto":
        if device.type != "cuda":
            return None
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return {"bf16": torch.bfloat16, "fp16": torch.float16, "off": None}[config.amp]


def to_device(batch: Any, device: torch.device) -> Any:
    """A batch, or a list or dict of such, on the device."""
    if isinstance(batch, dict):
        return {key: to_device(value, device) for key, value in batch.items()}
    if isinstance(batch, list):
        return [to_device(value, device) for value in batch]
    return batch.to(device, non_blocking=True)


def check_finite(value: torch.Tensor, epoch: int, step: int, out: Path, batch: dict, what: str = "loss") -> None:
    """InputError for a loss (or a gradient, before it reaches the weights) that is not a number; it names the batch's
    images where the batch knows them."""
    if not torch.isfinite(value):
        ids = [int(target["image_id"]) for target in batch.get("targets", []) if "image_id" in target]
        images = f" (image ids {', '.join(map(str, ids))})" if ids else ""
        raise InputError(
            f"the {what} became {value.item()} in epoch {epoch + 1}, batch {step + 1}{images}; the last good epoch is kept "
            f"in {out}: lower --loop.lr or switch --loop.amp off, then go on with --loop.resume"
        )


def save(path: Path, content: dict) -> None:
    with atomic_path(path) as temporary:
        torch.save(content, temporary)


def resume(out: Path, state: dict, device: torch.device) -> tuple[int, float, float]:
    """Put back what ``last.pt`` holds. Returns the next epoch, the best figure and the seconds trained so far."""
    path = out / "last.pt"
    if not path.is_file():
        return 0, -math.inf, 0.0
    said = torch.load(path, map_location=device, weights_only=True)
    try:
        for name, part in state.items():
            part.load_state_dict(said[name])
    except (RuntimeError, ValueError, KeyError) as error:
        raise InputError(
            f"{path} is of another run ({str(error).splitlines()[0]}); resume with the flags of that run, or train to "
            "another --out"
        ) from error
    return said["epoch"], said["best"], said.get("seconds", 0.0)
