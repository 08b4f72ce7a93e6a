"""The editor over HTTP: the contract that its page relies on, and who is kept out."""

import errno
import io
import json
import os
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

from segattr.datasets import masks

pytest.importorskip("fastapi", reason="the editor's server is the [serve] extra")
from starlette.testclient import TestClient

from segattr.tools.editor.app import STATIC, Settings, create_app
from segattr.tools.editor.clicks import GrabCut
from segattr.tools.editor.security import HEADERS, guard, is_loopback

BASE = "http://127.0.0.1:8765"
JSON = {"content-type": "application/json"}


@pytest.fixture
def client(store, tmp_path):
    app = create_app(store, Settings(tmp_path / "catalog.json", guard("127.0.0.1", 8765, None)), GrabCut())
    return TestClient(app, base_url=BASE)


def with_guard(store, tmp_path, **options):
    rules = guard(**({"host": "127.0.0.1", "port": 8765, "token": None} | options))
    return TestClient(create_app(store, Settings(tmp_path / "catalog.json", rules), GrabCut()), base_url=BASE)


def detail(answer, status):
    assert answer.status_code == status, answer.text
    assert set(answer.json()) <= {"detail", "record"} and answer.headers["content-type"] == "application/json"
    said = answer.json()["detail"]
    assert isinstance(said, str) and said and "Traceback" not in said
    return said


def names(answer):
    return [row["file_name"][-5] for row in answer.json()["photos"]]


def test_session(client, store):
    said = client.get("/api/session").json()
    assert said["categories"] == ["shirt", "hat"] and [a["name"] for a in said["schema"]] == [
        "color",
        "pattern",
        "length",
    ]
    assert said["counts"] == {"todo": 1, "drafted": 2, "accepted": 0, "rejected": 0}
    assert (said["title"], said["problems"]) == ("catalog.json", []) and said["version"]
    assert said["project"] == store.project.id


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", "abc"),
        ("order=uncertain", "cba"),  # nothing found first, then the least sure
        ("state=todo", "c"),
        ("state=accepted", ""),
        ("category=hat", "b"),
        ("attribute=color", "a"),
        ("attribute=color&value=red", "a"),
        ("attribute=color&value=blue", ""),
        ("attribute=pattern&value=striped", "b"),
        ("max_confidence=0.55", "bc"),
        ("category=shirt&max_confidence=0.55", "b"),
        ("offset=1&limit=1", "b"),
        (f"category={quote('<script>../')}", ""),
    ],
)
def test_the_queue_filters(client, query, found):
    answer = client.get(f"/api/photos?{query}")
    assert sorted(names(answer)) == sorted(found)
    if "order" in query:
        assert names(answer) == list(found)
    assert answer.json()["total"] == (3 if "offset" in query else len(found))


def test_the_queue_tells_what_the_model_was_sure_of(client):
    rows = {row["file_name"][-5]: row for row in client.get("/api/photos").json()["photos"]}
    assert {name: row["confidence"] for name, row in rows.items()} == {"a": 0.6, "b": 0.5, "c": None}
    assert set(rows["a"]) == {"key", "file_name", "state", "instances", "confidence", "comment"}


@pytest.mark.parametrize(
    "query", ["state=nope", "order=worst", "limit=0", "limit=x", "offset=-1", "max_confidence=x", "limit=1e9"]
)
def test_a_wrong_query_is_told(client, query):
    assert query.split("=")[0] in detail(client.get(f"/api/photos?{query}"), 422)


def test_a_record_goes_out_and_comes_back(client, key, tools):
    record = client.get(f"/api/photos/{key('a.png')}").json()
    assert set(record) == {
        "key", "file_name", "width", "height", "revision", "state", "comment", "touched", "instances", "missing"
    }  # fmt: skip
    assert (record["width"], record["height"], record["revision"], record["missing"]) == (80, 60, 1, False)
    assert (masks.decode(record["instances"][0]["segmentation"]) == tools.disc(30, 25, 12)).all()
    record["instances"][0]["attributes"]["length"] = 12.5
    record |= {"state": "accepted", "file_name": "../../elsewhere.png", "width": 1, "touched": False, "key": "other"}
    assert client.put(f"/api/photos/{record['key'].replace('other', key('a.png'))}", json=record).json() == {
        "revision": 2
    }
    after = client.get(f"/api/photos/{key('a.png')}").json()
    assert after["instances"] == record["instances"] and after["touched"] is True
    # Name and size are not the browser's to change.
    assert (after["file_name"], after["width"], after["key"]) == ("photos/a.png", 80, key("a.png"))


