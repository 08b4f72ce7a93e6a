"""Figures of an instance segmenter on a file: against pycocotools and by hand."""

import numpy as np
import pytest
from PIL import Image as PilImage

from segattr.datasets import masks
from segattr.datasets.coco import Annotation, Category, CocoFile, Image
from segattr.datasets.errors import InputError
from segattr.seg.segments import Segment
from segattr.tools.instance_figures import instance_figures

SIZE = (40, 60)


class Known:
    """A segmenter that knows the answers: ``answers[i]`` for the i-th photo that it sees."""

    def __init__(self, answers):
        self.answers = iter(answers)

    def predict(self, images):
        assert all(image.shape == (*SIZE, 3) for image in images)
        return [next(self.answers) for _ in images]


def box(x0, y0, x1, y1, score=1.0, label=None) -> Segment:
    return Segment((x0, y0, x1, y1), np.ones((y1 - y0, x1 - x0), bool), SIZE, score, label)


def product(number: int, image: int, category: int, xyxy, crowd: int = 0) -> Annotation:
    rle = box(*xyxy).rle()
    x0, y0, x1, y1 = xyxy
    area = (x1 - x0) * (y1 - y0)
    return Annotation(number, image, category, rle, [x0, y0, x1 - x0, y1 - y0], area, iscrowd=crowd)


@pytest.fixture
def coco(tmp_path) -> tuple[CocoFile, object]:
    for i in (1, 2, 3):
        PilImage.new("RGB", SIZE[::-1]).save(tmp_path / f"{i}.png")
    images = [Image(i, f"{i}.png", SIZE[1], SIZE[0]) for i in (1, 2, 3)]
    products = [product(1, 1, 5, (0, 0, 20, 20)), product(2, 1, 9, (30, 0, 50, 40)), product(3, 2, 9, (5, 5, 25, 35))]
    return CocoFile(images, products, [Category(9, "shirt"), Category(5, "shoe")]), tmp_path


def test_the_truth_scores_one_and_a_photo_without_product_needs_none(coco):
    coco, folder = coco
    answers = [[box(0, 0, 20, 20), box(30, 0, 50, 40)], [box(5, 5, 25, 35)], []]
    figures = instance_figures(Known(answers), coco, folder, ("product",), 0.5)
    assert figures == pytest.approx({"segm/AP": 1, "segm/AP50": 1, "segm/AP75": 1, "bbox/AP": 1, "iou": 1})


def test_the_figures_are_pycocotools_own_by_class(coco):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    coco, folder = coco
    answers = [
        [box(0, 0, 20, 16, 0.9, "shoe"), box(30, 2, 52, 40, 0.8, "shirt"), box(3, 3, 9, 9, 0.7, "shirt")],
        [box(5, 5, 25, 30, 0.6, "shirt"), box(40, 5, 50, 30, 0.3, "shoe")],
        [box(1, 1, 9, 9, 0.2, "shirt")],
    ]
    figures = instance_figures(Known(answers), coco, folder, ("shoe", "shirt"), 0.5)
    truth, found = COCO(), COCO()
    images = [{"id": i.id, "height": SIZE[0], "width": SIZE[1]} for i in coco.images]
    header = {"images": images, "categories": [{"id": 5, "name": "shoe"}, {"id": 9, "name": "shirt"}]}
    rows = [
        {
            "id": a.id,
            "image_id": a.image_id,
            "category_id": a.category_id,
            "area": a.area,
            "iscrowd": 0,
            "bbox": a.bbox,
            "segmentation": a.segmentation,
        }
        for a in coco.annotations
    ]
    truth.dataset = header | {"annotations": rows}
    flat = [(i + 1, s) for i, segments in enumerate(answers) for s in segments]
    rows = [
        {
            "id": k,
            "image_id": i,
            "category_id": {"shoe": 5, "shirt": 9}[s.label],
            "area": float(s.mask.sum()),
            "iscrowd": 0,
            "bbox": list(masks.xywh(s.rle())),
            "segmentation": s.rle(),
            "score": s.score,
        }
        for k, (i, s) in enumerate(flat, 1)
    ]
    found.dataset = header | {"annotations": rows}
    truth.createIndex(), found.createIndex()
    for kind, keys in (("segm", ("segm/AP", "segm/AP50", "segm/AP75")), ("bbox", ("bbox/AP",))):
        evaluator = COCOeval(truth, found, kind)
        evaluator.evaluate(), evaluator.accumulate(), evaluator.summarize()
        assert [figures[key] for key in keys] == pytest.approx(list(evaluator.stats[: len(keys)]))


def test_product_iou_is_of_all_sure_products_together_and_skips_crowds(coco):
    coco, folder = coco
    coco.annotations.append(product(4, 2, 9, (40, 0, 60, 40), crowd=1))
    answers = [[box(0, 0, 20, 20, 0.9), box(30, 0, 50, 40, 0.4)], [box(5, 5, 25, 20, 0.9), box(41, 0, 60, 40, 0.9)], []]
    figures = instance_figures(Known(answers), coco, folder, ("product",), 0.5)
    first, second = 400 / (400 + 800), 300 / 600
    assert figures["iou"] == pytest.approx((first + second + 1) / 3)


def test_photos_with_boxes_alone_are_left_out_and_a_file_of_them_is_refused(coco):
    coco, folder = coco
    coco.annotations[2].segmentation = None
    figures = instance_figures(Known([[box(0, 0, 20, 20), box(30, 0, 50, 40)], []]), coco, folder, ("product",), 0.5)
    assert figures["segm/AP"] == pytest.approx(1)
    for annotation in coco.annotations:
        annotation.segmentation = None
    with pytest.raises(InputError, match="no product with a mask"):
        instance_figures(Known([]), coco, folder, ("product",), 0.5)
