"""Writes a network as graphs for other run times: ONNX, or programs of torch.export.

    python scripts/export.py --model saves/qdmn_small.pth --format onnx --output output/qdmn_small
    python scripts/export.py --model saves/<run>/<run>_150000.pth --format torch --output output/<run>

A frame is segmented by encode_query, read and decode, and remembered by encode_memory. Frames may have any height and
width that are multiples of 16, any number of objects, and a memory of any length. network.json, beside the graphs,
names what goes in and out and says what a stream must know: docs/export.md. examples/onnx_stream.py runs ONNX graphs.
"""

import argparse
import copy
import inspect
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import util.startup  # noqa: F401

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from inference.fast_form import fold_batch_norm
from model.dropseg import QueryTokens
from model.layers.decoder import CELL
from model.memory.options import DAVIS_MEMORY
from model.memory.read import Memory, MemoryReader, has_shared_keys
from model.memory_network import MemoryNetwork, QueryFeatures
from model.weights.checkpoint import load_network
from util.errors import InputError, run
from util.files import make_output_folder, new_folder, require_apart, write_text
from util.tensors import IMAGENET_MEAN, IMAGENET_STD

ENDINGS = {"onnx": ".onnx", "torch": ".pt2"}
PACKAGES: dict[str, tuple[str, ...]] = {"onnx": ("onnx", "onnxscript"), "torch": ()}
# What graphs are traced with: objects, cells in a column and a row, memory frames. A size of 1 would stay 1 for good.
OBJECTS, ROWS, COLUMNS, SLOTS = 2, 5, 7, 3
REMEMBERED = ("memory_key", "memory_value")
PER_OBJECT = ("masks", "previous")

Tensors = dict[str, Tensor]


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="checkpoint, ours or published")
    parser.add_argument("--format", choices=ENDINGS, required=True, help="onnx: .onnx files; torch: .pt2 files")
    parser.add_argument("--output", type=Path, required=True, help="folder that is made")
    args = parser.parse_args()
    missing = [name for name in PACKAGES[args.format] if find_spec(name) is None]
    if missing:
        raise InputError(f"--format {args.format} needs {' and '.join(missing)}: pip install {' '.join(missing)}")
    require_apart([args.output], [args.model])
    network = load_network(args.model, torch.device("cpu"))
    make_output_folder(args.output.absolute().parent)
    with new_folder(args.output) as folder:
        export_network(network, args.format, folder)
    for path in sorted(args.output.iterdir()):
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


def export_network(network: MemoryNetwork, form: str, folder: Path) -> None:
    """Write the graphs of a network and `network.json`.

    Args:
        network: in evaluation mode; its batch-norms are folded in place.
        form: of the graphs, one of `ENDINGS`.
        folder: where to.

    Raises:
        InputError: a part of the network cannot be exported.
    """
    fold_batch_norm(network)
    known = examples()
    graphs = {}
    for kind in GRAPHS:
        graph = kind(copy.deepcopy(network))
        try:
            inputs = used_inputs(graph, known)
            outputs = graph(**inputs)
            sizes = {key: dynamic_sizes(key, x, network.top_k or 0) for key, x in inputs.items()}
            program = torch.export.export(graph, (), inputs, dynamic_shapes=sizes, strict=False)
            write_graph(program, list(outputs), folder / f"{graph.name}{ENDINGS[form]}")
        except (RuntimeError, ValueError, TypeError, AttributeError) as error:
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise InputError(f"{network.arch} cannot be exported: {graph.name}: {reason:.200}") from error
        graphs[graph.name] = {"inputs": list(inputs), "outputs": list(outputs)}
        known |= {name: torch.cat([x] * SLOTS, 2) if name in REMEMBERED else x for name, x in outputs.items()}
    memory = DAVIS_MEMORY.settled(
        policy=network.policy,
        keeps_previous=network.keeps_previous,
        has_scorer=network.quality_scorer is not None,
    )
    content = {
        "arch": network.arch,
        "options": network.options,
        "size_multiple": CELL,
        "mean": IMAGENET_MEAN,
        "std": IMAGENET_STD,
        "memory": asdict(memory),
        "graphs": graphs,
    }
    write_text(folder / "network.json", json.dumps(content, indent=1) + "\n")


