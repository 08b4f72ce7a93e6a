"""The detectron2 backend: against detectron2's own loader and predictor. Skipped where detectron2 is not installed."""

import importlib.util
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from segattr.datasets import masks
from segattr.datasets.coco import Annotation, Category, CocoFile, Image, annotation_rle, read_coco, write_coco
from segattr.datasets.errors import InputError
from segattr.datasets.images import load_rgb
from segattr.datasets.schema import Schema
from segattr.datasets.synthetic import SynthConfig, generate
from segattr.seg import detectron2_data
from segattr.seg.detectron2 import (
    Detectron2Config,
    Detectron2Segmenter,
    build_cfg,
    build_model,
    bundle_part,
    load_detectron2,
    load_weights,
    records,
    register,
    unregister,
)
from segattr.seg.detectron2_weights import same_network, same_weights
from segattr.seg.instance import InstanceConfig, InstanceNet
from segattr.weights.bundle import write_bundle

needs_detectron2 = pytest.mark.skipif(
    importlib.util.find_spec("detectron2") is None,
    reason="detectron2 is not installed: it is built from source, see docs/detectron2.md",
)
TINY = (
    *("MODEL.RESNETS.DEPTH", "18", "MODEL.RESNETS.RES2_OUT_CHANNELS", "64", "MODEL.FPN.OUT_CHANNELS", "32"),
    *("MODEL.ROI_BOX_HEAD.FC_DIM", "64", "MODEL.ROI_MASK_HEAD.CONV_DIM", "32", "MODEL.ROI_MASK_HEAD.NUM_CONV", "1"),
    *("MODEL.ANCHOR_GENERATOR.SIZES", "[[8],[16],[32],[64],[96]]", "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE", "16"),
    *("MODEL.RPN.POST_NMS_TOPK_TEST", "30", "MODEL.RPN.POST_NMS_TOPK_TRAIN", "30", "TEST.DETECTIONS_PER_IMAGE", "20"),
)


def tiny(**changed) -> Detectron2Config:
    return Detectron2Config(**{"size_px": 96, "score_thr": 0.05, "overrides": TINY} | changed)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("catalog")
    return generate(SynthConfig(images=6, size_px=96, seed=1, products=(1, 2)), folder)


@pytest.fixture(scope="module")
def segmenter() -> Detectron2Segmenter:
    torch.manual_seed(0)
    return Detectron2Segmenter.from_config(tiny(classes=("shirt", "shoe")))


@pytest.fixture
def registered(request):
    name = f"test-{request.node.name}"
    yield name
    unregister(name)


def photos(count: int = 3) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    sizes = [(90, 64), (150, 211), (90, 64)][:count]
    return [rng.integers(0, 255, (h, w, 3), np.uint8) for h, w in sizes]


def hand_made() -> CocoFile:
    """Category ids with gaps and out of order, a hole as RLE, an uncompressed RLE, a crowd, a lone box, no product."""
    ring = np.zeros((40, 50), np.uint8)
    ring[5:30, 10:40] = 1
    ring[12:20, 18:30] = 0
    flat = {"size": [40, 50], "counts": [4, 6, 1990]}
    images = [Image(i, f"{i}.png", 50, 40) for i in (3, 7, 9, 11)]
    square = [[2.0, 2.0, 22.0, 2.0, 22.0, 32.0, 2.0, 32.0]]
    schema = [
        {"name": "color", "kind": "multi", "values": ["navy", "white"]},
        {"name": "heel", "kind": "number", "unit": "mm"},
    ]
    annotations = [
        Annotation(1, 3, 8, square, [2, 2, 20, 30], 600, attributes={"color": ["white", "navy"], "heel": 31.5}),
        Annotation(2, 3, 4, masks.encode(ring), [10, 5, 30, 25], 654, attributes={"color": ["navy"]}),
        Annotation(4, 7, 4, flat, [0, 4, 1, 6], 6),
        Annotation(5, 7, 8, masks.encode(ring), [10, 5, 30, 25], 654, iscrowd=1),
        Annotation(6, 9, 8, None, [1, 1, 5, 5], 25),
    ]
    return CocoFile(images, annotations, [Category(4, "shoe"), Category(8, "shirt")], Schema.from_json(schema, "test"))


# ---- where it is not installed


def test_without_detectron2_a_sentence_says_how_to_install_it(monkeypatch, catalog):
    monkeypatch.setattr(detectron2_data, "available", lambda: False)
    with pytest.raises(InputError, match=r"built from source.*docs/detectron2\.md"):
        build_cfg(Detectron2Config())
    with pytest.raises(InputError, match="not installed"):
        register(read_coco(catalog), catalog.parent, "anything")


# ---- the data


