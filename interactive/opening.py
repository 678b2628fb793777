"""From a command line to a session: the video, the networks, and the masks to begin with."""

import argparse
import logging
from pathlib import Path

import torch

from datasets.frame_files import FrameFolder, FrameSource
from datasets.mask_files import match_size
from datasets.mask_reader import MaskRules
from datasets.test.annotated_video import AnnotatedVideo
from datasets.test.generic_videos import GenericDataset, GenericOptions, find_videos
from datasets.test.video_file import VideoFile
from evaluation.arguments import SHIPPED_CLICKS
from inference.fast_form import for_inference
from interactive.session import InteractiveSession
from interactive.storage import MOST_OBJECTS
from model.interactive import ClickNetwork
from model.memory_network import MemoryNetwork
from model.weights.checkpoint import load_click_network, load_network
from util.device import AUTOCAST, choose_device, keep_freed_memory
from util.errors import InputError
from util.files import real_path, require_apart

logger = logging.getLogger(__name__)


def open_session(args: argparse.Namespace) -> InteractiveSession:
    """The session that the command line of interactive_demo.py asks for.

    Raises:
        InputError: the video, a mask, a network or the folder cannot be used.
    """
    device = choose_device(args.device)
    name, source = open_video(args.input)
    annotated = _annotated(args) if args.masks else None
    folder = args.session or Path("output") / "interactive" / name
    require_apart([folder], [args.input, *args.masks])
    network = load_network(args.model, device)
    clicks = _load_clicks(args, network, device)
    keep_freed_memory(device)
    for_inference(network, device, amp=AUTOCAST[args.amp])
    if clicks is not None:
        for_inference(clicks, device, amp=AUTOCAST[args.amp])
    session = InteractiveSession(
        source,
        name,
        folder,
        network,
        clicks,
        device=device,
        amp=args.amp,
        size=args.size,
        resume=args.resume,
        blends=args.blend,
    )
    try:
        if annotated is not None:
            _give_masks(session, annotated)
    except BaseException:
        session.close()
        raise
    return session


def _load_clicks(args: argparse.Namespace, network: MemoryNetwork, device: torch.device) -> ClickNetwork | None:
    """The network for clicks; None, which is said, where none is asked for and none is there."""
    model = args.click_model or SHIPPED_CLICKS
    if args.click_model is None and not model.is_file():
        logger.warning(
            "%s is not there: masks can be painted and given, but not clicked; see train_interactive.py", model
        )
        return None
    trunk = network if args.click_trunk == args.model else load_network(args.click_trunk, device)
    return load_click_network(model, trunk.query_encoder)


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
    (video,) = GenericDataset(str(args.input), args.masks, GenericOptions(rules=MaskRules(can_be_asked=False))).videos
    if max(video.objects) > MOST_OBJECTS:
        raise InputError(f"a mask holds id {max(video.objects)}; renumber its objects to 1..{MOST_OBJECTS}")
    return video


def _give_masks(session: InteractiveSession, video: AnnotatedVideo) -> None:
    if session.folder.done:
        raise InputError(f"{session.folder.folder} holds a session already; leave out --masks to go on with it")
    for index, given in sorted(video.masks.items()):
        ids = match_size(video.read_mask(given), session.source.size, given)
        session.set_mask(index, ids)
