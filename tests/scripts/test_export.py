"""Exported graphs compute what the network does, at other sizes and with other numbers of objects than they know."""

import copy
import json
import sys
from dataclasses import asdict

import numpy as np
import pytest
import torch
from PIL import Image

from examples import onnx_stream
from inference_core import InferenceCore
from model import NETWORKS
from model.memory.bank import MemoryBank
from model.memory.options import MemoryOptions
from model.memory.read import MemoryReader, stack_entries
from model.memory_network import sum_of_others
from model.weights.checkpoint import save_checkpoint
from scripts import compare_onnx, export, quantise_onnx
from tests.helpers import light_network
from tests.helpers.bank_entries import entry, settled, tags
from tests.helpers.weight_files import checkpoint_of, smallest_network
from util.errors import InputError
from util.tensors import normalise


def run_main(monkeypatch, module, *arguments):
    monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, arguments)])
    module.main()


def frames_and_masks(height, width, objects, count):
    """Noise with squares that move, uint8, and the masks (K,H,W) of the squares on the first frame."""
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 80, (count, height, width, 3), np.uint8)
    masks = np.zeros((objects, height, width), bool)
    for k in range(objects):
        rows = slice(10 + 30 * k, 34 + 30 * k)
        masks[k, rows, 8:40] = True
        for t in range(count):
            frames[t, rows, 8 + 4 * t : 40 + 4 * t] += np.uint8(80 + 60 * k)
    return frames, masks


@pytest.fixture(scope="module")
def light():
    torch.manual_seed(3)
    return light_network.LightNetwork().eval()


@pytest.fixture(scope="module")
def light_graphs(light, tmp_path_factory):
    folder = tmp_path_factory.mktemp("graphs")
    with pytest.MonkeyPatch.context() as patch, light_network.KNOWN:
        save_checkpoint(folder / "light.pth", checkpoint_of(light))
        run_main(patch, export, "--model", folder / "light.pth", "--format", "onnx", "--output", folder / "onnx")
    return folder / "onnx"


@pytest.mark.slow
@pytest.mark.parametrize(("height", "width", "objects"), [(96, 128, 2), (90, 150, 1)])
def test_a_stream_of_onnx_graphs_is_the_core(light, light_graphs, height, width, objects):
    frames, masks = frames_and_masks(height, width, objects, 12)
    memory = {"capacity": 2, "mem_every": 2}
    core, stream = InferenceCore(light, MemoryOptions(**memory)), onnx_stream.Stream(light_graphs)
    stream.bank = onnx_stream.Bank(**stream.info["memory"] | memory)
    banks = []
    for t, frame in enumerate(frames):
        expected = core.step(normalise(frame), torch.from_numpy(masks).float() if t == 0 else None)
        np.testing.assert_allclose(stream.step(frame, masks if t == 0 else None), expected, atol=1e-4)
        banks += core.report.banks
    assert {bank.stored for bank in banks} == {"permanent", "dynamic", "temporary"}
    assert any(bank.evicted is not None for bank in banks)


@pytest.mark.slow
def test_the_example_writes_masks_with_the_ids_and_colours_of_the_first(light_graphs, tmp_path, monkeypatch):
    frames, masks = frames_and_masks(90, 112, 2, 2)
    first = Image.fromarray((masks * np.uint8([[[3]], [[200]]])).sum(0).astype(np.uint8))
    first.putpalette(np.random.default_rng(1).integers(0, 256, 768, np.uint8).tobytes())
    first.save(tmp_path / "mask.png")
    (tmp_path / "frames").mkdir()
    for t, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / "frames" / f"{t}.png")
    arguments = ["--graphs", light_graphs, "--frames", tmp_path / "frames", "--mask", tmp_path / "mask.png"]
    run_main(monkeypatch, onnx_stream, *arguments, "--output", tmp_path / "out")
    results = [Image.open(tmp_path / "out" / f"{t}.png") for t in range(2)]
    assert np.array_equal(results[0], first)
    assert all(result.getpalette() == first.getpalette() for result in results)
    assert set(np.unique(results[1])) <= {0, 3, 200}