@needs_detectron2
def test_records_are_what_detectron2s_own_loader_reads_with_attributes_as_extra_keys(tmp_path, registered):
    from detectron2.data import MetadataCatalog
    from detectron2.data.datasets.coco import load_coco_json

    coco = hand_made()
    write_coco(tmp_path / "coco.json", coco)
    theirs = load_coco_json(str(tmp_path / "coco.json"), str(tmp_path), registered, ["attributes"])
    metadata = MetadataCatalog.get(registered).as_dict()
    unregister(registered)
    register(coco, tmp_path, registered)
    ours = records(coco, tmp_path)
    assert [record["image_id"] for record in ours] == [3, 7, 11]  # 9 has a product without a mask
    by_id = {record["image_id"]: record for record in theirs}
    for record in ours:
        other = by_id[record["image_id"]]
        assert {k: v for k, v in record.items() if k != "annotations"} == {
            k: v for k, v in other.items() if k != "annotations"
        }
        for one, two in zip(record["annotations"], other["annotations"], strict=True):
            assert one.pop("annotation_id") in {a.id for a in coco.annotations}
            assert one.pop("attributes") == two.pop("attributes", {})
            for d in (one, two):
                if isinstance(d["segmentation"], dict):
                    d["segmentation"] = masks.decode(d["segmentation"]).tolist()
            assert one == two
    now = MetadataCatalog.get(registered).as_dict()
    assert now["thing_classes"] == metadata["thing_classes"] == ["shoe", "shirt"]
    assert now["thing_dataset_id_to_contiguous_id"] == metadata["thing_dataset_id_to_contiguous_id"] == {4: 0, 8: 1}


@needs_detectron2
def test_attributes_and_schema_survive_registration(registered, tmp_path):
    from detectron2.data import DatasetCatalog, MetadataCatalog, get_detection_dataset_dicts

    coco = hand_made()
    register(coco, tmp_path, registered)
    kept = {a["annotation_id"]: a["attributes"] for r in DatasetCatalog.get(registered) for a in r["annotations"]}
    assert kept == {a.id: a.attributes for a in coco.annotations if a.segmentation}
    filtered = get_detection_dataset_dicts([registered], filter_empty=True)
    assert [r["image_id"] for r in filtered] == [3, 7]
    assert filtered[0]["annotations"][0]["attributes"] == {"color": ["white", "navy"], "heel": 31.5}
    assert Schema.from_json(MetadataCatalog.get(registered).attribute_schema, "metadata") == coco.schema
    with pytest.raises(InputError, match="already has a dataset"):
        register(coco, tmp_path, registered)


@needs_detectron2
def test_detectron2s_mapper_makes_our_masks_of_our_records(catalog):
    from detectron2.data import DatasetMapper

    coco = read_coco(catalog)
    mapper = DatasetMapper(
        True, augmentations=[], image_format="RGB", use_instance_mask=True, instance_mask_format="bitmask"
    )
    for record in records(coco, catalog.parent):
        image = coco.image_by_id[record["image_id"]]
        mapped = mapper(record)
        assert np.array_equal(mapped["image"].permute(1, 2, 0).numpy(), load_rgb(record["file_name"]))
        ours = [masks.decode(annotation_rle(a, image)) for a in coco.annotations_by_image[image.id]]
        assert np.array_equal(mapped["instances"].gt_masks.tensor.numpy(), np.array(ours, bool))


@needs_detectron2
def test_classes_of_records(tmp_path):
    coco = hand_made()
    assert {a["category_id"] for r in records(coco, tmp_path, ("product",)) for a in r["annotations"]} == {0}
    some = records(coco, tmp_path, ("shirt", "shoe"))
    assert [a["category_id"] for a in some[0]["annotations"]] == [0, 1]
    with pytest.raises(InputError, match="'hat' is no category"):
        records(coco, tmp_path, ("shirt", "hat"))


# ---- prediction


@needs_detectron2
def test_segments_are_what_detectron2s_predictor_finds(segmenter):
    from detectron2.engine import DefaultPredictor

    cfg = segmenter.cfg.clone()
    cfg.defrost()
    cfg.MODEL.DEVICE = "cpu"
    theirs = DefaultPredictor(cfg)
    theirs.model.load_state_dict(segmenter.model.state_dict())
    compared = 0
    for image, segments in zip(photos(), segmenter.predict(photos()), strict=True):
        instances = theirs(image[:, :, ::-1])["instances"]
        seen = instances.pred_masks.numpy().any((1, 2))
        full = instances.pred_masks.numpy()[seen]
        assert np.array_equal(full, [s.full_mask() for s in segments])
        assert np.allclose(instances.scores.numpy()[seen], [s.score for s in segments])
        assert [("shirt", "shoe")[i] for i in instances.pred_classes.numpy()[seen]] == [s.label for s in segments]
        for s in segments:
            assert s.size == image.shape[:2] and s.mask.dtype == bool
            assert s.mask[0].any() and s.mask[-1].any() and s.mask[:, 0].any() and s.mask[:, -1].any()  # tight
        compared += len(full)
    assert compared > 10


