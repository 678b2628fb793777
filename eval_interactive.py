"""Count the clicks that masks take (NoC), or go round after round through whole videos, as in DAVIS interactive.

    python eval_interactive.py --stills data/static/ecssd --list saves/interactive_held_out.txt --output output/ecssd
    python eval_interactive.py --davis data/DAVIS/2016 --videos blackswan libby --every 10 --output output/clicks
    python eval_interactive.py --stills data/static/ccp --objects 2 --no_grabcut
    python eval_interactive.py --davis data/DAVIS/2016 --videos blackswan libby --rounds 8 --output output/rounds

A simulated user clicks at the farthest point of the largest error, at most 20 times. Printed are the mean number of
clicks to an IoU of 80, 85 and 90, how many objects do not reach it, the IoU after one click, and the seconds.
Results are <output>/clicks.csv with the IoU after each click, table.txt, and sheets of typical and of bad cases. The
network that ships for clicks stands beside OpenCV's GrabCut.

With --rounds the user clicks once on each object, and in each further round corrects a bad frame: the worst by the true
masks, or the one that predicted quality tells; each with and without the blending of both sides. Printed is J&F after
each round and over time. Results are <output>/rounds.csv, rounds.txt and rounds.png.
"""

import util.startup  # noqa: F401

import argparse
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from datasets.video_list import choose_videos, read_given_list, read_picture_list
from evaluation.arguments import SHIPPED, SHIPPED_CLICKS
from evaluation.interactive import (
    ByGrabCut,
    ByNetwork,
    Case,
    Method,
    Picture,
    choose_shown,
    click_objects,
    find_frames,
    find_stills,
    objects_of,
    show_cases,
    table,
    write_cases,
)
from evaluation.report.pictures import write_picture
from evaluation.scoring import annotated_sequences
from inference.fast_form import for_inference
from interactive.rounds import WAYS, Round, TrueVideo, Way, plot_rounds, rounds_table, simulate, write_rounds
from interactive.session import InteractiveSession
from model.weights.checkpoint import load_click_network, load_network
from util.device import AUTOCAST, choose_device
from util.errors import InputError, run
from util.files import make_output_folder, require_apart, require_replaceable, write_text
from util.numbers import positive, whole
from util.progress import Progress

FILES = ("clicks.csv", "table.txt", "typical.png", "bad.png")
ROUND_FILES = ("rounds.csv", "rounds.txt", "rounds.png")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=SHIPPED_CLICKS, help="for clicks")
    parser.add_argument("--trunk", type=Path, default=SHIPPED, help="network whose image encoder it uses (as shipped)")
    data = parser.add_mutually_exclusive_group(required=True)
    data.add_argument("--stills", type=Path, metavar="FOLDER", help="a set of <name>.jpg with <name>.png")
    data.add_argument("--davis", type=Path, metavar="TREE", help="with JPEGImages/480p and Annotations/480p")
    parser.add_argument("--list", type=Path, metavar="FILE", help="of pictures, as <set>/<name>, or of videos; all")
    parser.add_argument("--videos", nargs="+", default=[], metavar="NAME", help="only these videos")
    parser.add_argument("--every", type=positive, default=10, metavar="N", help="every N-th frame (%(default)s)")
    parser.add_argument("--objects", type=positive, metavar="N", help="most objects of a picture; all")
    parser.add_argument("--no_grabcut", action="store_true", help="the network alone")
    rounds = parser.add_argument_group("rounds")
    rounds.add_argument("--rounds", type=positive, metavar="N", help="go through whole videos, correct and propagate")
    rounds.add_argument(
        "--clicks",
        type=whole(0, 100),
        default=3,
        help="on an object in a round; 0 gives true masks instead (%(default)s)",
    )
    rounds.add_argument("--size", type=positive, default=480, help="most pixels of the shorter side (%(default)s)")
    parser.add_argument("--output", type=Path, help="folder for the results (output/clicks-<set>)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (%(default)s)")
    parser.add_argument("--amp", choices=AUTOCAST, default="off", help="automatic mixed precision (%(default)s)")
    args = parser.parse_args(argv)
    if args.stills is not None and args.videos:
        parser.error("--videos belongs to --davis")
    if args.stills is not None and args.rounds:
        parser.error("--rounds belongs to --davis")
    return args


def find_pictures(args: argparse.Namespace) -> list[Picture]:
    """What the clicks are about."""
    if args.stills is not None:
        return find_stills(args.stills, None if args.list is None else read_picture_list(args.list, "list"))
    return find_frames(args.davis, named_videos(args), args.every)


