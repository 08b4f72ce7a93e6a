"""`segattr extract --masks`: attributes read under given masks, and a journal that knows which masks they were."""

import json

import numpy as np
import pytest

from segattr.attributes.joint import joint_metrics
from segattr.attributes.results import AttributeValue, Item, Items
from segattr.datasets import masks
from segattr.datasets.coco import read_coco
from segattr.datasets.errors import InputError
from segattr.seg.pairing import pair, read_predictions
from segattr.tools.cli import main as segattr
from segattr.tools.extract import ExtractConfig, extract

RED, BLUE = (150, 10, 20), (10, 20, 150)


@pytest.fixture
def reader(fake):
    class Reader(fake.FakePredictor):
        """Reads the strongest colour under a mask; cannot find anything itself."""

        def __call__(self, images):
            raise AssertionError("the masks are given")

        def describe(self, images, segments):
            self.calls.append(len(images))
            return [
                Items(None, image.shape[1], image.shape[0], [self.read(image, one) for one in of_photo])
                for image, of_photo in zip(images, segments, strict=True)
            ]

        def read(self, image, segment):
            x0, y0, x1, y1 = segment.xyxy
            strongest = int(image[y0:y1, x0:x1][segment.mask].mean(axis=0).argmax())
            color = self.schema["color"].values[strongest]
            return Item(
                segment.xyxy,
                segment.rle(),
                "hat",
                0.625,
                1.0,
                {"color": AttributeValue([color], {color: 0.875})},
                category_probs={"hat": 0.625, "shirt": 0.375},
            )

    return Reader


def box(x0, y0, x1, y1, size=(60, 80)):
    mask = np.zeros(size, np.uint8)
    mask[y0:y1, x0:x1] = 1
    return masks.encode(mask)


@pytest.fixture
def truth(photos, tmp_path):
    """Three photos, and the true masks of two of them and of one that is not there; as `truth.write(...)`."""
    photos.add("shop/one.png", [(0, 0, 40, 60, RED), (40, 0, 80, 60, BLUE)])
    photos.add("shop/two.png", [(0, 0, 40, 60, BLUE)])
    photos.add("shop/unknown.png")
    annotations = [
        {"image_id": 1, "segmentation": box(50, 5, 70, 25), "attributes": {"color": ["blue"]}},
        {"image_id": 1, "segmentation": box(5, 5, 25, 45), "attributes": {"color": ["red"]}},
        {"image_id": 1, "segmentation": box(0, 0, 80, 9), "iscrowd": 1},
        {"image_id": 2, "segmentation": [[5, 5, 30, 5, 5, 50]], "attributes": {"color": ["red"]}},
    ]

    def write(name="true.json", **changes):
        data = {
            "images": [
                {"id": i, "file_name": n, "width": 80, "height": 60}
                for i, n in enumerate(("one.png", "shop/two.png", "gone.png"), 1)
            ],
            "categories": [{"id": 1, "name": "hat"}],
            "attribute_schema": [{"name": "color", "kind": "multi", "values": ["red", "green", "blue"]}],
            "annotations": [{"id": i, "category_id": 1, "iscrowd": 0} | one for i, one in enumerate(annotations, 1)],
        }
        path = tmp_path / name
        path.write_text(json.dumps(data | changes))
        return path

    return write


def run(photos, out, predictor, path, **options):
    return extract(ExtractConfig((photos.folder,), out, masks=path, **options), predictor)


def test_attributes_are_read_under_the_true_masks(photos, truth, tmp_path, reader):
    out = tmp_path / "out"
    summary = run(photos, out, reader(), truth())
    assert (summary.photos, summary.products, summary.errors) == (2, 3, 0)
    assert [note.split("true.json: ")[1] for note in summary.notes] == [
        "1 of 3 photos are not in it: left out.",
        "1 of its photos are not among those named.",
    ]
    found = read_coco(out / "predictions.json")
    assert [image.file_name for image in found.images] == ["shop/one.png", "shop/two.png"]
    given = [one for one in read_coco(truth()).annotations if not one.iscrowd]
    images = {image.id: image for image in read_coco(truth()).images}
    for mine, theirs in zip(found.annotations, given, strict=True):
        image = images[theirs.image_id]
        rle = masks.to_rle(theirs.segmentation, image.height, image.width)
        assert masks.to_rle(mine.segmentation, image.height, image.width) == rle
        assert mine.score == 0.625 == mine.extra["probabilities"]["category"]["hat"]
    assert [one.attributes["color"] for one in found.annotations] == [["blue"], ["red"], ["blue"]]

    numbers = joint_metrics(pair(read_coco(truth()), read_predictions(out))).numbers
    assert numbers["product/iou"] == numbers["segm-agnostic/AP"] == 1
    assert numbers["attributes/color/accuracy"] == pytest.approx(2 / 3)
    assert numbers["attributes/color/value/blue/ap"] == pytest.approx(1 / 2)