def test_two_tabs(client, key):
    url = f"/api/photos/{key('a.png')}"
    first, second = client.get(url).json(), client.get(url).json()
    assert client.put(url, json=first | {"comment": "first"}).status_code == 200
    refused = client.put(url, json=second | {"comment": "second"})
    assert "changed elsewhere" in detail(refused, 409)
    current = refused.json()["record"]
    assert current == client.get(url).json() and current["comment"] == "first"
    assert client.put(url, json=second | {"comment": "second", "revision": current["revision"]}).status_code == 200


def test_what_a_bad_edit_is_told(client, key, tools):
    url = f"/api/photos/{key('a.png')}"
    record = client.get(url).json()
    (one,) = record["instances"]
    rle = one["segmentation"]
    for change, said in (
        ({"revision": "1"}, "revision"),
        ({"revision": None}, "revision"),
        ({"state": "done"}, "state"),
        ({"instances": {}}, "instances"),
        ({"instances": [one, one]}, "instance 1 stands twice"),
        ({"instances": [one | {"id": 0}]}, "id"),
        ({"instances": [one | {"category": "<script>"}]}, "'<script>' is not in the schema"),
        ({"instances": [one | {"category": 3}]}, "category"),
        ({"instances": [one | {"attributes": {"color": "red"}}]}, "expected a list"),
        ({"instances": [one | {"attributes": {"color": ["green"]}}]}, "expected one of red, blue"),
        ({"instances": [one | {"attributes": {"fit": "slim"}}]}, "not in attribute_schema"),
        ({"instances": [one | {"category": "hat", "attributes": {"length": 3}}]}, "does not apply"),
        ({"instances": [one | {"segmentation": rle | {"size": [80, 60]}}]}, "[80, 60] on a photo of [60, 80]"),
        ({"instances": [one | {"segmentation": rle | {"counts": "1"}}]}, "add up"),
        ({"instances": [one | {"segmentation": rle | {"counts": "\u00e9"}}]}, "instance 1"),
        ({"instances": [one | {"segmentation": rle | {"counts": ""}}]}, "add up"),
        ({"instances": [one | {"segmentation": [[0, 0, 5, 0, 5, 5]]}]}, "segmentation"),
        ({"instances": [one | {"iscrowd": 2}]}, "iscrowd"),
        ({"comment": "x" * 10_001}, "comment"),
    ):
        assert said in detail(client.put(url, json=record | change), 422)
    for body in (b"", b"{", b"[]", b"null", b"\xff", b'{"revision": NaN}', b"[" * 50_000, b'"\\ud800"'):
        detail(client.put(url, content=body, headers=JSON), 422)
    assert client.get(url).json() == record


def test_unknown_photos_and_pages(client):
    for path in (
        "/api/photos/nope",
        "/api/photos/nope/image",
        "/api/photos/..%2f..%2fproject",
        "/nope",
        "/static/nope.js",
    ):
        detail(client.get(path), 404)
    detail(client.put("/api/photos/nope", json={"revision": 1, "state": "todo", "instances": []}), 404)
    detail(client.delete("/api/photos/nope", headers=JSON), 405)


def test_a_photo_that_is_gone(client, key, tmp_path, tools):
    url = f"/api/photos/{key('a.png')}"
    record = client.get(url).json()
    tools.photo(tmp_path / "photos" / "a.png", size=(30, 40))
    assert client.get(url).json()["missing"] is True
    assert "40 x 30 px now" in detail(client.put(url, json=record | {"instances": []}), 410)
    assert "40 x 30 px now" in detail(client.get(f"{url}/image"), 410)
    assert "40 x 30 px now" in detail(client.post(f"{url}/click", json={"points": [[1, 1, 1]]}), 410)
    (tmp_path / "photos" / "a.png").unlink()
    assert "not in the image folder" in detail(client.get(f"{url}/image"), 410)
    assert "not in the image folder" in detail(client.get(f"{url}/image?thumb=64"), 410)
    assert client.put(url, json=record | {"state": "rejected"}).status_code == 200


