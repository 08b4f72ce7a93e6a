"""Photos whose product wears another fabric: its outline, folds, ground and light stay, the cloth is drawn.

Patterns and materials are uneven in every catalog; here the rare ones are as common as wanted, on true garment shapes.
"""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np

from . import masks
from .coco import Annotation, CocoFile, annotation_rle, read_coco
from .cutouts import can_be_cut
from .drawing import Drawn, DrawnProduct, draw_all, write_catalog, write_picture
from .errors import InputError
from .photos import load_photo
from .shading import Lit, lit
from .synth.cloth import Cloth, Look, lay, looks_of
from .synth.colours import ANY_PATTERN, COLOURS, choose_colours, draw_weighted
from .synth.materials import SURFACES
from .synth.noise import camera_noise
from .synth.scene import named_colours

DESCRIPTION = "segattr photos in other fabrics"
# Their weave, loops or holes are as large as folds and would show through.
COARSE = ("denim", "knit", "lace", "fleece", "straw")
_DRAWN = {"color": COLOURS, "pattern": tuple(ANY_PATTERN), "material": tuple(SURFACES)}
_FIRST = ("material", "pattern", "")  # what is drawn first, all its values alike; "": the product is
_TRIES = 200
_WHITE = 0.9  # a white cloth in good light leaves room for its highlights


@dataclass(frozen=True)
class RefabricConfig:
    """What to draw. Raises InputError where a value makes no sense."""

    images: int = 100
    """How many photos."""
    seed: int = 0
    """Photo i depends on (seed, i), the file and the photos alone."""
    size_px: int | None = None
    """Longest side of the photos, larger ones are shrunk to it; 64 to 4096. Left out: as they are."""
    grades: tuple[str, ...] = ()
    """Take only annotations whose mask_grade is one of these; none given: all."""
    photos: Path | None = None
    """Folder that file names are relative to; default: the folder of the file."""
    format: Literal["jpg", "png"] = "jpg"
    """jpg at quality 92, or png."""
    workers: int = 1
    """Processes that draw. Their number changes no byte of the result."""

    def __post_init__(self) -> None:
        size = self.size_px
        checks = (
            (self.images >= 1, f"images is {self.images}, expected 1 or more"),
            (self.seed >= 0, f"seed is {self.seed}, expected 0 or more"),
            (size is None or 64 <= size <= 4096, f"size_px is {size}, expected 64 to 4096"),
            (self.format in ("jpg", "png"), f"format is {self.format!r}, expected jpg or png"),
            (self.workers >= 1, f"workers is {self.workers}, expected 1 or more"),
        )
        for holds, message in checks:
            if not holds:
                raise InputError(f"photos in other fabrics: {message}.")


class Refabricked(NamedTuple):
    """``rgb`` uint8 (h, w, 3) is ``before`` but for the product of ``donor`` and a rim of shading.RIM_PX about it;
    ``attributes``: what the product's fabric is now."""

    rgb: np.ndarray
    before: np.ndarray
    mask: np.ndarray
    donor: Annotation
    attributes: dict[str, Any]


def refabric(file: str | Path, config: RefabricConfig, out_dir: str | Path, progress: bool = True) -> Path:
    """Draw photos of the COCO file ``file`` with a product in another fabric into ``out_dir``: images/ and catalog.json,
    whose path is returned.

    Masks, categories and what the images say (source_id, ...) are the source's; color, pattern and material those of the
    drawn fabric, as far as the file's schema has them; ``source`` tells photo and annotation. Earlier such photos in
    ``out_dir`` are replaced. Raises InputError where no product can be taken, and where ``out_dir`` holds somebody
    else's work.
    """
    file, out_dir = Path(file), Path(out_dir)
    coco = Refabricker(file, config).coco  # what is wrong with the input is said before anything is drawn
    told = ("seed", "size_px", "grades")
    info = coco.info | {"description": DESCRIPTION, "made_from": file.name}
    info |= {name: getattr(config, name) for name in told}
    head = replace(coco, images=[], annotations=[], info=info)
    drawn = draw_all(partial(_Painter, file, config, out_dir), config.images, config.workers)
    return write_catalog(out_dir, head, drawn, config.images, progress)


