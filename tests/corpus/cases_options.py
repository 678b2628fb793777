"""Checkpoints and numbers that cannot be meant."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import eval_generic
from tests.corpus.cases_frames import damage
from tests.corpus.inputs import Results, generic, make_clip, write_mask
from tests.corpus.runner import ANY, REFUSED, RIGHT, SAID, Case, Scene

KEPT = frozenset({RIGHT, SAID})
ONLY_REFUSED = frozenset({REFUSED})
NUMBERS = ("0", "-1", "nan", "inf", "-inf", "1e400", "99999999999999999999", "1/0", "٣", "²", "", "abc", "1_0", "0x10")
OPTIONS = (
    "--top_k",
    "--mem_every",
    "--mem_capacity",
    "--mem_frames",
    "--mem_annotated",
    "--quality_threshold",
    "--size",
    "--scales",
    "--correct_rate",
    "--correct_steps",
    "--frame_batch",
    "--max_memory_gb",
    "--fps",
    "--max_frames",
)
LARGE = {"--mem_capacity": 10**9, "--mem_frames": 10**9, "--mem_annotated": 10**9, "--top_k": 10**9, "--scales": "1e6"}


def run_with(scene: Scene, model: Path, allowed: frozenset[str], words: tuple[str, ...], *flags: object) -> Case:
    """A run on a small clip with this checkpoint and these options."""
    clip = make_clip(scene)
    mask = write_mask(scene.inputs / f"masks/{clip.names[0]}.png", clip.ids)
    arguments = generic(scene, clip.folder, mask, *flags)
    arguments[arguments.index("--model") + 1] = model
    results = Results(scene.output / "clip", clip.names, {clip.names[0]: clip.ids})
    return Case(eval_generic, arguments, allowed, results, words, result=scene.output / "clip")


def changed_checkpoint(scene: Scene, change: Callable[[dict[str, Any]], None], allowed: frozenset[str]) -> Case:
    """A run with a checkpoint in which something is changed."""
    content = torch.load(scene.model, weights_only=True)
    change(content)
    path = scene.inputs / "changed.pth"
    torch.save(content, path)
    return run_with(scene, path, allowed, (path.name,))


def entry(scene: Scene, content: dict[str, Any]) -> str:
    """One of the weights."""
    return scene.pick(sorted(key for key, value in content["network"].items() if value.ndim > 0))


def prefixed_weights(scene: Scene) -> Case:
    """What DataParallel and torch.compile put before names does not matter."""
    prefix = scene.pick(("module.", "_orig_mod.", "module._orig_mod.", "module.module."))

    def change(content: dict[str, Any]) -> None:
        content["network"] = {f"{prefix}{key}": value for key, value in content["network"].items()}

    return changed_checkpoint(scene, change, KEPT)


def weights_not_finite(scene: Scene) -> Case:
    """One weight, or all, is NaN or infinite."""

    def change(content: dict[str, Any]) -> None:
        value = scene.pick((float("nan"), float("inf"), -float("inf")))
        chosen = [entry(scene, content)] if scene.rng.random() < 0.7 else list(content["network"])
        for key in chosen:
            if content["network"][key].is_floating_point():
                content["network"][key].view(-1)[0] = value

    return changed_checkpoint(scene, change, ONLY_REFUSED)


def fields_of_another_type(scene: Scene) -> Case:
    """Fields that hold what they never hold."""

    def change(content: dict[str, Any]) -> None:
        field = scene.pick(("version", "arch", "options", "network"))
        kinds: dict[str, Any] = {
            "None": None, "text": "one", "list": [1, 2], "number": 7.5, "tensor": torch.ones(3), "bytes": b"x",
            "dict": {"a": {"b": 1}}, "negative": -1, "keys": {1: 2},
        }  # fmt: skip
        content[field] = kinds[scene.pick(tuple(kinds))]

    return changed_checkpoint(scene, change, ONLY_REFUSED)


def options_of_another_type(scene: Scene) -> Case:
    """Options of the network that build none."""

    def change(content: dict[str, Any]) -> None:
        values = ("8", None, -8, 0, 7.5, [8], 10**12, float("nan"), torch.tensor(8.0))
        content["options"][scene.pick(("key_dim", "value_dim", "score_activation", "unknown"))] = scene.pick(values)

    return changed_checkpoint(scene, change, ANY)


def weights_of_another_kind(scene: Scene) -> Case:
    """Tensors that are no plain numbers."""

    def change(content: dict[str, Any]) -> None:
        key = entry(scene, content)
        value = content["network"][key]
        kind = scene.pick(("sparse", "complex", "quantised", "integer", "text", "number", "none", "list", "meta"))
        content["network"][key] = {
            "sparse": value.to_sparse,
            "complex": lambda: value.to(torch.complex64),
            "quantised": lambda: torch.quantize_per_tensor(value.float(), 0.1, 0, torch.qint8),
            "integer": lambda: (value * 100).to(torch.int32),
            "text": lambda: "weights",
            "number": lambda: 1.0,
            "none": lambda: None,
            "list": value.tolist,
            "meta": lambda: value.to("meta"),
        }[kind]()

    return changed_checkpoint(scene, change, ONLY_REFUSED)


def weights_in_another_precision(scene: Scene) -> Case:
    """Half and double precision are weights like others."""

    def change(content: dict[str, Any]) -> None:
        kind = scene.pick((torch.float16, torch.bfloat16, torch.float64))
        content["network"] = {
            key: value.to(kind) if value.is_floating_point() else value for key, value in content["network"].items()
        }

    return changed_checkpoint(scene, change, KEPT)


def weights_that_do_not_fit(scene: Scene) -> Case:
    """Entries that are missing, unknown or of another shape."""

    def change(content: dict[str, Any]) -> None:
        key = entry(scene, content)
        way = scene.pick(("missing", "unknown", "shape", "name"))
        value = content["network"][key]
        if way == "missing":
            del content["network"][key]
        elif way == "unknown":
            content["network"]["another.weight"] = value
        elif way == "shape":
            content["network"][key] = torch.cat([value, value])
        else:
            content["network"][7] = value

    return changed_checkpoint(scene, change, ONLY_REFUSED)


def other_files_as_checkpoint(scene: Scene) -> Case:
    """What is no checkpoint at all."""
    path = scene.inputs / "model.pth"
    kind = scene.pick(("tensor", "list", "empty dict", "text", "empty", "folder", "absent", "own class"))
    contents: dict[str, Any] = {"tensor": torch.ones(3), "list": [1, 2], "empty dict": {}, "own class": Path("x")}
    if kind in contents:
        torch.save(contents[kind], path)
    elif kind == "folder":
        path.mkdir()
    elif kind != "absent":
        path.write_bytes(b"notes" if kind == "text" else b"")
    return run_with(scene, path, ONLY_REFUSED, (path.name,))


def damaged_checkpoint(scene: Scene) -> Case:
    """Random damage to the file."""
    path = scene.inputs / "model.pth"
    path.write_bytes(scene.model.read_bytes())
    damage(scene, path)
    return run_with(scene, path, ANY, (path.name,))


def odd_numbers(scene: Scene) -> Case:
    """Numbers that no option takes, and some that one does."""
    option, number = scene.pick(OPTIONS), scene.pick(NUMBERS)
    return run_with(scene, scene.model, ANY, (option, option.removeprefix("--"), "number"), f"{option}={number}")


def large_numbers(scene: Scene) -> Case:
    """More memory than there is frames, or refused."""
    option = scene.pick(tuple(LARGE))
    return run_with(scene, scene.model, ANY, (option, "memory"), option, LARGE[option])


def small_sizes(scene: Scene) -> Case:
    """Sizes below the network's stride."""
    sizes = scene.pick((("1",), ("1", "1"), ("3", "50"), ("15",), ("1", "2", "3")))
    case = run_with(scene, scene.model, ANY, ("--size", "size"), "--size", *sizes)
    case.right = replace(case.right, given={})  # masks are resampled as well
    return case


