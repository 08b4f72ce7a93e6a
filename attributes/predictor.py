"""The predictor joins the segmenter and the attribute heads. It knows no engine: a batch of photos in, records out."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch

from ..datasets.errors import InputError
from ..datasets.schema import Schema
from ..seg.loading import choose_segmenter, joint_fingerprint, load_segmenter
from ..seg.segments import Segment
from ..weights.bundle import Bundle, read_bundle
from .colour import palette
from .crops import cut_crops
from .network import AttributeConfig, AttributeNetwork
from .results import AttributeValue, Item, Items
from .roi_heads import RoIReader, load_roi
from .targets import Decoder

CHUNK = 16  # crops a forward pass on a CPU: larger batches fall out of its caches
_CHUNK_GPU = 256
Heads = Literal["crops", "roi"]
# Of n products: (category probabilities, attribute values) and the embedding.
Read = tuple[list[tuple[dict[str, float], dict[str, AttributeValue]]], list[np.ndarray]]
_PALETTE_PX = 256  # dominant colours need no more pixels than this along the longer side


class Predictor:
    """Photos to `Items`, with one bundle on one device.

    ``predictor(images)``: uint8 (h, w, 3) RGB arrays of any sizes -> one `Items` a photo, products by falling score.
    ``segmenter``: where the masks come from, see `choose_segmenter`. ``heads``: what reads the attributes: "crops", the
    bundle's attribute network, or "roi", heads on the features of the Mask R-CNN that finds the masks, where it has
    them. ``fingerprint``: equal ones predict equally. ``masks_given``: only `describe` is wanted; no segmenter is loaded
    (nor needs the bundle have one) unless ``heads`` reads its features.
    """

    def __init__(
        self,
        bundle: Bundle,
        device: str | torch.device = "cpu",
        segmenter: str | Path | None = None,
        heads: Heads = "crops",
        *,
        masks_given: bool = False,
    ):
        self.device = torch.device(device)
        self.bundle = bundle
        if heads == "roi" and segmenter is None and "instance" in bundle.parts:
            segmenter = "instance"
        self.info, self.segmenter, self.chosen = bundle.info, None, None
        if masks_given and heads == "crops":
            self.fingerprint = hashlib.sha256(f"{bundle.fingerprint}/given masks".encode()).hexdigest()[:16]
        else:
            self.chosen = choose_segmenter(bundle, segmenter)
            self.fingerprint = joint_fingerprint(bundle, self.chosen, heads)
        if heads == "roi":
            self.segmenter = load_roi(self.chosen, self.device)
            self.network, self.decoder = self.segmenter.model.attributes, self.segmenter.decoder
        else:
            if self.chosen is not None:
                self.segmenter = load_segmenter(self.chosen, self.device)
            self.network, self.decoder = load_attributes(bundle, self.device)
        self.schema, self.categories = self.network.schema, self.network.categories

    @property
    def bundles(self) -> tuple[str, ...]:
        """Fingerprints of the bundles that take part: the one that was opened, and that of the segmenter."""
        used = [self.bundle, *([self.chosen.bundle] if self.chosen is not None else [])]
        return tuple(dict.fromkeys(bundle.fingerprint for bundle in used))

    def __call__(self, images: Sequence[np.ndarray]) -> list[Items]:
        if self.segmenter is None:
            raise InputError("this predictor was opened for given masks: call describe() with them")
        if isinstance(self.segmenter, RoIReader):
            segments, logits = self.segmenter.find(images)
            return self._items(images, segments, self._decoded(logits))
        return self.describe(images, self.segmenter.predict(images))

    def describe(self, images: Sequence[np.ndarray], segments: Sequence[Sequence[Segment]]) -> list[Items]:
        """Read the attributes of given segments: ``segments[i]`` lie in ``images[i]``. True masks go in here too."""
        if isinstance(self.segmenter, RoIReader):
            return self._items(images, segments, self._decoded(self.segmenter.read(images, segments)))
        flat = [segment for of_photo in segments for segment in of_photo]
        owner = [i for i, of_photo in enumerate(segments) for _ in of_photo]
        return self._items(images, segments, self._read(images, flat, owner))

    def _items(self, images, segments: Sequence[Sequence[Segment]], read: Read) -> list[Items]:
        """``read``: what was read of all segments of all photos, in order."""
        found: list[list[Item]] = [[] for _ in images]
        rows = zip(*read, strict=True)
        for i, of_photo in enumerate(segments):
            for segment in of_photo:
                (category, values), embedding = next(rows)
                found[i].append(_item(images[i], segment, category, values, embedding))
        return [
            Items(
                source=None,
                width=image.shape[1],
                height=image.shape[0],
                items=items,
                categories=self.categories,
                schema=self.schema,
            )
            for image, items in zip(images, found, strict=True)
        ]

    @torch.inference_mode()
    def _read(self, images, segments: list[Segment], owner: list[int]) -> Read:
        config = self.network.config
        chunk = CHUNK if self.device.type == "cpu" else _CHUNK_GPU
        decoded, embeddings = [], []
        for begin in range(0, len(segments), chunk):
            some = slice(begin, begin + chunk)
            crops = cut_crops(images, segments[some], owner[some], config.crop_px, config.grow, self.device)
            more = self._decoded(self.network(crops))
            decoded, embeddings = decoded + more[0], embeddings + more[1]
        return decoded, embeddings

    def _decoded(self, logits: dict[str, torch.Tensor]) -> Read:
        if not logits or not len(logits["embedding"]):
            return [], []
        return self.decoder(logits), list(logits["embedding"].float().cpu().numpy())


def load_predictor(
    model: str | Path = "default",
    device: str = "auto",
    segmenter: str | Path | None = None,
    heads: Heads = "crops",
    *,
    masks_given: bool = False,
) -> Predictor:
    """Open a bundle by name or folder. ``device``: auto (CUDA where there is one), cpu or cuda. ``segmenter``, ``heads``
    and ``masks_given``: see `Predictor`. InputError as `read_bundle`, and for a device, segmenter or heads that are not
    there."""
    if heads not in ("crops", "roi"):
        raise InputError(f"--heads {heads}: expected crops or roi")
    if device not in ("auto", "cpu") and not device.startswith("cuda"):
        raise InputError(f"--device {device}: expected auto, cpu or cuda")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"--device {device}: torch sees no CUDA device here; use --device cpu")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return Predictor(read_bundle(model), device, segmenter, heads, masks_given=masks_given)


def load_attributes(bundle: Bundle, device: str | torch.device = "cpu") -> tuple[AttributeNetwork, Decoder]:
    """The bundle's attribute part alone: the network, ready to read crops, and what turns its logits to values."""
    part = bundle.part("attributes")
    with bundle.described("attributes"):
        schema = Schema.from_json(part["schema"], f"{bundle.folder}/bundle.json: parts.attributes.schema")
        categories: list[str] = part["categories"]
        config = AttributeConfig(**_tuples(part["model"]))
        decoder = Decoder(schema, categories, part["temperatures"], part["scales"])
    network = bundle.load_into("attributes", AttributeNetwork(config, schema, categories))
    return network.eval().to(device, memory_format=torch.channels_last), decoder


def _tuples(fields: dict) -> dict:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}


def _item(image, segment: Segment, category: dict[str, float], values, embedding: np.ndarray) -> Item:
    name = segment.label if segment.label in category else max(category, key=category.get)
    return Item(
        xyxy=tuple(float(edge) for edge in segment.xyxy),
        rle=segment.rle(),
        category=name,
        category_prob=category[name],
        score=segment.score,
        attributes=values,
        palette=_palette(image, segment),
        embedding=embedding,
        category_probs=category,
    )


def _palette(image: np.ndarray, segment: Segment):
    x0, y0, x1, y1 = segment.xyxy
    rgb, mask = image[y0:y1, x0:x1], segment.mask
    scale = _PALETTE_PX / max(mask.shape)
    if scale < 1:
        size = (max(1, round(mask.shape[1] * scale)), max(1, round(mask.shape[0] * scale)))
        rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
        mask = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST).astype(bool)
    return palette(rgb, mask)
