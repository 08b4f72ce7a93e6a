"""`segattr extract`: files that are right, bad photos, runs that are killed, catalogs that change."""

import json
import os
import random
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from segattr.datasets.coco import read_coco
from segattr.datasets.errors import InputError
from segattr.tools.cli import main as segattr
from segattr.tools.extract import ExtractConfig, extract

OUTPUTS = ("predictions.json", "instances.parquet", "report.html", "errors.jsonl", "embeddings.npy")


def bytes_of(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in OUTPUTS}


def run(photos, out, predictor, **options):
    return extract(ExtractConfig((photos.folder,), out, **options), predictor)


def load(out: Path) -> dict:
    return json.loads((out / "predictions.json").read_text())


def errors_in(out: Path) -> dict[str, dict]:
    lines = [json.loads(line) for line in (out / "errors.jsonl").read_text().splitlines()]
    return {line["file"]: line for line in lines}


def test_what_is_in_the_photo_is_in_every_file(photos, tmp_path, fake):
    photos.add("b/two.png", [(2, 3, 12, 33, (120, 10, 20)), (30, 5, 70, 25, (0, 10, 90))])
    photos.add("a one.jpg", [(10, 10, 40, 50, (90, 20, 10))])
    photos.add("c none.png", [])
    out = tmp_path / "out"
    summary = run(photos, out, fake.FakePredictor(), embeddings=True)
    assert (summary.photos, summary.products, summary.errors) == (3, 3, 0)

    data = load(out)
    assert [(i["id"], i["file_name"], i["width"], i["height"]) for i in data["images"]] == [
        (1, "a one.jpg", 80, 60),
        (2, "b/two.png", 80, 60),
        (3, "c none.png", 80, 60),
    ]
    assert [c["name"] for c in data["categories"]] == ["shirt", "hat"]
    two = [a for a in data["annotations"] if a["image_id"] == 2]
    assert [a["bbox"] for a in two] == [[2, 3, 10, 30], [30, 5, 40, 20]]
    assert [a["area"] for a in two] == [300, 800]
    assert [a["category_id"] for a in two] == [1, 2]
    assert two[0]["attributes"] == {"color": ["red", "blue"], "pattern": "solid", "length": 150.0}
    assert two[0]["probabilities"]["color"] == {"red": 0.8, "blue": 0.6, "green": 0.1}
    assert two[0]["probabilities"]["category"] == {"shirt": 0.9, "hat": 0.1}
    assert two[0]["palette"] == [{"hex": "#102030", "share": 0.75}, {"hex": "#aabbcc", "share": 0.25}]

    rows = pq.read_table(out / "instances.parquet").to_pylist()
    assert [row["annotation_id"] for row in rows] == [a["id"] for a in data["annotations"]] == [1, 2, 3]
    row = rows[2]
    assert (row["image"], row["category"], row["category_prob"]) == ("b/two.png", "hat", 0.6)
    assert (row["x"], row["y"], row["w"], row["h"], row["area"]) == (30, 5, 40, 20, 800)
    assert (row["color"], row["color_prob"]) == (["blue", "green"], [0.8, 0.6])
    assert (row["pattern"], row["pattern_prob"], row["length"]) == ("solid", 0.7, 400.0)
    assert row["palette"] == [{"hex": "#102030", "share": 0.75}, {"hex": "#aabbcc", "share": 0.25}]
    mask = coco_mask.decode({"size": row["rle"]["size"], "counts": row["rle"]["counts"].encode()})
    assert mask[5:25, 30:70].all() and mask.sum() == 800

    embeddings = np.load(out / "embeddings.npy")
    assert embeddings.shape == (3, 256) and embeddings[:, 0].tolist() == [1.0, 1.0, 2.0]


def test_predictions_are_read_by_our_reader_and_by_pycocotools(photos, tmp_path, fake, capsys):
    photos.many(9)
    out = tmp_path / "out"
    run(photos, out, fake.FakePredictor())
    ours, theirs = read_coco(out / "predictions.json"), COCO(str(out / "predictions.json"))
    assert ours.schema == fake.SCHEMA
    assert sorted(theirs.anns) == [annotation.id for annotation in ours.annotations] != []
    for annotation in ours.annotations:
        mask = theirs.annToMask(theirs.anns[annotation.id])
        x, y, w, h = (int(value) for value in annotation.bbox)
        assert mask.sum() == annotation.area and mask[y : y + h, x : x + w].sum() == mask.sum()