@needs_detectron2
def test_what_is_found_does_not_depend_on_the_other_photos_of_a_batch(segmenter):
    together = segmenter.predict(photos())
    alone = [segmenter.predict([photo])[0] for photo in photos()]
    assert [[s.rle() for s in found] for found in together] == [[s.rle() for s in found] for found in alone]
    assert segmenter.predict([]) == []


@needs_detectron2
def test_detections_are_the_segments_boxes(segmenter):
    for found, segments in zip(segmenter.detect(photos()), segmenter.predict(photos()), strict=True):
        assert len(found.xyxy) == len(found.scores) == len(found.labels) == len(found.segments)
        assert (np.diff(found.scores) <= 0).all() and set(found.labels) <= {0, 1}
        assert [s.rle() for s in found.segments if s is not None] == [s.rle() for s in segments]
        for box, segment in zip(found.xyxy, found.segments, strict=True):
            if segment is not None:
                inner = np.array(segment.xyxy)
                assert (inner[:2] >= np.floor(box[:2])).all() and (inner[2:] <= np.ceil(box[2:])).all()


# ---- our own Mask R-CNN against detectron2's: the same weights find the same


@needs_detectron2
@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"anchor_px": (16, 32, 64, 96), "rpn_convs": 2, "classes": ("a", "b", "c"), "roi_aligned": False},
        {"backbone": "resnet50", "box_convs": ()},
    ],
)
def test_our_mask_rcnn_finds_what_detectron2s_does_with_the_same_weights(changed):
    same = {"backbone": "resnet18", "norm": "frozen", "size_px": 128, "fpn_channels": 32, "box_convs": (32, 32)}
    same |= {"anchor_px": (16, 32, 64, 96, 128), "anchor_ratios": (1.0,), "box_fc": 64, "mask_convs": (32,)}
    same |= {"score_thr": 0.01, "detections_per_photo": 30, "proposals": 50} | changed
    config = InstanceConfig(**same)
    torch.manual_seed(0)
    net = InstanceNet(config).eval()
    for name, module in net.encoder.named_modules():  # or the residual sums grow without end
        if "layer" in name and name.endswith(("bn2", "bn3")):
            module.weight.data.fill_(0.3)
    for name, parameter in net.named_parameters():  # or all anchors score about the same
        if "rpn.head" in name or "predictor" in name:
            parameter.data.mul_(8)
    cfg = build_cfg(same_network(config))
    theirs = build_model(cfg).eval()
    theirs.load_state_dict(same_weights(net.state_dict()))
    rng, found = np.random.default_rng(0), 0
    for _ in range(2):
        image = cv2.resize(rng.integers(0, 255, (8, 8, 3), np.uint8), (128, 128), interpolation=cv2.INTER_CUBIC)
        tensor = torch.from_numpy(image).permute(2, 0, 1)
        with torch.inference_mode():
            (ours,) = net(tensor[None])
            (other,) = theirs.inference([{"image": tensor}], do_postprocess=False)
        torch.testing.assert_close(ours["boxes"], other.pred_boxes.tensor, rtol=0, atol=1e-2)
        torch.testing.assert_close(ours["scores"], other.scores, rtol=0, atol=1e-5)
        assert torch.equal(ours["labels"] - 1, other.pred_classes)
        torch.testing.assert_close(ours["masks"], other.pred_masks[:, 0], rtol=0, atol=1e-4)
        found += len(ours["boxes"])
    assert found >= 4


def test_networks_that_detectron2_has_no_words_for_are_refused():
    for config in (InstanceConfig(), InstanceConfig(backbone="resnet18", mask_convs=(32, 64))):
        with pytest.raises(InputError, match="expected a ResNet and one width"):
            same_network(config)


# ---- bad configs and weights


@needs_detectron2
@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"config": "COCO-InstanceSegmentation/none.yaml"}, "no such file"),
        ({"config": "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.py"}, "Python config"),
        ({"config": "COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml"}, "expected an R-CNN with masks"),
        ({"overrides": ("MODEL.NONE", "1")}, "MODEL.NONE"),
        ({"overrides": ("MODEL.RESNETS.DEPTH",)}, "KEY VALUE"),
        ({"overrides": ("MODEL.RESNETS.DEPTH", "deep")}, "MODEL.RESNETS.DEPTH"),
        ({"overrides": ("MODEL.RESNETS.DEPTH", "18")}, "cannot build this model"),
        ({"classes": ()}, "one class or more"),
        ({"size_px": 16}, "size_px"),
        ({"weights": "nowhere.pth"}, "no such file"),
    ],
)
def test_a_bad_config_is_refused_in_one_sentence(changed, said):
    with pytest.raises(InputError, match=said) as caught:
        Detectron2Segmenter.from_config(Detectron2Config(**changed))
    assert "\n" not in str(caught.value)