def rates(scene: Scene) -> Case:
    """Rates of a video that is shown, possible ones and others."""
    rate = scene.pick(
        ("0", "1/0", "-5", "nan", "1e9", "25", "30000/1001", "0.5", "1e-9", "", "24/", "99999999999999999999")
    )
    case = run_with(scene, scene.model, ANY, ("fps",), f"--fps={rate}", "--overlay", scene.pick(("mp4", "gif")))
    return case


def options_that_exclude_each_other(scene: Scene) -> Case:
    """Options of other networks or of other options."""
    flags = scene.pick(
        (("--compat", "--gate", "object"), ("--frame_batch", "4"), ("--memory", "quality"), ("--score",),
         ("--decode_roi",), ("--start", "99"), ("--start", "²"), ("--device", "cuda:99"), ("--device", "abacus"),
         ("--truth", "nowhere", "--score"), ("--direction", "both"), ("--amp", "bf16"), ("--max_memory_gb", "1e-6"))
    )  # fmt: skip
    return run_with(
        scene, scene.model, ANY, (*flags, *(flag.removeprefix("--") for flag in flags), "truth", "GB"), *flags
    )


def right_with_any_memory(scene: Scene) -> Case:
    """What the memory holds does not change an annotated frame."""
    flags = scene.pick(
        (("--memory", "every"), ("--memory", "latest"), ("--mem_capacity", "1"), ("--mem_frames", "2"), ("--flip",),
         ("--scales", "1", "1.3"), ("--use_km",), ("--no_top",), ("--gate", "object"), ("--prior", "max"))
    )  # fmt: skip
    return run_with(scene, scene.model, KEPT, (), *flags)


FAMILIES = (
    prefixed_weights,
    weights_not_finite,
    fields_of_another_type,
    options_of_another_type,
    weights_of_another_kind,
    weights_in_another_precision,
    weights_that_do_not_fit,
    other_files_as_checkpoint,
    damaged_checkpoint,
    odd_numbers,
    large_numbers,
    small_sizes,
    rates,
    options_that_exclude_each_other,
    right_with_any_memory,
)