def test_a_broken_photo(client, key, tmp_path):
    path = tmp_path / "photos" / "a.png"
    path.write_bytes(path.read_bytes()[:200])  # the header is whole
    detail(client.get(f"/api/photos/{key('a.png')}/image"), 422)
    detail(client.get(f"/api/photos/{key('a.png')}/image?thumb=64"), 422)
    detail(client.post(f"/api/photos/{key('a.png')}/click", json={"points": [[1, 1, 1]]}), 422)


def test_a_full_disk(client, key, monkeypatch):
    url = f"/api/photos/{key('a.png')}"
    record = client.get(url).json()

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("segattr.datasets.files.os.replace", full)
    assert "disk is full" in detail(client.put(url, json=record | {"state": "accepted"}), 507)
    monkeypatch.undo()
    assert client.get(url).json() == record


def test_a_link_out_of_the_image_folder_is_not_served(client, key, tmp_path_factory, tmp_path, tools):
    outside = tmp_path_factory.mktemp("outside") / "secret.png"
    tools.photo(outside)
    (tmp_path / "photos" / "a.png").unlink()
    (tmp_path / "photos" / "a.png").symlink_to(outside)
    for query in ("", "?thumb=64"):
        assert "link out of the image folder" in detail(client.get(f"/api/photos/{key('a.png')}/image{query}"), 410)
    assert client.get(f"/api/photos/{key('a.png')}").json()["missing"] is True


# Pictures


def pixels(answer):
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB")).astype(int)


