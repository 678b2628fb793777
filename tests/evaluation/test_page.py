"""The report page: what it tells, and that it stands alone."""

import base64
import io
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
from jinja2 import UndefinedError
from PIL import Image

from evaluation.quality_table import QualityRow
from evaluation.report.page import VideoReport, write_report
from evaluation.scoring import ObjectScore, Scores
from tests.helpers.result_files import shown

VOID = {"meta", "link", "img", "br", "hr"}
MAGENTA = (255, 0, 255)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OFFLINE = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--window-size=1200,1600"),
)


class Page(HTMLParser):
    """Reads a page: its elements, the text of its table rows, and whether all elements are closed in order."""

    def __init__(self, path):
        super().__init__()
        self.elements, self.rows, self.text, self._open = [], [], "", []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if "style" in self._open:
            return
        self.text += data
        if {"td", "th"} & set(self._open):
            self.rows[-1][-1] += data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def rows(objects, quality=0.8):
    """Three frames: annotated, admitted with an eviction, rejected."""
    kinds = [("permanent", False, None), ("dynamic", False, 0), ("temporary", True, None)]
    return tuple(
        QualityRow(frame, f"{frame:05d}", object_id, quality, quality, *kind, (0,))
        for frame, kind in enumerate(kinds)
        for object_id in objects
    )


def score(sequence, object_id, j, f):
    return ObjectScore(sequence, object_id, np.full(5, j), np.full(5, f))


@pytest.fixture
def report(tmp_path):
    """Returns a function that writes a page about two videos, the second without pictures, and reads it."""
    sheet, timeline = tmp_path / "sheet.png", tmp_path / "timeline.png"
    Image.new("RGB", (640, 400), MAGENTA).save(sheet)
    Image.new("RGB", (1000, 300), (0, 200, 0)).save(timeline)

    def build(scores=None, title="Run of today", videos=None, facts=None):
        videos = videos or [
            VideoReport("cat", 30, (1, 2), sheet, timeline, rows((1, 2))),
            VideoReport("dog", 1, (1,), None, tmp_path / "missing.png", ()),
        ]
        path = tmp_path / "page.html"
        write_report(path, title, videos, scores, {"Model": "small.pth"} if facts is None else facts)
        return Page(path)

    return build


def test_the_page_tells_the_facts_and_the_numbers_of_each_video(report):
    page = report()
    assert page.rows == [
        ["Model", "small.pth"],
        ["Video", "Frames", "Objects", "Mean quality", "Admissions", "Rejections", "Evictions"],
        ["cat", "30", "2", "0.800", "1", "1", "1"],
        ["dog", "1", "1", "–", "–", "–", "–"],  # noqa: RUF001
    ]


def test_scores_come_with_their_mean_over_objects(report):
    scores = Scores((score("cat", 1, 0.9, 0.7), score("cat", 2, 0.8, 0.6)))
    page = report(Scores((*scores.objects, score("fox", 1, 0.1, 0.2))))
    assert page.rows[1][3:6] == ["J&F", "J", "F"]
    assert page.rows[2][:6] == ["cat", "30", "2", "0.750", "0.850", "0.650"]
    assert set(page.rows[3][3:6]) == {"\u2013"}
    assert page.rows[4][:6] == ["Mean over 3 objects", "", "", "0.550", "0.600", "0.500"]
    assert len({len(row) for row in page.rows[1:]}) == 1
    assert "30 frames · objects 1, 2 · J&F 0.750" in page.text


def test_scores_without_objects_are_like_none(report):
    assert report(Scores(())).rows == report().rows


def test_memories_that_differ_are_counted_one_by_one(report):
    own = (*rows((1,)), *(row for row in rows((2,)) if not row.rejected))
    late = QualityRow(2, "00002", 2, 0.8, 0.8, "dynamic", False, 0, (0,))
    page = report(videos=[VideoReport("cat", 3, (1, 2), None, None, (*own, late))])
    assert page.rows[2][-3:] == ["3", "1", "3"]


