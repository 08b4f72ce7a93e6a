"""The editor in a real browser: one server and one Chromium for all tests, a project and a context of its own for each."""

import json
import os
import shutil
import threading
import time
import warnings
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image

from segattr.datasets import masks
from segattr.datasets.coco import annotation_rle, read_coco
from segattr.tools.editor.importing import import_coco, read_checked
from segattr.tools.editor.store import Store, work_folder

H, W = 300, 400
PATIENCE_S = 30  # a busy machine is slow, not wrong
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
SCHEMA = [
    {"name": "color", "kind": "multi", "values": ["navy", "white", "red"]},
    {"name": "pattern", "kind": "single", "values": ["solid", "striped"]},
    {"name": "length", "kind": "number", "unit": "cm", "categories": ["shirt"]},
]
CATEGORIES = [{"id": 2, "name": "shirt"}, {"id": 5, "name": "hat"}]


def found_chromium():
    """$SEGATTR_CHROMIUM, else the system's Chromium or Chrome; None where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return os.environ.get("SEGATTR_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


@pytest.fixture(scope="session")
def chromium():
    """A running browser. Tests are skipped where there is none to run."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is in the [dev] extra: make test-browser")
    path = found_chromium()
    if path is None:
        pytest.skip("no Chromium found: make test-browser installs Debian's, or set SEGATTR_CHROMIUM")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


class Stand:
    """A server whose app is exchanged from test to test."""

    def __init__(self):
        import uvicorn

        from segattr.tools.editor.server import Address, listening

        self.app = None
        self._socket = listening(Address(port=0))
        self.port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        config = uvicorn.Config(
            self._answer, log_level="warning", access_log=False, lifespan="off", ws="none", interface="asgi3"
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)
        self._thread.start()

    async def _answer(self, scope, receive, send):
        await self.app(scope, receive, send)

    def show(self, store, out, token=None):
        from segattr.tools.editor.app import Settings, create_app
        from segattr.tools.editor.clicks import GrabCut
        from segattr.tools.editor.security import guard

        self.app = create_app(store, Settings(out, guard("127.0.0.1", self.port, token)), GrabCut())

    def end(self):
        self._server.should_exit = True
        self._thread.join(10)
        self._socket.close()


@pytest.fixture(scope="session")
def stand(chromium):
    pytest.importorskip("uvicorn", reason="the editor's server is the [serve] extra")
    stand = Stand()
    yield stand
    stand.end()


class Tab:
    """A page of the editor, used with mouse and keyboard. Points are photo px unless they are called client."""

    def __init__(self, context, url):
        self.page = context.new_page()
        self.url = url
        self.errors = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self._inside(request.url))
        self.page.on("console", lambda message: self._heard(message.text))

    def _inside(self, url):
        if not url.startswith((self.url, "blob:", "data:")):
            self.errors.append(f"asked elsewhere: {url}")

    def _heard(self, text):
        if "Content Security Policy" in text or "Refused to" in text:
            self.errors.append(text)

    def open(self, path=""):
        self.page.goto(self.url + path)
        self.until("window.segattrEditor")
        return self.idle()

    def reload(self):
        self.page.reload()
        self.until("window.segattrEditor")
        return self.idle()

    def js(self, expression, *given):
        """The page's policy forbids eval: a function is called, its argument is data."""
        return self.page.evaluate(f"(given) => {expression}", list(given))

    def get(self, name):
        return self.js(f"segattrEditor.{name}")

    def until(self, expression, *given):
        end = time.monotonic() + PATIENCE_S
        while not (value := self.js(f"Boolean({expression})", *given)):
            assert time.monotonic() < end, f"waited in vain for {expression}; {self.told()}"
            self.page.wait_for_timeout(15)
        return value

    def told(self):
        return {"errors": self.errors, "body": self.page.inner_text("body")[-600:]}

    def idle(self):
        self.until("segattrEditor.ready && !segattrEditor.busy")
        return self

    def saved(self):
        self.idle()
        self.until("segattrEditor.saveState === 'saved'")
        return self

    def front(self):
        """Switch to this tab: a browser slows down those behind it."""
        self.page.bring_to_front()
        return self

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)
        return self.idle()

    def do(self, action):
        self.page.click(f'#top [data-action="{action}"], #products [data-action="{action}"]')
        return self.idle()

    def clients(self, points):
        """For each photo point the whole client px nearest to it, and the photo point that this is."""
        near = self.js("given.map(([x, y]) => segattrEditor.toClient(x, y))", *points)
        near = [(round(at["x"]), round(at["y"])) for at in near]
        under = self.js("given.map(([x, y]) => segattrEditor.toPhoto(x, y))", *near)
        return [(at, (point["x"], point["y"])) for at, point in zip(near, under, strict=True)]

    def client(self, x, y):
        return self.clients([(x, y)])[0]

    def click(self, x, y, **how):
        at, point = self.client(x, y)
        self.page.mouse.click(*at, **how)
        self.idle()
        return point

    def drag(self, *points, button="left"):
        """Press at the first point, move to each, let go. Returns the photo points of the way."""
        way = self.clients([(float(x), float(y)) for x, y in points])
        self.page.mouse.move(*way[0][0])
        self.page.mouse.down(button=button)
        for at, _ in way[1:]:
            self.page.mouse.move(*at)
        self.page.mouse.up(button=button)
        self.idle()
        return [point for _, point in way]

    def masks(self):
        """id -> bool (h, w)."""
        return {one["id"]: masks.decode(one["segmentation"]).astype(bool) for one in self.get("instances")}

    def mask(self, id_=1):
        return self.masks()[id_]

    def open_photo(self, name):
        self.page.click(f'#queue .photo:has(.name:text-is("{name}"))')
        self.until("segattrEditor.fileName?.endsWith(given[0])", name)
        return self.idle()

    def export(self, *states):
        """Through the dialog, as a person does."""
        self.saved().press("Shift+E")
        for label in self.page.query_selector_all("dialog label.check"):
            box = label.query_selector("input")
            wanted = label.inner_text().split()[0].lower() in (states or ("accepted",))
            if box.is_checked() != wanted:
                box.click()
        with self.page.expect_response("**/api/export") as answer:
            self.page.click('dialog [data-choice="export"]')
        assert answer.value.ok, answer.value.text()
        self.idle()
        return answer.value.json()