@pytest.mark.slow
@light_network.KNOWN
def test_quantised_graphs_are_smaller_and_nearly_the_same(light, light_graphs, tmp_path, monkeypatch, capsys):
    frames, masks = frames_and_masks(96, 128, 1, 4)
    Image.fromarray(masks[0].astype(np.uint8)).save(tmp_path / "mask.png")
    for t, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / f"{t}.jpg")
    video = ["--frames", tmp_path, "--mask", tmp_path / "mask.png"]
    arguments = ["--graphs", light_graphs, "--frames", tmp_path, "--masks", tmp_path / "mask.png"]
    output = tmp_path.with_name(f"{tmp_path.name}-int8")
    run_main(monkeypatch, quantise_onnx, *arguments, "--output", output)
    sizes = [(folder / "decode.onnx").stat().st_size for folder in (output, light_graphs)]
    assert sizes[0] < 0.5 * sizes[1]
    capsys.readouterr()
    model = light_graphs.parent / "light.pth"
    largest = []
    for graphs in (light_graphs, output):
        run_main(monkeypatch, compare_onnx, "--model", model, "--graphs", graphs, *video, "--size", 96)
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == len(frames) + 3
        largest.append(float(lines[-3].split()[2].strip(";")))
    assert largest[0] < 1e-4 < largest[1] < 0.2


@pytest.mark.parametrize("policy", ["quality", "latest", "annotated"])
@pytest.mark.parametrize("keep_previous", [True, False])
def test_the_bank_of_the_example_keeps_the_frames_that_the_bank_keeps(policy, keep_previous):
    options = settled(policy=policy, keep_previous=keep_previous, capacity=3, mem_every=2)
    bank, example = MemoryBank(options), onnx_stream.Bank(**asdict(options))
    rng = np.random.default_rng(0)
    for t, (score, silent) in enumerate(
        zip([0.5, *rng.uniform(0.2, 0.8, 40)], [0.0, *rng.uniform(0, 1, 40)], strict=True)
    ):
        new = entry(t, score, silent)
        bank.remember(t, new) if t else bank.annotate(t, new)
        arrays = {"memory_key": new.key, "memory_value": new.value, "quality": new.quality}
        example.remember(t, {name: x.numpy() for name, x in arrays.items()})
        kept = example.memory["memory_key"][0, 0, ::3, 0]
        assert sorted(kept) == tags(bank)
        assert np.array_equal(example.memory["memory_value"], -example.memory["memory_key"][..., :1])


def by_network(network, image, later, masks):
    """Logits (1,K,H,W) of a later frame, and the quality of the masks, computed by the network itself."""
    prior = masks.amax(1, keepdim=True)
    remembered = network.encode_memory(image, masks, network.encode_query(image, prior))
    reader = MemoryReader(top_k=network.top_k, similarity=network.similarity)
    query = network.encode_query(later, prior)
    memory = stack_entries([remembered, remembered])
    return network.segment(query, memory, reader, masks, sum_of_others(masks)), remembered.quality


def by_graphs(graphs, inputs, image, later, masks):
    """The same by graphs, of which each takes its inputs by name."""

    def run(name):
        return graphs[name](**{key: known[key] for key in inputs[name]})

    known = {"image": image, "prior": masks.amax(1, keepdim=True), "masks": masks, "previous": masks}
    known |= run("encode_query")
    known |= {key: x if key == "quality" else torch.cat([x, x], 2) for key, x in run("encode_memory").items()}
    known["image"] = later
    for name in ("encode_query", "read", "decode"):
        known |= run(name)
    return known["logits"], known.get("quality")


CASES = [(arch, {}) for arch in NETWORKS] + [("qdmn_small", {"guided": True}), ("dropseg", {"quality_head": True})]


