"""Train a detectron2 Mask R-CNN through detectron2's own data mapper and trainer; writes a bundle."""

import logging
import math
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import tyro

from ..datasets.coco import CocoFile, resolve_image
from ..datasets.errors import InputError
from ..datasets.images import read_size
from ..seg.detectron2 import (
    PART,
    Detectron2Config,
    Detectron2Segmenter,
    build_cfg,
    build_model,
    bundle_part,
    load_weights,
    register,
    require,
    unregister,
)
from ..weights.bundle import read_bundle
from .instance_figures import instance_figures, measurable
from .loop import save
from .train_semantic import open_coco
from .training_card import finish_bundle, training_card

_EVAL_THR = 0.05  # detections that count in AP, as in detectron2's own evaluations


@dataclass(frozen=True)
class Detectron2Loop:
    """How long and how fast; the rest of detectron2's SOLVER stands in the config or comes by overrides."""

    epochs: int = 12
    batch_size: int = 4
    lr: float | None = None
    """Peak learning rate (SGD), after the warm-up and before the cosine; default: 0.02 for 16 photos a batch, and in
    proportion for fewer (Goyal et al., Accurate, Large Minibatch SGD, 2017)."""
    eval_every: int = 1
    """Epochs between evaluations, each with a checkpoint."""
    workers: int = 2
    device: Literal["auto", "cpu", "cuda"] = "auto"
    seed: int = 0
    resume: bool = False
    """Go on from the last checkpoint in the output folder."""


@dataclass(frozen=True)
class TrainDetectron2:
    """Train a detectron2 Mask R-CNN (where detectron2 is installed) and write DIR/bundle."""

    data: Annotated[tuple[Path, ...], tyro.conf.UseAppendAction]
    """COCO file to train on; give the flag again for more files."""
    val: Path
    """COCO file that chooses the best epoch."""
    out: Path
    """Folder for the checkpoints, the log and the bundle."""
    images: Path | None = None
    """Folder that file names are relative to; default: the folder of each COCO file."""
    init: str | None = None
    """A bundle with a detectron2 part to go on from: its weights instead of random ones, wherever they fit."""
    join: Path | None = None
    """A bundle whose other parts are copied into the new one."""
    half: bool = False
    """Store the weights as float16: half the size."""
    model: Detectron2Config = field(default_factory=Detectron2Config)
    loop: Detectron2Loop = field(default_factory=Detectron2Loop)

    @property
    def encoder_weights(self) -> str:  # for the card
        return self.model.weights or "none"


def train_detectron2(config: TrainDetectron2) -> Path:
    """Train and return the folder of the bundle. One process; several GPUs are detectron2's own ``launch``."""
    require()
    for bundle in (config.join, config.init):
        if bundle is not None:
            read_bundle(bundle)  # a mistake there is told now, not after hours of training
    device = _device(config.loop)
    files = [open_coco(path, config.images) for path in config.data]
    val_coco, val_images = open_coco(config.val, config.images)
    photos = [_usable(coco, folder, path) for (coco, folder), path in zip(files, config.data, strict=True)]
    measurable(val_coco, config.model.classes)  # told now, not after the first epoch
    cfg = _training_cfg(config, sum(photos), device)
    print(f"{sum(photos)} photos to train on, {len(val_coco.images)} to validate", file=sys.stderr)

    def evaluate(model: torch.nn.Module) -> dict[str, float]:
        segmenter = Detectron2Segmenter(model, cfg, config.model.classes, device)
        return instance_figures(segmenter, val_coco, val_images, config.model.classes, config.model.score_thr)

    with _registered(cfg, files, config.model.classes):
        trainer = _trainer(cfg, config, evaluate)
        with _told_in_a_sentence(trainer, config.out):
            trainer.train()
    best = torch.load(config.out / "best.pt", map_location="cpu", weights_only=True)
    card = training_card(PART, config, files, {f"val/{key}": value for key, value in best["metrics"].items()})
    part = bundle_part(build_cfg(config.model), config.model.classes)
    card["versions"]["detectron2"] = part["detectron2"]
    return finish_bundle(config.out, PART, part, best["model"], card, config.join, config.half)


def _device(loop: Detectron2Loop) -> str:
    if min(loop.epochs, loop.batch_size, loop.eval_every) < 1 or loop.workers < 0 or (loop.lr or 1) <= 0:
        raise InputError("--loop.epochs, --loop.batch-size and --loop.eval-every must be 1 or more, --loop.lr above 0")
    if loop.device == "cuda" and not torch.cuda.is_available():
        raise InputError("--loop.device cuda: torch sees no CUDA device here; use --loop.device cpu")
    return "cuda" if loop.device != "cpu" and torch.cuda.is_available() else "cpu"


def _usable(coco: CocoFile, folder: Path, path: Path) -> int:
    """How many photos have a product with a mask. InputError for none, and for a photo that is not as the file says:
    detectron2's loader would end in a traceback, long after the start."""
    images = [i for i in coco.images if any(a.segmentation and not a.iscrowd for a in coco.annotations_by_image[i.id])]
    if not images:
        raise InputError(
            f"{path} has no image with a mask (boxes and crowds alone do not train); expected at least one"
        )
    for image in images:
        photo = resolve_image(folder, image.file_name)
        height, width = read_size(photo)
        if (height, width) != (image.height, image.width):
            raise InputError(
                f"{photo}: the photo is {width}x{height} px, its annotation file says {image.width}x{image.height}; the "
                "masks belong to another version of the photo: annotate it again or restore the photo"
            )
    return len(images)