def test_an_empty_run_has_the_same_columns(photos, tmp_path, fake):
    photos.add("a.png")
    run(photos, tmp_path / "full", fake.FakePredictor())
    photos.add("a.png", [])
    run(photos, tmp_path / "empty", fake.FakePredictor())
    full, empty = (pq.read_table(tmp_path / name / "instances.parquet") for name in ("full", "empty"))
    assert (full.num_rows, empty.num_rows) == (1, 0)
    assert full.schema.equals(empty.schema, check_metadata=True)
    assert pa.types.is_list(full.schema.field("color").type)
    assert load(tmp_path / "empty")["annotations"] == []
    read_coco(tmp_path / "empty" / "predictions.json")


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_bad_photos_are_lines_and_not_the_end(photos, tmp_path, fake):
    good = photos.add("good.jpg")
    photos.many(5)
    (photos.folder / "half.jpg").write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    (photos.folder / "text.jpg").write_text("I am no photo")
    (photos.folder / "empty.png").touch()
    (photos.folder / "huge.png").write_bytes(png_header(60_000, 60_000))
    (photos.folder / "gone.jpg").symlink_to(photos.folder / "nowhere.jpg")
    photos.add("poison.png", first_pixel=fake.POISON)
    (photos.folder / "notes.txt").write_text("not looked at")
    out = tmp_path / "out"
    predictor = fake.FakePredictor()
    summary = run(photos, out, predictor, batch_size=4)
    assert summary.photos == 6 and summary.errors == 6
    found = errors_in(out)
    assert set(found) == {"half.jpg", "text.jpg", "empty.png", "huge.png", "gone.jpg", "poison.png"}
    assert found["poison.png"]["error"] == "model" and "poisoned photo" in found["poison.png"]["message"]
    assert {line["error"] for file, line in found.items() if file != "poison.png"} == {"photo"}
    assert "empty" in found["empty.png"]["message"] and "too many pixels" in found["huge.png"]["message"]
    assert not any(str(photos.folder) in line["message"] for line in found.values())
    assert {i["file_name"] for i in load(out)["images"]} == {"good.jpg", *(f"{i:03d}.png" for i in range(5))}


def test_a_folder_of_bad_photos_alone_still_writes_every_file(photos, tmp_path, fake):
    photos.folder.mkdir()
    (photos.folder / "a.jpg").write_text("no")
    out = tmp_path / "out"
    summary = run(photos, out, fake.FakePredictor(), embeddings=True)
    assert (summary.photos, summary.errors) == (0, 1)
    assert all((out / name).exists() for name in OUTPUTS)
    assert np.load(out / "embeddings.npy").shape[0] == 0


def test_a_model_that_has_stopped_working_ends_the_run(photos, tmp_path, fake):
    photos.many(70)

    class Broken(fake.FakePredictor):
        def __call__(self, images):
            if len(self.calls) >= 2:
                raise RuntimeError("the device is lost")
            return super().__call__(images)

    out = tmp_path / "out"
    with pytest.raises(InputError, match=r"in a row.*the device is lost"):
        run(photos, out, Broken(), batch_size=2)
    assert not (out / "predictions.json").exists()
    assert run(photos, out, fake.FakePredictor(), batch_size=2).photos == 70


def test_names_with_spaces_and_unicode(photos, tmp_path, fake):
    names = ["Über größe.png", "白 シャツ.jpg", "a'b\"c&d.png", "#1?x=%20.png", "emoji 👗.png", "sub dir/é.png"]
    for name in names:
        photos.add(name)
    out = tmp_path / "out dir é"
    run(photos, out, fake.FakePredictor())
    assert [i["file_name"] for i in load(out)["images"]] == sorted(names)
    assert {row["image"] for row in pq.read_table(out / "instances.parquet").to_pylist()} == set(names)
    assert not errors_in(out)


def test_a_name_that_is_no_text_is_an_error_line(photos, tmp_path, fake):
    photos.add("fine.png")
    raw = os.fsencode(photos.folder) + b"/bad\xff.png"
    try:
        Path(os.fsdecode(raw)).write_bytes((photos.folder / "fine.png").read_bytes())
    except OSError:
        pytest.skip("this file system takes no such name")
    out = tmp_path / "out"
    assert run(photos, out, fake.FakePredictor()).photos == 1
    assert errors_in(out)["bad\\xff.png"]["error"] == "name"