def test_an_image_is_sent_as_it_is_and_not_twice(client, key, tmp_path):
    url = f"/api/photos/{key('a.png')}/image"
    answer = client.get(url)
    assert (
        answer.content == (tmp_path / "photos" / "a.png").read_bytes() and answer.headers["content-type"] == "image/png"
    )
    again = client.get(url, headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    os.utime(tmp_path / "photos" / "a.png", (1, 1))
    assert client.get(url, headers={"if-none-match": answer.headers["etag"]}).status_code == 200


def test_a_turned_photo_arrives_upright_and_odd_kinds_as_jpeg(client, key, tmp_path):
    path = tmp_path / "photos" / "a.png"
    upright = np.full((60, 80, 3), 240, np.uint8)
    upright[:20, :30] = (200, 0, 0)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = Image.fromarray(np.rot90(upright).copy())
    transparent = Image.fromarray(np.dstack([upright, np.full((60, 80), 255, np.uint8)]))
    transparent.putpixel((79, 59), (0, 0, 0, 0))
    for picture, options in (
        (turned, {"format": "JPEG", "exif": exif, "quality": 95}),
        (transparent, {"format": "PNG"}),
        (Image.fromarray(upright).quantize(16), {"format": "PNG"}),
        (Image.fromarray(upright), {"format": "TIFF"}),
        (Image.fromarray(upright).convert("CMYK"), {"format": "JPEG", "quality": 95}),
    ):
        picture.save(path, **options)
        answer = client.get(f"/api/photos/{key('a.png')}/image")
        got = pixels(answer)
        assert answer.headers["content-type"] == "image/jpeg" and got.shape == upright.shape
        assert np.abs(got - upright).mean() < 6 and got[59, 79].min() > 200


def test_thumbs(client, key):
    url = f"/api/photos/{key('a.png')}/image"
    assert pixels(client.get(f"{url}?thumb=40")).shape == (30, 40, 3)
    assert pixels(client.get(f"{url}?thumb=160")).shape == (60, 80, 3)
    for wrong in ("0", "99999", "x"):
        assert "thumb" in detail(client.get(f"{url}?thumb={wrong}"), 422)


# Masks


def test_rasterise_is_the_one_rasteriser_with_holes(client):
    outer, hole = [[5.2, 4.9], [70.1, 8], [60, 55.5], [10, 50]], [[30, 20], [45, 20], [40, 35]]
    other, outside = [[72, 2], [79, 2], [79, 9]], [[-5, 50], [8, 50], [8, 70]]
    parts = [[outer, hole], [other], [outside]]
    answer = client.post("/api/rasterise", json={"size": [60, 80], "parts": parts})
    expected = masks.from_polygons([[np.array(ring, float) for ring in part] for part in parts], 60, 80)
    assert (masks.decode(answer.json()["segmentation"]) == expected).all()
    assert not expected[25, 40] and expected[25, 20] and expected[55, 2]
    empty = client.post("/api/rasterise", json={"size": [60, 80], "parts": []}).json()["segmentation"]
    assert masks.area(empty) == 0


def test_polygons_and_back(client, tools):
    mask = tools.disc(30, 30, 20) & ~tools.disc(30, 30, 8) | tools.disc(70, 50, 6)
    answer = client.post("/api/polygons", json={"segmentation": masks.encode(mask), "tolerance_px": 0})
    parts = answer.json()["parts"]
    assert sorted(len(part) for part in parts) == [1, 2]
    back = client.post("/api/rasterise", json={"size": [60, 80], "parts": parts}).json()["segmentation"]
    assert (masks.decode(back) == mask).all()


def test_wrong_outlines_are_told(client):
    for parts in (
        [[[[1, 1], [2, 2]]]],
        [[[[1, 1, 1]]]],
        [[]],
        [[[["a", 1], [2, 2], [3, 1]]]],
        [[[[1e9, 1], [2, 2], [3, 1]]]],
    ):
        detail(client.post("/api/rasterise", json={"size": [60, 80], "parts": parts}), 422)
    for size in ([0, 5], [5], [5, 5, 5], [1e9, 5], [100_000, 100_000], None):
        detail(client.post("/api/rasterise", json={"size": size, "parts": []}), 422)
    detail(client.post("/api/polygons", json={"segmentation": {"size": [60, 80], "counts": "zz"}}), 422)
    detail(client.post("/api/polygons", json={"segmentation": {"size": [100_000, 100_000], "counts": ""}}), 422)


def test_a_click_gives_a_mask(client, key, store):
    url = f"/api/photos/{key('a.png')}/click"
    box = np.zeros((60, 80), bool)
    box[10:40, 20:50] = True
    for asked in (
        {"points": [[30, 25, 1]]},
        {"points": [], "box": [15, 5, 55, 45]},
        {"box": [15, 5, 55, 45], "points": [[30, 25, 1]]},
    ):
        answer = client.post(url, json=asked | {"segmentation": None})
        found = masks.decode(answer.json()["segmentation"]).astype(bool)
        assert (found & box).sum() / (found | box).sum() > 0.9
    for wrong in (
        {},
        {"points": [[30, 25, 0]]},
        {"points": [[500, 5, 1]]},
        {"box": [9, 9, 9, 9]},
        {"points": [[1, 1, 2]]},
        {"points": [[1, 1]]},
    ):
        detail(client.post(url, json=wrong), 422)
    other = masks.encode(np.ones((5, 5), bool))
    assert "5 x 5" in detail(client.post(url, json={"points": [[3, 3, 1]], "segmentation": other}), 422)


def test_export(client, key, tmp_path):
    assert "no photo is accepted" in detail(client.post("/api/export", json={"states": ["accepted"]}), 422)
    url = f"/api/photos/{key('a.png')}"
    client.put(url, json=client.get(url).json() | {"state": "accepted"})
    assert client.post("/api/export", json={}).json() == {
        "path": str(tmp_path / "catalog.json"), "photos": 1, "annotations": 1
    }  # fmt: skip
    assert [i["file_name"] for i in json.loads((tmp_path / "catalog.json").read_text())["images"]] == ["photos/a.png"]
    for wrong in ({"states": []}, {"states": ["done"]}, {"states": "accepted"}):
        detail(client.post("/api/export", json=wrong), 422)


# Who is kept out


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "evil.example:8765"},
        {"host": "127.0.0.1"},
        {"host": "127.0.0.1:9999"},
        {"host": "127.0.0.1:8765.evil.example"},
        {"host": "localhost:8765@evil.example"},
        {"host": ""},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "http://127.0.0.1:8765.evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_other_sites_are_kept_out(client, key, headers):
    url = f"/api/photos/{key('a.png')}"
    record = client.get(url).json()
    for path in ("/", "/api/session", f"{url}/image", "/static/index.html"):
        detail(client.get(path, headers=headers), 403)
    detail(client.put(url, json=record | {"state": "accepted"}, headers=headers), 403)
    detail(client.post("/api/export", json={}, headers=headers), 403)
    assert client.get(url).json() == record


def test_our_own_page_is_let_in(client, key):
    url = f"/api/photos/{key('a.png')}"
    record = client.get(url).json()
    for host in ("127.0.0.1:8765", "localhost:8765", "LOCALHOST:8765", "[::1]:8765"):
        headers = {"host": host, "origin": f"http://{host}", "sec-fetch-site": "same-origin"}
        assert client.put(url, json=record, headers=headers).status_code == 200
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert client.get("/", headers=link).status_code == 200
    assert client.get(url, headers=link | {"sec-fetch-dest": "iframe"}).status_code == 403


