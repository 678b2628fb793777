"""Rooms know only what lies below them, and no module needs itself."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# What each room may import beside itself.
BELOW: dict[str, set[str]] = {
    "util": set(),
    "model": {"util"},
    "datasets": {"util"},
    "inference": {"model", "util"},
    "inference_core": {"inference", "model", "util"},
    "inference_core_yv": {"inference_core", "inference", "model", "util"},
}
BELOW["published"] = {*BELOW["inference_core_yv"], "inference_core_yv"}
BELOW["training"] = {"datasets", "model", "util"}
BELOW["evaluation"] = {*BELOW["published"], "published", "datasets"}
BELOW["interactive"] = {*BELOW["evaluation"], "evaluation"}
BELOW["predictor"] = {*BELOW["inference_core_yv"], "inference_core_yv", "datasets"}
OPEN = {"scripts", "tracking", "lib"}  # commands may import all rooms, and nobody imports them


def modules():
    """The product's modules by name."""
    rooms = [*BELOW, *OPEN]
    paths = [*ROOT.glob("*.py"), *(path for room in rooms for path in (ROOT / room).rglob("*.py"))]
    names = {path: ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in paths}
    return {name: path for path, name in names.items()}


def imported(path, known):
    """The product's modules that a file imports, within functions too unless it is only for types."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= inner & known or {node.module}
    return found & known


@pytest.fixture(scope="module")
def graph():
    known = modules()
    return {name: imported(path, set(known)) - {name} for name, path in known.items()}


def room_of(name):
    return name.partition(".")[0]


@pytest.mark.parametrize("room", BELOW)
def test_a_room_imports_only_what_lies_below_it(graph, room):
    wrong = {
        f"{name} -> {other}"
        for name, others in graph.items()
        for other in others
        if room_of(name) == room and room_of(other) not in {room, *BELOW[room]}
    }
    assert not wrong


def test_no_room_imports_a_command(graph):
    tops = {name for name in graph if "." not in name} - set(BELOW) | OPEN
    wrong = {
        f"{a} -> {b}" for a, others in graph.items() for b in others if room_of(b) in tops and room_of(a) not in OPEN
    }
    assert not wrong


def test_no_module_needs_itself(graph):
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"modules import each other in a circle: {' -> '.join(error.args[1])}")


def test_util_and_the_root_stay_small():
    assert len([path for path in (ROOT / "util").glob("*.py") if path.name != "__init__.py"]) <= 10
    assert len(list(ROOT.glob("*.py"))) <= 17
