"""Teachers: trained attribute networks whose averaged answers stand in for labels."""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from ..datasets.errors import InputError
from ..datasets.schema import Schema
from ..weights.bundle import read_bundle
from .network import AttributeNetwork
from .predictor import load_attributes
from .targets import Decoder

_BATCH = 32


class Teacher:
    """The attribute parts of one or more bundles, as one.

    Raises InputError for a bundle of another schema or other categories than ``schema`` and ``categories``.
    """

    def __init__(
        self,
        bundles: Sequence[str],
        schema: Schema,
        categories: Sequence[str],
        device: str | torch.device = "cpu",
    ):
        self.device = torch.device(device)
        self.members = [load_attributes(read_bundle(bundle), device) for bundle in bundles]
        for name, (network, _) in zip(bundles, self.members, strict=True):
            if network.schema != schema or network.categories != list(categories):
                raise InputError(
                    f"--teacher {name}: it reads other categories or attributes than the training files name; expected a "
                    "bundle trained on the same schema"
                )

    @torch.inference_mode()
    def targets(self, cut: Callable[[int, float], np.ndarray]) -> dict[str, torch.Tensor]:
        """What the teachers say, as training targets (see `targets.distributions`): the mean of their calibrated
        probabilities, of every crop and its mirror image. ``cut(crop_px, grow)``: the crops uint8 (n, s, s, 4) at the
        size that a network takes."""
        said = [self._one(*member, cut) for member in self.members]
        return {name: torch.stack([targets[name] for targets in said]).mean(0) for name in said[0]}

    def _one(self, network: AttributeNetwork, decoder: Decoder, cut: Callable) -> dict[str, torch.Tensor]:
        crops = torch.from_numpy(cut(network.config.crop_px, network.config.grow)).permute(0, 3, 1, 2)
        batches = []
        for some in crops.split(_BATCH):
            some = some.to(self.device)
            straight, mirrored = decoder.probabilities(network(some)), decoder.probabilities(network(some.flip(3)))
            batches.append({name: (straight[name] + mirrored[name]) / 2 for name in straight})
        return {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}
