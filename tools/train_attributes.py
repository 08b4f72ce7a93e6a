"""Train the attribute network on COCO annotations with attributes; writes a bundle."""

import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
import tyro
from rich.progress import track

from ..attributes.calibration import fit_sigmoid, fit_softmax
from ..attributes.crops import cut_one
from ..attributes.losses import AttributeLossConfig, AttributeTask
from ..attributes.network import AttributeConfig, AttributeNetwork
from ..attributes.targets import UNKNOWN, distributions, encode, number_scales
from ..attributes.teacher import Teacher
from ..datasets.coco import Annotation, CocoFile, Image, annotation_rle
from ..datasets.errors import InputError
from ..datasets.torch_datasets import AttributeDataset, load_photo
from ..datasets.transforms import train_transform
from ..seg.segments import segment_from_rle
from ..weights.bundle import read_bundle
from .loop import LoopConfig, fit, start
from .train_semantic import open_coco
from .training_card import described, finish_bundle, from_bundle, training_card

_CACHE_MARGIN = 1.2  # crops are kept larger than the input by this, so that a random zoom has detail to show


@dataclass(frozen=True)
class TrainAttributes:
    """Train an attribute model and write DIR/bundle."""

    data: Annotated[tuple[Path, ...], tyro.conf.UseAppendAction]
    """COCO file to train on; give the flag again for more files (same schema)."""
    val: Path
    """COCO file that chooses the best epoch and calibrates the probabilities."""
    out: Path
    """Folder for the checkpoints, the log and the bundle."""
    images: Path | None = None
    """Folder that file names are relative to; default: the folder of each COCO file."""
    unlabeled: Annotated[tuple[Path, ...], tyro.conf.UseAppendAction] = ()
    """COCO file whose masks are trained on with what the teachers say of them; its own labels are not looked at. Give
    the flag again for more files."""
    teacher: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """A bundle that answers for the unlabeled; given again: the mean of several."""
    augment: Literal["none", "light", "medium", "strong"] = "strong"
    mask_jitter: float = 0.04
    """Grow or shrink training masks at random by up to this share of the crop: a segmenter's masks are not perfect."""
    light_cast: float = 0.0
    """Tint training photos, product and ground alike, as other lamps would: gains of red and blue in linear light up to
    e to the power of this. 0.15 is a mild one. Colours are named "allowing for the light", so their names stay."""
    encoder_weights: str = "none"
    """none, imagenet (downloaded by timm), or a .safetensors FILE."""
    init: str | None = None
    """A bundle ("default" or a folder) to go on from: its weights instead of random ones, wherever they fit."""
    join: Path | None = None
    """A bundle whose other parts (the semantic model) are copied into the new one."""
    half: bool = False
    """Store the weights as float16: half the size."""
    model: AttributeConfig = field(default_factory=AttributeConfig)
    loss: AttributeLossConfig = field(default_factory=AttributeLossConfig)
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(batch_size=32, epochs=60))


def train_attributes(config: TrainAttributes) -> Path:
    """Train and return the folder of the bundle."""
    if config.join is not None:
        read_bundle(config.join)  # a mistake there is told now, not after hours of training
    if bool(config.unlabeled) != bool(config.teacher):
        raise InputError(
            "--unlabeled and --teacher go together: files to learn from, and the bundles that answer for them"
        )
    files = [open_coco(path, config.images) for path in config.data]
    schema, categories = files[0][0].schema, [c.name for c in files[0][0].categories]
    val_coco, val_images = open_coco(config.val, config.images)
    for path, (coco, _) in zip([*config.data, config.val], [*files, (val_coco, val_images)], strict=True):
        if coco.schema != schema:
            raise InputError(
                f"{path}: its attribute_schema is not that of {config.data[0]}; merge or edit the files first"
            )
    unlabeled = [open_coco(path, config.images) for path in config.unlabeled]
    rank, _, device = start(config.loop)
    teacher = Teacher(config.teacher, schema, categories, device)
    cached_px = round(config.model.crop_px * _CACHE_MARGIN)
    grow = config.model.grow + (_CACHE_MARGIN - 1) / 2
    train = [instance_crops(coco, folder, cached_px, grow) for coco, folder in files]
    crops = np.concatenate([crops for crops, _ in train])
    targets = [encode(a, _names(coco), schema, categories) for (_, a), (coco, _) in zip(train, files, strict=True)]
    targets = {name: torch.cat([t[name] for t in targets]) for name in targets[0]}
    scales = number_scales(targets, schema)
    targets = distributions(targets, schema, categories)
    if unlabeled:
        told = [teacher.targets(partial(_crops, coco, folder)) for coco, folder in unlabeled]
        targets = {name: torch.cat([known, *(t[name] for t in told)]) for name, known in targets.items()}
        crops = np.concatenate([crops, *(_crops(coco, folder, cached_px, grow) for coco, folder in unlabeled)])
    val_crops, val_annotations = instance_crops(val_coco, val_images, config.model.crop_px, config.model.grow)
    val_targets = encode(val_annotations, _names(val_coco), schema, categories)
    # A head reads colour from the same pixels as every other head: where one trains, hue stays as it is.
    transform = train_transform(
        config.model.crop_px,
        config.augment,
        colour_safe=True,
        crop=False,
        margin=_CACHE_MARGIN,
        light_cast=config.light_cast,
    )
    data = AttributeDataset(crops, targets, transform, mask_jitter=config.mask_jitter)

    torch.manual_seed(config.loop.seed)  # the initial weights
    model = AttributeNetwork(config.model, schema, categories, config.encoder_weights)
    if config.init is not None:
        read_bundle(config.init).start_from("attributes", model)
    task = AttributeTask(model, config.loss, targets, scales)
    parameters = sum(p.numel() for p in model.parameters()) / 1e6
    print(
        f"{len(data)} instances to train on, {len(val_crops)} to validate; {parameters:.2f} M parameters",
        file=sys.stderr,
    )

    def evaluate(trained: AttributeTask) -> dict[str, float]:
        logits = predict_logits(trained.model, val_crops, device)
        return quick_figures(logits, val_targets, scales)

    fit(task, data, config.loop, config.out, evaluate, best_key="mean")
    if rank != 0:  # one process of torchrun's writes the bundle
        return config.out / "bundle"
    logits = predict_logits(task.model, val_crops, device)
    part = {
        "kind": "attributes",
        "model": asdict(config.model),
        "categories": categories,
        "schema": schema.to_json(),
        "temperatures": temperatures(logits, val_targets),
        "scales": scales,
    }
    figures = quick_figures(logits, val_targets, scales)
    card = training_card("attributes", config, files, {f"val/{key}": value for key, value in figures.items()})
    card["unlabeled"] = described(config.unlabeled, unlabeled)
    card["teachers"] = [from_bundle(name, "attributes") for name in config.teacher]
    return finish_bundle(config.out, "attributes", part, task.model.state_dict(), card, config.join, config.half)


