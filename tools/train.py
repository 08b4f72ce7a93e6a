"""``segattr train recipe|semantic|instance|attributes|encoder|detectron2``: one verb, one module a task, one loop for all."""

from typing import Annotated

import torch.distributed as dist
import tyro

from .train_attributes import TrainAttributes, train_attributes
from .train_detectron2 import TrainDetectron2, train_detectron2
from .train_encoder import TrainEncoder, train_encoder
from .train_instance import TrainInstance, train_instance
from .train_recipe import TrainRecipe, train_recipe
from .train_semantic import TrainSemantic, train_semantic

Command = (
    Annotated[TrainRecipe, tyro.conf.subcommand("recipe", description="split a file, train masks and attributes on it")]
    | Annotated[TrainSemantic, tyro.conf.subcommand("semantic", description="train the mask model (U-Net, FCN, ...)")]
    | Annotated[TrainInstance, tyro.conf.subcommand("instance", description="train the instance model (Mask R-CNN)")]
    | Annotated[TrainAttributes, tyro.conf.subcommand("attributes", description="train the attribute model")]
    | Annotated[
        TrainEncoder,
        tyro.conf.subcommand("encoder", description="pretrain the attribute model's encoder without labels"),
    ]
    | Annotated[
        TrainDetectron2,
        tyro.conf.subcommand("detectron2", description="train a Mask R-CNN with detectron2, if installed"),
    ]
)
_TRAIN = {
    TrainRecipe: train_recipe,
    TrainSemantic: train_semantic,
    TrainInstance: train_instance,
    TrainAttributes: train_attributes,
    TrainEncoder: train_encoder,
    TrainDetectron2: train_detectron2,
}


def main(argv: list[str]) -> int:
    config = tyro.cli(Command, args=argv, prog="segattr train")
    try:
        _TRAIN[type(config)](config)
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
    return 0
