"""Drawing in a real browser: the exported mask is the bitmap that was drawn, pixel by pixel."""

import json

import cv2
import numpy as np


def block(x0, y0, x1, y1, size=(300, 400)):
    mask = np.zeros(size, bool)
    mask[y0:y1, x0:x1] = True
    return mask


def test_a_sitting_from_draft_to_export(project, tab, expected):
    start = block(150, 100, 250, 220)
    one = project({"a.png": [(start, {"score": 0.6})], "b.png": [(start, {"score": 0.9})]})
    page = tab()  # what the model was least sure of comes first
    expected.same(page.mask(), start)

    # A brush stroke adds to the selected product.
    page.press("b", "]")
    size = page.get("brushSize")
    way = page.drag((240, 110), (290, 130), (310, 170), (250, 230))
    stroke, unsure = expected.brushed(way, size)
    brushed = start | stroke
    expected.same(page.mask(), brushed, unsure)
    brushed = page.mask()

    # A polygon takes a hole out of it.
    page.press("p")
    page.page.click('#options .segment:has-text("Cut hole")')
    for point in ((180, 130), (220, 135), (215, 180), (178, 175)):
        page.click(*point)
    ring = page.get("polygonPoints")
    page.press("Enter")
    holed = brushed & ~expected.polygon(ring)
    expected.same(page.mask(), holed)
    assert holed.sum() < brushed.sum()

    # All of it back, all of it again.
    page.do("edit.undo")
    expected.same(page.mask(), brushed)
    page.press("Control+z")
    expected.same(page.mask(), start)
    assert (page.get("undoDepth"), page.get("redoDepth")) == (0, 2)
    page.press("Control+Shift+Z").do("edit.redo")
    expected.same(page.mask(), holed)

    # What it is.
    page.page.click('[data-field="color"]')
    page.page.click('.choice[data-value="navy"]')
    page.page.click('.choice[data-value="white"]')
    page.page.click('[data-field="pattern"]')
    page.page.click('.choice[data-value="striped"]')
    page.saved()
    assert page.get("instances")[0]["attributes"] == {"color": ["navy", "white"], "pattern": "striped"}

    page.page.click(".accept")
    page.until("segattrEditor.fileName.endsWith('b.png')")
    page.idle()
    page.reload().open_photo("a.png")
    assert page.get("state") == "accepted" and page.get("undoDepth") == 0
    expected.same(page.mask(), holed)
    assert page.export() | {"path": ""} == {"path": "", "photos": 1, "annotations": 1}
    (mask,), (annotation,) = one.exported("a.png")
    expected.same(mask, holed)
    assert annotation.attributes == {"color": ["navy", "white"], "pattern": "striped"}
    assert annotation.area == holed.sum() and "b.png" not in one.out.read_text()
    assert json.loads(one.out.read_text())["annotations"][0]["score"] == 0.6


def test_a_new_product_by_brush_a_straight_line_and_the_eraser(project, tab, expected):
    project({"a.png": []})
    page = tab().press("b")
    for _ in range(3):
        page.press("[")
    size = page.get("brushSize")
    dot = page.click(100, 100)
    page.page.keyboard.down("Shift")
    end = page.click(300, 180)
    page.page.keyboard.up("Shift")
    line, unsure = expected.brushed([dot, end], size)
    expected.same(page.mask(), line, unsure)
    before = page.mask()
    assert page.get("undoDepth") == 2 and page.get("instances")[0]["category"] == "shirt"

    # The right button takes away with the brush, and so does the eraser.
    first, on_edge = expected.brushed(page.drag((150, 60), (150, 240), button="right"), size)
    expected.same(page.mask(), before & ~first, on_edge)
    before = page.mask()
    page.press("e")
    second, on_edge = expected.brushed(page.drag((250, 60), (240, 240)), size)
    expected.same(page.mask(), before & ~second, on_edge)
    assert page.get("undoDepth") == 4

    # Nothing changes: no edit. Esc in the middle of a stroke leaves it.
    page.drag((20, 20), (30, 30))
    assert page.get("undoDepth") == 4
    before = page.mask()
    page.press("b")
    at, _ = page.client(50, 250)
    page.page.mouse.move(*at)
    page.page.mouse.down()
    page.page.mouse.move(at[0] + 60, at[1])
    page.page.keyboard.press("Escape")
    page.page.mouse.up()
    page.idle()
    expected.same(page.mask(), before)
    assert page.get("undoDepth") == 4


def test_polygons_add_parts_and_a_loop_is_drawn_freehand(project, tab, expected):
    project({"a.png": [(block(10, 10, 60, 60), {})]})
    page = tab().press("p")
    for point in ((100, 50), (180, 60), (150, 140)):
        page.click(*point)
    ring = page.get("polygonPoints")
    page.click(100, 50)  # on the first point: closed
    both = block(10, 10, 60, 60) | expected.polygon(ring)
    expected.same(page.mask(), both)

    # Backspace takes back the last point, also of an outline; a click beside all products begins a new one.
    page.press("Escape", "n")
    for point in ((250, 200), (380, 210), (390, 20), (300, 280)):
        page.click(*point)
    page.press("Backspace")
    ring = page.get("polygonPoints")
    assert len(ring) == 3
    page.click(290, 285)
    ring = page.get("polygonPoints")
    page.press("Enter")
    expected.same(page.mask(1), both)
    expected.same(page.mask(2), expected.polygon(ring))

    # A loop in one go.
    turn = [(70 + 40 * np.cos(t), 220 + 40 * np.sin(t)) for t in np.linspace(0, 2 * np.pi, 40)]
    page.press("n", "p")
    page.drag(*turn)
    y, x = np.mgrid[:300, :400] + 0.5
    disc = (x - 70) ** 2 + (y - 220) ** 2 <= 40**2
    found = page.mask(3)
    assert (found & disc).sum() / (found | disc).sum() > 0.97


