"""Masks of everything in a video by clicks in the browser: interact, propagate, look, correct, propagate again.

    python interactive_demo.py --input clip.mp4
    python interactive_demo.py --input frames/ --masks first.png --session output/interactive/mine
    python interactive_demo.py --input clip.mp4 --resume
    ssh -L 8765:127.0.0.1:8765 HOST, and there: python interactive_demo.py --input clip.mp4

Everything is saved in the folder of the session as soon as it is done, and exports are written into it. The page is
known to this machine alone, and to who has the address that is printed.
"""

import util.startup  # noqa: F401

import argparse
import errno
import secrets
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from util.errors import InputError, run
from util.numbers import positive, whole

ROOT = Path(__file__).parent
ANYWHERE = ("", "0.0.0.0", "::")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, required=True, help="video file, or folder of pictures")
    parser.add_argument("--masks", type=Path, nargs="+", default=[], help="masks to begin with, as for eval_generic.py")
    parser.add_argument("--session", type=Path, help="folder of the session (output/interactive/<video>)")
    parser.add_argument("--resume", action="store_true", help="go on with the session, if there is one")
    networks = parser.add_argument_group("networks")
    networks.add_argument(
        "--model", type=Path, default=ROOT / "saves/qdmn_small.pth", help="propagates masks (the shipped network)"
    )
    networks.add_argument("--click_model", type=Path, help="turns clicks into masks (saves/interactive_small.pth)")
    networks.add_argument(
        "--click_trunk",
        type=Path,
        default=ROOT / "saves/qdmn_small.pth",
        help="network for whose image encoder that was trained (the shipped network)",
    )
    networks.add_argument(
        "--blend", action="store_true", help="blend what comes from both sides between two corrected frames"
    )
    networks.add_argument("--size", type=positive, default=480, help="most pixels of the shorter side (%(default)s)")
    networks.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (%(default)s)")
    networks.add_argument("--amp", choices=("off", "bf16", "fp16"), default="off", help="mixed precision (%(default)s)")
    page = parser.add_argument_group("page")
    page.add_argument("--port", type=whole(0, 65535), default=8765, help="0 takes a free one (%(default)s)")
    page.add_argument("--host", default="127.0.0.1", help="address to listen on; others can be reached from outside")
    page.add_argument(
        "--allow_host", nargs="+", default=[], metavar="NAME", help="further names under which browsers may ask"
    )
    return parser.parse_args(argv)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        InputError: the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        taken = getattr(error, "errno", None) == errno.EADDRINUSE
        remedy = "pass --port 0, or another port" if taken else "check --host"
        raise InputError(
            f"cannot listen on {host}:{port} ({getattr(error, 'strerror', None) or error}); {remedy}"
        ) from error
    listener.listen()
    return listener


def main(argv: Sequence[str] | None = None) -> None:
    """Open the session and serve its page until Ctrl-C."""
    args = parse(argv)
    listener = listen(args.host, args.port)
    # What takes seconds to load comes behind what may be refused.
    from interactive.opening import open_session
    from interactive.server import LOCAL_HOSTS, PageServer, serve

    session = open_session(args)
    token = secrets.token_urlsafe(24)
    port = listener.getsockname()[1]
    hosts = {*LOCAL_HOSTS, *args.allow_host, args.host}
    if args.host in ANYWHERE:
        hosts |= {socket.gethostname(), socket.getfqdn()}
    shown = "127.0.0.1" if args.host in ANYWHERE else f"[{args.host}]" if ":" in args.host else args.host
    print(f"session: {session.folder.folder}", flush=True)
    if args.host not in LOCAL_HOSTS:
        print("others in the network can reach this page; whoever has the address can use it", file=sys.stderr)
    print(f"open http://{shown}:{port}/{token}/  (Ctrl-C ends; everything is saved)", flush=True)
    try:
        serve(PageServer(session), listener, token, hosts).serve_until_stopped()
    finally:
        session.close()


if __name__ == "__main__":
    run(main)
