"""The page in a real browser: from a click on a clip to exported masks, and again after it was closed."""

import os
import shutil
import threading
import time
from contextlib import ExitStack

import numpy as np
import pytest

from datasets.mask_files import read_ids
from interactive.server import LOCAL_HOSTS, PageServer, serve
from interactive_demo import listen
from tests.helpers.interactive_sessions import open_session, saved_masks, still_frames

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

pytestmark = pytest.mark.slow

BROWSERS = ("chromium", "chromium-headless-shell", "chromium-browser", "google-chrome", "chrome-headless-shell")
COUNT = 12
PATIENCE = 20_000  # milliseconds


@pytest.fixture(scope="module")
def browser():
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"there is no browser ({', '.join(BROWSERS)}); .ci/run installs one from Debian's packages")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


class Running:
    """A session with its page, served until `close`."""

    def __init__(self, frames, folder, **options):
        self.session = open_session(frames, folder, **options)
        self.server = PageServer(self.session)
        self.socket = listen("127.0.0.1", 0)
        self.address = f"http://127.0.0.1:{self.socket.getsockname()[1]}/token/"
        self.serving = serve(self.server, self.socket, "token", LOCAL_HOSTS)
        self.thread = threading.Thread(target=self.serving.serve_until_stopped, daemon=True)
        self.thread.start()

    def close(self):
        if not self.serving.should_exit:
            self.serving.stop()
            self.thread.join(20)
            self.session.close()


class Hand:
    """What a person does with the page."""

    def __init__(self, browser, address):
        self.page = browser.new_page(viewport={"width": 1280, "height": 720})
        self.page.set_default_timeout(PATIENCE)
        self.faults = []
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", lambda said: said.type == "error" and self.faults.append(said.text))
        self.page.goto(address)
        self.until("shown === 0 && state !== null")

    def until(self, condition):
        """Wait until the page says so; by asking, since its policy lets nobody put scripts in."""
        end = time.monotonic() + PATIENCE / 1000
        while not self.page.evaluate(condition):
            assert time.monotonic() < end, f"not within {PATIENCE} ms: {condition}"
            self.page.wait_for_timeout(20)

    def press(self, name):
        self.page.get_by_role("button", name=name, exact=True).click()

    def at(self, x, y):
        """Where a pixel of the frame is in the window."""
        box = self.page.locator("#view").bounding_box()
        zoom = self.page.evaluate("zoom")
        return box["x"] + zoom["x"] + x * zoom["scale"], box["y"] + zoom["y"] + y * zoom["scale"]

    def click(self, x, y, button="left"):
        self.page.mouse.click(*self.at(x, y), button=button)
        self.rest()

    def drag(self, *points):
        self.page.mouse.move(*self.at(*points[0]))
        self.page.mouse.down()
        for point in points[1:]:
            self.page.mouse.move(*self.at(*point), steps=4)
        self.page.mouse.up()
        self.rest()

    def rest(self):
        """Wait until everything that was said is answered and shown."""
        self.until("waiting === 0")
        self.page.evaluate("Promise.all([asked, refresh()]).then(() => show(frame))")

    def go(self, index):
        self.page.evaluate(f"show({index})")
        self.until(f"shown === {index}")

    def finish(self):
        """Wait for the job that was begun."""
        self.until("refresh().then(() => state.job && !['running', 'stopping'].includes(state.job.state))")
        self.rest()
        return self.page.evaluate("state.job.state")

    def colour(self, x, y):
        """RGB of the view at a pixel of the frame."""
        script = """([x, y]) => Array.from(pen.getImageData(
            Math.round((zoom.x + x * zoom.scale) * devicePixelRatio),
            Math.round((zoom.y + y * zoom.scale) * devicePixelRatio), 1, 1).data).slice(0, 3)"""
        return np.array(self.page.evaluate(script, [x, y]))

    def close(self):
        self.page.close()
        assert self.faults == []


@pytest.fixture
def start(browser, frames, tmp_path):
    """Opens the session in the page; what is open is closed at the end."""
    with ExitStack() as stack:

        def begin(**options):
            running = Running(frames, tmp_path / "session", **options)
            stack.callback(running.close)
            return running, Hand(browser, running.address)

        yield begin


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    return still_frames(tmp_path_factory.mktemp("browser") / "frames", COUNT)