def named_videos(args: argparse.Namespace) -> Sequence[str]:
    """The videos that the command line names; none for all."""
    if args.list is None:
        return args.videos
    return choose_videos(read_given_list(args.list, "list"), args.videos, args.list)


def build_methods(args: argparse.Namespace) -> list[Method]:
    """The network, and what it is compared with."""
    trunk = load_network(args.trunk, choose_device(args.device)).query_encoder
    methods: list[Method] = [ByNetwork(load_click_network(args.model, trunk), args.amp)]
    return methods if args.no_grabcut else [*methods, ByGrabCut()]


def play_rounds(args: argparse.Namespace) -> None:
    """Go through whole videos in each way, print the table, and write the results; those so far are never lost."""
    device, amp = choose_device(args.device), AUTOCAST[args.amp]
    network = load_network(args.trunk, device)
    clicks = load_click_network(args.model, network.query_encoder) if args.clicks else None
    for_inference(network, device, amp=amp)
    if clicks is not None:
        for_inference(clicks, device, amp=amp)
    names = named_videos(args) or annotated_sequences(args.davis / "Annotations" / "480p")
    results: dict[Way, list[Round]] = {way: [] for way in WAYS}
    with Progress(len(names) * len(WAYS) * args.rounds) as progress, TemporaryDirectory(dir=args.output) as folder:
        for name in names:
            video = TrueVideo.open(args.davis, name)
            for number, way in enumerate(WAYS):
                place = Path(folder) / f"{name}-{number}"
                with closing(
                    InteractiveSession(
                        video.source,
                        name,
                        place,
                        network,
                        clicks,
                        device=device,
                        amp=args.amp,
                        size=args.size,
                        blends=way.blends,
                    )
                ) as session:
                    played = simulate(session, video, rounds=args.rounds, clicks=args.clicks, choice=way.choice)
                    for one in played:
                        results[way].append(one)
                        write_rounds(args.output / "rounds.csv", results)
                        progress.advance(name)
                progress.part_done(f"{name}, {way}: J&F {100 * results[way][-1].score:.1f}")
    text = rounds_table(results, args.rounds)
    print(text)
    write_text(args.output / "rounds.txt", text + "\n")
    plot_rounds(args.output / "rounds.png", results, args.rounds)


def count_clicks(args: argparse.Namespace, methods: Sequence[Method], pictures: Sequence[Picture]) -> None:
    """Click, print the table, and write the results.

    Raises:
        InputError: no picture shows an object that is large enough.
    """
    cases: dict[str, list[Case]] = {method.name: [] for method in methods}
    places: list[tuple[Picture, int]] = []  # of each object: its picture, and which of its objects
    with Progress(len(pictures)) as progress:
        for picture in pictures:
            frame, ids = picture.read()
            truths = objects_of(picture, ids, args.objects)
            for number, found in enumerate(click_objects(methods, frame, truths)):
                places.append((picture, number))
                for name, case in found.items():
                    cases[name].append(case._replace(masks=[]))
            progress.advance(picture.name)
    if not places:
        raise InputError(f"no picture of {args.stills or args.davis} shows an object that is large enough")
    text = table(cases)
    print(text)
    write_text(args.output / "table.txt", text + "\n")
    write_cases(args.output / "clicks.csv", cases)
    for name, chosen in zip(("typical", "bad"), choose_shown(cases[methods[0].name]), strict=True):
        if chosen:
            write_picture(args.output / f"{name}.png", show_again(args, methods[0], [places[i] for i in chosen]))


def show_again(args: argparse.Namespace, method: Method, places: Sequence[tuple[Picture, int]]) -> np.ndarray:
    """A sheet of some objects; they are clicked again, since the masks of all would not fit into memory."""
    shown = []
    for picture, number in places:
        frame, ids = picture.read()
        truth = objects_of(picture, ids, args.objects)[number]
        (found,) = click_objects([method], frame, [truth])
        shown.append((frame, truth[1], found[method.name]))
    return show_cases(shown)


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line and run."""
    args = parse(argv)
    source = args.stills or args.davis
    args.output = args.output or Path("output") / f"{'rounds' if args.rounds else 'clicks'}-{source.name}"
    require_apart([args.output], [source, args.model, args.trunk, *([args.list] if args.list else [])])
    if args.rounds:
        require_replaceable(make_output_folder(args.output), ROUND_FILES)
        play_rounds(args)
        return
    pictures = find_pictures(args)
    methods = build_methods(args)
    require_replaceable(make_output_folder(args.output), FILES)
    count_clicks(args, methods, pictures)


if __name__ == "__main__":
    run(main)