@pytest.mark.parametrize(("arch", "options"), CASES)
@torch.no_grad()
def test_graphs_compute_what_the_network_does(arch, options):
    network = smallest_network(arch, **options)
    if options.get("guided"):
        torch.nn.init.normal_(network.whereabouts.weight)
    image, later, masks = torch.randn(1, 3, 80, 112), torch.randn(1, 3, 80, 112), torch.rand(1, 3, 80, 112) / 3
    expected = by_network(network, image, later, masks)
    graphs = {kind.name: kind(copy.deepcopy(network)) for kind in export.GRAPHS}
    known, inputs = export.examples(), {}
    for name, graph in graphs.items():
        with torch.enable_grad():
            inputs[name] = export.used_inputs(graph, known)
        made = graph(**inputs[name])
        known |= {key: torch.cat([x] * 3, 2) if key in export.REMEMBERED else x for key, x in made.items()}
    torch.testing.assert_close(by_graphs(graphs, inputs, image, later, masks), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_programs_of_torch_take_any_size_and_number_of_objects(tmp_path):
    network = smallest_network("qdmn_small", guided=True)
    export.export_network(network, "torch", tmp_path)
    described = json.loads((tmp_path / "network.json").read_text())["graphs"]
    graphs = {name: torch.export.load(tmp_path / f"{name}.pt2").module() for name in described}
    inputs = {name: description["inputs"] for name, description in described.items()}
    assert "prior" in inputs["encode_query"] and "image" not in inputs["encode_memory"]
    # The scorer's own map is 24 cells high.
    for objects, height, width in ((1, 384, 48), (3, 64, 176)):
        image, later = torch.randn(2, 1, 3, height, width)
        masks = torch.rand(1, objects, height, width) / objects
        expected = by_network(network, image, later, masks)
        torch.testing.assert_close(by_graphs(graphs, inputs, image, later, masks), expected, atol=1e-4, rtol=1e-4)


def test_what_cannot_be_exported_says_so(tmp_path, monkeypatch):
    network = light_network.LightNetwork().eval()
    monkeypatch.setattr(network, "encode_query", lambda image, prior: (image, prior))
    with pytest.raises(InputError, match=r"light cannot be exported: encode_query: .* tuple"):
        export.export_network(network, "torch", tmp_path)


def test_bad_input_of_the_export_is_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path / "text.pth").write_text("no checkpoint")
    with pytest.raises(InputError, match=r"text\.pth"):
        run_main(
            monkeypatch, export, "--model", tmp_path / "text.pth", "--format", "torch", "--output", tmp_path / "out"
        )
    network = light_network.LightNetwork()
    save_checkpoint(tmp_path / "light.pth", checkpoint_of(network))
    arguments = ["--model", tmp_path / "light.pth", "--format", "onnx", "--output"]
    with pytest.raises(InputError, match="there is no network 'light'"):
        run_main(monkeypatch, export, *arguments, tmp_path / "out")
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "mine.txt").write_text("mine")
    with light_network.KNOWN:
        with pytest.raises(InputError, match="exists already"):
            run_main(monkeypatch, export, *arguments, tmp_path / "there")
        monkeypatch.setattr(export, "find_spec", lambda name: None)
        with pytest.raises(InputError, match="needs onnx and onnxscript"):
            run_main(monkeypatch, export, *arguments, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("wrong", ["graphs", "mask", "output"])
def test_bad_input_of_the_example_ends_it_with_2(tmp_path, monkeypatch, capsys, wrong):
    paths = {"graphs": tmp_path / "graphs", "mask": tmp_path / "mask.png", "output": tmp_path / "out"}
    if wrong != "graphs":
        paths["graphs"].mkdir()
        (paths["graphs"] / "network.json").write_text("{}")
    Image.new("L", (32, 32)).save(paths["mask"])
    if wrong == "output":
        paths["output"].mkdir()
    arguments = [part for name, path in paths.items() for part in (f"--{name}", path)]
    with pytest.raises(SystemExit) as ended:
        run_main(monkeypatch, onnx_stream, *arguments, "--frames", tmp_path)
    assert ended.value.code == 2
    assert {"graphs": "network.json", "mask": "mask with objects", "output": "exists"}[wrong] in capsys.readouterr().err
    assert wrong == "output" or not paths["output"].exists()
