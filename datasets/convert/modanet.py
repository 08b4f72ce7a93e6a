"""ModaNet: COCO with polygons drawn on street photos of PaperDoll, one person a photo.

Its quirks, as users found them: boxes that lie elsewhere than their polygons; the same polygon in several annotations
(one for both shoes, one more for a single shoe); polygons of one or two points; a validation file without annotations;
photos that PaperDoll no longer offers.

A pair of shoes is one product, in street photos as in a shop's: ModaNet draws some pairs as one annotation and some as
two, so the ``footwear`` and ``boots`` of one photo are joined.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from .. import masks
from ..coco import Annotation, CocoFile, Image
from .mend import load, mend
from .notes import Notes, Track, untracked

PAIRS = ("footwear", "boots")


def read(path: Path, notes: Notes, images_dir: Path | None = None, track: Track = untracked) -> CocoFile:
    """A ModaNet file as a file of ours. Raises InputError for what cannot be read."""
    coco = mend(load(path), notes, images_dir=images_dir, check_boxes=True, track=track)
    return from_modanet(coco, notes)


def from_modanet(coco: CocoFile, notes: Notes) -> CocoFile:
    """Shapes drawn twice removed, pairs joined; ``coco`` is used up."""
    pairs = {category.id for category in coco.categories if category.name in PAIRS}
    groups: dict[tuple[int, int], list[Annotation]] = {}
    for annotation in coco.annotations:
        groups.setdefault((annotation.image_id, annotation.category_id), []).append(annotation)
    gone: set[int] = set()
    for (image_id, category_id), group in groups.items():
        image = coco.image_by_id[image_id]
        polygons = [a for a in group if isinstance(a.segmentation, list) and not a.iscrowd]
        left = _without_copies(polygons, image, notes)
        if category_id in pairs and len(left) > 1:
            _join(left, image)
            notes.add("shoes joined to the other of the pair", f"annotation {left[1].id}", len(left) - 1)
            left = left[:1]
        gone |= {id(a) for a in polygons} - {id(a) for a in left}
    return replace(coco, annotations=[a for a in coco.annotations if id(a) not in gone])


def _without_copies(annotations: Iterable[Annotation], image: Image, notes: Notes) -> list[Annotation]:
    """Each polygon in the annotation with the most of them; annotations that have none of their own are left out."""
    seen: set[tuple[float, ...]] = set()
    kept = []
    for annotation in sorted(annotations, key=lambda a: -len(a.segmentation)):
        own = [polygon for polygon in annotation.segmentation if tuple(polygon) not in seen]
        seen.update(map(tuple, own))
        if copies := len(annotation.segmentation) - len(own):
            where = f"annotation {annotation.id}"
            notes.add("polygons left out (another annotation of the photo has them too)", where, copies)
            if not own:
                notes.add("annotations left out (each of their polygons is in another annotation)", where)
                continue
            _redraw(annotation, own, image)
        kept.append(annotation)
    return sorted(kept, key=lambda a: a.id)


def _join(annotations: list[Annotation], image: Image) -> None:
    """Into the first."""
    _redraw(annotations[0], [polygon for annotation in annotations for polygon in annotation.segmentation], image)


def _redraw(annotation: Annotation, polygons: list[list[float]], image: Image) -> None:
    rle = masks.to_rle(polygons, image.height, image.width)
    annotation.segmentation = polygons
    annotation.bbox, annotation.area = list(masks.xywh(rle)), float(masks.area(rle))
