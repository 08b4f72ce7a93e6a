"""Label maps painted from instances and read from files, and what is said of folders that do not fit."""

import json

import numpy as np
import pytest
from PIL import Image

from segattr.datasets import masks
from segattr.datasets.coco import read_coco
from segattr.datasets.errors import InputError
from segattr.datasets.images import ImageError, load_labels
from segattr.datasets.torch_datasets import SemanticDataset
from segattr.seg.label_maps import IGNORE, label_maps, semantic_from_folders, semantic_from_pairing
from segattr.seg.pairing import pair, read_predictions

SIZE = (40, 50)


def box(y0, x0, y1, x1) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[y0:y1, x0:x1] = True
    return mask


def coco(photos: int, instances, names=("hat", "shoes")) -> dict:
    """instances: (photo, category, mask, more)."""
    rows = [
        {"image_id": p, "category_id": c, "segmentation": masks.encode(m), "iscrowd": 0, **more}
        for p, c, m, more in instances
    ]
    return {
        "images": [{"id": i, "file_name": f"{i}.jpg", "width": 50, "height": 40} for i in range(1, photos + 1)],
        "categories": [{"id": i, "name": name} for i, name in enumerate(names, 1)],
        "annotations": [{"id": i, **row} for i, row in enumerate(rows, 1)],
    }


def paired(tmp_path, truth: dict, predictions):
    (tmp_path / "gt.json").write_text(json.dumps(truth))
    (tmp_path / "pred.json").write_text(json.dumps(predictions))
    return pair(read_coco(tmp_path / "gt.json"), read_predictions(tmp_path / "pred.json"))


def test_painted_like_the_training_data(tmp_path):
    rng = np.random.default_rng(0)
    instances = []
    for i in range(30):
        y, x, h, w = (int(v) for v in rng.integers(1, 30, 4))
        instances.append((1 + i % 4, 1 + i % 2, box(y, x, y + h, x + w), {"iscrowd": int(i % 7 == 0)}))
    truth = coco(4, instances)
    pairing = paired(tmp_path, truth, truth)
    dataset = SemanticDataset(read_coco(tmp_path / "gt.json"), tmp_path, ["hat", "shoes"])
    for photo in range(4):
        found = label_maps(pairing.truth, pairing.sizes, photo, 2)
        expected = dataset.label_map(photo).astype(np.uint16)
        expected[expected == 255] = IGNORE
        np.testing.assert_array_equal(found, expected)


def test_instances_by_hand(tmp_path):
    """A dress half found, a belt on it of an unknown category, a weak detection, a photo without predictions, a crowd."""
    dress, belt, crowd = box(0, 0, 20, 20), box(8, 0, 10, 20), box(30, 30, 40, 50)
    truth = coco(2, [(1, 1, dress, {}), (1, 2, belt, {}), (1, 1, crowd, {"iscrowd": 1}), (2, 1, dress, {})])
    detections = [
        (1, 1, box(0, 0, 20, 10), {"score": 0.9}),
        (1, 2, belt, {"score": 0.8}),
        (1, 1, box(20, 20, 30, 30), {"score": 0.3}),
        (1, 1, crowd, {"score": 0.9}),
    ]
    found = coco(1, detections, names=("hat", "gloves"))
    pairing = paired(tmp_path, truth, found)
    result = semantic_from_pairing(pairing)
    assert result.classes == ("(background)", "hat", "shoes")
    right = 20 * 10 - 2 * 10  # the belt lies on the dress on both sides
    assert result.confusion[1].tolist() == [2 * 20 * 20 - 2 * 20 - right, right, 0, 0]
    assert result.confusion[2].tolist() == [0, 0, 0, 40]
    assert result.confusion.sum() == 2 * 40 * 50 - 200
    assert result.iou[1] == pytest.approx(right / 760)
    assert result.foreground_iou == pytest.approx((right + 40) / 800)
    assert "1 detections below the score 0.5" in result.notes[0]
    assert len(result.table) == 2
    assert semantic_from_pairing(pairing, score_thr=0.0).confusion[0, 1] == 100
    boxes = paired(tmp_path, truth, [{"image_id": 1, "category_id": 1, "score": 0.5, "bbox": [0, 0, 20, 20]}])
    with pytest.raises(InputError, match="predictions has one"):
        semantic_from_pairing(boxes)


def test_nothing_predicted_is_all_background(tmp_path):
    pairing = paired(tmp_path, coco(2, [(1, 1, box(0, 0, 20, 20), {})]), [])
    result = semantic_from_pairing(pairing)
    assert result.iou[:2] == pytest.approx([1 - 400 / 4000, 0])


