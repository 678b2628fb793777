"""What the command line makes of a network."""

from types import SimpleNamespace

import pytest
import torch

from evaluation import cores
from evaluation.arguments import add_arrival_arguments, evaluation_parser
from evaluation.averaging import AveragingCore
from evaluation.cores import build_segmenter, new_core
from evaluation.run import share
from inference_core import InferenceCore
from inference_core_yv import InferenceCoreYV
from model import build_network
from published.qdmn import PublishedCore, PublishedCoreYV
from published.stm_cycle import PublishedSTMCycleCore
from util.errors import InputError

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build_network("qdmn_small", backbone="resnet18").eval()


class Video(SimpleNamespace):
    def __len__(self):
        return self.length


def video(objects=2, length=50, size=(64, 96), name="cat"):
    return Video(name=name, objects=tuple(range(1, objects + 1)), size=size, masks={0: None}, length=length)


def arguments(*flags, late=False):
    parser = evaluation_parser("")
    if late:
        add_arrival_arguments(parser)
    return parser.parse_args(list(map(str, flags)))


def build(network, *flags, kind=InferenceCore, **options):
    return new_core(arguments(*flags, late=kind is InferenceCoreYV), network, CPU, kind, video(**options))


def test_a_plain_run_has_a_plain_core(network):
    core = build(network)
    assert type(core) is InferenceCore
    assert (core.reader.top_k, core.reader.km_sigma) == (50, None)


def test_no_top_and_use_km_reach_the_reader(network):
    core = build(network, "--no_top", "--use_km")
    assert (core.reader.top_k, core.reader.km_sigma) == (None, 5.6)


@pytest.mark.parametrize(
    "flags", [["--flip"], ["--scales", "1", "1.5"], ["--scales", "0.75"], ["--scales", "1", "0.5", "--weigh_by_size"]]
)
def test_flip_and_scales_average(network, flags):
    core = build(network, *flags)
    assert isinstance(core, AveragingCore)
    image, mask = torch.randn(3, 64, 96), torch.zeros(2, 64, 96)
    mask[:, 10:30, 10:30] = 1
    assert core.step(image, mask, (1, 2)).shape[0] == 3


@pytest.mark.parametrize("flags", [[], ["--scales", "0.5"], ["--flip"], ["--scales", "1", "1"]])
def test_a_choice_between_sizes_needs_several(flags):
    with pytest.raises(InputError, match="give several by --scales"):
        build_segmenter(arguments("--weigh_by_size", *flags), CPU, InferenceCore)


def test_the_prior_is_chosen_on_the_command_line(network):
    assert build(network, kind=InferenceCoreYV).prior == "softmax"
    assert build(network, "--prior", "max", kind=InferenceCoreYV).prior == "max"


def test_a_memory_limit_sets_the_chunks(network, monkeypatch):
    monkeypatch.setattr(cores, "used_memory_bytes", lambda device: 0.0)
    limited, free = (build(network, "--max_memory_gb", limit, objects=20, size=(480, 864)) for limit in (1.5, 100))
    assert limited._steps.object_chunk < 20
    assert free._steps.object_chunk == 20
    assert limited.reader.max_elements <= free.reader.max_elements


def test_a_video_that_does_not_fit_is_named_with_what_it_needs(network):
    with pytest.raises(InputError, match=r"video cat with 20 objects needs about .* GB; raise --max_memory_gb"):
        build(network, "--max_memory_gb", "0.01", objects=20)


@pytest.mark.parametrize(
    ("device", "flags", "overlaps"), [("cuda", (), True), ("cuda", ("--max_memory_gb", 2), False), ("cpu", (), False)]
)
def test_only_a_gpu_with_memory_to_spare_overlaps_frames(monkeypatch, device, flags, overlaps):
    monkeypatch.setattr(cores, "load_network", lambda path, device: build_network("qdmn_small").eval())
    assert build_segmenter(arguments(*flags), torch.device(device), InferenceCore).overlaps is overlaps


