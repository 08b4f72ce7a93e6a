"""`segattr annotate` as a person runs it: the server in a process of its own, ended by Ctrl-C, by TERM, by kill -9."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import msgspec
import pytest

pytest.importorskip("uvicorn", reason="the editor's server is the [serve] extra")

from segattr.datasets.coco import read_coco
from segattr.datasets.errors import InputError
from segattr.tools.cli import main as segattr
from segattr.tools.editor.records import Edit, wire
from segattr.tools.editor.server import Address, checked, page_url

MAIN = "import sys; from segattr.tools.cli import main; sys.exit(main())"


class Served:
    def __init__(self, folder, *words):
        command = [sys.executable, "-c", MAIN, "annotate", *words, "--no-browser", "--port", "0"]
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"DISPLAY": ""},
        )
        self.said = ""
        while not (found := re.search(r"http://\S+", self.said)):
            line = self.process.stdout.readline()
            assert line, self.process.communicate()[1]
            self.said += line
        self.url = found[0]

    def ask(self, path, body=None, method=None, **headers):
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} | headers
        request = urllib.request.Request(self.url.split("?")[0] + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def accept_first(self):
        key = self.ask("api/photos")["photos"][0]["key"]
        record = self.ask(f"api/photos/{key}")
        return self.ask(f"api/photos/{key}", record | {"state": "accepted"}, "PUT")

    def end(self, number):
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=60)
        return self.said + out, err


@pytest.fixture
def served():
    running = []

    def start(folder, *words):
        running.append(Served(folder, *words))
        return running[-1]

    yield start
    for one in running:
        if one.process.poll() is None:
            one.process.kill()
            one.process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_sitting(served, catalog, tmp_path, number):
    editor = served(tmp_path, "--from", "todo.json", "--out", "catalog.json")
    assert re.match(r"http://127\.0\.0\.1:\d+/$", editor.url)
    assert "catalog.json: 3 photos: 1 to do, 2 drafted, 0 accepted" in editor.said
    assert editor.accept_first() == {"revision": 2}
    with pytest.raises(urllib.error.HTTPError) as refused:
        editor.ask("api/session", Host="evil.example")
    assert refused.value.code == 403
    said, err = editor.end(number)
    assert editor.process.returncode == 0 and "Traceback" not in err
    assert "catalog.json: 1 accepted photos and 1 annotations written" in said
    assert [image.file_name for image in read_coco(tmp_path / "catalog.json").images] == ["photos/a.png"]


def test_kill_9_and_on_again_on_the_same_project(served, catalog, tmp_path):
    editor = served(tmp_path, "--from", "todo.json", "--out", "catalog.json")
    editor.accept_first()
    editor.end(signal.SIGKILL)
    assert not (tmp_path / "catalog.json").exists()
    again = served(tmp_path, "--out", "catalog.json", "--token", "correct-horse-battery")
    assert "1 accepted" in again.said and again.url.endswith("?token=correct-horse-battery")
    with pytest.raises(urllib.error.HTTPError) as refused:
        again.ask("api/session")
    assert refused.value.code == 401
    assert again.ask("api/session", Authorization="Bearer correct-horse-battery")["counts"]["accepted"] == 1
    # A second one on the same project is refused, in one sentence.
    second = subprocess.run(
        [sys.executable, "-c", MAIN, "annotate", "--out", "catalog.json", "--no-serve", "--export", "all"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert second.returncode == 2 and "another segattr annotate works there" in second.stderr
    again.end(signal.SIGINT)


@pytest.fixture
def verb(photos, tmp_path, fake, monkeypatch):
    """`verb(*words, accept="a.png")` runs the verb on photos.folder with the fake model and, in the place of the
    server, a person who accepts that photo. Returns how many photos the model saw."""
    from segattr.attributes import predictor
    from segattr.tools.editor import server

    def run(*words, accept=None, rc=0):
        model = fake.FakePredictor()

        def person(store, out, address, *, browser):
            for key in [k for k, one in store.index.items() if accept and one.file_name.endswith(accept)]:
                record = msgspec.to_builtins(wire(store.photo(key), False))
                store.save(key, msgspec.convert(record | {"state": "accepted", "comment": "mine"}, Edit))

        monkeypatch.setattr(predictor, "load_predictor", lambda *_: model)
        monkeypatch.setattr(server, "serve", person)
        assert segattr(["annotate", str(photos.folder), "--out", str(tmp_path / "catalog.json"), *words]) == rc
        return sum(model.calls)

    return run


def test_drafts_then_the_editor_then_a_better_model(photos, tmp_path, verb, capsys):
    photos.many(3)
    assert verb() == 3
    drafts = read_coco(tmp_path / "catalog.json")  # there is a file of drafts from the start
    assert [i.extra for i in drafts.images] == [{"review": "draft"}] * 3 and drafts.annotations
    assert all(a.extra["review"] == "draft" and a.extra["probabilities"] for a in drafts.annotations)
    assert segattr(["data", "validate", str(tmp_path / "catalog.json"), "--images", str(tmp_path)]) == 0
    photos.add("zzz.png")
    assert verb(accept="002.png") == 1  # the model saw the new photo alone
    after = read_coco(tmp_path / "catalog.json")  # training takes what was accepted
    assert [(i.file_name, i.extra) for i in after.images] == [("photos/002.png", {"review_comment": "mine"})]
    before = [a for a in drafts.annotations if a.image_id == after.images[0].id]
    assert [a.segmentation for a in after.annotations] == [a.segmentation for a in before] and len(before) == 2
    assert verb("--no-serve") == 0
    assert verb("--no-serve", "--redraft") == 3  # not the accepted one
    assert verb("--no-serve", "--export", "all") == 0
    assert [i.extra.get("review") for i in read_coco(tmp_path / "catalog.json").images] == [
        "draft",
        "draft",
        None,
        "draft",
    ]


def test_a_photo_that_the_model_fails_on_is_left_to_the_person(photos, tmp_path, verb, fake, capsys):
    photos.many(2)
    photos.add("poison.png", first_pixel=fake.POISON)
    (photos.folder / "broken.png").write_text("no")
    verb()
    said = capsys.readouterr()
    assert "broken.png" in said.err and "poison.png" in said.err
    assert "3 photos: 1 to do, 2 drafted" in said.out


def test_photos_without_a_model(photos, tmp_path, verb, capsys):
    photos.many(2)
    (photos.folder / "broken.png").write_text("no")
    verb("--model", "none", "--no-serve", rc=2)
    assert "--model none" in capsys.readouterr().err
    assert verb("--model", "none") == 0
    said = capsys.readouterr()
    assert "2 photos: 2 to do" in said.out and "broken.png" in said.err


def test_a_first_start_that_fails_leaves_nothing_behind(photos, tmp_path, verb, capsys):
    photos.many(2)
    (tmp_path / "bad.json").write_text('{"images": [')
    verb("--from", str(tmp_path / "bad.json"), rc=2)
    verb("--from", str(tmp_path / "nowhere.json"), rc=2)
    verb("--schema", str(tmp_path / "bad.json"), rc=2)
    (tmp_path / "catalog.json").write_text('{"images": [')
    verb(rc=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.json", "catalog.json", "photos"]
    assert (tmp_path / "catalog.json").read_text() == '{"images": ['


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--port", "99999"], "--port 99999"),
        (["--token", "short"], "--token"),
        (["--token", "with spaces and more"], "--token"),
        (["--token", "é" * 20], "--token"),
        (["--host", "no.such.host.invalid"], "cannot listen there"),
        (["--images", "nowhere"], "nowhere"),
        (["--schema", "nowhere.json"], "nowhere.json"),
        (["--schema", "todo.json", "--min-prob", "7"], "--min-prob"),
    ],
)
def test_mistakes_are_told_in_a_sentence(catalog, tmp_path, words, said, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert segattr(["annotate", "--from", "todo.json", "--out", "catalog.json", "--no-browser", *words]) == 2
    assert said in capsys.readouterr().err


def test_nothing_to_annotate(tmp_path, capsys):
    assert segattr(["annotate", "--out", str(tmp_path / "catalog.json")]) == 2
    assert "nothing to annotate yet" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_a_taken_port_is_told(catalog, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        assert (
            segattr(["annotate", "--from", "todo.json", "--out", "catalog.json", "--no-browser", "--port", port]) == 2
        )
    assert "choose another --port" in capsys.readouterr().err


def test_beyond_this_machine_a_token_is_made():
    for host in ("0.0.0.0", "::", "192.168.1.5", "workstation.lan"):
        address = checked(Address(host))
        assert len(address.token) >= 32 and address.token in page_url(address, 8765)
    assert checked(Address("127.0.0.1")).token is None and checked(Address("::1")).token is None
    assert page_url(Address("::1"), 80) == "http://[::1]:80/"
    with pytest.raises(InputError, match="--port -1"):
        checked(Address(port=-1))


def test_without_the_extra_the_mend_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(InputError, match=re.escape("pip install 'segattr[serve]'")):
        checked(Address())