def examples() -> Tensors:
    """What is known of a frame before a graph has run; whole tensors, for strides become conditions of a program."""
    masks = torch.rand(1, OBJECTS, CELL * ROWS, CELL * COLUMNS) / OBJECTS
    image, prior = torch.randn(1, 3, *masks.shape[2:]), masks.amax(1, keepdim=True)
    return {"image": image, "prior": prior, "masks": masks, "previous": masks}


def used_inputs(graph: "Graph", known: Tensors) -> Tensors:
    """Those of the inputs that the network makes use of; weights that it does not use are taken from the graph."""
    inputs = {name: known[name] for name in inspect.signature(graph.forward).parameters if name in known}
    inputs = {name: x.detach().clone().requires_grad_() for name, x in inputs.items()}
    weights = dict(graph.requires_grad_().named_parameters())
    total = sum(x.sum() for x in graph(**inputs).values())
    gradients = torch.autograd.grad(total, [*inputs.values(), *weights.values()], allow_unused=True)
    unused = {name for name, gradient in zip([*inputs, *weights], gradients, strict=True) if gradient is None}
    for name in unused & set(weights):
        owner, _, last = name.rpartition(".")
        setattr(graph.get_submodule(owner), last, None)
    graph.requires_grad_(False)
    return {name: x.detach() for name, x in inputs.items() if name not in unused}


def dynamic_sizes(name: str, x: Tensor, least: int) -> dict[int, Any]:
    """The axes of a graph's input that may have any size: objects, rows and columns of cells, memory positions.

    Args:
        name, x: an example of the input.
        least: memory positions.
    """
    objects, rows, columns, positions = Dim("objects"), Dim("rows"), Dim("columns"), Dim("positions", min=least)
    if name in REMEMBERED:
        return {2: positions} if x.shape[1] == 1 else {1: objects, 2: positions}
    if x.ndim == 5:
        return {1: objects, 3: rows, 4: columns}
    scale = x.shape[2] // ROWS
    cells = {2: rows, 3: columns} if scale == 1 else {2: scale * rows, 3: scale * columns}
    return {1: objects, **cells} if name in PER_OBJECT else cells


def write_graph(program: ExportedProgram, outputs: list[str], path: Path) -> None:
    """Write a program as it is or, by the ending of the path, as ONNX."""
    if path.suffix == ENDINGS["torch"]:
        torch.export.save(program, path)
        return
    exported = torch.onnx.export(program, (), dynamo=True, output_names=outputs, verbose=False)
    cast(torch.onnx.ONNXProgram, exported).save(path, external_data=False)


class GraphReader(MemoryReader):
    """Reads the whole memory at once, by the same operations whatever the number of objects."""

    def _chunks(self, query: Tensor, key: Tensor) -> Sequence[Tensor]:
        return (query,)

    def _weighted_values(self, affinity: Tensor, values: Sequence[Tensor]) -> Tensor:
        """Affinity (1,K,c,N), or (1,1,c,N) if all objects share it, and values (1,K,N,Cv), alone -> (1,K,c,Cv)."""
        (value,) = values
        if self.top_k is None:
            return torch.matmul(F.softmax(affinity, -1), value)
        objects, positions = value.shape[1:3]
        kept, index = torch.topk(affinity, self.top_k, dim=-1)
        first = torch.arange(objects, device=value.device)[:, None, None] * positions
        rows = F.embedding(index + first, value.flatten(0, 2))
        return torch.matmul(F.softmax(kept, -1).unsqueeze(3), rows).squeeze(3)


