"""The review in a real browser: by keyboard alone, the queue and its filters, names that mean harm."""

import numpy as np

SHIRT = np.zeros((300, 400), bool)
SHIRT[80:240, 130:270] = True
HAT = np.zeros((300, 400), bool)
HAT[20:60, 20:80] = True


def sure(p, **more):
    return {"score": p} | more


def test_keyboard_alone(project, tab):
    """No mouse at all: look, correct, decide, go on."""
    one = project(
        {
            "a.png": [(SHIRT, sure(0.3)), (HAT, sure(0.4))],
            "b.png": [(SHIRT, sure(0.5))],
            "c.png": [(SHIRT, sure(0.9, attributes={"color": ["red"]}))],
        }
    )
    page = tab()
    assert page.get("fileName") == "photos/a.png"  # most uncertain first
    page.press("Tab", "2")  # the second product: a hat, and on to the next field
    page.press("2", "1", "ArrowDown", "2")
    page.press("Shift+Tab", "ArrowUp", "ArrowUp", "1")
    page.press("3", "Backspace", "1", "ArrowDown", "ArrowDown", "7", "2", ".", "5", "Enter")
    page.press("c")
    page.page.keyboard.type("sleeve <i>cut</i> off?")
    page.press("Control+Enter", "a")
    page.until("segattrEditor.fileName.endsWith('b.png')")
    page.press("r")
    page.until("segattrEditor.fileName.endsWith('c.png')")
    page.press("d", "ArrowLeft")
    page.until("segattrEditor.fileName.endsWith('b.png')")
    page.press("ArrowRight")
    page.until("segattrEditor.fileName.endsWith('c.png')")
    page.saved()
    a, b, c = (one.record(name) for name in ("a.png", "b.png", "c.png"))
    assert (a.state, b.state, c.state) == ("accepted", "rejected", "drafted")
    assert a.comment == "sleeve <i>cut</i> off?"
    first, second = a.instances
    assert (first.category, first.attributes) == ("shirt", {"color": ["navy"], "length": 72.5})
    assert (second.category, second.attributes) == ("hat", {"color": ["white", "navy"], "pattern": "striped"})
    assert page.get("counts") == {"todo": 0, "drafted": 1, "accepted": 1, "rejected": 1}
    # The export, too: its dialog is answered by Enter.
    page.press("Shift+E")
    with page.page.expect_response("**/api/export") as answer:
        page.press("Enter")
    assert answer.value.json()["photos"] == 1
    assert [one.attributes for one in one.exported("a.png")[1]] == [first.attributes, second.attributes]


def test_the_queue_its_filters_and_what_an_accepted_photo_may_not_lack(project, tab):
    one = project(
        {
            "a.png": [(SHIRT, sure(0.9, attributes={"color": ["red"]}))],
            "b.png": [(SHIRT, sure(0.2, attributes={"color": ["navy"]}))],
            "c.png": [(HAT, sure(0.6, category_id=5))],
            "d.png": [],
        }
    )
    page = tab()

    def listed():
        return [photo["file_name"][-5] for photo in page.get("queue")["photos"]]

    def until_listed(names):
        page.until("segattrEditor.queue.photos.map((one) => one.file_name.at(-5)).join('') === given[0]", names)

    assert listed() == ["d", "b", "c", "a"]  # nothing drafted, then the most uncertain
    page.page.click("#queue summary")
    page.page.select_option('[data-filter="order"]', "name")
    until_listed("abcd")
    page.page.select_option('[data-filter="category"]', "hat")
    until_listed("c")
    page.page.select_option('[data-filter="category"]', "")
    page.page.select_option('[data-filter="attribute"]', "color")
    until_listed("ab")
    page.page.select_option('[data-filter="value"]', "navy")
    until_listed("b")
    page.page.click("#queue :text('Clear filters')")
    until_listed("abcd")
    page.page.click('.tab[data-state="todo"]')
    until_listed("d")
    page.page.click('.tab[data-state="all"]')
    until_listed("abcd")

    # A product without a mask is not accepted; deleted, it is no longer in the way.
    page.open_photo("a.png").press("e")
    page.page.fill('#options input[type="range"]', "5")  # the logarithm of the brush's size
    page.drag((100, 100), (300, 100), (300, 200), (100, 200), (100, 160), (300, 160))
    page.drag((100, 70), (300, 70), (300, 240), (100, 240))
    assert page.get("instances")[0]["area"] == 0
    page.page.click(".accept")
    assert "has no mask" in page.page.inner_text("#toast") and page.get("state") == "drafted"
    page.do("product.delete")
    page.page.click(".accept")
    page.saved()
    assert one.record("a.png").state == "accepted" and one.record("a.png").instances == []


def test_names_with_markup_are_only_names(project, tab):
    evil = '<img src=x onerror="window.harmed=1"><script>window.harmed=1</script>'
    one = project(
        {
            "<img src=x onerror=window.harmed=1>.png": [
                (SHIRT, sure(0.5, attributes={evil: evil, "größe": "ü ../..\u202e"}))
            ]
        },
        categories=[{"id": 2, "name": evil}, {"id": 5, "name": "../../帽子"}],
        attribute_schema=[
            {"name": evil, "kind": "single", "values": [evil, "b"]},
            {"name": "größe", "kind": "single", "values": ["ü ../..\u202e", "{}"]},
        ],
    )
    (name,) = one.truth
    page = tab()
    assert page.get("fileName") == f"photos/{name}" and page.get("instances")[0]["category"] == evil
    for selector in ("#products", "#form"):
        assert evil in page.page.inner_text(selector)
    assert name in page.page.inner_text("#queue") and name in page.page.inner_text("#top")
    page.press("2")  # ../../帽子
    page.page.fill("#review textarea", evil)
    page.page.click("#queue summary")
    page.page.select_option('[data-filter="attribute"]', evil)
    page.page.select_option('[data-filter="value"]', evil)
    page.until("segattrEditor.queue.photos.length === 1")
    page.press("?")
    page.press("Escape")
    page.page.click(".accept")
    page.saved()
    assert page.export()["annotations"] == 1
    assert page.js("window.harmed") is None and page.page.query_selector("img[src=x]") is None
    assert page.page.query_selector("body script") is None
    record = one.record(name)
    assert (record.instances[0].category, record.comment) == ("../../帽子", evil)
    assert one.exported(name)[1][0].attributes == {evil: evil, "größe": "ü ../..\u202e"}


def test_a_key_is_changed_and_stays_changed(project, tab):
    project({"a.png": [(SHIRT, {})], "b.png": [(SHIRT, {})]})
    page = tab()
    page.press("?")
    page.page.click('dialog [data-action="tool.brush"]')
    page.page.keyboard.press("y")
    page.page.keyboard.press("Escape")
    page.idle().press("y")
    assert page.get("tool") == "brush" and page.get("keys")["tool.brush"] == ["Y"]
    page.reload().press("b")
    assert page.get("tool") == "select"
    page.press("y")
    assert page.get("tool") == "brush"
