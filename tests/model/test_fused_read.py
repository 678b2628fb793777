"""The fused read against the portable one and the definition, in Triton's interpreter and on a GPU where one is.

And when a reader leaves the read to the kernels, and what it does when they fail.
"""

import warnings
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from multiprocessing import get_context
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from model.memory import read as memory_read
from model.memory.fused_read import available, fused_read
from model.memory.read import Memory, MemoryReader
from tests.model.test_memory_read import LargestTensor
from util.device import DEVICE_LOST, trial

pytestmark = pytest.mark.slow

needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="needs Triton")
needs_gpu = pytest.mark.skipif(
    not (torch.cuda.is_available() and available(torch.device("cuda"))), reason="needs Triton and a GPU"
)


def scene(batch, objects, positions, grid, key_dim, value_dim, *, seed=0, dtype=torch.float32, device="cpu"):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(shape, generator=generator).to(device, dtype)

    memory = Memory(draw(batch, objects, positions, key_dim), draw(batch, objects, positions, value_dim))
    return memory, draw(batch, key_dim, *grid)


def read_by_definition(memory, query, top_k, similarity):
    """In float64, with all affinities at once; ties are not expected."""
    key, value, query = (x.double().numpy() for x in (memory.key, memory.value, query.flatten(2)))
    product = np.einsum("bknc,bcq->bkqn", key, query)
    if similarity == "l2":
        product = 2 * product - np.square(key).sum(-1)[:, :, None]
    affinity = product / np.sqrt(key.shape[-1])
    if top_k is not None and top_k < affinity.shape[-1]:
        affinity = np.where(affinity >= np.sort(affinity, -1)[..., -top_k, None], affinity, -np.inf)
    weight = np.exp(affinity - affinity.max(-1, keepdims=True))
    return np.einsum("bkqn,bknv->bkvq", weight / weight.sum(-1, keepdims=True), value)