def test_what_is_clicked_while_an_object_is_being_added_is_about_that_object(start, monkeypatch):
    running, hand = start()
    session = running.session
    hand.click(16, 24)
    add_object = session.add_object

    def add_slowly(name):
        time.sleep(0.5)
        return add_object(name)

    monkeypatch.setattr(session, "add_object", add_slowly)
    hand.press("+ Add object")
    hand.click(48, 24)
    assert session.mask(0)[24, 48] == 2 and session.mask(0)[24, 16] == 1
    hand.close()


def test_from_clicks_to_exported_masks_and_again(start, tmp_path):
    running, hand = start()
    session = running.session
    plain = hand.colour(20, 28)

    hand.click(16, 24)
    assert session.mask(0)[24, 16] == 1 and np.abs(hand.colour(20, 28) - plain).max() > 30
    hand.press("+ Add object")
    hand.click(48, 24)
    assert session.mask(0)[24, 48] == 2 and session.mask(0)[24, 16] == 1
    hand.click(57, 24, button="right")
    assert session.mask(0)[24, 58] == 0 and session.mask(0)[24, 36] == 2

    hand.press("Propagate")
    assert hand.finish() == "done"
    assert all((mask == session.mask(0)).all() for mask in saved_masks(session))

    hand.go(10)
    hand.click(44, 40)
    late = session.mask(10)
    assert late[46, 44] == 2 and session.mask(9)[46, 44] == 0
    hand.press("◀")
    assert hand.finish() == "done"
    assert session.mask(9)[46, 44] == 2 and session.mask(0)[46, 44] == 0 and (session.mask(10) == late).all()
    propagated = saved_masks(session)

    hand.press("Undo")
    hand.until("state.redo !== null")
    assert session.mask(9)[46, 44] == 0
    hand.press("Redo")
    hand.until("state.redo === null")
    assert (saved_masks(session) == propagated).all()

    hand.page.locator("#exports summary").click()
    hand.page.locator("[data-form=masks]").click()
    assert hand.finish() == "done"
    assert hand.page.locator("#download").text_content() == "Download masks"
    exported = np.stack([read_ids(path) for path in sorted((tmp_path / "session/export/masks").glob("*.png"))])
    assert (exported == propagated).all()
    hand.close()
    running.close()
    running, hand = start(resume=True)
    assert hand.page.locator("#objects li").count() == 2
    hand.go(10)
    assert np.abs(hand.colour(44, 40) - plain).max() > 30
    assert (saved_masks(running.session) == exported).all()
    hand.close()
    running.close()


def test_every_tool_changes_the_mask_where_it_was_used(start):
    running, hand = start()
    session = running.session
    hand.press("Polygon")
    for x, y in ((4, 4), (20, 4), (20, 20), (4, 20)):
        hand.page.mouse.click(*hand.at(x, y))
    hand.page.keyboard.press("Enter")
    hand.until("state.undo === 'polygon'")
    assert session.mask(0)[12, 12] == 1 and session.mask(0)[30, 30] == 0
    hand.press("Brush")
    hand.drag((40, 40), (60, 40))
    assert session.mask(0)[40, 50] == 1
    hand.press("Eraser")
    hand.drag((50, 36), (50, 44))
    assert session.mask(0)[40, 50] == 0
    hand.press("Click")
    hand.page.mouse.move(*hand.at(32, 24))
    hand.page.mouse.wheel(0, -400)
    assert hand.page.evaluate("zoom.scale") > 20
    hand.click(30, 22)
    assert session.mask(0)[22, 30] == 1
    hand.page.keyboard.press("0")
    hand.page.keyboard.press("Control+z")
    hand.until("state.redo === 'click'")
    hand.page.keyboard.press("ArrowRight")
    hand.until("shown === 1")
    assert hand.page.locator("#position").text_content() == f"frame 2 of {COUNT}"
    hand.page.keyboard.press("Shift+?")
    assert hand.page.locator("#keys").is_visible()
    hand.close()
    running.close()


def test_the_page_says_what_went_wrong(browser, start):
    running, hand = start()
    assert hand.page.evaluate("ask('propagate')") is None
    assert "nothing to propagate" in hand.page.locator("#error").text_content()
    assert hand.page.evaluate("document.documentElement.scrollWidth <= 1280")
    assert hand.page.evaluate("document.documentElement.scrollHeight <= 720")
    hand.faults = [fault for fault in hand.faults if "status of 400" not in fault]
    wrong = browser.new_page()
    wrong.goto(running.address.replace("token", "tokem"))
    assert "token is missing or wrong" in wrong.content()
    wrong.close()
    hand.close()
    running.close()