def test_the_page_refers_to_nothing_outside_of_it(report):
    page = report()
    references = [value for _, a in page.elements for name, value in a.items() if name in ("src", "href")]
    assert references
    assert all(re.match(r"data:|#", reference) for reference in references)
    without_data = re.sub(r"data:image/\w+;base64,[A-Za-z0-9+/=]+", "", page.source)
    assert not re.search(r"https?:|//|@import|url\(|<script|\bon\w+=", without_data)
    (policy,) = (meta["content"] for meta in page.all("meta") if "http-equiv" in meta)
    assert policy.startswith("default-src 'none'")


def test_links_lead_to_a_section_of_the_page(report):
    page = report()
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = [link["href"] for link in page.all("a")]
    assert {target[1:] for target in targets} <= set(ids)
    assert targets[:2] == ["#video-0", "#video-1"]
    labels = [attributes["aria-labelledby"] for _, attributes in page.elements if "aria-labelledby" in attributes]
    assert set(labels) <= set(ids)


def test_sheets_are_embedded_as_jpeg_and_timelines_as_png(report):
    images = report().all("img")
    kinds = []
    for image in images:
        data = base64.b64decode(image["src"].partition("base64,")[2], validate=True)
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
            kinds.append((picture.format, picture.size))
        assert (int(image["width"]), int(image["height"])) == kinds[-1][1]
        assert "cat" in image["alt"]
    assert kinds == [("JPEG", (640, 400)), ("PNG", (1000, 300))]


def test_pictures_that_are_missing_or_damaged_leave_a_note(report, tmp_path):
    assert report().text.count("there is no picture") == 2
    whole = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(whole, "PNG")
    for content in (b"not a picture", whole.getvalue()[:2000], b""):
        (tmp_path / "broken.png").write_bytes(content)
        video = VideoReport("cat", 3, (1,), tmp_path / "broken.png", None, ())
        assert report(videos=[video]).text.count("there is no picture") == 2


def test_names_cannot_break_the_page(report, tmp_path):
    name = "<script>\"&' x</script>"
    video = VideoReport(name, 3, (1,), tmp_path / "sheet.png", None, ())
    page = report(title=name, videos=[video], facts={name: name})
    assert not page.all("script")
    assert page.rows[0] == [name, name]
    assert page.rows[2][0] == name
    assert name in page.all("img")[0]["alt"]


def test_tables_tell_the_scope_of_their_headings(report):
    page = report(Scores((score("cat", 1, 0.9, 0.7),)))
    assert page.all("th")
    assert {heading["scope"] for heading in page.all("th")} == {"row", "col"}
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == 1


def test_both_colour_schemes_and_small_screens_are_served(report):
    page = report()
    assert "prefers-color-scheme: dark" in page.source
    assert any(meta.get("name") == "viewport" for meta in page.all("meta"))


def test_a_failed_report_leaves_the_old_page(report, tmp_path):
    report()
    before = (tmp_path / "page.html").read_bytes()
    with pytest.raises(UndefinedError):
        report(videos=[None])
    assert (tmp_path / "page.html").read_bytes() == before
    assert all(not path.name.startswith(".") for path in shown(tmp_path))


@pytest.mark.skipif(CHROMIUM is None, reason="needs a chromium browser")
@pytest.mark.slow
def test_a_browser_shows_the_table_and_the_pictures(report, tmp_path):
    report(Scores((score("cat", 1, 0.9, 0.7),)))

    def browse(*options):
        command = [CHROMIUM, *OFFLINE, f"--user-data-dir={tmp_path / 'profile'}", *options]
        address = (tmp_path / "page.html").as_uri()
        return subprocess.run([*command, address], capture_output=True, text=True, timeout=120, check=True).stdout

    assert '<table class="videos">' in browse("--dump-dom")
    browse(f"--screenshot={tmp_path / 'shot.png'}")
    with Image.open(tmp_path / "shot.png") as shot:
        colours = np.array(shot.convert("RGB")).astype(int)
    assert colours.std() > 5
    for colour in (MAGENTA, (0, 200, 0)):
        assert (np.abs(colours - colour).max(axis=2) < 8).sum() > 50_000, "the embedded pictures are shown"


def test_names_that_are_no_text_are_shown_with_their_bytes(report):
    video = VideoReport("a\udcff", 1, (1,), None, None, ())
    assert report(videos=[video], facts={"Model": "b\udcfe.pth"}).rows[0] == ["Model", "b\\udcfe.pth"]