def save(path, labels, mode=None, **more) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(np.asarray(labels))
    if mode == "P":
        picture = picture.convert("L")
        picture.putpalette(np.random.default_rng(0).integers(0, 255, 768).astype(np.uint8).tobytes())
    picture.save(path, **more)


def test_folders(tmp_path):
    truth, pred = np.array([[0, 1, 2], [255, 2, 2]], np.uint8), np.array([[0, 1, 1], [1, 2, 7]], np.uint8)
    save(tmp_path / "gt/x/a.png", truth, "P")
    save(tmp_path / "gt/b.png", truth.astype(np.uint16))
    save(tmp_path / "gt/.hidden/c.png", truth)
    save(tmp_path / "pred/x/a.png", pred)
    save(tmp_path / "pred/b.PNG", truth, format="PNG")
    save(tmp_path / "pred/more.png", pred)
    found = semantic_from_folders(tmp_path / "gt", tmp_path / "pred")
    assert found.classes == ("0", "1", "2", "7")
    assert found.photos == 2
    assert found.iou == pytest.approx([1, 2 / 3, 4 / 6, 0])
    assert found.pixel_accuracy == pytest.approx(8 / 10)
    assert found.notes == [f"1 label map of {tmp_path / 'pred'} without a truth took no part."]
    assert found.table.shape == (2, 22)
    named = dict(zip(found.classes, found.iou, strict=True))
    wider = semantic_from_folders(tmp_path / "gt", tmp_path / "pred", classes=list("abcdefgh"), background=None)
    assert wider.iou[[0, 1, 2, 7]] == pytest.approx(list(named.values()))
    assert wider.miou == pytest.approx(found.miou)
    assert np.isnan(wider.foreground_iou)
    with pytest.raises(InputError, match=r"a\.png.*prediction has labels 0\.\.7; expected 0\.\.2"):
        semantic_from_folders(tmp_path / "gt", tmp_path / "pred", classes=["g", "hat", "shoes"])


def test_folders_that_do_not_fit(tmp_path):
    save(tmp_path / "gt/a.png", np.zeros((3, 4), np.uint8))
    (tmp_path / "pred").mkdir()
    with pytest.raises(InputError, match="holds no PNG"):
        semantic_from_folders(tmp_path / "gt", tmp_path / "pred")
    save(tmp_path / "pred/b.png", np.zeros((3, 4), np.uint8))
    with pytest.raises(InputError, match=r"no prediction for 1 of the 1 label maps of .*\(a\)"):
        semantic_from_folders(tmp_path / "gt", tmp_path / "pred")
    save(tmp_path / "pred/a.png", np.zeros((4, 3), np.uint8))
    with pytest.raises(InputError, match=r"a\.png: a predicted label map \(4, 3\)"):
        semantic_from_folders(tmp_path / "gt", tmp_path / "pred")
    with pytest.raises(InputError, match="no such folder"):
        semantic_from_folders(tmp_path / "nowhere", tmp_path / "pred")


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_numbers_are_read_as_stored_whatever_the_bits(tmp_path, bits):
    cv2 = pytest.importorskip("cv2")
    stored = np.arange(2**bits if bits < 8 else 200, dtype=np.uint8).reshape(2, -1)
    path = tmp_path / "grey.png"
    path.write_bytes(grey_png(stored, bits))
    np.testing.assert_array_equal(load_labels(path), stored)
    cv2.imwrite(str(tmp_path / "16.png"), stored.astype(np.uint16) * 300)
    np.testing.assert_array_equal(load_labels(tmp_path / "16.png"), stored.astype(np.uint16) * 300)


def grey_png(labels: np.ndarray, bits: int) -> bytes:
    """A grey PNG of few bits a pixel, which Pillow does not write."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = labels.shape
    spread = np.unpackbits(labels[..., None], axis=2)[..., 8 - bits :].reshape(height, -1)
    rows = b"".join(b"\0" + row.tobytes() for row in np.packbits(spread, axis=1))
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_colours_are_no_labels(tmp_path):
    save(tmp_path / "rgb.png", np.zeros((3, 4, 3), np.uint8))
    with pytest.raises(ImageError, match=r"channels RGB; a label map has one number"):
        load_labels(tmp_path / "rgb.png")
    with pytest.raises(ImageError, match="cannot be read"):
        load_labels(tmp_path / "nothing.png")
