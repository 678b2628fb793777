"""From a command line to a session: the video, the networks, and the masks to begin with."""

import argparse
from pathlib import Path

from datasets.frame_files import FrameFolder, FrameSource
from datasets.mask_files import match_size
from datasets.test.annotated_video import AnnotatedVideo
from datasets.test.generic_videos import GenericDataset, GenericOptions, find_videos
from datasets.test.video_file import VideoFile
from inference.fast_form import for_inference
from interactive.session import InteractiveSession
from interactive.storage import MOST_OBJECTS
from model.weights.checkpoint import load_click_network, load_network
from util.device import AUTOCAST, choose_device, keep_freed_memory
from util.errors import InputError
from util.files import real_path, require_apart


def open_session(args: argparse.Namespace) -> InteractiveSession:
    """The session that the command line of interactive_demo.py asks for.

    Raises:
        InputError: the video, a mask, a network or the folder cannot be used.
    """
    device = choose_device(args.device)
    if not args.click_model.is_file():
        raise InputError(f"{args.click_model} does not exist; train one by train_interactive.py, or pass --click_model")
    name, source = open_video(args.input)
    annotated = _annotated(args) if args.masks else None
    folder = args.session or Path("output") / "interactive" / name
    require_apart([folder], [args.input, *args.masks])
    network = load_network(args.model, device)
    trunk = network if args.click_trunk == args.model else load_network(args.click_trunk, device)
    clicks = load_click_network(args.click_model, trunk.query_encoder)
    keep_freed_memory(device)
    amp = AUTOCAST[args.amp]
    network, clicks = for_inference(network, device, amp=amp), for_inference(clicks, device, amp=amp)
    session = InteractiveSession(
        source, name, folder, network, clicks, device=device, amp=args.amp, size=args.size, resume=args.resume
    )
    try:
        if annotated is not None:
            _give_masks(session, annotated)
    except BaseException:
        session.close()
        raise
    return session


def open_video(path: Path) -> tuple[str, FrameSource]:
    """A video's name and frames.

    Raises:
        InputError: there is none, or several.
    """
    videos = find_videos(path)
    if len(videos) > 1:
        raise InputError(f"{path} holds {len(videos)} videos; pass one of them, such as {videos[0]}")
    (place,) = videos
    if place.is_dir():
        return real_path(place).name, FrameFolder(place)
    return place.stem, VideoFile(place)


def _annotated(args: argparse.Namespace) -> AnnotatedVideo:
    """The video with the masks that are given, all of which are read once."""
    (video,) = GenericDataset(str(args.input), args.masks, GenericOptions()).videos
    if max(video.objects) > MOST_OBJECTS:
        raise InputError(f"a mask holds id {max(video.objects)}; renumber its objects to 1..{MOST_OBJECTS}")
    return video


def _give_masks(session: InteractiveSession, video: AnnotatedVideo) -> None:
    if session.folder.done:
        raise InputError(f"{session.folder.folder} holds a session already; leave out --masks to go on with it")
    for index, given in sorted(video.masks.items()):
        ids = match_size(video.read_mask(given), session.source.size, given)
        session.set_mask(index, ids)
