"""Starting train.py on small made data."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import torch

import train
from model.layers import resnet
from tests.helpers.pictures import boxes, write_pair
from tests.helpers.warm_processes import free_port, start_all

KNOWN = "tests.helpers.light_network:KNOWN"
SCRIPT = Path(__file__).parents[2] / "train.py"
SMALL = ["--arch", "qdmn_small", "--backbone", "resnet18", "--no_pretrained_backbone", "--image_size", "64", "-b", "2"]
SMALL += ["--num_workers", "0", "--device", "cpu", "--log_interval", "1", "--lr", "1e-4"]
LIGHT = [*SMALL, "--arch", "light", "--quality_head"]  # of tests.helpers.light_network, which has to be known


def save_trunk(path):
    """Weights of an encoder as torchvision names them, for --backbone_weights; their statistics will be frozen."""
    torch.manual_seed(0)
    torch.save(resnet.ResNetEncoder("resnet18", bias=False).state_dict(), path)
    return ["--backbone_weights", path]


def write_training_data(root):
    """Four static pictures, and a DAVIS tree with a video to train on, which counts five times, and one to validate on.

    Returns:
        Their arguments.
    """
    for name in "abcd":
        write_pair(root / f"static/ecssd/{name}.jpg", root / f"static/ecssd/{name}.png", boxes(255))
    trainval = root / "DAVIS/2017/trainval"
    for name in (f"480p/{video}/{i:05d}" for video in ("ball", "cube") for i in range(4)):
        write_pair(trainval / f"JPEGImages/{name}.jpg", trainval / f"Annotations/{name}.png", boxes(1, 2))
    (trainval / "ImageSets/2017").mkdir(parents=True)
    for part, video in (("train", "ball"), ("val", "cube")):
        (trainval / f"ImageSets/2017/{part}.txt").write_text(f"{video}\n")
    return {"static": ["--static_root", f"{root}/static"], "davis": ["--davis_root", f"{root}/DAVIS"]}


def train_here(monkeypatch, folder, *arguments):
    """Run train.py to its end in this process, where it starts faster."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["train.py", *map(str, arguments)])
    train.main()


def begin(folder, arguments, processes=1):
    """Begin a run with the light network; its processes."""
    return start_all(processes, train.main, folder, arguments, [KNOWN])


def launch(kind, processes, folder, arguments):
    """Run train.py to its end by a launcher, with one thread for each process; returns the output."""
    module = {"torchrun": "torch.distributed.run", "launch": "torch.distributed.launch"}[kind]
    words = ["-m", module, f"--nproc_per_node={processes}", f"--master_port={free_port()}"]
    done = subprocess.run(
        [sys.executable, *words, str(SCRIPT), *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def family(pid):
    """A process and all that it has started, directly or not."""
    table = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = [tuple(map(int, line.split())) for line in table.splitlines()]
    found = [pid]
    for parent in found:
        found += [child for child, its_parent in parents if its_parent == parent]
    return found


def read_to(process, line):
    """The output up to a line that begins so."""
    seen = []
    for text in process.stdout:
        seen.append(text)
        if text.startswith(line):
            break
    return "".join(seen)


def interrupt(process, line, number):
    """Send a signal once the output has a line that begins so; returns exit code and output."""
    seen = read_to(process, line)
    process.send_signal(number)
    rest = process.communicate(timeout=100)
    return process.returncode, seen + rest


def kill(processes, line):
    """Kill the processes of a run, and those that load for them, once the first has printed a line that begins so."""
    read_to(processes[0], line)
    for pid in [pid for process in processes for pid in family(process.pid)]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for process in processes:
        process.communicate(timeout=100)
        assert process.returncode == -signal.SIGKILL


def losses_of(output):
    """The losses that a run printed, by iteration."""
    lines = [line for line in output.splitlines() if line.startswith("iteration ")]
    return {int(line.split()[1].rstrip(":")): float(line.split("total_loss ")[1].split(",")[0]) for line in lines}


def only(folder, pattern):
    """The one path that matches."""
    (path,) = folder.glob(pattern)
    return path
