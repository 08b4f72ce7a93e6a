"""The page's own functions on masks, run in the browser, against pycocotools, OpenCV and brute force."""

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from segattr.datasets import masks
from segattr.tools.editor.store import Store, work_folder

# pycocotools has not caught up with numpy 2's __array__.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def blobs(seed, h, w, density=0.5):
    """Masks of every sort: grain, blobs with holes, touching the rim, full, empty."""
    rng = np.random.default_rng(seed)
    grain = rng.random((h, w)) < density
    smooth = cv2.GaussianBlur(rng.random((h, w)), (0, 0), 3) > 0.5
    return [grain, smooth, smooth & grain, np.zeros((h, w), bool), np.ones((h, w), bool), ~smooth]


MASKS = [m for seed, (h, w) in enumerate([(1, 1), (1, 37), (37, 1), (40, 61), (90, 53)]) for m in blobs(seed, h, w)]


def code(mask):
    return masks.encode(mask)


def decode(rle):
    return coco_mask.decode({"size": rle["size"], "counts": rle["counts"].encode()}).astype(bool)


@pytest.fixture(scope="module")
def pure(chromium, stand, tmp_path_factory):
    """`pure(body, *given)`: what a function of {rle, mask, contour, components, geometry} and the given data returns.
    One page for all: nothing here changes it."""
    folder = tmp_path_factory.mktemp("pure")
    with Store(work_folder(folder / "catalog.json"), images=folder) as store:
        stand.show(store, folder / "catalog.json")
        with chromium.new_page() as page:
            page.goto(stand.url)
            while not page.evaluate("() => Boolean(window.segattrEditor)"):
                page.wait_for_timeout(20)
            page.evaluate("() => segattrEditor.pure().then(() => true)")

            def run(body, *given):
                return page.evaluate(
                    f"async (given) => {{ const m = await segattrEditor.pure(); {body} }}", list(given)
                )

            yield run


def test_runs_boxes_outlines_and_parts(pure):
    """One page for all: every mask there and back, measured, traced and taken apart."""
    rles = [code(mask) for mask in MASKS]
    there = "const all = given[0].map((rle) => m.mask.Mask.fromRle(rle));"
    assert pure(f"{there} return all.map((one) => one.toRle())", rles) == rles
    uncompressed = [{"size": list(mask.shape), "counts": _runs(mask)} for mask in MASKS]
    assert pure(f"{there} return all.map((one) => one.toRle())", uncompressed) == rles
    found = pure("return given[0].map((rle) => m.rle.measureRuns(m.rle.runsOf(rle), rle.size[0]))", rles)
    for one, rle in zip(found, rles, strict=True):
        assert [one[key] for key in "xywh"] == list(masks.xywh(rle)) and one["area"] == masks.area(rle)

    rings = pure(f"{there} return all.map((one) => m.contour.traceRings(one).map((ring) => [...ring]))", rles)
    for mask, lines in zip(MASKS, rings, strict=True):
        assert (_filled(lines, mask.shape) == mask).all()

    parts = pure(f"{there} return all.map((one) => m.components.parts(one).map((part) => part.toRle()))", rles)
    for mask, own in zip(MASKS, parts, strict=True):
        count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
        assert len(own) == count - 1
        areas = [masks.area(part) for part in own]
        assert areas == sorted(areas, reverse=True)
        assert {code(labels == k)["counts"] for k in range(1, count)} == {part["counts"] for part in own}

    holes = pure(f"{there} return all.map((one) => m.components.fillHoles(one).toRle())", rles)
    for mask, rle in zip(MASKS, holes, strict=True):
        assert (decode(rle) == _without_holes(mask)).all()


def test_union_minus_and_equality(pure):
    rng = np.random.default_rng(3)
    pairs = []
    for _ in range(20):
        both = np.zeros((2, 30, 41), bool)
        for mask in both:
            x, y = rng.integers(0, 35), rng.integers(0, 25)
            mask[y : y + 14, x : x + 20] = rng.random((14, 20))[: 30 - y, : 41 - x] < 0.7
        pairs.append(both)
    given = [[code(a), code(b)] for a, b in pairs]
    found = pure(
        "return given[0].map((pair) => { const [a, b] = pair.map((rle) => m.mask.Mask.fromRle(rle)); return "
        "[a.union(b).toRle(), a.minus(b).toRle(), a.equals(b), a.equals(a.union(a).copyIn(a.photoBox)), a.area()]; })",
        given,
    )
    for (a, b), (union, minus, equal, itself, area) in zip(pairs, found, strict=True):
        assert (decode(union) == (a | b)).all() and (decode(minus) == (a & ~b)).all()
        assert (equal, itself, area) == ((a == b).all(), True, a.sum())


