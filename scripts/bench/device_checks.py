"""Does a device give what the CPU gives? The checks of `scripts/gpu_check.py`, each a generator of findings."""

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from itertools import zip_longest
from multiprocessing import get_context
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from datasets.synthetic.clips import make_clip
from datasets.train.augment import static_views, video_views
from datasets.train.render import plan_clip, render_clip, renders_apart
from evaluation.arguments import SHIPPED
from evaluation.cores import compile_network
from inference.chunks import needed_bytes
from inference.fast_form import for_inference
from inference_core import InferenceCore
from inference_core_yv import InferenceCoreYV
from model import NETWORKS, build_network, fitting_options
from model.dropseg import DropSeg
from model.memory.fused_read import available, fused_read
from model.memory.options import MemoryOptions
from model.memory.read import Memory, MemoryReader, reads_apart
from model.memory_network import MemoryNetwork
from model.weights.checkpoint import load_network
from scripts.bench.measuring import disagreement
from scripts.bench.speed import segment_clip
from training.trainer import Trainer
from util.device import AUTOCAST, allow_tf32, autocast
from util.distributed import mean_over, start, stop

CPU = torch.device("cpu")
SIZE = (96, 128)
FRAMES = 6
MEMORY = MemoryOptions(mem_every=2, capacity=2)
CLOSE = 1e-3  # mean distance of probabilities, and relative distance of losses
FEW = 0.005  # share of pixels whose object may be another one
PRECISIONS = {"float32": FEW, "tf32": 0.02, "bf16": 0.03, "fp16": 0.03}  # and of object pixels of the shipped network


class Finding(NamedTuple):
    """What was compared, how it went, and what is wrong with it; "" where nothing is."""

    what: str
    detail: str
    fault: str = ""


class LeftOut(Exception):
    """A check makes no sense here; the text says why."""


Check = Callable[[torch.device], Iterator[Finding]]


def small_network(arch: str, **options: Any) -> MemoryNetwork:
    """A network with its smallest backbone and weights that are the same everywhere, on the CPU."""
    torch.manual_seed(0)
    backbone = "vit_ti16" if arch == DropSeg.arch else "resnet18"
    return build_network(arch, **fitting_options(arch, {"backbone": backbone, "drop_path": 0.0, **options}))