def test_a_form_of_another_site_cannot_write(client, key):
    url = f"/api/photos/{key('a.png')}"
    body = json.dumps(client.get(url).json() | {"state": "accepted"})
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
        detail(client.put(url, content=body, headers={"content-type": kind}), 415)
    assert client.put(url, content=body, headers={"content-type": "application/json; charset=utf-8"}).status_code == 200


def test_bodies_have_a_limit(store, tmp_path, key):
    client = with_guard(store, tmp_path, max_body=2000)
    url = f"/api/photos/{key('a.png')}"
    big = json.dumps(client.get(url).json() | {"comment": "x" * 3000}).encode()
    assert "2000 bytes" in detail(client.put(url, content=big, headers=JSON), 413)
    chunks = (big[i : i + 500] for i in range(0, len(big), 500))  # sent without a length
    assert "2000 bytes" in detail(client.put(url, content=chunks, headers=JSON), 413)
    detail(client.put(url, content=b"{}", headers=JSON | {"content-length": "-5"}), 413)
    assert client.get(url).json()["revision"] == 1


def test_a_token_is_asked_for_everything_and_leaves_the_address(store, tmp_path, key):
    token = "correct-horse-battery"
    client = with_guard(store, tmp_path, token=token)
    for path in (
        "/",
        "/static/index.html",
        "/api/session",
        f"/api/photos/{key('a.png')}/image",
        "/?token=wrong",
        "/?token=",
    ):
        assert "token" in detail(client.get(path), 401)
    detail(client.get("/api/session", params={"token": token}), 401)  # only the page takes it in its address
    detail(client.get("/api/session", headers={"cookie": f"segattr_8765={token}x"}), 401)
    detail(client.get("/api/session", headers={"cookie": "segattr_8765=\u00e9".encode()}), 401)
    assert client.get("/api/session", headers={"authorization": f"Bearer {token}"}).status_code == 200
    answer = client.get("/", params={"token": token}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=lax" in cookie
    assert client.get("/").status_code == 200 and client.get("/api/session").status_code == 200
    detail(client.get("/api/session", headers={"origin": "http://evil.example"}), 403)


def test_beyond_this_machine_any_name_is_ours_but_needs_the_token(store, tmp_path):
    client = with_guard(store, tmp_path, host="0.0.0.0", token="correct-horse-battery")
    detail(client.get("/api/session", headers={"host": "workstation.lan:8765"}), 401)
    headers = {"host": "workstation.lan:8765", "authorization": "Bearer correct-horse-battery"}
    assert client.get("/api/session", headers=headers).status_code == 200
    detail(client.get("/api/session", headers=headers | {"origin": "http://evil.example"}), 403)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        *((host, True) for host in ("127.0.0.1", "127.5.5.5", "localhost", "::1", "[::1]")),
        *((host, False) for host in ("0.0.0.0", "::", "192.168.1.5", "workstation.lan", "")),
    ],
)
def test_which_addresses_only_this_machine_reaches(host, loopback):
    assert is_loopback(host) is loopback


def test_every_answer_is_marked(client, key, monkeypatch, store):
    answers = [
        client.get(p) for p in ("/", "/api/session", "/nope", "/static/nope", f"/api/photos/{key('a.png')}/image")
    ]
    answers += [client.get("/", headers={"host": "evil.example"}), client.put("/api/photos/x", content=b"")]
    monkeypatch.setattr(store, "query", lambda *_: 1 / 0)
    failed = client.get("/api/photos")
    assert "the server failed (ZeroDivisionError)" in detail(failed, 500)
    for answer in (*answers, failed):
        assert all(answer.headers[name] == value for name, value in HEADERS.items()), answer.url
    csp = HEADERS["Content-Security-Policy"]
    assert "default-src 'self'" in csp and "unsafe" not in csp and "http" not in csp


def test_static_files_stay_in_their_folder(client):
    assert client.get("/static/index.html").text == (STATIC / "index.html").read_text()
    for path in (
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static//etc/passwd",
        "/static/%00",
    ):
        assert client.get(path).status_code in (404, 422)
    scripts = sorted(STATIC.glob("js/*.js"))
    assert scripts
    for script in scripts:
        assert client.get(f"/static/js/{script.name}").headers["content-type"].startswith("text/javascript")