@pytest.fixture(scope="module")
def interpreter():
    """Another process, where Triton runs kernels in its interpreter: that is settled when Triton is imported."""
    with ProcessPoolExecutor(1, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TRITON_INTERPRET", "1")
            pool.submit(int).result()
        yield lambda *args: pool.submit(read_in_interpreter, *args).result()


def read_in_interpreter(memory, query, top_k, similarity):
    return fused_read(memory.key, memory.value, query, top_k=top_k, similarity=similarity)


# batch, objects, positions, grid, key_dim, value_dim, top_k, similarity. Tiles: 32 queries, 64 positions, 128 values;
# segments: 1024 positions.
CASES = [
    (1, 1, 150, (1, 3), 64, 48, 20, "dot"),
    (1, 1, 150, (2, 3), 128, 20, 20, "l2"),
    (2, 1, 70, (1, 2), 20, 130, 1, "l2"),
    (1, 3, 64, (1, 2), 20, 5, 1, "dot"),
    (1, 2, 90, (5, 7), 16, 3, 2, "dot"),
    (1, 1, 130, (1, 2), 64, 150, 50, "l2"),
    (1, 1, 1100, (1, 2), 20, 16, 20, "dot"),
    (2, 2, 40, (1, 3), 64, 130, 50, "dot"),
    (1, 1, 50, (1, 3), 20, 7, 50, "l2"),
    (1, 1, 100, (5, 8), 128, 40, None, "l2"),
    (2, 3, 33, (1, 3), 20, 7, None, "dot"),
]


@needs_triton
@pytest.mark.parametrize("case", CASES)
def test_the_fused_read_equals_the_portable_one_and_the_definition(interpreter, case):
    *shape, top_k, similarity = case
    memory, query = scene(*shape)
    readout = interpreter(memory, query, top_k, similarity)
    portable = MemoryReader(top_k=top_k, similarity=similarity)(memory, query)
    torch.testing.assert_close(readout, portable, atol=1e-5, rtol=0)
    np.testing.assert_allclose(readout.flatten(3), read_by_definition(memory, query, top_k, similarity), atol=1e-5)


@needs_triton
@pytest.mark.parametrize("top_k", [5, None])
def test_views_are_read_like_copies(interpreter, top_k):
    memory, query = scene(2, 2, 80, (2, 2), 20, 9)
    expected = MemoryReader(top_k=top_k)(memory, query)
    buffers = [torch.full((2, 2, 100, 2 * x.shape[-1]), torch.nan) for x in memory[:2]]
    for buffer, x in zip(buffers, memory[:2], strict=True):
        buffer[:, :, 7:87, ::2] = x
    views = Memory(*(buffer[:, :, 7:87, ::2] for buffer in buffers))
    readout = interpreter(views, query.contiguous(memory_format=torch.channels_last), top_k, "dot")
    torch.testing.assert_close(readout, expected, atol=1e-5, rtol=0)


@needs_triton
@pytest.mark.parametrize("top_k", [3, None])
def test_objects_may_share_their_keys_without_a_copy(interpreter, top_k):
    memory, query = scene(2, 3, 70, (1, 2), 20, 9)
    shared = Memory(memory.key[:, :1].expand(-1, 3, -1, -1), memory.value)
    expected = MemoryReader(top_k=top_k, similarity="l2")(shared, query)
    torch.testing.assert_close(interpreter(shared, query, top_k, "l2"), expected, atol=1e-5, rtol=0)


@needs_triton
@pytest.mark.parametrize("top_k", [3, None])
def test_half_precision_is_read_to_its_precision(interpreter, top_k):
    """In float16; the interpreter takes bfloat16 in products for integers."""
    memory, query = scene(1, 1, 70, (1, 3), 20, 9, dtype=torch.float16)
    readout = interpreter(memory, query, top_k, "l2")
    assert readout.dtype == torch.float16
    np.testing.assert_allclose(readout.flatten(3), read_by_definition(memory, query, top_k, "l2"), atol=2e-3)


@needs_triton
def test_of_equal_affinities_as_many_are_kept_as_asked_for(interpreter):
    memory, query = scene(1, 1, 70, (1, 2), 16, 70)
    memory = Memory(torch.zeros_like(memory.key), torch.eye(70).expand(1, 1, -1, -1))
    weights = interpreter(memory, query, 3, "dot")
    torch.testing.assert_close(weights.sort(2).values[0, 0, -4:, 0, 0], torch.tensor([0, 1 / 3, 1 / 3, 1 / 3]))


@pytest.mark.parametrize(
    ("key_dim", "top_k", "dtypes"),
    [
        (20, 65, [torch.float32] * 3),
        (257, 5, [torch.float32] * 3),
        (20, 5, [torch.float64] * 3),
        (20, 5, [torch.bfloat16, torch.bfloat16, torch.float32]),
    ],
)
def test_what_the_kernels_cannot_do_is_left_to_the_portable_read(key_dim, top_k, dtypes):
    memory, query = scene(1, 1, 70, (1, 2), key_dim, 3)
    key, value, query = (x.to(dtype) for x, dtype in zip((memory.key, memory.value, query), dtypes, strict=True))
    assert fused_read(key, value, query, top_k=top_k, similarity="dot") is None


class Launches:
    """Stands in for a kernel: runs nothing, keeps the arguments of its launches."""

    def __init__(self, kernel):
        self.kernel = kernel
        self.launched = []

    def __getitem__(self, grid):
        return self._launch

    def _launch(self, *args, **options):
        self.launched.append((args, options))


@pytest.fixture
def launches(monkeypatch):
    """By name of the kernel."""
    pytest.importorskip("triton")
    from model.memory import fused_kernels

    found = {name: Launches(getattr(fused_kernels, name)) for name in ("select", "gather", "dense")}
    for name, launch in found.items():
        monkeypatch.setattr(fused_kernels, name, launch)
    return found


@pytest.mark.parametrize("top_k", [50, None])
def test_affinities_of_all_positions_never_exist(launches, top_k):
    positions, grid = 100_000, (30, 54)
    memory = Memory(torch.empty(1, 2, positions, 8), torch.empty(1, 2, positions, 8))
    with LargestTensor() as largest:
        fused_read(memory.key, memory.value, torch.empty(1, 8, *grid), top_k=top_k, similarity="l2")
    assert largest.elements <= max(memory.key.numel(), 64 * 50 * grid[0] * grid[1]) < positions * grid[0] * grid[1] / 10


def compile_for_hopper(kernel, args, options):
    """Compile a kernel as it was launched, for compute capability 9.0; that needs no GPU."""
    import triton
    from triton.backends.compiler import GPUTarget

    types = {torch.float32: "*fp32", torch.bfloat16: "*bf16", torch.int64: "*i64", int: "i32", float: "fp32"}
    values = dict(zip(kernel.arg_names, args, strict=False))
    signature = {name: types[getattr(x, "dtype", type(x))] for name, x in values.items()}
    constants = {name: x for name, x in options.items() if name in kernel.arg_names}
    source = triton.compiler.ASTSource(kernel, signature | dict.fromkeys(constants, "constexpr"), constants)
    options = {name: x for name, x in options.items() if name not in constants}
    return triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options | {"enable_fp_fusion": True})


@pytest.mark.parametrize(
    ("top_k", "similarity", "dtype"),
    [(20, "dot", torch.float32), (50, "l2", torch.bfloat16), (None, "l2", torch.bfloat16)],
)
def test_kernels_compile_for_a_gpu(launches, monkeypatch, tmp_path, top_k, similarity, dtype):
    """The interpreter takes more than the compiler does."""
    pytest.importorskip("triton", minversion="3.3")
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    memory, query = scene(1, 1, 70, (1, 2), 64, 8, dtype=dtype)
    fused_read(memory.key, memory.value, query, top_k=top_k, similarity=similarity)
    compiled = [compile_for_hopper(x.kernel, *args) for x in launches.values() for args in x.launched]
    assert len(compiled) == (1 if top_k is None else 2)
    assert all(x.asm["cubin"] for x in compiled)


