"""Our COCO + attributes files as datasets of detectron2. detectron2 is imported inside the functions: it is optional."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..datasets.coco import Annotation, CocoFile, Image, annotation_rle, resolve_image
from ..datasets.errors import InputError


def available() -> bool:
    """Whether detectron2 is installed. It is not imported."""
    return importlib.util.find_spec("detectron2") is not None


def require() -> None:
    """InputError where detectron2 is not installed."""
    if not available():
        raise InputError(
            "detectron2 is not installed here; it is built from source: clone facebookresearch/detectron2 and run "
            "'pip install --no-build-isolation ./detectron2' after torch (docs/detectron2.md), or use the built-in "
            "Mask R-CNN (segattr train instance)"
        )


def register(coco: CocoFile, images_dir: str | Path, name: str, classes: Sequence[str] | None = None) -> None:
    """Make a COCO file a dataset of detectron2's catalog under ``name``, as `records` has it.

    Its metadata: ``thing_classes``, ``thing_dataset_id_to_contiguous_id`` and ``attribute_schema`` (as in the file).
    Use it with ``INPUT.MASK_FORMAT "bitmask"``. Raises InputError where the name is taken.
    """
    require()
    from detectron2.data import DatasetCatalog, MetadataCatalog

    if name in DatasetCatalog:
        raise InputError(f"detectron2 already has a dataset {name!r}; choose another name or DatasetCatalog.remove it")
    names, of = class_indices(coco, classes)
    DatasetCatalog.register(name, lambda: records(coco, images_dir, classes))
    MetadataCatalog.get(name).set(
        thing_classes=names, thing_dataset_id_to_contiguous_id=of, attribute_schema=coco.schema.to_json()
    )


def unregister(name: str) -> None:
    """Take a dataset out of detectron2's catalog again."""
    from detectron2.data import DatasetCatalog, MetadataCatalog

    if name in DatasetCatalog:
        DatasetCatalog.remove(name)
    if name in MetadataCatalog.list():
        MetadataCatalog.remove(name)


def class_indices(coco: CocoFile, classes: Sequence[str] | None) -> tuple[list[str], dict[int, int]]:
    """Class names, and category id -> index of its class. None: every category. One name: all are that class.
    Several: categories of those names; others are left out. InputError for a name that the file lacks."""
    if classes is None:
        classes = [category.name for category in coco.categories]
    elif len(classes) == 1:
        return list(classes), {category.id: 0 for category in coco.categories}
    names = [category.name for category in coco.categories]
    missing = [name for name in classes if name not in names]
    if missing:
        raise InputError(f"class {missing[0]!r} is no category of the file; expected some of: {', '.join(names)}")
    return list(classes), {c.id: list(classes).index(c.name) for c in coco.categories if c.name in classes}


def records(coco: CocoFile, images_dir: str | Path, classes: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """One detectron2 dataset dict a photo: file_name, image_id, height, width, annotations.

    Every annotation carries, beside detectron2's bbox (xywh px), bbox_mode, category_id (index of the class),
    segmentation and iscrowd, our ``attributes`` and its ``annotation_id``: detectron2's loader has the same under
    ``extra_annotation_keys``. Annotations without a mask are left out, and with them photos that have no other: their
    products would be taught as ground. Photos without any annotation stay.
    """
    require()
    _, of = class_indices(coco, classes)
    found = []
    for image in coco.images:
        there = coco.annotations_by_image[image.id]
        masked = [a for a in there if a.segmentation]
        if there and not masked:
            continue
        found.append(
            {
                "file_name": str(resolve_image(images_dir, image.file_name)),
                "image_id": image.id,
                "height": image.height,
                "width": image.width,
                "annotations": [_record(a, image, of[a.category_id]) for a in masked if a.category_id in of],
            }
        )
    return found


def _record(annotation: Annotation, image: Image, class_index: int) -> dict[str, Any]:
    from detectron2.structures import BoxMode

    drawn = annotation.segmentation
    return {
        "annotation_id": annotation.id,
        "attributes": annotation.attributes,
        "bbox": list(annotation.bbox),
        "bbox_mode": BoxMode.XYWH_ABS,
        "category_id": class_index,
        "iscrowd": annotation.iscrowd,
        # Polygons stay: they are rasterised after the photo was resized. detectron2 reads compressed RLE only.
        "segmentation": annotation_rle(annotation, image) if isinstance(drawn, dict) else drawn,
    }
