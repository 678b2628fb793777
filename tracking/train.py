"""Train a box tracker by the published command line; train_droptrack.py does it.

    python tracking/train.py --script ostrack --config vitb_384_mae_ce_32x4_got10k_ep100 --save_dir output \\
        --mode multiple --nproc_per_node 4 --use_lmdb 0 --use_wandb 0

Weights to begin with lie alone in pretrained_models/, or are given by --backbone_weights. Options that are not listed
here go to train_droptrack.py. A run of the same configuration in --save_dir is gone on with.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import util.startup  # noqa: F401

from tracking.paths import read_paths
from util.errors import InputError, run
from util.numbers import positive, whole

ROOT = Path(__file__).resolve().parents[1]
PRETRAINED = Path("pretrained_models")
BEGINNINGS = ("--backbone_weights", "--no_pretrained_backbone", "--load_network", "--load_model")
IGNORED = ("script_prv", "config_prv", "script_teacher", "config_teacher")
REFUSED = {
    "use_lmdb": "frames are read from folders, which LMDB copies would only repeat; pass --use_lmdb 0",
    "use_wandb": "reports are written to TensorBoard files and sent nowhere; pass --use_wandb 0",
    "distill": "the configurations of teachers were never published; leave out --distill",
}


def build_parser() -> argparse.ArgumentParser:
    """The published options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--script", choices=("ostrack",), required=True, help="the trackers that there are")
    add("--config", required=True, help="a configuration of train_droptrack.py")
    add("--save_dir", type=Path, help="folder for saves/ and log/; by default as create_default_local_file.py was told")
    add("--mode", choices=("single", "multiple", "multi_node"), default="multiple", help="(%(default)s)")
    add("--nproc_per_node", type=positive, help="processes of this machine, one for each GPU")
    for name, reason in REFUSED.items():
        add(f"--{name}", type=int, choices=(0, 1), default=0, help=f"0; 1 is refused: {reason.partition(';')[0]}")
    for name in IGNORED:
        add(f"--{name}", help="without effect")
    add("--rank", type=whole(0), default=0, help="of this machine, with --mode multi_node (%(default)s)")
    add("--world-size", type=positive, default=1, help="number of machines, with --mode multi_node (%(default)s)")
    add("--ip", default="127.0.0.1", help="of the machine of rank 0 (%(default)s)")
    add("--port", type=whole(1, 2**16 - 1), default=20000, help="there (%(default)s)")
    return parser


def command_of(arguments: Sequence[str] | None = None) -> tuple[list[str], list[str]]:
    """What stands between python and train_droptrack.py, nothing for one process, and what stands after it.

    Raises:
        InputError: something is asked for that is not offered, or there are no weights to begin with.
    """
    args, others = build_parser().parse_known_args(arguments)
    for name, reason in REFUSED.items():
        if getattr(args, name):
            raise InputError(f"--{name} 1 is not offered: {reason}")
    if ignored := [f"--{name}" for name in IGNORED if getattr(args, name) is not None]:
        print(f"without effect: {', '.join(ignored)}", flush=True)
    paths = read_paths()
    words = ["--config", args.config, "--id", args.config, "--resume", "auto"]
    words += ["--save_dir", str(args.save_dir or paths.save_dir), "--data", str(paths.data_dir)]
    if not any(word.partition("=")[0] in BEGINNINGS for word in others):
        words += ["--backbone_weights", str(first_weights(PRETRAINED))]
    if args.mode == "single":
        return [], [*words, *others]
    if args.nproc_per_node is None:
        raise InputError(f"--mode {args.mode} needs --nproc_per_node, the number of GPUs; or pass --mode single")
    launcher = ["-m", "torch.distributed.run", f"--nproc_per_node={args.nproc_per_node}"]
    if args.mode == "multiple":
        return [*launcher, "--standalone"], [*words, *others]
    launcher += [f"--nnodes={args.world_size}", f"--node_rank={args.rank}"]
    return [*launcher, f"--master_addr={args.ip}", f"--master_port={args.port}"], [*words, *others]


def first_weights(folder: Path) -> Path:
    """The only file of weights in a folder.

    Raises:
        InputError: there is none, or several.
    """
    found = sorted(path for path in folder.glob("*.pth*") if path.is_file())
    if len(found) != 1:
        raise InputError(
            f"{folder} holds {len(found)} files of weights; put there the one to begin with, or name it by "
            "--backbone_weights FILE"
        )
    return found[0]


def main() -> None:
    """Start train_droptrack.py in this process, or a launcher in its place."""
    launcher, words = command_of()
    script = ROOT / "train_droptrack.py"
    if launcher:
        os.execv(sys.executable, [sys.executable, *launcher, str(script), *words])
    import train_droptrack  # takes a while, and a launcher does not need it

    sys.argv = [str(script), *words]
    train_droptrack.main()


if __name__ == "__main__":
    run(main)