def _names(coco: CocoFile) -> dict[int, str]:
    return {category.id: category.name for category in coco.categories}


def _crops(coco: CocoFile, images_dir: Path, size_px: int, grow: float) -> np.ndarray:
    return instance_crops(coco, images_dir, size_px, grow)[0]


def instance_crops(coco: CocoFile, images_dir: Path, size_px: int, grow: float) -> tuple[np.ndarray, list]:
    """Crops uint8 (n, size_px, size_px, 4) under the true masks, and their annotations. Crowds, and annotations
    without a mask, are left out."""
    by_image = coco.annotations_by_image  # cached: built here once, not by every thread

    def cut(image: Image) -> list[tuple[np.ndarray, Annotation]]:
        annotations = [a for a in by_image[image.id] if not a.iscrowd and a.segmentation]
        photo = load_photo(image, images_dir) if annotations else None
        segments = [segment_from_rle(annotation_rle(a, image)) for a in annotations]
        pairs = zip(segments, annotations, strict=True)
        return [(cut_one(photo, segment, size_px, grow), a) for segment, a in pairs if segment is not None]

    with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:  # decoding and resizing leave Python's lock
        found = pool.map(cut, coco.images)
        shown = track(found, "cutting crops", len(coco.images), disable=not sys.stderr.isatty())
        pairs = [pair for image in shown for pair in image]
    if not pairs:
        raise InputError(f"{images_dir}: the COCO file has no annotation with a mask; expected at least one")
    return np.stack([crop for crop, _ in pairs]), [annotation for _, annotation in pairs]


@torch.inference_mode()
def predict_logits(
    model: AttributeNetwork, crops: np.ndarray, device: torch.device, batch_size: int = 32
) -> dict[str, torch.Tensor]:
    """All logits of uint8 (n, s, s, 4) crops on the CPU, by head."""
    batches: list[dict[str, torch.Tensor]] = []
    for begin in range(0, len(crops), batch_size):
        batch = torch.from_numpy(crops[begin : begin + batch_size]).to(device).permute(0, 3, 1, 2)
        batches.append({name: value.float().cpu() for name, value in model(batch).items()})
    return {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}


def quick_figures(
    logits: dict[str, torch.Tensor], targets: dict[str, torch.Tensor], scales: dict[str, Sequence[float]]
) -> dict[str, float]:
    """What the training watches: accuracy of every softmax head (of a multi attribute: of its first value), error of
    every number head in standard deviations, and ``mean`` of them (a number counts 1 - error)."""
    figures, goods = {}, []
    for name, truth in targets.items():
        if name in scales:
            known = ~truth.isnan()
            error = (logits[name][:, 0] - (truth - scales[name][0]) / scales[name][1]).abs()[known]
            if len(error):
                figures[f"{name} error"] = float(error.mean())
                goods.append(1 - figures[f"{name} error"])
        elif truth.dtype == torch.int64 and (truth != UNKNOWN).any():
            known = truth != UNKNOWN
            figures[name] = float((logits[name].argmax(1) == truth)[known].float().mean())
            goods.append(figures[name])
    return figures | {"mean": float(np.mean(goods)) if goods else 0.0}


def temperatures(logits: dict[str, torch.Tensor], targets: dict[str, torch.Tensor]) -> dict[str, float]:
    """One temperature a head, fitted on validation; heads without a known label keep 1."""
    found = {}
    for name, truth in targets.items():
        if truth.dtype == torch.int64:
            found[name] = fit_softmax(logits[name].numpy(), truth.numpy()).value
        elif truth.ndim == 2:  # presence of each value; a number has no probability
            found[name] = fit_sigmoid(logits[name].numpy(), truth.numpy()).value
    return found