def test_named_files_and_several_folders(photos, tmp_path, fake):
    one, two = photos.add("x/a.png"), photos.add("y/deep/b.png")
    odd = (photos.folder / "x" / "photo.dat").resolve()
    odd.write_bytes(one.read_bytes())
    config = ExtractConfig((odd, photos.folder / "y", two, one), tmp_path / "out")
    extract(config, fake.FakePredictor())
    assert [i["file_name"] for i in load(config.out)["images"]] == ["x/a.png", "x/photo.dat", "y/deep/b.png"]


# --- runs that stop and go on ---------------------------------------------------------------------------------------

CHILD = """
import importlib.util, sys
from pathlib import Path
spec = importlib.util.spec_from_file_location("fake", sys.argv[1])
fake = importlib.util.module_from_spec(spec); spec.loader.exec_module(fake)
from segattr.tools.extract import ExtractConfig, extract
config = ExtractConfig((Path(sys.argv[2]),), Path(sys.argv[3]), batch_size=3, embeddings=True)
extract(config, fake.FakePredictor(delay_s=0.06))
"""


def test_killed_again_and_again_it_ends_with_the_same_bytes(photos, tmp_path, fake):
    photos.many(40)
    for name in ("007a.jpg", "020a.jpg"):
        (photos.folder / name).write_text("broken")
    run(photos, tmp_path / "whole", fake.FakePredictor(), batch_size=3, embeddings=True)
    out = tmp_path / "killed"
    journal = out / ".segattr" / "journal.jsonl"
    command = [sys.executable, "-c", CHILD, fake.__file__, str(photos.folder), str(out)]
    rng = random.Random(5)
    done = 0
    for share in (0.2, 0.5, 0.8):
        child = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        while child.poll() is None and (journal.read_bytes().count(b"\n") if journal.exists() else 0) < 42 * share:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.08))  # anywhere within a batch
        assert child.poll() is None, "it ended before it could be killed: the test shows nothing"
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        lines = journal.read_bytes().count(b"\n")
        assert lines > done, "no progress between two kills"
        done = lines
        assert not (out / "predictions.json").exists()
    subprocess.run(command, check=True, capture_output=True)
    assert bytes_of(out) == bytes_of(tmp_path / "whole")
    assert not [path for path in out.iterdir() if path.name.endswith(".tmp")]


@pytest.mark.parametrize("cut", [1, 40, 2000])
def test_a_torn_journal_loses_its_last_batch_alone(photos, tmp_path, fake, cut):
    photos.many(20)
    for out in (tmp_path / "whole", tmp_path / "torn"):
        run(photos, out, fake.FakePredictor(), batch_size=4, embeddings=True)
    out = tmp_path / "torn"
    journal = out / ".segattr" / "journal.jsonl"
    journal.write_bytes(journal.read_bytes().removesuffix(b'{"complete":true}\n')[:-cut])
    predictor = fake.FakePredictor()
    run(photos, out, predictor, batch_size=4, embeddings=True)
    assert predictor.calls and set(predictor.calls) == {4} and sum(predictor.calls) <= 8
    assert bytes_of(out) == bytes_of(tmp_path / "whole")


def test_a_second_run_does_nothing_and_changes_nothing(photos, tmp_path, fake):
    photos.many(12)
    out = tmp_path / "out"
    run(photos, out, fake.FakePredictor(), embeddings=True)
    before = bytes_of(out)
    predictor = fake.FakePredictor()
    run(photos, out, predictor, embeddings=True)
    assert predictor.calls == [] and bytes_of(out) == before


def test_photos_that_came_changed_and_went(photos, tmp_path, fake):
    photos.many(12)
    out = tmp_path / "out"
    run(photos, out, fake.FakePredictor(), batch_size=4)
    photos.add("000a.png")
    photos.add("005.png", [(1, 1, 50, 9, (0, 80, 0))])
    (photos.folder / "010.png").unlink()
    predictor = fake.FakePredictor()
    run(photos, out, predictor, batch_size=4)
    assert sum(predictor.calls) == 2
    data = load(out)
    assert [i["file_name"] for i in data["images"]] == sorted(path.name for path in photos.folder.iterdir())
    assert [i["id"] for i in data["images"]] == list(range(1, 13))
    changed = next(i["id"] for i in data["images"] if i["file_name"] == "005.png")
    assert [a["bbox"] for a in data["annotations"] if a["image_id"] == changed] == [[1, 1, 49, 8]]