class Graph(nn.Module):
    """A step of a frame as a function of named tensors; those that the network does not use may be missing.

    Attributes:
        name: of its file.
    """

    name: str

    def __init__(self, network: MemoryNetwork) -> None:
        super().__init__()
        self.network = network


class EncodeQuery(Graph):
    """Image and prior -> the maps of the query."""

    name = "encode_query"

    def forward(self, image: Tensor, prior: Tensor | None = None) -> Tensors:
        query = self.network.encode_query(image, image[:, :1] if prior is None else prior)
        if isinstance(query, QueryTokens):
            return {"tokens": query.tokens.transpose(1, 2).unflatten(2, query.grid)}
        if isinstance(query, QueryFeatures):
            return {name: x for name, x in query._asdict().items() if name != "size"}
        raise TypeError(f"graphs do not pass on queries of the kind {type(query).__name__}")


class EncodeMemory(Graph):
    """Image, masks (1,K,H,W) and the query of the image -> key, value and quality (1,K) of a memory frame.

    Keys (1,1,h*w,Ck) are those of all objects.
    """

    name = "encode_memory"

    def forward(
        self,
        masks: Tensor,
        image: Tensor | None = None,
        key: Tensor | None = None,
        value: Tensor | None = None,
        f16: Tensor | None = None,
        f8: Tensor | None = None,
        f4: Tensor | None = None,
        tokens: Tensor | None = None,
    ) -> Tensors:
        query = restored((key, value, f16, f8, f4), tokens)
        entry = self.network.encode_memory(cast(Tensor, image), masks, query)
        made = {"memory_value": entry.value}
        if entry.key.shape[-1]:
            made["memory_key"] = entry.key[:, :1] if has_shared_keys(entry.key) else entry.key
        return made if entry.quality is None else {**made, "quality": entry.quality}


class Read(Graph):
    """Query, memory and the masks of the previous frame (1,K,H,W) -> readout (1,K,Cv,h,w)."""

    name = "read"

    def __init__(self, network: MemoryNetwork) -> None:
        super().__init__(network)
        self.reader = GraphReader(top_k=network.top_k, similarity=network.similarity)

    def forward(
        self,
        memory_value: Tensor,
        memory_key: Tensor | None = None,
        previous: Tensor | None = None,
        key: Tensor | None = None,
        value: Tensor | None = None,
        f16: Tensor | None = None,
        f8: Tensor | None = None,
        f4: Tensor | None = None,
        tokens: Tensor | None = None,
    ) -> Tensors:
        memory = Memory(memory_value[..., :0] if memory_key is None else memory_key, memory_value)
        readout = self.network.read(restored((key, value, f16, f8, f4), tokens), memory, self.reader)
        return {"readout": readout if previous is None else self.network.guide(readout, previous)}


class Decode(Graph):
    """Query and readout -> logits (1,K,H,W)."""

    name = "decode"

    def forward(
        self,
        readout: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        f16: Tensor | None = None,
        f8: Tensor | None = None,
        f4: Tensor | None = None,
        tokens: Tensor | None = None,
    ) -> Tensors:
        size = (CELL * readout.shape[3], CELL * readout.shape[4])
        return {"logits": self.network.decode(restored((key, value, f16, f8, f4), tokens, size), readout)}


GRAPHS = (EncodeQuery, EncodeMemory, Read, Decode)


def restored(features: Sequence[Any], tokens: Tensor | None, size: tuple[int, int] | None = None) -> Any:
    """The query that `EncodeQuery` made maps of, (1,C,h,w) and larger; unused ones are None."""
    if tokens is not None:
        return QueryTokens(tokens.flatten(2).transpose(1, 2), (tokens.shape[2], tokens.shape[3]))
    key, value, f16, f8, f4 = features
    return QueryFeatures(key, value, f16, f8, f4, size)


if __name__ == "__main__":
    run(main)