def _training_cfg(config: TrainDetectron2, photos: int, device: str):
    """The model's config with the schedule: epochs in steps, warm-up, cosine. Overrides win here too."""
    loop, cfg = config.loop, build_cfg(config.model)
    steps = math.ceil(photos / loop.batch_size)
    cfg.MODEL.DEVICE, cfg.SEED, cfg.OUTPUT_DIR = device, loop.seed, str(config.out)
    cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST = min(_EVAL_THR, config.model.score_thr)
    cfg.DATALOADER.NUM_WORKERS = loop.workers
    cfg.SOLVER.IMS_PER_BATCH = loop.batch_size
    cfg.SOLVER.BASE_LR = loop.lr or 0.02 * loop.batch_size / 16
    cfg.SOLVER.LR_SCHEDULER_NAME = "WarmupCosineLR"
    cfg.SOLVER.MAX_ITER = loop.epochs * steps
    cfg.SOLVER.WARMUP_ITERS = min(1000, cfg.SOLVER.MAX_ITER // 10)
    cfg.SOLVER.CHECKPOINT_PERIOD = cfg.TEST.EVAL_PERIOD = loop.eval_every * steps
    cfg.merge_from_list(list(config.model.overrides))
    return cfg


@contextmanager
def _registered(cfg, files: list[tuple[CocoFile, Path]], classes: tuple[str, ...]) -> Iterator[None]:
    """The files as ``cfg``'s training data, under names of this run alone."""
    names = [f"segattr-{secrets.token_hex(4)}" for _ in files]
    try:
        for name, (coco, folder) in zip(names, files, strict=True):
            register(coco, folder, name, classes)
        cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = tuple(names), ()
        yield
    finally:
        for name in names:
            unregister(name)


def _trainer(cfg, config: TrainDetectron2, evaluate) -> Any:
    """detectron2's DefaultTrainer with our evaluation, the best weights in ``best.pt`` and one last checkpoint."""
    from detectron2.engine import DefaultTrainer, hooks
    from detectron2.utils.env import seed_all_rng

    class Trainer(DefaultTrainer):
        best = -math.inf

        @classmethod
        def build_model(cls, cfg):  # detectron2's own logs the whole network
            return build_model(cfg, cfg.MODEL.DEVICE)

        def build_hooks(self):
            made = super().build_hooks()
            period = self.cfg.SOLVER.CHECKPOINT_PERIOD
            one = hooks.PeriodicCheckpointer(self.checkpointer, period, max_to_keep=1)
            return [one if isinstance(hook, hooks.PeriodicCheckpointer) else hook for hook in made]

        def test(self, cfg, model):  # what its EvalHook calls
            figures = evaluate(model)
            model.train()
            print("  ".join(f"{name} {value:.4f}" for name, value in figures.items()), file=sys.stderr)
            if figures["segm/AP"] > self.best:
                self.best = figures["segm/AP"]
                save(config.out / "best.pt", {"model": model.state_dict(), "metrics": figures})
            return figures

    config.out.mkdir(parents=True, exist_ok=True)
    seed_all_rng(config.loop.seed)
    trainer = Trainer(cfg)
    if config.model.weights is not None:
        load_weights(trainer.model, config.model.weights)
    if config.init is not None:
        read_bundle(config.init).start_from(PART, trainer.model)
    trainer.data_loader = _Remembering(trainer.data_loader)
    if config.loop.resume and (config.out / "best.pt").is_file():
        trainer.best = torch.load(config.out / "best.pt", weights_only=True)["metrics"]["segm/AP"]
        trainer.resume_or_load(resume=True)
    return trainer


class _Remembering:
    """A data loader that knows the photos of its last batch, for the message of a loss that is not a number."""

    def __init__(self, loader):
        self.loader, self.last = loader, []

    def __iter__(self) -> Iterator[list[dict]]:
        for batch in self.loader:
            self.last = [Path(photo["file_name"]).name for photo in batch]
            yield batch


@contextmanager
def _told_in_a_sentence(trainer: Any, out: Path) -> Iterator[None]:
    log = logging.getLogger("detectron2.engine.train_loop")
    level = log.level
    log.setLevel(logging.CRITICAL)  # it would print the traceback of what is told below
    try:
        yield
    except FloatingPointError as error:
        photos = ", ".join(trainer.data_loader.last)
        raise InputError(
            f"the loss is not a number in step {trainer.iter + 1} (photos {photos}); the last checkpoint is kept in {out}: "
            "lower --loop.lr, then go on with --loop.resume"
        ) from error
    except OSError as error:  # its loader does not say which photo
        raise InputError(
            f"a photo or a checkpoint cannot be read or written ({error}); `segattr data validate FILE --images DIR` names "
            f"broken photos; the last checkpoint is kept in {out}: go on with --loop.resume"
        ) from error
    finally:
        log.setLevel(level)
