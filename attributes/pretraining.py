"""Self-supervised pretraining of the crop encoder: VICReg on two views of each crop, no labels.

VICReg (Bardes, Ponce, LeCun, "VICReg: Variance-Invariance-Covariance Regularization for Self-Supervised Learning", ICLR
2022) wants neither negatives, hence large batches, nor a second network that follows the first.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ..datasets.torch_datasets import AttributeDataset
from .network import AttributeConfig, CropEncoder
from .targets import UNKNOWN

_INVARIANCE, _VARIANCE, _COVARIANCE = 25.0, 25.0, 1.0  # the paper's weights
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
_TEMPERATURE = 0.07  # of the votes of neighbours (Wu et al., "Instance Discrimination", 2018)


class ViewPairs(AttributeDataset):
    """Two views of each crop, drawn by ``transform``. Item: ``views`` uint8 (2, 4, s, s)."""

    def __init__(self, crops: np.ndarray, transform, mask_jitter: float = 0.0):
        super().__init__(crops, {}, transform, mask_jitter)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"views": torch.stack([super(ViewPairs, self).__getitem__(index)["crop"] for _ in range(2)])}


class PretrainingTask(nn.Module):
    """The crop encoder, VICReg's expander (used in training only) and the loss, for the training loop."""

    def __init__(self, config: AttributeConfig, expander: int, gray: float = 0.0, encoder_weights: str = "none"):
        """``expander``: width of its three layers. ``gray``: share of the views that lose their colour in training."""
        super().__init__()
        self.gray = gray
        self.model = CropEncoder(config, encoder_weights)
        # The first norm because feature maps differ in scale: the largest would drown the others.
        self.expander = nn.Sequential(
            _norm(self.model.channels),
            *(nn.Linear(self.model.channels, expander), _norm(expander), nn.ReLU(inplace=True)),
            *(nn.Linear(expander, expander), _norm(expander), nn.ReLU(inplace=True)),
            nn.Linear(expander, expander),
        )

    @property
    def encoder(self) -> nn.Module:
        return self.model.encoder

    def forward(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """``batch``: views uint8 (n, 2, 4, s, s). Returns loss, its three terms, and ``std``: the mean standard deviation
        of the embeddings (near 1 when all is well, near 0 when the encoder says the same of everything)."""
        views = grayed(batch["views"], self.gray) if self.training else batch["views"]
        embedded = self.expander(self.features(views.flatten(0, 1))).float()
        first, second = embedded.unflatten(0, views.shape[:2]).unbind(1)
        with torch.autocast(views.device.type, enabled=False):
            terms = vicreg_terms(first, second)
        loss = _INVARIANCE * terms["invariance"] + _VARIANCE * terms["variance"] + _COVARIANCE * terms["covariance"]
        return {"loss": loss, **{k: v.detach() for k, v in terms.items()}, "std": first.detach().std(0).mean()}

    def features(self, crops: torch.Tensor) -> torch.Tensor:
        """uint8 (n, 4, s, s) to the pooled features (n, c) of all depths."""
        return torch.cat(self.model.pooled(crops), 1)


def _norm(width: int) -> nn.Module:
    """Of the batch's own statistics always: the loss is one of batches, also where it is only watched."""
    return nn.BatchNorm1d(width, track_running_stats=False)


def grayed(views: torch.Tensor, share: float) -> torch.Tensor:
    """uint8 (n, 2, 4, s, s), RGB and mask: about ``share`` of the views, each drawn by itself, in shades of gray."""
    chosen = torch.rand(views.shape[:2], device=views.device) < share
    weights = torch.tensor(_LUMA, device=views.device).view(3, 1, 1)
    luma = (views[:, :, :3] * weights).sum(2, keepdim=True).round().to(torch.uint8)
    rgb = torch.where(chosen[:, :, None, None, None], luma, views[:, :, :3])
    return torch.cat([rgb, views[:, :, 3:]], 2)


def vicreg_terms(first: torch.Tensor, second: torch.Tensor) -> dict[str, torch.Tensor]:
    """The three terms of VICReg, unweighted, of the embeddings float32 (n, d) of two views, n >= 2:

    - invariance: the mean squared difference of the two;
    - variance: the mean of max(0, 1 - standard deviation) over the dimensions, averaged over the views;
    - covariance: the squared covariances between dimensions, their sum over d, of both views.
    """
    return {
        "invariance": F.mse_loss(first, second),
        "variance": (_spread(first) + _spread(second)) / 2,
        "covariance": _correlated(first) + _correlated(second),
    }


def _spread(embedded: torch.Tensor) -> torch.Tensor:
    return F.relu(1 - (embedded.var(0) + 1e-4).sqrt()).mean()


def _correlated(embedded: torch.Tensor) -> torch.Tensor:
    centred = embedded - embedded.mean(0)
    covariance = centred.T @ centred / (len(embedded) - 1)
    return (covariance.square().sum() - covariance.diagonal().square().sum()) / embedded.shape[1]


def knn_accuracy(features: torch.Tensor, labels: torch.Tensor, groups: torch.Tensor, neighbours: int = 10) -> float:
    """How often the ``neighbours`` nearest of other groups vote for an instance's own label.

    features: float (n, c); every dimension is standardised, then nearness is the cosine and a vote weighs
    exp(cosine / 0.07). labels: int64 (n,), -1 unknown (asked nothing, no vote). groups: int64 (n,): photos of one source
    resemble one another in more than what they show. NaN where nobody has a neighbour.
    """
    known = labels != UNKNOWN
    features, labels, groups = features[known].float(), labels[known], groups[known]
    if len(labels) == 0:
        return float("nan")
    features = F.normalize((features - features.mean(0)) / features.std(0, correction=0).clamp(min=1e-6), dim=1)
    right, asked = 0, 0
    for rows in torch.arange(len(labels)).split(1024):
        cosine = features[rows] @ features.T
        cosine[groups[rows, None] == groups[None]] = -torch.inf
        nearest, who = cosine.topk(min(neighbours, len(labels)), dim=1)
        votes = torch.zeros(len(rows), int(labels.max()) + 1)
        votes.scatter_add_(1, labels[who], (nearest / _TEMPERATURE).exp())
        has_some = nearest[:, 0] > -torch.inf
        right += int((votes.argmax(1) == labels[rows])[has_some].sum())
        asked += int(has_some.sum())
    return right / asked if asked else float("nan")