class _Painter:
    """Draws the photos of one catalog into its folder."""

    def __init__(self, file: Path, config: RefabricConfig, out_dir: Path):
        self.maker, self.out_dir = Refabricker(file, config), out_dir

    def __call__(self, index: int) -> Drawn:
        maker = self.maker
        made = maker.photo(index)
        name = write_picture(made.rgb, self.out_dir, index, maker.config.format)
        image = maker.coco.image_by_id[made.donor.image_id]
        products = []
        for annotation in maker.coco.annotations_by_image[image.id]:
            if annotation.iscrowd or annotation.segmentation is None:
                continue
            changed = annotation is made.donor
            mask = made.mask if changed else maker.mask_of(annotation, made.rgb.shape[:2])
            if not mask.any():
                continue  # shrunk to nothing, or a mask without a pixel in the file
            attributes = made.attributes if changed else annotation.attributes
            extra = annotation.extra | {"source": {"file_name": image.file_name, "annotation_id": annotation.id}}
            products.append(DrawnProduct(masks.encode(mask), annotation.category_id, attributes, extra))
        return Drawn(name, made.rgb.shape[:2], products, image.extra)


class Refabricker:
    """Photos of one file in other fabrics: ``photo(i)`` depends on nothing but the file, the config and i."""

    def __init__(self, file: Path, config: RefabricConfig):
        self.file, self.config, self.photos = file, config, config.photos or file.parent
        self.coco = read_coco(file)
        self.allowed = _allowed(file, self.coco)
        usable = [a for a in self.coco.annotations if self._good(a)]
        if not usable:
            graded = f" and the mask_grade {' or '.join(config.grades)}" if config.grades else ""
            raise InputError(
                f"{file}: no annotation has a mask{graded}, the pattern 'solid' and one color; only on such a product "
                "can the folds be told from the print: annotate some"
            )
        self.by_category: dict[str, list[Annotation]] = {}
        for annotation in usable:
            self.by_category.setdefault(self._category(annotation), []).append(annotation)
        self.looks = {name: self._looks(name) for name in self.by_category}
        every = [look for looks in self.looks.values() for look in looks]
        self.drawable = {"material": sorted({m for m, _ in every}), "pattern": sorted({p for _, p in every})}
        if not every:
            raise InputError(_no_fabric(file, tuple(self.allowed)))

    def _looks(self, category: str) -> dict[tuple[str, str], float]:
        """(material, pattern) -> weight, of those that the schema has."""
        materials, patterns = (self.allowed.get(name, _DRAWN[name]) for name in ("material", "pattern"))
        return {(m, p): weight for (m, p), weight in looks_of(category).items() if m in materials and p in patterns}

    def _category(self, annotation: Annotation) -> str:
        return self.coco.category_by_id[annotation.category_id].name

    def _good(self, annotation: Annotation) -> bool:
        said = annotation.attributes
        if not can_be_cut(annotation) or said.get("pattern") != "solid" or len(said.get("color", ())) != 1:
            return False
        grades = self.config.grades
        return said.get("material") not in COARSE and (not grades or annotation.extra.get("mask_grade") in grades)

    def mask_of(self, annotation: Annotation, size: tuple[int, int]) -> np.ndarray:
        """uint8 (h, w) 0 or 1 of an annotation's product in a photo of ``size`` (h, w)."""
        mask = masks.decode(annotation_rle(annotation, self.coco.image_by_id[annotation.image_id]))
        if mask.shape == size:
            return mask
        share = cv2.resize(mask * np.uint8(255), size[::-1], interpolation=cv2.INTER_AREA)
        return cv2.threshold(share, 127, 1, cv2.THRESH_BINARY)[1]

    def photo(self, index: int) -> Refabricked:
        """Photo ``index`` (from 0)."""
        rng = np.random.default_rng([self.config.seed, index])
        donor, look = self._choose(rng)
        before = self._load(donor)
        mask = self.mask_of(donor, before.shape[:2])
        if not mask.any():
            return Refabricked(before, before, mask, donor, donor.attributes)
        light = lit(before, mask, donor.attributes["color"][0])
        turn = rng.normal(0, 0.12) if rng.random() < 0.85 else rng.uniform(-np.pi, np.pi)
        cloth = lay(rng, look, self._category(donor), light.mask, light.shading, turn)
        after = before.copy()
        x0, y0, x1, y1 = light.box
        after[y0:y1, x0:x1] = _painted(rng, light, cloth)
        return Refabricked(after, before, mask, donor, self._attributes(donor, look, cloth, light))

    def _load(self, donor: Annotation) -> np.ndarray:
        photo = load_photo(self.coco.image_by_id[donor.image_id], self.photos)
        factor = (self.config.size_px or max(photo.shape)) / max(photo.shape)
        if factor >= 1:
            return photo
        height, width = (max(1, round(side * factor)) for side in photo.shape[:2])
        return cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA)

    def _choose(self, rng: np.random.Generator) -> tuple[Annotation, Look]:
        """A product and a fabric for it. Rare categories, materials and patterns come oftener than in the file."""
        for _ in range(_TRIES):
            first = _FIRST[int(rng.integers(len(_FIRST)))]
            wanted = self.drawable[first][int(rng.integers(len(self.drawable[first])))] if first else ""
            fitting = {
                category: {look: weight for look, weight in looks.items() if not wanted or wanted in look}
                for category, looks in self.looks.items()
            }
            among = {name: (len(self.by_category[name]) * sum(w.values())) ** 0.5 for name, w in fitting.items()}
            category = draw_weighted(rng, among)
            material, pattern = draw_weighted(rng, fitting[category])
            names = tuple(choose_colours(rng, pattern, material))
            if set(names) <= self.allowed["color"]:
                found = self.by_category[category]
                return found[int(rng.integers(len(found)))], Look(material, pattern, names)
        raise InputError(_no_fabric(self.file, ("color",)))

    def _attributes(self, donor: Annotation, look: Look, cloth: Cloth, light: Lit) -> dict[str, Any]:
        """The donor's, with the fabric's in place of its own. A pattern that hardly shows is not stated."""
        areas = np.bincount(cloth.label[light.mask > 0], minlength=len(look.names))
        stated = {"color": named_colours(look.names, areas), "material": look.material}
        if look.pattern == "solid" or areas.max() <= 0.95 * areas.sum():
            stated["pattern"] = look.pattern
        category = self._category(donor)
        kept = {name: value for name, value in donor.attributes.items() if name not in _DRAWN}
        return kept | {
            n: v for n, v in stated.items() if n in self.allowed and self.coco.schema[n].applies_to(category)
        }