def test_moving_a_vertex_changes_the_mask_only_there(project, tab, expected):
    rough = block(100, 80, 300, 220)
    rough[100:103, 300] = rough[80, 150:152] = False
    rough[215:217, 300] = True  # detail that the outline leaves out
    project({"a.png": [(rough, {})]})
    page = tab().press("o")
    page.until("segattrEditor.parts.length")
    ((before,),) = page.get("parts")
    corner = min(before, key=lambda point: np.hypot(point[0] - 100, point[1] - 220))
    page.drag(corner, (60, 260))
    ((after,),) = page.get("parts")
    assert len(after) == len(before) < 12
    old, new = expected.polygon(before), expected.polygon(after)
    assert new[250, 72] and not old[250, 72] and (old != rough).any()
    reach = 2  # px: the outline's tolerance and one more
    close = cv2.dilate((old != new).astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1))).astype(bool)
    expected.same(page.mask(), np.where(close, new, rough))
    page.press("Control+z")
    expected.same(page.mask(), rough)


def test_click_to_segment_by_points_and_by_a_box(project, tab, expected):
    one = project({"a.png": []})
    truth = one.truth["a.png"]
    page = tab().press("s")
    page.drag((60, 70), (340, 250))
    page.until("segattrEditor.preview")
    assert not page.get("instances")  # shown, not yet taken
    page.press("Enter")
    found = page.mask()
    assert (found & truth).sum() / (found | truth).sum() > 0.97
    # A point outside corrects it and holds; Esc discards.
    page.click(200, 200, button="right")
    page.until("segattrEditor.preview")
    page.press("Escape")
    expected.same(page.mask(), found)
    page.click(200, 230, button="right")
    page.until("segattrEditor.preview")
    page.press("Enter")
    assert not page.mask()[230, 200] and page.get("undoDepth") == 2


def test_split_merge_holes_and_parts(project, tab, expected):
    whole = block(100, 60, 300, 240)
    whole[100:120, 150:170] = False
    whole[10:30, 10:30] = True
    project({"a.png": [(whole, {"attributes": {"pattern": "solid"}})]})
    page = tab().press("x")
    page.drag((250, 40), (240, 260))
    found = page.masks()
    assert len(found) == 2 and sum(m.sum() for m in found.values()) == whole.sum()
    expected.same(np.logical_or.reduce(list(found.values())), whole)
    assert {tuple(one["attributes"].items()) for one in page.get("instances")} == {(("pattern", "solid"),)}
    page.press("Control+a", "m")
    assert list(page.masks()) == [1]
    expected.same(page.mask(), whole)
    filled = whole.copy()
    filled[100:120, 150:170] = True
    page.press("Shift+F")
    expected.same(page.mask(), filled)
    page.press("Shift+X")
    assert sorted(m.sum() for m in page.masks().values()) == [400, 200 * 180]
    page.press("Control+z", "Shift+L")
    expected.same(page.mask(), block(100, 60, 300, 240))
    page.press("Delete")
    assert page.get("instances") == []
    page.press("Control+z")
    expected.same(page.mask(), block(100, 60, 300, 240))


def test_zoomed_in_a_stroke_of_one_pixel_is_that_pixel(project, tab, expected):
    project({"a.png": [(block(0, 0, 5, 5), {})]})
    page = tab().press("b")
    page.page.fill('#options input[type="range"]', "0")  # the logarithm of the brush's size
    assert page.get("brushSize") == 1
    at, under = page.client(200.5, 150.5)
    page.page.mouse.move(*at)
    for _ in range(15):
        page.page.mouse.wheel(0, -120)
    page.until("segattrEditor.view.scale > 30")
    now = page.js("segattrEditor.toPhoto(given[0], given[1])", *at)
    assert abs(now["x"] - under[0]) < 1e-6 and abs(now["y"] - under[1]) < 1e-6  # zoomed at the pointer
    page.click(200.5, 150.5)
    wanted = block(0, 0, 5, 5)
    wanted[150, 200] = True
    expected.same(page.mask(), wanted)


def test_a_pen_draws_and_fingers_zoom(project, tab, expected):
    project({"a.png": []})
    page = tab().press("b")
    wire = tab.context.new_cdp_session(page.page)
    way = [page.client(x, 100) for x in (100, 160, 220)]
    for kind, ((x, y), _) in zip(("mousePressed", "mouseMoved", "mouseReleased"), way, strict=True):
        wire.send(
            "Input.dispatchMouseEvent",
            {"type": kind, "x": x, "y": y, "button": "left", "buttons": 1, "clickCount": 1, "pointerType": "pen"},
        )
    page.idle()
    # Released at the third point: the way ends where the pen was last seen to move.
    line, unsure = expected.brushed([point for _, point in way[:2]], page.get("brushSize"))
    expected.same(page.mask(), line, unsure)

    scale = page.get("view")["scale"]
    for kind, apart in (("touchStart", 40), ("touchMove", 60), ("touchMove", 80), ("touchEnd", None)):
        fingers = (
            [] if apart is None else [{"x": 600 - apart, "y": 400, "id": 1}, {"x": 600 + apart, "y": 400, "id": 2}]
        )
        wire.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})
    page.idle()
    assert abs(page.get("view")["scale"] / scale - 2) < 0.05
    expected.same(page.mask(), line, unsure)  # and nothing was drawn
