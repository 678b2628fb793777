"""The page about a segmentation run: one HTML file, from the tables and sheets that lie beside the results."""

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from datasets.test.annotated_video import AnnotatedVideo
from evaluation.quality_table import DYNAMIC, QualityRow, mean_quality, memory_lanes, read_quality_table
from evaluation.report.plots import write_timeline
from evaluation.result_folder import beside
from evaluation.scoring import Scores
from util.files import atomic_path

SHEETS, QUALITY, TIMELINES, PAGE = "-sheets", "-quality", "-timelines", "-report.html"
TEMPLATE = "page.html"
JPEG_QUALITY = 85
UNKNOWN = "\u2013"


@dataclass(frozen=True)
class VideoReport:
    """What is shown of a video.

    Attributes:
        name: of the video, as in the scores.
        frames: number of frames.
        objects: ids of the objects.
        sheet: PNG of thumbnails with overlays, or None.
        timeline: PNG of `write_timeline`, or None.
        rows: the video's quality table; empty where there is none.
    """

    name: str
    frames: int
    objects: tuple[int, ...]
    sheet: Path | None
    timeline: Path | None
    rows: tuple[QualityRow, ...]


class EmbeddedPicture(NamedTuple):
    """A picture as a data URI, and its size in pixels."""

    uri: str
    width: int
    height: int


def write_run_report(
    output: Path, videos: Sequence[AnnotatedVideo], scores: Scores | None, facts: Mapping[str, str]
) -> Path:
    """Draw `<output>-timelines/<video>.png` and write `<output>-report.html`.

    Videos whose tables are missing, because they were segmented without a report, are shown without timeline.

    Args:
        output: folder of the results.
        videos: in the order in which they are shown.
        scores: where there are any.
        facts: what is told about the run.

    Returns:
        The path of the page.
    """
    folder = beside(output, TIMELINES)
    folder.mkdir(exist_ok=True)
    reports = []
    for video in videos:
        table = beside(output, QUALITY) / f"{video.name}.csv"
        rows = read_quality_table(table) if table.is_file() else []
        timeline = folder / f"{video.name}.png"
        if rows:
            timeline.parent.mkdir(exist_ok=True)
            own = [score for score in scores.objects if score.sequence == video.name] if scores else []
            write_timeline(timeline, rows, own)
        sheet = beside(output, SHEETS) / f"{video.name}.png"
        reports.append(
            VideoReport(
                name=video.name,
                frames=len(video.result_names) or len({row.frame for row in rows}),
                objects=video.objects,
                sheet=sheet if sheet.is_file() else None,
                timeline=timeline if rows else None,
                rows=tuple(rows),
            )
        )
    page = beside(output, PAGE)
    write_report(page, output.absolute().name, reports, scores, facts)
    return page


def write_report(
    path: Path,
    title: str,
    videos: Sequence[VideoReport],
    scores: Scores | None,
    facts: Mapping[str, str],
) -> None:
    """Write a page that needs neither scripts nor any other file: its pictures are embedded.

    Pictures that are missing or damaged are left out with a note.

    Args:
        path: the HTML file to write.
        title: heading of the page.
        videos: in the order in which they are shown.
        scores: of the run, or None where there are no annotations; they may lack videos.
        facts: what to tell about the run, by its name.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    scores = scores if scores and scores.objects else None

    def measures(video: str | None) -> tuple[float | None, ...]:
        """J&F, J and F of a video, or of all where it is None."""
        objects = tuple(score for score in scores.objects if video in (None, score.sequence)) if scores else ()
        found = Scores(objects)
        return (found.jf_mean, found.j.mean, found.f.mean) if objects else (None, None, None)

    pages = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters["number"] = _number
    shown = {"title": title, "videos": videos, "scores": scores, "facts": facts}
    tools = {"measures": measures, "mean_quality": mean_quality, "memory_events": _memory_events, "embed": _embed}
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", errors="backslashreplace") as file:
        file.writelines(pages.get_template(TEMPLATE).generate(**shown, **tools))


def _embed(path: Path | None, encoding: str) -> EmbeddedPicture | None:
    """A picture as "jpeg" or "png"; None where it is missing or damaged."""
    try:
        with Image.open(path or "") as file:
            picture = file.convert("RGB")
    except (OSError, SyntaxError):
        return None
    encoded = io.BytesIO()
    picture.save(encoded, encoding, quality=JPEG_QUALITY)
    uri = f"data:image/{encoding};base64,{base64.b64encode(encoded.getvalue()).decode('ascii')}"
    return EmbeddedPicture(uri, *picture.size)


def _memory_events(rows: Sequence[QualityRow]) -> tuple[int | str, ...]:
    """Admissions, rejections and evictions; one that the objects share counts once."""
    if not rows:
        return (UNKNOWN,) * 3
    events = [row for lane in memory_lanes(rows).values() for row in lane]
    admitted = sum(row.stored == DYNAMIC for row in events)
    return admitted, sum(event.rejected for event in events), sum(event.evicted is not None for event in events)


def _number(value: float | None) -> str:
    return UNKNOWN if value is None or math.isnan(value) else f"{value:.3f}"