def test_what_failed_is_tried_again_by_the_next_run(photos, tmp_path, fake):
    photos.many(3)
    photos.add("poison.png", first_pixel=fake.POISON)
    out = tmp_path / "out"
    assert run(photos, out, fake.FakePredictor()).errors == 1

    class Mended(fake.FakePredictor):
        def __call__(self, images):
            return [self.find(image, len(images)) for image in images]

    assert run(photos, out, Mended()).errors == 0


def test_another_model_replaces_a_finished_run_but_not_an_unfinished_one(photos, tmp_path, fake):
    photos.many(6)
    out = tmp_path / "out"
    run(photos, out, fake.FakePredictor())
    predictor = fake.FakePredictor(fingerprint="fake-2")
    run(photos, out, predictor)
    assert sum(predictor.calls) == 6 and load(out)["info"]["fingerprint"] == "fake-2"

    journal = out / ".segattr" / "journal.jsonl"
    journal.write_bytes(journal.read_bytes().removesuffix(b'{"complete":true}\n'))
    before = journal.read_bytes()
    with pytest.raises(InputError, match=r"unfinished run of 6 photos.*--restart"):
        run(photos, out, fake.FakePredictor())
    assert journal.read_bytes() == before
    predictor = fake.FakePredictor()
    run(photos, out, predictor, restart=True)
    assert sum(predictor.calls) == 6


def test_two_runs_at_once_are_refused(photos, tmp_path, fake):
    photos.many(2)
    out = tmp_path / "out"

    class Nested(fake.FakePredictor):
        def __call__(self, images):
            with pytest.raises(InputError, match="at work there"):
                run(photos, out, fake.FakePredictor())
            return super().__call__(images)

    assert run(photos, out, Nested()).errors == 0


# --- bad input ------------------------------------------------------------------------------------------------------


def test_mistakes_are_one_sentence_and_exit_code_2(photos, tmp_path, capsys):
    photo = photos.add("a.png")
    empty = tmp_path / "empty"
    empty.mkdir()
    folder, out = str(photos.folder), str(tmp_path / "out")
    for argv, words in [
        (["--out", out], "no photos named"),
        ([str(tmp_path / "nowhere"), "--out", out], "no such file or folder"),
        ([str(empty), "--out", out], "no photo found"),
        ([folder, "--out", str(photo)], "is a file"),
        ([folder, "--out", str(photo / "deeper")], "is a file"),
        ([folder, "--out", out, "--batch-size", "0"], "--batch-size 0"),
        ([folder, "--out", out, "--report-max", "0"], "--report-max 0"),
    ]:
        assert segattr(["extract", *argv]) == 2, argv
        captured = capsys.readouterr()
        assert words in captured.err and "Traceback" not in captured.err, captured.err
        assert len(captured.err.strip().splitlines()) == 1
    for argv in ([folder, "--out", out, "--format", "xml"], [folder, "--out", out, "--batch-size", "many"], [folder]):
        with pytest.raises(SystemExit) as stop:
            segattr(["extract", *argv])
        assert stop.value.code == 2
    assert not (tmp_path / "out").exists()


def test_an_out_that_cannot_be_written(photos, fake):
    photos.add("a.png")
    with pytest.raises(InputError, match="/proc/segattr"):
        run(photos, Path("/proc/segattr"), fake.FakePredictor())


def test_formats_are_chosen(photos, tmp_path, fake):
    photos.many(3)
    out = tmp_path / "out"
    run(photos, out, fake.FakePredictor(), format=("parquet",))
    assert {path.name for path in out.iterdir()} == {".segattr", "instances.parquet", "errors.jsonl"}


def test_embeddings_that_the_model_lacks_are_told(photos, tmp_path, fake):
    photos.add("a.png")

    class Bare(fake.FakePredictor):
        def find(self, image, batch):
            items = super().find(image, batch)
            for item in items:
                item.embedding = None
            return items

    assert run(photos, tmp_path / "out", Bare()).products == 1
    with pytest.raises(InputError, match="--embeddings"):
        run(photos, tmp_path / "out", Bare(), embeddings=True)
