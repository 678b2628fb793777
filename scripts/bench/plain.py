"""The published way of computing, piece by piece: what the product's optimisations replace."""

from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import torch
from torch import Tensor, nn

from model.dropseg import DropSeg
from model.droptrack import DropTrack
from model.layers.vit import Attention, Block, ViTEncoder
from model.memory.read import Memory, MemoryEntry, MemoryReader, stack_entries

MEMORY = "freed memory kept"
ENTRY = "first layers in float32"
EXACT = {
    "sparse read": "affinity, dense scatter of the top k and product for one object after the other",
    "slots in place": "memory grown by concatenation on every frame",
    "shared halves": "what all objects share goes through each convolution once for every object",
    "folded batch-norm": "batch-norm by itself",
    "channels last": "channels first",
    "winograd": "direct 3x3 convolutions",
    "scorer where used": "every frame is scored",
    MEMORY: "large tensors returned to the system when they are freed, as the C library does by itself",
}
EXACT_DROPSEG = {
    "fused attention": "the whole attention matrix in memory",
    "last block for the query": "the last block for all tokens",
    **{name: EXACT[name] for name in ("channels last", "winograd", MEMORY)},
}
EXACT_DROPTRACK = {
    "fused attention": "the whole attention matrix in memory",
    "ranking rows alone": "the whole attention matrix, of which the ranking token's row is read",
    "last block for the search region": "the last block for all tokens",
    **{name: EXACT[name] for name in ("folded batch-norm", "channels last", "winograd", MEMORY)},
}
ONLY_CPU = ("winograd", MEMORY)
CONVOLVING = ("model.layers.decoder", "model.layers.resnet", "model.qdmn", "model.stm_cycle")


def exact_rows(arch: str, device: torch.device) -> dict[str, str]:
    """The exact optimisations of a network on a device, with what they replace."""
    rows = {DropSeg.arch: EXACT_DROPSEG, DropTrack.arch: EXACT_DROPTRACK}.get(arch, EXACT)
    if device.type != "cpu":
        rows = {name: plain for name, plain in rows.items() if name not in ONLY_CPU}
    return rows


def plain_read(reader: MemoryReader, memory: Memory, query_key: Tensor) -> Tensor:
    """Memory of N positions, query key (B,Ck,h,w) -> readout (B,K,Cv,h,w)."""
    scale = query_key.shape[1] ** -0.5
    batches = []
    for keys, values, query in zip(memory.key, memory.value, query_key.flatten(2), strict=True):
        objects = []
        for key, value in zip(keys, values, strict=True):
            affinity = key @ query
            if reader.similarity == "l2":
                affinity = 2 * affinity - key.square().sum(1, keepdim=True)
            affinity = affinity * scale
            if reader.top_k is None:
                weight = affinity.softmax(0)
            else:
                kept, index = affinity.topk(min(reader.top_k, len(affinity)), dim=0)
                weight = torch.zeros_like(affinity).scatter_(0, index, kept.softmax(0).to(affinity.dtype))
            objects.append(value.T @ weight.to(value.dtype))
        batches.append(torch.stack(objects))
    return torch.stack(batches).unflatten(3, query_key.shape[-2:])


def plain_object_conv(conv: nn.Module, own: Tensor, shared: Tensor | None, *, shared_first: bool = False) -> Tensor:
    """Own (B*K,C,h,w) beside shared (B,S,h,w), which is repeated for every object -> (B*K,O,h',w')."""
    if shared is None:
        return conv(own)
    shared = shared.repeat_interleave(len(own) // len(shared), 0)
    return conv(torch.cat([shared, own] if shared_first else [own, shared], 1))


def plain_attention(attention: Attention, x: Tensor, last: int) -> Tensor:
    """Tokens (B,n,D) -> (B,last,D), by way of the whole matrix (B,heads,n,n)."""
    query, key, value = attention.split(x)
    weight = (query @ key.transpose(2, 3) * query.shape[-1] ** -0.5).softmax(3)
    return attention.project((weight @ value).transpose(1, 2).flatten(2))[:, -last:]


def plain_block(block: Block, x: Tensor, last: int) -> Tensor:
    """Tokens (B,n,D) -> the last of them, (B,last,D); all go through the whole block."""
    x = x + block.drop_path(block.attention(block.norm1(x), x.shape[1]))
    return block.transform(x)[:, -last:]


def plain_eliminate(
    block: Block, tokens: Tensor, search: int, kept: int, ranking: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """As `model.droptrack.eliminate`, by way of the whole attention matrix (B,heads,n,n)."""
    query, key, value = block.attention.split(block.norm1(tokens))
    attention = (query @ key.transpose(2, 3) * query.shape[-1] ** -0.5).softmax(3)
    out = (attention @ value).transpose(1, 2).flatten(2)
    tokens = tokens + block.attention.project(out)
    template = tokens.shape[1] - search
    worth = (attention[:, :, ranking, template:] * weights[:, None, :, None]).sum(2).mean(1)
    order = worth.argsort(dim=1, descending=True)
    staying, leaving = order[:, :kept].sort(1).values, order[:, kept:].sort(1).values
    left = tokens[:, template:].gather(1, staying.unsqueeze(2).expand(-1, -1, tokens.shape[2]))
    return block.transform(torch.cat([tokens[:, :template], left], 1)), staying, leaving


def plain_encoder(encoder: ViTEncoder, memory: Tensor, query: Tensor) -> Tensor:
    """Tokens of the memory frame (B,m,D) and of the query (B,n,D) -> (B,n,D); every block takes all of them."""
    return encoder.encode(torch.cat([memory, query], 1))[:, -query.shape[1] :]


class ConcatenatedSlots:
    """Memory slots of objects that stay together, which are concatenated anew for every read."""

    def __init__(self, slots: int) -> None:
        self._entries: list[MemoryEntry] = []

    def write(self, index: int, entry: MemoryEntry) -> None:
        """Put an entry into a slot."""
        self._entries[index : index + 1] = [entry]

    def view(self, slots: int) -> Memory:
        """The first slots, put together."""
        return stack_entries(self._entries[:slots])


def left_as_it_is(network: nn.Module) -> nn.Module:
    """The same network, without one of the steps that make it faster."""
    return network


FORM = "inference.fast_form"
REPLACED: dict[str, tuple[tuple[str, object], ...]] = {
    "sparse read": (("model.memory.read.MemoryReader.__call__", plain_read),),
    "slots in place": (("model.memory.bank.SlotBuffers", ConcatenatedSlots),),
    "shared halves": tuple((f"{module}.object_conv", plain_object_conv) for module in CONVOLVING),
    "folded batch-norm": ((f"{FORM}.fold_batch_norm", left_as_it_is),),
    "channels last": ((f"{FORM}.lay_channels_last", left_as_it_is),),
    "winograd": ((f"{FORM}.use_winograd", left_as_it_is),),
    ENTRY: ((f"{FORM}.keep_entry_precise", left_as_it_is),),
    "fused attention": (("model.layers.vit.Attention.forward", plain_attention),),
    "ranking rows alone": (("model.droptrack.eliminate", plain_eliminate),),
    "last block for the search region": (("model.layers.vit.Block.forward", plain_block),),
    "last block for the query": (("model.layers.vit.ViTEncoder.forward", plain_encoder),),
}


@contextmanager
def without(names: Collection[str]) -> Iterator[None]:
    """As published, what is named and can be replaced; what is left is a matter of options, or of the process."""
    with ExitStack() as stack:
        for name in names:
            for place, plain in REPLACED.get(name, ()):
                stack.enter_context(patch(place, plain))
        yield