class _Bomb:
    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@needs_detectron2
@pytest.mark.parametrize("kind", ["pkl", "pth", "zoo"])
def test_weights_that_would_run_code_are_refused_unread(kind, tmp_path, segmenter):
    path, exploded = tmp_path / f"weights.{kind.replace('zoo', 'pkl')}", tmp_path / "exploded"
    if kind == "pkl":
        path.write_bytes(pickle.dumps({"model": _Bomb(exploded)}))
    elif kind == "pth":
        torch.save({"model": _Bomb(exploded)}, path)
    else:  # as the model zoo writes them
        state = {key: value.numpy() for key, value in segmenter.model.state_dict().items()}
        path.write_bytes(pickle.dumps({"model": state, "__author__": "Detectron2 Model Zoo"}))
    with pytest.raises(InputError, match="refused"):
        load_weights(segmenter.model, path)
    assert not exploded.exists()


@needs_detectron2
@pytest.mark.parametrize("suffix", ["safetensors", "pth", "model.pth"])
def test_weights_come_from_safetensors_and_from_plain_pth(suffix, tmp_path, segmenter):
    path, state = tmp_path / f"weights.{suffix}", segmenter.model.state_dict()
    if suffix == "safetensors":
        save_file({key: value.contiguous() for key, value in state.items()}, path)
    else:
        torch.save({"model": state, "iteration": 7} if suffix == "model.pth" else state, path)
    norms = ("MODEL.RESNETS.NORM", "GN", "MODEL.FPN.NORM", "GN", "MODEL.ROI_MASK_HEAD.NORM", "GN")
    config = tiny(classes=("shirt", "shoe"), weights=str(path), overrides=(*TINY, *norms))
    other = Detectron2Segmenter.from_config(config)
    for one, two in zip(segmenter.predict(photos(2)), other.predict(photos(2)), strict=True):
        assert [s.rle() for s in one] == [s.rle() for s in two]
    five = build_model(build_cfg(tiny(classes=tuple("abcde"), overrides=config.overrides)))
    assert load_weights(five, path) < len(state)  # the heads of other classes stay random
    with pytest.raises(InputError, match="tensors found with equal name and shape"):
        load_weights(five, path, strict=True)
    with pytest.raises(InputError, match="tensors found with equal name and shape"):
        Detectron2Segmenter.from_config(tiny(weights=str(path), overrides=()))


@needs_detectron2
def test_random_weights_train_under_groupnorm_and_are_not_frozen():
    cfg = build_cfg(tiny())
    assert cfg.MODEL.RESNETS.NORM == cfg.MODEL.FPN.NORM == "GN" and cfg.MODEL.BACKBONE.FREEZE_AT == 0
    assert cfg.MODEL.WEIGHTS == ""
    assert build_cfg(tiny(overrides=(*TINY, "MODEL.RESNETS.NORM", "BN"))).MODEL.RESNETS.NORM == "BN"


@needs_detectron2
def test_yaml_that_would_run_code_is_refused_unread(tmp_path, segmenter):
    exploded = tmp_path / "exploded"
    bomb = f"MODEL:\n  WEIGHTS: !!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path [{exploded}]]\n"
    (tmp_path / "c.yaml").write_text(bomb)
    with pytest.raises(InputError, match="plain YAML"):
        build_cfg(Detectron2Config(config=str(tmp_path / "c.yaml")))
    part = bundle_part(segmenter.cfg, segmenter.classes) | {"config": bomb}
    bundle = write_bundle(tmp_path / "b", {"detectron2": part}, {"detectron2": segmenter.model.state_dict()}, {})
    with pytest.raises(InputError, match=r"parts\.detectron2"):
        load_detectron2(bundle)
    assert not exploded.exists()


# ---- the bundle


@needs_detectron2
def test_a_bundle_of_another_detectron2_is_refused_in_one_sentence(segmenter, tmp_path):
    part = bundle_part(segmenter.cfg, segmenter.classes)
    states = {"detectron2": segmenter.model.state_dict()}
    assert load_detectron2(write_bundle(tmp_path / "good", {"detectron2": part}, states, {})).classes == (
        "shirt",
        "shoe",
    )
    for changed in ({"config": part["config"] + "NEW: 1\n"}, {"config": "- 1"}, {"classes": ["one"]}):
        bundle = write_bundle(tmp_path / "bad", {"detectron2": part | changed}, states, {})
        with pytest.raises(InputError, match="bundle again"):
            load_detectron2(bundle)
