"""Run a segmentation core over a test set: results as PNGs, speed, memory, scores, an archive for the server."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from datasets.mask_files import write_binary, write_ids
from datasets.test.annotated_video import AnnotatedVideo, VideoSet
from evaluation.report.page import PAGE, QUALITY, SHEETS, TIMELINES, write_run_report
from evaluation.result_folder import beside, is_complete, zip_results
from evaluation.scoring import Scores, score_folder, score_results
from evaluation.segment import Speed, VideoWorker
from evaluation.set_scores import report_scores
from evaluation.writers import BoxWriter, OverlayWriter, QualityWriter, SheetWriter, SoftWriter, Writer
from util.device import peak_memory_mb
from util.distributed import Process, gather
from util.errors import InputError
from util.files import (
    held,
    ignores_case_of_letters,
    make_output_folder,
    remove_unfinished,
    request_of,
    require_apart,
    require_ours,
    require_replaceable,
)
from util.progress import Progress

OVERLAY, BOXES, SOFT, MASKS = "-overlay", "-boxes", "-soft", "-masks"
BESIDE = (SHEETS, QUALITY, TIMELINES, OVERLAY, BOXES, SOFT, MASKS, PAGE, ".zip")  # what may be written beside results


@dataclass(frozen=True)
class RunOptions:
    """How a test set is run.

    Attributes:
        output: folder for the results; everything else is written beside it.
        overwrite: segment finished videos again.
        score: compute J&F when all videos are done.
        zip: pack the results when all videos are done.
        contact_sheet: draw a contact sheet of each video.
        quality_csv: write a table of each video's quality scores and memory.
        report: write a page about the run, with sheets and timelines.
        overlay: write each video with its objects drawn in, "mp4" or "gif"; None for no.
        boxes: write a table of the boxes around the objects.
        soft: write the probabilities of the objects.
        settings: what results depend on beside the video and its masks, by name: finished results of other settings
            are not taken for those that are asked for.
        given: files and folders that are read beside the dataset's, and never written to.
    """

    output: Path
    overwrite: bool = False
    score: bool = False
    zip: bool = False
    contact_sheet: bool = False
    quality_csv: bool = False
    report: bool = False
    overlay: str | None = None
    boxes: bool = False
    soft: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)
    given: Sequence[Path] = ()


@dataclass
class Run:
    """What a process did: frames and seconds of inference, seconds in all, peak memory in MB, kind of device."""

    speed: Speed = field(default_factory=Speed)
    wall: float = 0.0
    peak_mb: float = 0.0
    device: str = ""

    def lines(self, processes: int) -> dict[str, str]:
        """Speed and memory in words."""
        where = f" in {processes} processes" if processes > 1 else ""
        speed, lines = self.speed, {}
        if speed.compiling_frames:
            lines["compiling"] = f"{speed.compiling:.2f} s with the {speed.compiling_frames} frames that needed it"
        frames = speed.frames + speed.compiling_frames
        return lines | {
            "inference": f"{speed.frames} frames in {speed.seconds:.2f} s: {speed.fps:.2f} FPS{where}",
            "with reading and writing": f"{self.wall:.2f} s: {frames / self.wall:.2f} FPS",
            "peak memory": f"{self.peak_mb:.0f} MB ({self.device})",
        }


class MaskResults:
    """Results that are masks, one PNG for each frame, and how they are scored.

    Args:
        dataset: the videos.
    """

    def __init__(self, dataset: VideoSet) -> None:
        self.dataset = dataset

    def require_truth(self) -> None:
        """Raise InputError where there is nothing to score by."""
        if not all(video.has_truth for video in self.dataset.videos):
            raise InputError(
                f"there are no true masks of all frames in {self.dataset.truth}; run without --score (for a server, "
                "with --zip)"
            )

    def files(self, video: AnnotatedVideo) -> list[str]:
        """Names of the files in the folder of a finished video."""
        return video.result_names

    def writers(self, video: AnnotatedVideo, folder: Path) -> list[Writer]:
        """What writes the files that are no masks of wanted frames into the folder, and whatever else beside it."""
        return []

    def pack(self, output: Path) -> Path:
        """Pack the results of a finished run for the server; the path of the archive.

        Raises:
            InputError: a video is incomplete.
        """
        files = {video.name: self.files(video) for video in self.dataset.videos}
        return zip_results(output, files, self.dataset.archive_folder)

    def score(self, output: Path) -> Scores | None:
        """Print and save the scores of a finished run.

        Raises:
            InputError: there is no truth, or a file cannot be used.
        """
        videos = self.dataset.videos
        frames = {video.name: video.result_names for video in videos}
        dataset = self.dataset
        scores = score_results(
            *(output, dataset.truth, list(frames)),
            binary=dataset.merged,
            rule=dataset.scoring,
            frames=frames,
            object_frames=dataset.object_frames,
        )
        report_scores(scores, dataset, score_folder(output))
        return scores


def evaluate(
    results: MaskResults,
    options: RunOptions,
    process: Process,
    build: Callable[[], VideoWorker],
    facts: dict[str, str],
) -> Scores | None:
    """Segment the videos of a test set that are not finished yet, then score and pack the results as wanted.

    Several processes share the videos; what one of them leaves undone because it dies is done on a rerun.

    Args:
        results: the videos, and what is wanted of them.
        options: what to do with them.
        process: this process among all.
        build: loads the network and gives what works on videos; not called without need.
        facts: what the page about the run tells beside speed and memory.

    Returns:
        The scores, where they are wanted, in the leading process.

    Raises:
        InputError: the output folder cannot be used, the set cannot be scored, or a frame cannot be read.
        OSError: a result cannot be written. Nothing half-written stays.
    """
    _check(results, options)
    dataset = results.dataset
    with held(make_output_folder(options.output), "output folder") if process.leads else nullcontext():
        missing = {video.name for video in dataset.videos if not _is_finished(results, options, video)}
        missing = gather(process, missing)[0]  # one answer for all, before anyone begins
        pending = [video for video in dataset.videos if video.name in missing]
        if len(pending) < len(dataset.videos) and process.leads:
            print(f"{len(dataset.videos) - len(pending)} finished videos skipped; --overwrite segments them again")
        if process.leads:
            print("".join(f"{line}\n" for line in dataset.lines_on_masks(pending)), end="", flush=True)
        lines = facts
        if pending:
            mine = share(pending, process.rank, process.world)
            runs = gather(process, _segment_videos(results, mine, build, options))
            lines = facts | _join(runs).lines(process.world)
        if not process.leads:
            return None
        if pending:
            print("\n".join(f"{name}: {line}" for name, line in lines.items() if name not in facts))
        scores = results.score(options.output) if options.score else None
        if options.report:
            print(f"report: {write_run_report(options.output, dataset.videos, scores, lines)}")
        if options.zip:
            print(f"packed into {results.pack(options.output)}")
        return scores


def _join(runs: Sequence[Run]) -> Run:
    """Processes work at the same time: frames add up, seconds do not."""
    speeds = [run.speed for run in runs]
    frames, compiling_frames = sum(s.frames for s in speeds), sum(s.compiling_frames for s in speeds)
    speed = Speed(frames, max(s.seconds for s in speeds), compiling_frames, max(s.compiling for s in speeds))
    wall, peak = max(run.wall for run in runs), max(run.peak_mb for run in runs)
    return Run(speed, wall, peak, max(run.device for run in runs))


def share(videos: Sequence[AnnotatedVideo], rank: int, world: int) -> list[AnnotatedVideo]:
    """The videos of one of several processes: the longest first, each to whoever has least to do, in frames."""
    loads, mine = [0] * world, []
    for video in sorted(videos, key=len, reverse=True) if world > 1 else videos:
        taker = loads.index(min(loads))
        loads[taker] += len(video)
        if taker == rank:
            mine.append(video)
    return mine


def _check(results: MaskResults, options: RunOptions) -> None:
    if options.score:
        results.require_truth()
    dataset = results.dataset
    _refuse_namesakes(dataset, options.output)
    places = [options.output, score_folder(options.output), *(beside(options.output, suffix) for suffix in BESIDE)]
    sources = [path for video in dataset.videos for path in video.sources()]
    require_apart(places, [*dataset.inputs, *options.given, *dict.fromkeys(sources)])
    for path, wanted in ((beside(options.output, ".zip"), options.zip), (beside(options.output, PAGE), options.report)):
        if wanted:
            require_ours(path)
    if options.score:
        for path in score_folder(options.output).glob(f"*-{dataset.split}*"):
            require_ours(path)


def _refuse_namesakes(dataset: VideoSet, output: Path) -> None:
    """Raise InputError for two videos whose results would have one folder."""
    ignores_case = ignores_case_of_letters(output)
    seen: dict[str, str] = {}
    for video in dataset.videos:
        name = video.name.casefold() if ignores_case else video.name
        if name in seen:
            raise InputError(
                f"two videos would both write {output / video.name}: {seen[name]} and {video.origin}; rename one, or "
                "segment them one at a time into outputs of their own"
            )
        seen[name] = str(video.origin)


def _request(options: RunOptions, video: AnnotatedVideo) -> dict[str, str]:
    """What the results of a video are made of."""
    return {**video.fingerprint(), **options.settings}


def _is_finished(results: MaskResults, options: RunOptions, video: AnnotatedVideo) -> bool:
    """Whether a video has the results that are asked for.

    Raises:
        InputError: the results are of another request, or files of the user are in the way of what will be written.
    """
    folder, names = options.output / video.name, results.files(video)
    if not options.overwrite and folder.is_dir() and any(folder.iterdir()):
        made_of = request_of(folder)
        if made_of is None:
            raise InputError(
                f"{folder} is not known as results of this project (those of earlier versions are not, either); "
                "move it away, or choose another --output"
            )
        request = _request(options, video)
        others = sorted(key for key in request | made_of if request.get(key) != made_of.get(key))
        if others:
            raise InputError(
                f"{folder} holds results that were made with other {', '.join(others)}; pass --overwrite, or choose "
                "another --output"
            )
        if video.has_end and is_complete(folder, names):
            return True
    require_replaceable(folder, names)
    beside_it = {SHEETS: ".png", QUALITY: ".csv", OVERLAY: f".{options.overlay}", BOXES: ".csv"}
    for suffix, ending in beside_it.items():
        require_replaceable(beside(options.output, suffix), [f"{video.name}{ending}"])
    for suffix in (SOFT, MASKS):
        require_replaceable(beside(options.output, suffix) / video.name, [])
    return False


def _make_folders(options: RunOptions) -> None:
    remove_unfinished(make_output_folder(options.output))
    wanted = {
        SHEETS: options.contact_sheet or options.report,
        QUALITY: options.quality_csv or options.report,
        OVERLAY: options.overlay,
        BOXES: options.boxes,
        SOFT: options.soft,
    }
    if options.score or options.zip:
        remove_unfinished(make_output_folder(options.output.absolute().parent))
    for suffix in (suffix for suffix, flag in wanted.items() if flag):
        remove_unfinished(make_output_folder(beside(options.output, suffix)))


def _writers(results: MaskResults, video: AnnotatedVideo, options: RunOptions, folder: Path) -> list[Writer]:
    """What writes the results of a video to this folder and beside it, but for the masks."""

    def path(suffix: str, ending: str = "") -> Path:
        place = beside(options.output, suffix) / f"{video.name}{ending}"
        make_output_folder(place.parent)
        return place

    writers = results.writers(video, folder)
    if (options.contact_sheet or options.report) and video.has_end:
        writers.append(SheetWriter(path(SHEETS, ".png"), range(video.covered.start, video.covered.stop)))
    if options.quality_csv or options.report:
        writers.append(QualityWriter(path(QUALITY, ".csv")))
    if options.overlay:
        writers.append(OverlayWriter(path(OVERLAY, f".{options.overlay}"), video.rate, video.palette, video.times))
    if options.boxes:
        writers.append(BoxWriter(path(BOXES, ".csv"), video.objects))
    if options.soft:
        writers.append(SoftWriter(path(SOFT)))
    return writers


def _segment_videos(
    results: MaskResults, videos: Sequence[AnnotatedVideo], build: Callable[[], VideoWorker], options: RunOptions
) -> Run:
    """Segment these videos, in this process."""
    _make_folders(options)
    run = Run()
    if not videos:
        return run
    worker = build()
    start = time.perf_counter()
    with Progress(sum(map(len, videos))) as progress:
        for video in videos:
            write_mask = write_binary if results.dataset.merged else partial(write_ids, palette=video.palette)
            folder = options.output / video.name
            remove_unfinished(make_output_folder(folder.parent))
            writers = partial(_writers, results, video, options)
            request = _request(options, video)
            speed = worker.run(video, folder, write_mask, writers, progress, request)
            run.speed += speed
            progress.part_done(f"{video.name}: {speed.frames} frames, {speed.fps:.2f} FPS")
    run.wall = time.perf_counter() - start
    run.peak_mb = peak_memory_mb(worker.device)
    run.device = worker.device.type
    return run
