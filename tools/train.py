"""``segattr train semantic|attributes``: one verb, one module a task, one loop for all."""

from typing import Annotated

import torch.distributed as dist
import tyro

from .train_attributes import TrainAttributes, train_attributes
from .train_semantic import TrainSemantic, train_semantic

Command = (
    Annotated[TrainSemantic, tyro.conf.subcommand("semantic", description="train the mask model (U-Net, FCN, ...)")]
    | Annotated[TrainAttributes, tyro.conf.subcommand("attributes", description="train the attribute model")]
)


def main(argv: list[str]) -> int:
    config = tyro.cli(Command, args=argv, prog="segattr train")
    try:
        (train_semantic if isinstance(config, TrainSemantic) else train_attributes)(config)
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
    return 0
