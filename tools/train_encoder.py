"""Pretrain the attribute model's encoder on crops alone, their labels not looked at; writes a weights file."""

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import torch
import tyro
from safetensors.torch import save

from ..attributes.network import AttributeConfig
from ..attributes.pretraining import PretrainingTask, ViewPairs, knn_accuracy
from ..attributes.targets import encode
from ..datasets.errors import InputError
from ..datasets.files import write_atomic
from ..datasets.transforms import train_transform
from .loop import LoopConfig, fit, seed_everything, start, to_device
from .train_attributes import instance_crops
from .train_semantic import open_coco
from .training_card import CARD_SUFFIX, provenance, rounded

_CACHE_MARGIN = 1.5  # a view of 0.4 of a crop's area then still has detail of its own, not enlarged pixels
_PROBE = 512  # crops whose fixed views tell the loss, epoch by epoch
_EVAL_BATCH = 64
_COLLAPSED = 0.05  # mean standard deviation of the embeddings; VICReg pulls it to 1


@dataclass(frozen=True)
class TrainEncoder:
    """Pretrain an attribute model's encoder without labels and write DIR/encoder.safetensors."""

    data: Annotated[tuple[Path, ...], tyro.conf.UseAppendAction]
    """COCO file with masks, whose other labels are not looked at; give the flag again for more files."""
    out: Path
    """Folder for the checkpoints, the log and the weights."""
    val: Path | None = None
    """COCO file whose labels choose the best epoch: how often the nearest crops of other sources (`source_id` of the
    images, where they have it) have the same category and attributes. Without it the loss chooses."""
    images: Path | None = None
    """Folder that file names are relative to; default: the folder of each COCO file."""
    mask_jitter: float = 0.04
    """Grow or shrink masks at random by up to this share of the crop."""
    gray: float = 0.25
    """Share of the views that lose their colour. 0: colour alone tells most crops apart, so little else is learnt."""
    expander: int = 512
    """Width of the layers that VICReg puts behind the encoder in training."""
    encoder_weights: str = "none"
    """What to start from: none, imagenet (downloaded by timm), or a .safetensors FILE."""
    model: AttributeConfig = field(default_factory=AttributeConfig)
    """As it will be given to train attributes; what follows the encoder there is of no account here."""
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(batch_size=128, epochs=100, warmup_epochs=5))


def train_encoder(config: TrainEncoder) -> Path:
    """Train and return the weights file."""
    if config.loop.batch_size < 2 or config.expander < 1 or not 0 <= config.gray <= 1:
        raise InputError(
            f"--loop.batch-size {config.loop.batch_size} --expander {config.expander} --gray {config.gray:g}: expected 2 "
            "crops or more a batch (128 or more learn well), an expander of 1 or more, and gray from 0 to 1"
        )
    files = [open_coco(path, config.images) for path in config.data]
    cached_px, grow = round(config.model.crop_px * _CACHE_MARGIN), config.model.grow
    crops = np.concatenate([instance_crops(coco, folder, cached_px, grow)[0] for coco, folder in files])
    # Colour is what some heads will read: were every pair to differ in hue, the encoder would learn to ignore it.
    transform = train_transform(config.model.crop_px, "strong", colour_safe=True, crop=True)
    data = ViewPairs(crops, transform, config.mask_jitter)
    if len(crops) < 2:
        raise InputError(f"{config.data[0]}: one product with a mask; expected many (some 1,000) to learn from")
    neighbours = _neighbours(config) if config.val is not None else None
    torch.manual_seed(config.loop.seed)  # the initial weights
    task = PretrainingTask(config.model, config.expander, config.gray, config.encoder_weights)
    rank, _, device = start(config.loop)
    seed_everything(data, config.loop.seed, 0, 0)
    some = np.linspace(0, len(crops) - 1, min(len(crops), _PROBE)).round().astype(int)
    probe = torch.stack([data[int(i)]["views"] for i in some])
    pieces = max(1, len(probe) // config.loop.batch_size)  # VICReg's loss depends on the size of the batch

    @torch.inference_mode()
    def evaluate(trained: PretrainingTask) -> dict[str, float]:
        losses = [trained(to_device({"views": views}, device)) for views in probe.tensor_split(pieces)]
        figures = {name: float(np.mean([float(loss[name]) for loss in losses])) for name in ("loss", "std")}
        figures |= neighbours(trained, device) if neighbours is not None else {"minus_loss": -figures["loss"]}
        return figures

    before = evaluate(task.to(device).eval())
    if rank == 0:
        print(f"{len(crops)} crops to learn from; before training: {_said(before)}", file=sys.stderr)
    fit(task, data, config.loop, config.out, evaluate, best_key="minus_loss" if neighbours is None else "knn")
    path = config.out / "encoder.safetensors"
    if rank == 0:
        _write(path, config, files, task, before, evaluate(task))
    return path


def _said(figures: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.4f}" for name, value in figures.items())


def _neighbours(config: TrainEncoder) -> Callable[[PretrainingTask, torch.device], dict[str, float]]:
    """The k-NN figures on ``config.val`` as a function of the task: one a label of one value, and ``knn``, their mean."""
    coco, folder = open_coco(config.val, config.images)
    crops, annotations = instance_crops(coco, folder, config.model.crop_px, config.model.grow)
    names = {category.id: category.name for category in coco.categories}
    targets = encode(annotations, names, coco.schema, list(names.values()))
    labels = {name: values for name, values in targets.items() if values.dtype == torch.int64}
    source = {image.id: repr(image.extra.get("source_id", ("image", image.id))) for image in coco.images}
    position = {name: i for i, name in enumerate(dict.fromkeys(source.values()))}
    groups = torch.tensor([position[source[a.image_id]] for a in annotations])
    if len(set(groups.tolist())) < 2:
        raise InputError(
            f"{config.val}: all products are of one source (source_id of the images); expected several, since neighbours "
            "of the same source do not count"
        )
    shown = torch.from_numpy(crops).permute(0, 3, 1, 2)

    def figures(task: PretrainingTask, device: torch.device) -> dict[str, float]:
        features = torch.cat([task.features(some.to(device)).float().cpu() for some in shown.split(_EVAL_BATCH)])
        found = {f"knn {name}": knn_accuracy(features, truth, groups) for name, truth in labels.items()}
        found = {name: value for name, value in found.items() if not math.isnan(value)}
        return {"knn": float(np.mean(list(found.values()))), **found}

    return figures


def _write(path: Path, config: TrainEncoder, files: list, task: PretrainingTask, before: dict, after: dict) -> None:
    if after["std"] < _COLLAPSED:
        raise InputError(
            f"the encoder says nearly the same of every crop (mean standard deviation of the embeddings {after['std']:.3f}, "
            "expected near 1); no weights were written: train longer, or with another --loop.lr"
        )
    tensors = {name: value.detach().cpu().contiguous() for name, value in task.encoder.state_dict().items()}
    write_atomic(path, save(tensors))
    card = {
        "method": "VICReg (Bardes et al., 2022), two views of a crop, no labels",
        **provenance(config, files),
        "encoder": config.model.encoder,
        "validation": None
        if config.val is None
        else {"file": config.val.name, "note": "its labels chose the best epoch: validation figures, not test figures"},
        "before": rounded(before),
        "figures": rounded(after),
    }
    write_atomic(path.with_suffix(CARD_SUFFIX), msgspec.json.format(msgspec.json.encode(card), indent=2))
    print(f"encoder: {path}", file=sys.stderr)