def noise(*shape: int) -> Tensor:
    """The same noise everywhere."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def rectangles() -> Tensor:
    """Masks (2,H,W) of two objects."""
    masks = torch.zeros(2, *SIZE)
    masks[0, 10:60, 10:50], masks[1, 40:80, 60:110] = 1, 1
    return masks


def stream(
    network: MemoryNetwork, kind: type[InferenceCore], device: torch.device, *, ahead: bool = False, **options: Any
) -> list[Tensor]:
    """Probabilities (K+1,H,W) of each frame, on the CPU; one object comes later where the core allows it."""
    core = kind(network, MEMORY, **options)
    images, masks = list(noise(FRAMES, 3, *SIZE).to(device)), rectangles().to(device)
    late = kind is InferenceCoreYV
    given = {0: (masks[:1], [1]), 2: (masks[1:], [7])} if late else {0: (masks, [1, 7])}
    found = []
    for number, (image, coming) in enumerate(zip_longest(images, images[1:])):
        if ahead and coming is not None:
            core.prefetch(coming)
        found.append(core.step(image, *given.get(number, ())))
    return [probabilities.float().cpu() for probabilities in found]


def compare(what: str, found: Sequence[Tensor], expected: Sequence[Tensor]) -> Finding:
    """Two streams of probabilities."""
    apart = max(float((a - b).abs().mean()) for a, b in zip(found, expected, strict=True))
    other = float(np.mean([(a.argmax(0) != b.argmax(0)).float().mean() for a, b in zip(found, expected, strict=True)]))
    detail = f"probabilities differ by {apart:.1e} on average, {other:.2%} of the pixels show another object"
    return Finding(what, detail, "" if apart < CLOSE and other < FEW else "too much")


def cores(device: torch.device) -> Iterator[Finding]:
    """Every network through both cores."""
    for arch in NETWORKS:
        for kind in (InferenceCore, InferenceCoreYV):
            expected, found = (
                stream(for_inference(small_network(arch).eval().to(place), place), kind, place)
                for place in (CPU, device)
            )
            yield compare(f"{arch}, {kind.__name__}", found, expected)


def waiting(device: torch.device) -> Iterator[Finding]:
    """The host does not wait for a CUDA device in a steady frame."""
    if device.type != "cuda":
        raise LeftOut("only a CUDA device is waited for")
    for arch in NETWORKS:
        network = for_inference(small_network(arch).eval().to(device), device)
        core = InferenceCore(network, MemoryOptions(mem_every=100))
        images = list(noise(3, 3, *SIZE).to(device))
        core.step(images[0], rectangles().to(device))
        core.step(images[1])
        torch.cuda.set_sync_debug_mode("error")
        try:
            core.step(images[2])
            fault = ""
        except RuntimeError as error:
            fault = str(error).splitlines()[0]
        finally:
            torch.cuda.set_sync_debug_mode("default")
        yield Finding(arch, "a steady frame is asked for without waiting", fault)


def kernels(device: torch.device) -> Iterator[Finding]:
    """The fused memory read, against the plain one in float64 on the CPU."""
    if not available(device):
        raise LeftOut("needs Triton and a CUDA device of compute capability 8.0 or higher")
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        for top_k in (20, 50, None):
            for similarity in ("dot", "l2"):
                shapes = (1, 2, 5003, 64), (1, 2, 5003, 96), (1, 64, 9, 31)
                key, value, query = (noise(*shape).to(dtype) for shape in shapes)
                exact = Memory(key.double(), value.double())
                expected = MemoryReader(top_k=top_k, similarity=similarity)(exact, query.double()).to(dtype)
                sent = (x.to(device) for x in (key, value, query))
                found = fused_read(*sent, top_k=top_k, similarity=similarity)
                what = f"{str(dtype).removeprefix('torch.')}, top {top_k or 'all'}, {similarity}"
                fault = "the kernels do not go so far" if found is None else reads_apart(found.cpu(), expected)
                yield Finding(what, "as read in float64", fault)


def rendering(device: torch.device) -> Iterator[Finding]:
    """Training frames that the device makes."""
    picture = torch.from_numpy(make_clip(0, 1, 240, 320, 2)[0]).permute(0, 3, 1, 2)
    for make in (static_views, video_views):
        torch.manual_seed(0)
        plan = plan_clip(make((240, 320), 3, SIZE), (240, 320))
        found = render_clip(picture.to(device), plan.to(device)).cpu()
        yield Finding(make.__name__, "as made by the CPU", renders_apart(found, render_clip(picture, plan)))


def training_batch(size: int = 2) -> dict[str, Tensor]:
    """A batch of noise with two objects."""
    masks = rectangles()[:, :64, :64].expand(size, 3, -1, -1, -1)
    labels = (masks * torch.tensor([1, 2]).view(2, 1, 1)).amax(2).long()
    return {"frames": noise(size, 3, 3, 64, 64), "masks": masks, "labels": labels, "selector": torch.ones(size, 2)}


def train(arch: str, device: torch.device, **options: Any) -> tuple[list[float], bool]:
    """Losses of two iterations, and whether the weights were updated in both."""
    trainer = Trainer(small_network(arch, image_size=64).to(device), device, lr=1e-4, **options)
    batch = {name: value.to(device) for name, value in training_batch().items()}
    steps = [trainer.step([batch]) for _ in range(2)]
    return [float(losses["total_loss"]) for losses, *_ in steps], all(updated for *_, updated in steps)


def training(device: torch.device) -> Iterator[Finding]:
    """Two iterations of every network; with the cycle; in half precision."""
    rows: list[tuple[str, str, dict[str, Any], float]] = [(arch, arch, {}, CLOSE) for arch in NETWORKS]
    rows.append(("stm_cycle with the cycle", "stm_cycle", {"cycle": True, "loss": "both"}, CLOSE))
    kinds = ("bf16", "fp16") if device.type == "cuda" else ("bf16",)
    rows += [(f"qdmn, {amp}", "qdmn", {"amp": amp}, 0.05) for amp in kinds]
    for what, arch, options, most in rows:
        expected, _ = train(arch, CPU, **{**options, "amp": "off"})
        found, updated = train(arch, device, **options)
        apart = max(abs(a - b) / max(abs(b), 1e-6) for a, b in zip(found, expected, strict=True))
        fault = "" if apart < most and updated else "not updated" if not updated else "too much"
        yield Finding(what, f"losses of two iterations differ by {apart:.1e}", fault)


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """With or without TF32; afterwards without."""
    allow_tf32(allowed)
    try:
        yield
    finally:
        allow_tf32(False)


def shipped_ids(device: torch.device, amp: str = "off", form: Callable[[MemoryNetwork], object] = id) -> np.ndarray:
    """Ids (T,H,W) of a made clip, by the shipped network."""
    network = for_inference(load_network(SHIPPED, device), device, amp=AUTOCAST[amp], compiled=form is not id)
    form(network)
    with autocast(device, amp):
        return segment_clip(InferenceCore(network, score_all=False), FRAMES, 2, device)


def precision(device: torch.device) -> Iterator[Finding]:
    """Masks of the shipped network in every precision, beside those of the CPU in float32."""
    expected = shipped_ids(CPU)
    for name, most in PRECISIONS.items():
        if name in ("tf32", "fp16") and device.type != "cuda":
            continue
        with tf32(name == "tf32"):
            found = shipped_ids(device, name if name in AUTOCAST else "off")
        share = disagreement(found, expected)
        yield Finding(name, f"{share:.2%} of the object pixels differ", "" if share <= most else "too much")


def compiled(device: torch.device) -> Iterator[Finding]:
    """Masks of the shipped network, compiled."""
    if device.type == "cpu":
        raise LeftOut("takes minutes on a CPU, and gains nothing there")
    share = disagreement(shipped_ids(device, form=compile_network), shipped_ids(device))
    yield Finding("qdmn_small", f"{share:.2%} of the object pixels differ", "" if share <= FEW else "too much")


def on_trial(device: torch.device) -> Iterator[Finding]:
    """What has to be asked for: images encoded ahead, and the fused read within a stream."""
    network = for_inference(small_network("qdmn").eval().to(device), device)
    expected = stream(network, InferenceCore, device)
    yield compare("images encoded ahead", stream(network, InferenceCore, device, ahead=True), expected)
    if available(device):
        yield compare("fused read", stream(network, InferenceCore, device, fused_read=True), expected)


def memory(device: torch.device) -> Iterator[Finding]:
    """What --max_memory_gb plans with, beside what a stream takes."""
    if device.type != "cuda":
        raise LeftOut("only a CUDA device tells the memory of tensors")
    network = for_inference(small_network("qdmn").eval().to(device), device)
    size, objects = (480, 864), 3
    core = InferenceCore(network, MemoryOptions(policy="latest", capacity=4, mem_every=1))
    masks = torch.zeros(objects, *size, device=device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    for number, image in enumerate(list(noise(8, 3, *size).to(device))):
        core.step(image, masks if number == 0 else None)
    used = torch.cuda.max_memory_allocated(device) - before
    fixed, each = needed_bytes(network, size, objects, 6)
    planned = fixed + objects * each
    detail = f"{used / 1e6:.0f} MB, planned {planned / 1e6:.0f} MB"
    yield Finding("3 objects", detail, "" if used < 1.5 * planned else "much more than planned")


def processes(device: torch.device) -> Iterator[Finding]:
    """Two processes learn what one learns."""
    if device.type == "cuda" and torch.cuda.device_count() < 2:
        raise LeftOut("needs two GPUs")
    expected = train("qdmn_small", device)[0]
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        jobs = [pool.submit(train_in_pair, rank, device.type, port) for rank in (0, 1)]
        (found, first), (_, second) = (job.result(timeout=300) for job in jobs)
    apart = max(abs(a - b) / abs(b) for a, b in zip(found, expected, strict=True))
    fault = "their weights differ" if first != second else "" if apart < CLOSE else "too much"
    yield Finding("qdmn_small", f"losses of two iterations differ by {apart:.1e} from those of one process", fault)


def train_in_pair(rank: int, device: str, port: int) -> tuple[list[float], float]:
    """Mean losses of two iterations on half of the batch each, and a sum over the weights."""
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
    os.environ.update({name: str(value) for name, value in {**place, "RANK": rank, "LOCAL_RANK": rank}.items()})
    process = start(device)
    allow_tf32(False)
    network = small_network("qdmn_small", image_size=64).to(process.device)
    trainer = Trainer(network, process.device, lr=1e-4, distributed=True)
    batch = {name: value[rank : rank + 1].to(process.device) for name, value in training_batch().items()}
    losses = [float(mean_over(process, trainer.step([batch])[0]["total_loss"])) for _ in range(2)]
    total = float(sum(parameter.detach().double().abs().sum() for parameter in network.parameters()))
    stop(process)
    return losses, total


CHECKS: dict[str, Check] = {
    "cores": cores,
    "waiting": waiting,
    "kernels": kernels,
    "rendering": rendering,
    "training": training,
    "precision": precision,
    "compiled": compiled,
    "on trial": on_trial,
    "memory": memory,
    "processes": processes,
}
