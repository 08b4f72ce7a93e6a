"""What every network of ours asks of an encoder: weights from a file, frozen stages, frozen BatchNorm."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from ..datasets.errors import InputError

_NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm)


@contextmanager
def download(weights: str) -> Iterator[None]:
    """Around building a network with ``weights`` of others: where they cannot be fetched, an InputError says so."""
    try:
        yield
    except OSError as error:  # what urllib and the hub raise without a network
        reason = str(error).splitlines()[0]
        raise InputError(
            f"--encoder-weights {weights}: cannot be downloaded here ({reason}); give a .safetensors file, or 'none'"
        ) from error


def load_encoder(encoder: nn.Module, weights: str) -> None:
    """Fill ``encoder`` from a ``.safetensors`` file: names as in the encoder, a common prefix (``encoder.``,
    ``net.encoder.``, ``backbone.``) is found and cut off. InputError where fewer than half of its tensors are there.
    """
    path = Path(weights)
    if not path.is_file():
        raise InputError(
            f"encoder weights {weights!r}: no such file; expected 'none', 'imagenet' or a .safetensors file"
        )
    try:
        given = load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"encoder weights {path}: not a safetensors file ({error}); a .pth or .pt is a pickle, which may run code: turn "
            "one that you trust into safetensors (docs/training.md)"
        ) from error
    wanted = encoder.state_dict()
    fitting = max((_fitting(given, wanted, prefix) for prefix in _prefixes(given)), key=len)
    if len(fitting) < len(wanted) / 2:
        raise InputError(
            f"encoder weights {path}: {len(fitting)} of the encoder's {len(wanted)} tensors found with equal name and "
            "shape; expected the weights of the same encoder: compare --model.encoder with the file's training"
        )
    encoder.load_state_dict(fitting, strict=False)


def _prefixes(state: dict) -> set[str]:
    found = {""}
    for key in state:
        words = key.split(".")
        found.update(".".join(words[:n]) + "." for n in range(1, min(4, len(words))))
    return found


def _fitting(given: dict, wanted: dict, prefix: str) -> dict[str, torch.Tensor]:
    return {
        key: given[prefix + key].float() if value.is_floating_point() else given[prefix + key]
        for key, value in wanted.items()
        if prefix + key in given and given[prefix + key].shape == value.shape
    }


def stages(encoder: nn.Module) -> list[list[nn.Module]]:
    """The encoder's modules grouped into stages, shallow first.

    A timm feature network names the modules at which its feature maps leave (``feature_info``): a stage ends there.
    Any other encoder: every child that has parameters is a stage.
    """
    network = getattr(encoder, "model", encoder)
    info = getattr(network, "feature_info", None)
    ends = {str(name).replace(".", "_") for name in info.module_name()} if hasattr(info, "module_name") else set()
    groups: list[list[nn.Module]] = [[]]

    def walk(module: nn.Module, prefix: str) -> None:
        for name, child in module.named_children():
            path = prefix + name.replace(".", "_")
            if any(end.startswith(path + "_") for end in ends - {path}):
                walk(child, path + "_")  # the feature maps leave from within
            else:
                groups[-1].append(child)
                if path in ends if ends else any(True for _ in child.parameters()):
                    groups.append([])

    walk(network, "")
    return [group for group in groups if group]


def freeze_stages(encoder: nn.Module, count: int) -> None:
    """Stop the gradients of the first ``count`` stages. InputError where the encoder has fewer."""
    groups = stages(encoder)
    if not 0 <= count <= len(groups):
        raise InputError(f"--freeze-stages {count}: this encoder has {len(groups)} stages; expected 0 to {len(groups)}")
    for module in (module for group in groups[:count] for module in group):
        module.requires_grad_(False)


def hold_batchnorm(module: nn.Module, *, only_frozen: bool) -> None:
    """Put BatchNorm layers in evaluation mode: all of them, or (``only_frozen``) those whose weights do not train.

    Call it after every ``module.train()``: running statistics of a frozen or tiny-batch layer must not drift.
    """
    for layer in module.modules():
        if isinstance(layer, _NORMS) and not (only_frozen and layer.weight is not None and layer.weight.requires_grad):
            layer.eval()