def test_the_journal_knows_which_masks(photos, truth, tmp_path, reader, fake):
    out = tmp_path / "out"
    run(photos, out, reader(), truth())
    same, before = reader(), (out / "predictions.json").read_bytes()
    run(photos, out, same, truth())
    assert same.calls == [] and (out / "predictions.json").read_bytes() == before

    other, path = reader(), truth(info={"description": "drawn again"})
    run(photos, out, other, path)
    assert sum(other.calls) == 2
    assert (out / "predictions.json").read_bytes() != before  # its fingerprint

    own = fake.FakePredictor()  # and the model's own masks are another run again
    extract(ExtractConfig((photos.folder,), out), own)
    assert sum(own.calls) == 3
    with pytest.raises(InputError, match="unfinished run"):
        journal = out / ".segattr" / "journal.jsonl"
        journal.write_bytes(journal.read_bytes().removesuffix(b'{"complete":true}\n'))
        run(photos, out, reader(), path)


def test_a_run_goes_on_where_it_was(photos, truth, tmp_path, reader):
    run(photos, tmp_path / "whole", reader(), truth(), batch_size=1)
    out = tmp_path / "torn"
    run(photos, out, reader(), truth(), batch_size=1)
    journal = out / ".segattr" / "journal.jsonl"
    journal.write_bytes(journal.read_bytes().removesuffix(b'{"complete":true}\n')[:-5])
    again = reader()
    run(photos, out, again, truth(), batch_size=1)
    assert again.calls == [1]
    assert (out / "predictions.json").read_bytes() == (tmp_path / "whole" / "predictions.json").read_bytes()


def test_names_from_another_root_are_another_run(photos, truth, tmp_path, reader):
    """one.png of the file is shop/one.png here; begun at shop/, the same photo could be another one of the file."""
    out, path = tmp_path / "out", truth()
    run(photos, out, reader(), path)
    again = reader()
    extract(ExtractConfig((photos.folder / "shop",), out, masks=path), again)
    assert sum(again.calls) == 2


def test_a_photo_of_another_size_is_an_error_line(photos, truth, tmp_path, reader):
    photos.add("shop/two.png", size=(30, 40))
    predictor = reader()
    summary = run(photos, tmp_path / "out", predictor, truth())
    assert (summary.photos, summary.errors) == (1, 1)
    line = json.loads((tmp_path / "out" / "errors.jsonl").read_text())
    assert (line["file"], line["error"]) == ("shop/two.png", "photo")
    assert "is 40 x 30 px but 80 x 60 px in true.json" in line["message"]


def test_mistakes_are_one_sentence_and_exit_code_2(photos, truth, tmp_path, capsys):
    path, folder, out = truth(), str(photos.folder), str(tmp_path / "out")
    boxed = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5], "iscrowd": 0}
    alien = [{"id": 1, "file_name": "elsewhere.png", "width": 80, "height": 60}]
    for argv, words in [
        ([str(tmp_path / "nowhere.json")], "nowhere.json"),
        ([str(truth("boxed.json", annotations=[boxed]))], "annotation 1 of one.png has no segmentation, only a box"),
        ([str(truth("alien.json", images=alien, annotations=[]))], "holds none of the photos"),
        ([str(truth("empty.json", images=[], annotations=[]))], "no images at all"),
        ([str(path), "--segmenter", "instance"], "two places for masks to come from"),
    ]:
        assert segattr(["extract", folder, "--out", out, "--masks", *argv]) == 2, argv
        captured = capsys.readouterr()
        assert words in captured.err and "Traceback" not in captured.err, captured.err
        assert len(captured.err.strip().splitlines()) == 1


@pytest.mark.slow
def test_the_command_with_the_default_bundle(photos, truth, tmp_path, capsys):
    """No segmenter is loaded; what is read equals what the whole model reads under the same masks."""
    from segattr.attributes.predictor import load_predictor

    out = tmp_path / "out"
    assert segattr(["extract", str(photos.folder), "--masks", str(truth()), "--out", str(out), "--format", "json"]) == 0
    captured = capsys.readouterr()
    assert "2 photos, 3 products, 0 errors" in captured.out and "left out" in captured.err
    written = json.loads((out / "predictions.json").read_text())
    assert written["info"]["model"] == "default (true masks: true.json)"
    whole, alone = load_predictor("default", "cpu"), load_predictor("default", "cpu", masks_given=True)
    assert alone.segmenter is None and alone.fingerprint != whole.fingerprint
    with pytest.raises(InputError, match="opened for given masks"):
        alone([np.zeros((8, 8, 3), np.uint8)])
    (other,) = extract(ExtractConfig((photos.folder,), tmp_path / "b", masks=truth(), format=("json",)), whole).files[
        :1
    ]
    for one, two in zip(written["annotations"], json.loads(other.read_text())["annotations"], strict=True):
        assert one == two
