"""The page about a run, from the tables and sheets that lie beside its results."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from evaluation.quality_table import read_quality_table
from evaluation.report.page import VideoReport, write_report
from evaluation.report.timeline import write_timeline
from evaluation.result_folder import beside
from evaluation.scoring import Scores
from evaluation.video import Video

SHEETS, QUALITY, TIMELINES, PAGE = "-sheets", "-quality", "-timelines", "-report.html"


def write_run_report(output: Path, videos: Sequence[Video], scores: Scores | None, facts: Mapping[str, str]) -> Path:
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