def _allowed(file: Path, coco: CocoFile) -> dict[str, set[str]]:
    """The values that may be written, by attribute."""
    schema = coco.schema
    missing = [name for name in ("color", "pattern") if name not in schema]
    if missing:
        raise InputError(
            f"{file}: its attribute_schema has no {' and no '.join(missing)}; another fabric needs to know which "
            "products are 'solid', and of which colour"
        )
    return {name: set(schema[name].values) for name in _DRAWN if name in schema}


def _no_fabric(file: Path, names: tuple[str, ...]) -> str:
    known = "; ".join(f"{name}: {', '.join(_DRAWN[name])}" for name in names)
    return f"{file}: no fabric can be drawn that has only values of its attribute_schema; expected some of {known}"


def _painted(rng: np.random.Generator, light: Lit, cloth: Cloth) -> np.ndarray:
    """The crop with the cloth in the photo's light, as its camera would take it; uint8 (h, w, 3)."""
    # Dyes look duller in photos than they are; folds of light cloth light up each other; even black throws some back.
    full = rng.uniform(0.6, 1.0)
    mix = _WHITE * (full * np.eye(3) + (1 - full) / 3)
    share = sum(cv2.mean(cloth.colour, light.mask)) / (3 * 255)
    shading = light.shading ** np.float32(1 - 0.4 * share)
    rgb = cv2.multiply(cv2.transform(cloth.colour, mix), _three(shading * cloth.tone))
    rgb += _three(cloth.shine + 16 * (light.shading - 0.5))
    if cloth.cover.min() < 1:
        under = light.ground * _three(0.75 * light.shading)
        rgb = under + _three(0.3 + 0.7 * cloth.cover) * (rgb - under)
    rgb = cv2.transform(rgb, np.diag(light.gain))
    rgb = cv2.GaussianBlur(rgb, (0, 0), max(0.3, light.blur_px - 0.25))
    height, width = light.mask.shape
    noise = camera_noise()
    repeats = max(height, width) // len(noise) + 1
    noise = np.tile(noise, (repeats, repeats, 1)) if repeats > 1 else noise
    top, left = rng.integers(0, len(noise) - height), rng.integers(0, len(noise) - width)
    grain = np.ascontiguousarray(noise[top : top + height, left : left + width])
    rgb = cv2.scaleAdd(grain, light.noise / 16, rgb)
    mixed = cv2.blendLinear(rgb, light.ground, light.alpha, 1 - light.alpha)
    mixed = np.clip(mixed + 0.5, 0, 255).astype(np.uint8)
    return cv2.copyTo(mixed, (light.alpha > 0).astype(np.uint8), light.rgb.astype(np.uint8))


def _three(channel: np.ndarray) -> np.ndarray:
    return cv2.merge([channel.astype(np.float32)] * 3)
