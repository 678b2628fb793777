"""One HTML file that shows the results of a segmentation run."""

import base64
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from PIL import Image

from util.files import atomic_path
from util.quality_table import DYNAMIC, QualityRow, mean_quality, memory_lanes
from util.report_style import STYLE
from util.score_tables import Scores

JPEG_QUALITY = 85
UNKNOWN = "&ndash;"
COUNTS = ("Admissions", "Rejections", "Evictions")
COUNTS_NOTE = "Admissions, rejections and evictions are counted once for each memory; objects may share one."
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


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
    scores = scores if scores and scores.objects else None
    parts = [
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<link rel="icon" href="data:,">\n<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>',
        f'<body>\n<main id="top">\n<h1>{escape(title)}</h1>',
        _facts(facts),
        _video_table(videos, scores),
    ]
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", errors="backslashreplace") as stream:
        stream.writelines(part + "\n" for part in parts)
        stream.writelines(_section(index, video, scores) for index, video in enumerate(videos))
        stream.write("</main>\n</body>\n</html>\n")


def _facts(facts: Mapping[str, str]) -> str:
    rows = (f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>\n' for name, value in facts.items())
    body = f'<div class="scroll"><table class="facts"><tbody>\n{"".join(rows)}</tbody></table></div>'
    return f'<section aria-labelledby="run">\n<h2 id="run">Run</h2>\n{body}\n</section>'


def _video_table(videos: Sequence[VideoReport], scores: Scores | None) -> str:
    measures = ("J&amp;F", "J", "F") if scores else ()
    head = "".join(
        f'<th scope="col">{name}</th>' for name in ("Video", "Frames", "Objects", *measures, "Mean quality", *COUNTS)
    )
    body = "".join(_video_row(index, video, scores) for index, video in enumerate(videos))
    return (
        '<section aria-labelledby="videos">\n<h2 id="videos">Videos</h2>\n'
        '<div class="scroll" tabindex="0" role="region" aria-labelledby="videos"><table class="videos">\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n"
        f"{_mean_row(scores) if scores else ''}</table></div>\n"
        f'<p class="quiet note">{COUNTS_NOTE}</p>\n</section>'
    )


def _video_row(index: int, video: VideoReport, scores: Scores | None) -> str:
    measures = _measures(_scores_of(video, scores)) if scores else []
    numbers = [str(video.frames), str(len(video.objects)), *measures, _number(mean_quality(video.rows))]
    link = f'<a href="#video-{index}">{escape(video.name)}</a>'
    return f'<tr><th scope="row">{link}</th>{_cells([*numbers, *_counts(video.rows)])}</tr>\n'


def _mean_row(scores: Scores) -> str:
    count = len(scores.objects)
    label = f"Mean over {count} object{'s' if count > 1 else ''}"
    return (
        f'<tfoot><tr><th scope="row">{label}</th>{_cells(["", "", *_measures(scores), "", "", "", ""])}</tr></tfoot>\n'
    )


def _section(index: int, video: VideoReport, scores: Scores | None) -> str:
    name = escape(video.name)
    about = [f"{video.frames} frame{'s' if video.frames != 1 else ''}"]
    if video.objects:
        about.append(f"object{'s' if len(video.objects) > 1 else ''} {', '.join(map(str, video.objects))}")
    if scores and (own := _scores_of(video, scores)):
        about.append(f"J&amp;F {_number(own.jf_mean)}")
    return "\n".join(
        [
            f'<section id="video-{index}" aria-labelledby="name-{index}">\n<h2 id="name-{index}">{name}</h2>',
            f'<p class="quiet">{" &middot; ".join(about)}</p>',
            _figure(video.sheet, "sheet", "Masks", f"Sampled frames of {name} with the masks of its objects"),
            _figure(video.timeline, "chart", "Quality and memory", f"Chart of quality and memory of {name} over time"),
            '<p class="top"><a href="#top">Back to the top</a></p>\n</section>\n',
        ]
    )


def _figure(path: Path | None, kind: str, caption: str, alt: str) -> str:
    """A "sheet" or a "chart", or a note in its place; `alt` is escaped already."""
    if path is None or (picture := _embed(path, "jpeg" if kind == "sheet" else "png")) is None:
        return f'<p class="quiet">{caption}: there is no picture.</p>'
    uri, (width, height) = picture
    return (
        f'<figure class="{kind}"><figcaption>{caption}</figcaption>'
        f'<img src="{uri}" alt="{alt}" width="{width}" height="{height}"></figure>'
    )


def _embed(path: Path, encoding: str) -> tuple[str, tuple[int, int]] | None:
    """A picture's data URI as "jpeg" or "png", and its size (width, height); None where it is missing or damaged."""
    try:
        with Image.open(path) as file:
            picture = file.convert("RGB")
    except (OSError, SyntaxError):
        return None
    encoded = io.BytesIO()
    picture.save(encoded, encoding, quality=JPEG_QUALITY)
    return f"data:image/{encoding};base64,{base64.b64encode(encoded.getvalue()).decode('ascii')}", picture.size


def _scores_of(video: VideoReport, scores: Scores) -> Scores | None:
    objects = tuple(score for score in scores.objects if score.sequence == video.name)
    return Scores(objects) if objects else None


def _measures(scores: Scores | None) -> list[str]:
    """J&F, J and F."""
    return [UNKNOWN] * 3 if scores is None else [_number(v) for v in (scores.jf_mean, scores.j.mean, scores.f.mean)]


def _counts(rows: Sequence[QualityRow]) -> list[str]:
    """Admissions, rejections and evictions; one that the objects share counts once."""
    if not rows:
        return [UNKNOWN] * len(COUNTS)
    events = [row for lane in memory_lanes(rows).values() for row in lane]
    admitted = sum(row.stored == DYNAMIC for row in events)
    return [str(n) for n in (admitted, sum(e.rejected for e in events), sum(e.evicted is not None for e in events))]


def _cells(contents: Iterable[str]) -> str:
    return "".join(f"<td>{content}</td>" for content in contents)


def _number(value: float | None) -> str:
    return UNKNOWN if value is None or math.isnan(value) else f"{value:.3f}"