def drawn(path, seed=0):
    """A photo: a dark shirt of known shape on light ground, with grain. Returns its mask, bool (h, w)."""
    mask = np.zeros((H, W), np.uint8)
    cv2.rectangle(mask, (130, 80), (270, 240), 1, -1)
    cv2.fillPoly(mask, [np.array([(130, 80), (70, 150), (100, 175), (140, 130)])], 1)
    cv2.fillPoly(mask, [np.array([(270, 80), (330, 150), (300, 175), (260, 130)])], 1)
    noise = np.random.default_rng(seed).normal(0, 8, (H, W, 3))
    rgb = np.where(mask[..., None] == 1, (40, 60, 120), (215, 210, 200)) + noise
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(rgb, 0, 255).astype(np.uint8)).save(path)
    return mask.astype(bool)


@pytest.fixture
def project(stand, tmp_path):
    """`project(annotations, photos=...)` begins a project and serves it: {photo name: [(mask, changes), ...]}.

    Returns truth (the drawn shirt), store, out, key(name), photo(name) -> path, exported(name) -> bitmaps by
    annotation order, with the annotations.
    """
    opened = []

    def begin(products, **head):
        names = list(products)
        truth = {name: drawn(tmp_path / "photos" / name, seed=i) for i, name in enumerate(names)}
        images = [{"id": i, "file_name": f"photos/{n}", "width": W, "height": H} for i, n in enumerate(names, 1)]
        rows = []
        for image in images:
            for mask, changes in products[image["file_name"].removeprefix("photos/")]:
                rle = masks.encode(mask)
                row = {"id": len(rows) + 1, "image_id": image["id"], "category_id": 2, "segmentation": rle}
                row |= {"iscrowd": 0, "bbox": list(masks.xywh(rle)), "area": masks.area(rle)}
                rows.append(row | changes)
        file = tmp_path / "todo.json"
        head = {"categories": CATEGORIES, "attribute_schema": SCHEMA} | head
        file.write_text(json.dumps(head | {"images": images, "annotations": rows}))
        out = tmp_path / "catalog.json"
        store = Store(work_folder(out), images=tmp_path)
        opened.append(store)
        import_coco(store, read_checked(file))
        stand.show(store, out)

        def key(name):
            return next(one.key for one in store.index.values() if one.file_name == f"photos/{name}")

        def exported(name):
            coco = read_coco(out)
            image = next(image for image in coco.images if image.file_name == f"photos/{name}")
            found = [one for one in coco.annotations if one.image_id == image.id]
            return [masks.decode(annotation_rle(one, image)).astype(bool) for one in found], found

        return SimpleNamespace(
            truth=truth,
            store=store,
            out=out,
            key=key,
            exported=exported,
            photo=lambda name: tmp_path / "photos" / name,
            record=lambda name: store.photo(key(name)),
        )

    yield begin
    for store in opened:
        store.close()


@pytest.fixture
def tab(project, chromium, stand):
    """`tab()` opens the editor; another call opens a second tab of the same browser. What a page complained of in the
    end fails the test."""
    context = chromium.new_context(viewport={"width": 1400, "height": 900})
    context.set_default_timeout(1000 * PATIENCE_S)
    tabs = []

    def open_tab(path=""):
        tabs.append(Tab(context, stand.url))
        return tabs[-1].open(path)

    open_tab.context = context
    yield open_tab
    context.close()
    assert [error for one in tabs for error in one.errors] == []


def near(points, size=(H, W)):
    """Distance of every pixel's centre to a line of photo points, float (h, w)."""
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    best = np.full(size, np.inf)
    points = np.asarray(points, float)
    for a, b in zip(points, points[1:] if len(points) > 1 else points, strict=False):
        d = b - a
        t = np.clip(((x - a[0]) * d[0] + (y - a[1]) * d[1]) / max((d**2).sum(), 1e-12), 0, 1)
        best = np.minimum(best, np.hypot(x - a[0] - t * d[0], y - a[1] - t * d[1]))
    return best


def polygon(points, size=(H, W)):
    """pycocotools' raster of an outline, bool (h, w)."""
    from pycocotools import mask as coco_mask

    flat = [float(v) for point in points for v in point]
    with warnings.catch_warnings():  # pycocotools has not caught up with numpy 2's __array__
        warnings.simplefilter("ignore", DeprecationWarning)
        return coco_mask.decode(coco_mask.frPyObjects([flat], *size))[..., 0].astype(bool)


def same(mask, expected, unsure=None):
    """Pixel by pixel, but where `unsure` (pixel centres on the very edge of a brush)."""
    wrong = (mask != expected) & (~unsure if unsure is not None else True)
    assert not wrong.any(), f"{wrong.sum()} pixels differ, first {np.argwhere(wrong)[:5].tolist()}"
    return True


@pytest.fixture
def expected():
    def brushed(points, size, photo=(H, W)):
        distance = near(points, photo)
        return distance <= size / 2, abs(distance - size / 2) < 1e-6

    return SimpleNamespace(brushed=brushed, polygon=polygon, same=same, size=(H, W))