def test_the_brush_is_every_pixel_within_its_reach(pure, expected):
    rng = np.random.default_rng(0)
    strokes = [[*rng.uniform(-10, 70, 4), float(size)] for size in rng.uniform(1.5, 30, 60)]
    strokes += [[20.0, 20.0, 20.0, 20.0, 7.0], [5.5, 9.0, 40.5, 9.0, 4.0], [12.0, 3.0, 12.0, 44.0, 5.0]]
    found = pure(
        "return given[0].map(([x0, y0, x1, y1, size]) => { const one = new m.mask.Mask(61, 50);"
        "m.mask.stamp(one, x0, y0, x1, y1, size, 1); return one.toRle(); })",
        strokes,
    )
    for (x0, y0, x1, y1, size), rle in zip(strokes, found, strict=True):
        wanted, unsure = expected.brushed([(x0, y0), (x1, y1)], size, (50, 61))
        expected.same(decode(rle), wanted, unsure)


def test_a_cut_loses_no_pixel_and_parts_what_it_crosses(pure):
    given = []
    rng = np.random.default_rng(5)
    for mask in [*blobs(2, 60, 80)[1:3], np.ones((60, 80), bool)]:
        for _ in range(4):
            given.append([code(mask), rng.uniform(0, 60, (3, 2)).tolist()])
    given.append([code(np.ones((60, 80), bool)), [[40, -5], [40, 70]]])
    found = pure(
        "return given[0].map(([rle, line]) => m.components.cut(m.mask.Mask.fromRle(rle), line, 16).map((p) => p.toRle()))",
        given,
    )
    for (rle, _), pieces in zip(given, found, strict=True):
        stack = np.stack([decode(piece) for piece in pieces])
        assert (stack.sum(0) == decode(rle)).all()
        assert all(piece.sum() >= 16 for piece in stack[1:])
    halves = sorted(masks.area(piece) for piece in found[-1])
    assert len(halves) == 2 and halves[0] > 60 * 36


def test_damaged_codes_are_refused(pure):
    bad = [
        {"size": [4, 5], "counts": "~~~"},
        {"size": [4, 5], "counts": "5"},
        {"size": [4, 5], "counts": [3, 30]},
        {"size": [4, 5], "counts": code(np.ones((9, 9)))["counts"]},
        {"size": [4, 5], "counts": "oooooooooooooooo"},
    ]
    said = pure(
        "return given[0].map((rle) => { try { m.rle.runsOf(rle); return null; } catch (error) { return error.name; } })",
        bad,
    )
    assert said == ["RleError"] * len(bad)


def test_lines_and_views(pure):
    rng = np.random.default_rng(1)
    line = np.cumsum(rng.normal(0, 2, (200, 2)), axis=0)
    for tolerance in (0.5, 3.0):
        kept = np.array(pure("return m.geometry.simplify(given[0], given[1])", line.tolist(), tolerance))
        assert (kept[0] == line[0]).all() and (kept[-1] == line[-1]).all() and len(kept) < len(line)
        assert max(_distance(p, kept) for p in line) <= tolerance + 1e-9
    view = {"scale": 0.37, "x": 12.5, "y": -80.25}
    (px, py), zoomed = pure(
        "const z = m.geometry.zoomedAt(given[0], 200, 300, 2.5, [0.1, 48]);"
        "return [m.geometry.toPhoto(given[0], 200, 300), m.geometry.toScreen(z, ...m.geometry.toPhoto(given[0], 200, 300))]",
        view,
    )
    assert (px, py) == pytest.approx(((200 - 12.5) / 0.37, (300 + 80.25) / 0.37)) and zoomed == pytest.approx(
        [200, 300]
    )


def _runs(mask):
    flat = np.concatenate([[False], mask.T.ravel(), [False]]).astype(np.int8)
    edges = np.flatnonzero(np.diff(flat))
    return np.diff(np.concatenate([[0], edges, [mask.size]])).tolist()


def _filled(rings, shape):
    """The pixels inside by the even-odd rule: every vertical edge of a ring flips all pixels to its right."""
    flips = np.zeros((shape[0], shape[1] + 1), int)
    for ring in rings:
        points = np.array(ring).reshape(-1, 2)
        for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
            assert x0 == x1 or y0 == y1
            if x0 == x1:
                flips[min(y0, y1) : max(y0, y1), x0] += 1
    return (flips.cumsum(axis=1) % 2)[:, : shape[1]].astype(bool)


def _without_holes(mask):
    """Ground that no 4-connected way joins to the border is filled."""
    ground = np.pad(~mask, 1, constant_values=True).astype(np.uint8)
    _, labels = cv2.connectedComponents(ground, connectivity=4)
    return (labels != labels[0, 0])[1:-1, 1:-1]


def _distance(point, line):
    a, d = line[:-1], np.diff(line, axis=0)
    t = np.clip(((point - a) * d).sum(1) / np.maximum((d**2).sum(1), 1e-12), 0, 1)
    return np.hypot(*(point - a - t[:, None] * d).T).min()