@pytest.mark.parametrize(
    ("device", "flags", "message"),
    [
        ("cpu", ["--fused_read"], "is for CUDA devices, and this run is on cpu"),
        ("cpu", ["--look_ahead"], "is for CUDA devices, and this run is on cpu"),
        ("cuda", ["--look_ahead", "--max_memory_gb", "2"], "nor with --frame_batch"),
        ("cuda", ["--fused_read", "--use_km"], "goes neither with --use_km"),
    ],
)
def test_what_would_do_nothing_on_a_device_is_refused(network, monkeypatch, device, flags, message):
    monkeypatch.setattr(cores, "load_network", lambda path, device: network)
    with pytest.raises(InputError, match=message):
        build_segmenter(arguments(*flags), torch.device(device), InferenceCore)


def test_what_a_gpu_has_not_shown_must_be_asked_for(monkeypatch):
    monkeypatch.setattr(cores, "load_network", lambda path, device: build_network("qdmn_small").eval())
    monkeypatch.setattr(cores, "available", lambda device: True)
    device = torch.device("cuda")
    plain, asked = (build_segmenter(arguments(*flags), device, InferenceCore) for flags in ((), ("--look_ahead",)))
    assert (plain.looks_ahead, asked.looks_ahead) == (False, True)
    plain, asked = (build_segmenter(arguments(*f), device, InferenceCore) for f in ((), ("--fused_read",)))
    assert (plain.new_core(video()).reader.fused, asked.new_core(video()).reader.fused) == (False, True)


def test_parts_of_frames_are_compiled_behind_the_cut(network, monkeypatch):
    compiled = []
    monkeypatch.setattr(cores, "load_network", lambda path, device: build_network("qdmn_small").eval())
    monkeypatch.setattr(torch, "compile", lambda function, **kw: compiled.append((function.__name__, kw)) or function)
    build_segmenter(arguments("--compile", "--decode_roi"), CPU, InferenceCore)
    assert compiled[-1] == ("upsample", {"dynamic": True})
    assert [name for name, _ in compiled[:-1]] == ["encode_image", "encode_query", "encode_memory"]


def test_compile_covers_the_networks_calls(network, monkeypatch):
    compiled = []
    monkeypatch.setattr(cores, "load_network", lambda path, device: network)
    monkeypatch.setattr(torch, "compile", lambda function: compiled.append(function.__name__) or function)
    build_segmenter(arguments("--compile"), CPU, InferenceCore)
    assert compiled == ["encode_image", "encode_query", "encode_memory", "decode"]


def test_memory_by_quality_needs_a_scorer(monkeypatch):
    bare = build_network("stcn", backbone="resnet18").eval()
    monkeypatch.setattr(cores, "load_network", lambda path, device: bare)
    with pytest.raises(InputError, match=r"no quality scorer; use --memory latest"):
        build_segmenter(arguments("--memory", "quality"), CPU, InferenceCore)
    core = new_core(arguments(), bare, CPU, InferenceCore, video())
    assert (core.reader.top_k, core.reader.similarity) == (20, "l2")


@pytest.mark.parametrize("world", [1, 2, 3, 8])
def test_processes_share_all_videos_and_none_twice(world):
    videos = [video(name=f"v{k}", length=length) for k, length in enumerate((5, 80, 30, 30, 10))]
    shares = [share(videos, rank, world) for rank in range(world)]
    assert sorted(v.name for part in shares for v in part) == [f"v{k}" for k in range(5)]


def test_the_longest_video_does_not_wait_for_others():
    videos = [video(name=name, length=length) for name, length in (("a", 10), ("b", 70), ("c", 20), ("d", 30))]
    assert [[v.name for v in share(videos, rank, 2)] for rank in (0, 1)] == [["b"], ["d", "c", "a"]]


@pytest.mark.parametrize(
    ("arch", "kind", "expected"),
    [
        ("qdmn_small", InferenceCore, PublishedCore),
        ("qdmn_small", InferenceCoreYV, PublishedCoreYV),
        ("stm_cycle", InferenceCore, PublishedSTMCycleCore),
        ("stm_cycle", InferenceCoreYV, PublishedSTMCycleCore),
    ],
)
def test_compat_asks_for_the_core_of_the_published_code(arch, kind, expected):
    core = build(build_network(arch, backbone="resnet18").eval(), "--compat", kind=kind)
    assert type(core) is expected
