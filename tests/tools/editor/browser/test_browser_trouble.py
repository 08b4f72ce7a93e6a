"""What can go wrong between the page and the disk: nothing that was drawn is lost, and the person is told."""

import errno
import os

import numpy as np
from PIL import Image

SHIRT = np.zeros((300, 400), bool)
SHIRT[80:240, 130:270] = True


def saved_mask(one, name="a.png"):
    from segattr.datasets import masks

    return masks.decode(one.record(name).instances[0].segmentation.plain()).astype(bool)


def test_two_tabs_on_one_photo(project, tab, expected):
    one = project({"a.png": [(SHIRT, {})]})
    first, second = tab(), tab()
    first.front().press("b").drag((50, 50), (90, 60))
    first.saved()
    theirs = first.mask()
    second.front().press("b").drag((330, 60), (370, 90))
    mine = second.mask()
    second.until("segattrEditor.saveState === 'conflict'")
    second.page.click('[data-choice="reload"]')
    second.saved()
    expected.same(second.mask(), theirs)
    expected.same(saved_mask(one), theirs)
    second.press("Control+z")  # mine is not lost
    second.saved()
    expected.same(saved_mask(one), mine)

    # The other way round: mine over theirs. "Decide later" leaves it open, and said.
    first.front().drag((50, 200), (90, 220))
    mine = first.mask()
    first.until("segattrEditor.saveState === 'conflict'")
    first.page.click('[data-choice="later"]')
    assert "changed elsewhere" in first.page.inner_text("#banner")
    assert not (saved_mask(one) == mine).all()
    first.page.click("#banner button")
    first.page.click('[data-choice="overwrite"]')
    first.saved()
    expected.same(saved_mask(one), mine)
    assert first.get("revision") == one.record("a.png").revision == 4


def test_a_full_disk_and_a_page_closed_meanwhile(project, tab, expected, monkeypatch):
    one = project({"a.png": [(SHIRT, {})], "b.png": [(SHIRT, {})]})

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    page = tab("#photo=" + one.key("a.png"))
    monkeypatch.setattr("segattr.datasets.files.os.replace", full)
    page.press("b").drag((50, 50), (90, 60))
    drawn = page.mask()
    page.until("segattrEditor.saveState === 'failed'")
    said = page.page.inner_text("#banner")
    assert "disk is full" in said and "stay in this browser" in said
    assert page.page.inner_text(".saved") == "Not saved"
    assert one.record("a.png").revision == 1
    page.reload()  # asks nothing: the edit is kept
    expected.same(page.mask(), drawn)
    page.open_photo("b.png")
    page.until("document.querySelector('.saved').textContent.includes('1 more photo not saved')")
    page.open_photo("a.png")
    monkeypatch.undo()
    page.page.click(".saved")
    page.saved()
    expected.same(saved_mask(one), drawn)
    page.reload()
    expected.same(page.mask(), drawn)
    assert page.get("undoDepth") == 0


def test_a_server_that_was_stopped(project, tab, expected):
    one = project({"a.png": [(SHIRT, {})]})
    page = tab().press("b")
    page.page.route("**/api/photos/*", lambda route: route.abort())
    page.drag((50, 50), (90, 60))
    page.until("segattrEditor.saveState === 'failed'")
    assert "does not answer" in page.page.inner_text("#banner")
    page.drag((50, 200), (90, 220))
    drawn = page.mask()
    page.page.unroute("**/api/photos/*")
    page.press("Control+s")
    page.saved()
    assert page.page.is_hidden("#banner")
    expected.same(saved_mask(one), drawn)


def test_photos_that_vanish_change_size_or_break(project, tab, expected):
    one = project({name: [(SHIRT, {})] for name in ("a.png", "b.png", "c.png", "d.png")})
    whole = one.photo("a.png").read_bytes()
    one.photo("b.png").unlink()
    Image.new("RGB", (200, 100)).save(one.photo("c.png"))
    one.photo("d.png").write_bytes(b"no photo at all")
    page = tab("#photo=" + one.key("a.png"))

    # It goes while it is open: the edit stays here, and is saved when the photo is back.
    one.photo("a.png").unlink()
    page.press("b").drag((50, 50), (90, 60))
    drawn = page.mask()
    page.until("segattrEditor.saveState === 'gone'")
    assert "gone" in page.page.inner_text("#banner") and "stay in this browser" in page.page.inner_text("#banner")
    assert one.record("a.png").revision == 1
    one.photo("a.png").write_bytes(whole)
    page.page.click("#banner button")
    page.saved()
    expected.same(saved_mask(one), drawn)

    for name, said in (("b.png", "not in the image folder any more"), ("c.png", "200 x 100 px"), ("d.png", "d.png")):
        page.open_photo(name)
        banner = page.page.inner_text("#banner")
        assert "cannot be shown" in banner and said in banner, banner
        page.page.fill("#review textarea", "broken")
        page.page.click(".reject")
        page.saved()
    states = [one.record(name).state for name in ("a.png", "b.png", "c.png", "d.png")]
    assert states == ["drafted", "rejected", "rejected", "rejected"]


def test_a_category_deleted_from_the_schema(project, tab):
    one = project({"a.png": [(SHIRT, {"attributes": {"length": 70.0}})]})
    one.store.project.categories = [{"id": 5, "name": "hat"}]
    page = tab()
    assert page.page.inner_text(".unknown-name") == "shirt"
    page.page.click(".accept")
    page.until("segattrEditor.saveState === 'failed'")
    assert "shirt" in page.page.inner_text("#banner")
    assert one.record("a.png").state == "drafted"
    page.press("1")
    page.saved()
    record = one.record("a.png")
    assert (record.state, record.instances[0].category) == ("accepted", "hat")


def test_a_token_is_asked_for_once(project, tab, stand, expected):
    one = project({"a.png": [(SHIRT, {})]})
    stand.show(one.store, one.out, token="correct-horse-battery")
    refused = tab.context.request.get(stand.url)
    assert refused.status == 401 and "token" in refused.json()["detail"]
    page = tab("?token=correct-horse-battery")
    assert "token" not in page.page.url
    page.press("b").drag((50, 50), (90, 60))
    page.saved().reload()
    expected.same(saved_mask(one), page.mask())
    assert page.mask().sum() > SHIRT.sum()