@needs_gpu
@pytest.mark.parametrize("similarity", ["dot", "l2"])
@pytest.mark.parametrize("top_k", [1, 20, 50, None])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("key_dim", [64, 128])
def test_a_gpu_reads_like_the_definition(dtype, top_k, similarity, key_dim):
    memory, query = scene(1, 2, 5003, (7, 31), key_dim, 200, dtype=dtype, device="cuda")
    readout = fused_read(memory.key, memory.value, query, top_k=top_k, similarity=similarity)
    exact = (x.double() for x in (memory.key, memory.value, query))
    expected = MemoryReader(top_k=top_k, similarity=similarity)(Memory(next(exact), next(exact)), next(exact))
    # Where the last kept and the first left affinity all but tie, either may be taken.
    wrong = (readout - expected).abs().amax(2) > (1e-4 if dtype == torch.float32 else 0.03)
    assert wrong.float().mean() < 0.01


@needs_gpu
def test_a_gpu_needs_little_memory():
    memory, query = scene(1, 1, 40_000, (30, 54), 64, 64, device="cuda")
    reader = MemoryReader(top_k=50, fused=True)
    reader(memory, query)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    reader(memory, query)
    assert torch.cuda.max_memory_allocated() - before < 40_000 * 30 * 54 * 4 / 4


def small_scene():
    return scene(1, 1, 60, (1, 2), 4, 3)


@pytest.fixture
def fused_calls(monkeypatch):
    """Lets readers on the CPU believe that there are kernels; `answer` is what these return or raise.

    They are on trial anew in every test.
    """
    calls = SimpleNamespace(count=0, answer=None)

    def read(key, value, query_key, **options):
        calls.count += 1
        if isinstance(calls.answer, Exception):
            raise calls.answer
        return calls.answer

    monkeypatch.setattr(memory_read, "available", lambda device: True)
    monkeypatch.setattr(memory_read, "fused_read", read)
    trial.cache_clear()
    yield calls
    trial.cache_clear()


def plain_and_fused(**options):
    return MemoryReader(**options), MemoryReader(fused=True, **options)


def test_kernels_are_believed_when_they_have_read_like_the_plain_way_once(fused_calls):
    plain, fused = plain_and_fused()
    scene = small_scene()
    fused_calls.answer = plain(*scene) * (1 + 1e-6)
    assert torch.equal(fused(*scene), plain(*scene))
    assert fused(*scene) is fused_calls.answer
    assert MemoryReader(fused=True)(*scene) is fused_calls.answer


@pytest.mark.parametrize("wrong", [lambda right: right * 1.1, lambda right: right * torch.nan], ids=["more", "nan"])
def test_kernels_that_read_something_else_are_reported_once_and_done_without(fused_calls, wrong):
    plain, fused = plain_and_fused()
    scene = small_scene()
    fused_calls.answer = wrong(plain(*scene))
    with pytest.warns(RuntimeWarning, match=r"fused memory read .*100.0% of the positions differ"):
        assert torch.equal(fused(*scene), plain(*scene))
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        assert torch.equal(MemoryReader(fused=True)(*scene), plain(*scene))
    assert fused_calls.count == 1


def test_another_kind_of_read_is_on_trial_by_itself(fused_calls):
    scene = small_scene()
    fused_calls.answer = torch.zeros(1, 1, 3, 1, 2)
    with pytest.warns(RuntimeWarning, match="top 5"):
        MemoryReader(fused=True, top_k=5)(*scene)
    with pytest.warns(RuntimeWarning, match="top 7"):
        MemoryReader(fused=True, top_k=7)(*scene)


def test_the_reader_reads_itself_what_the_kernels_leave(fused_calls):
    plain, fused = plain_and_fused()
    for _ in range(2):
        assert torch.equal(fused(*small_scene()), plain(*small_scene()))
    assert fused_calls.count == 2


def test_broken_kernels_are_reported_once_and_done_without(fused_calls):
    plain, fused = plain_and_fused()
    scene = small_scene()
    fused_calls.answer = RuntimeError("no compiler found")
    with pytest.warns(RuntimeWarning, match="no compiler found"):
        assert torch.equal(fused(*scene), plain(*scene))
    assert torch.equal(fused(*scene), plain(*scene))
    assert fused_calls.count == 1


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("full"), *(kind("lost") for kind in DEVICE_LOST)])
def test_what_the_kernels_are_not_to_blame_for_is_raised(fused_calls, error):
    fused_calls.answer = error
    _, fused = plain_and_fused()
    for _ in range(2):
        with pytest.raises(type(error)):
            fused(*small_scene())


@pytest.mark.parametrize("options", [{}, {"fused": True, "km_sigma": 1.5}])
def test_kernels_are_left_alone_where_they_are_not_wanted(fused_calls, options):
    MemoryReader(**options)(*small_scene())
    assert fused_calls.count == 0


def test_gradients_come_from_the_portable_read(fused_calls):
    memory, query = small_scene()
    fused = MemoryReader(fused=True)
    fused(memory, query.requires_grad_()).sum().backward()
    assert query.grad.abs().sum() > 0
    assert fused_calls.count == 0
    with torch.no_grad():
        fused(memory, query)
    assert fused_calls.count == 1


def test_there_are_no_kernels_on_the_cpu():
    assert not available(torch.device("cpu"))
