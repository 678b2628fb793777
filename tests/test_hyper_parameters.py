"""The command line of train.py."""

import ast
from pathlib import Path

import pytest

from util.hyper_parameters import parse_arguments

TRAIN = Path(__file__).parents[1] / "train.py"


def names_read_by(script):
    """Attributes of `args` that a script reads, and all its strings, for `getattr` by name."""
    nodes = list(ast.walk(ast.parse(script.read_text())))
    strings = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    attributes = {
        node.attr
        for node in nodes
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "args"
    }
    return attributes | strings


def refusal(capsys, *arguments):
    """The last line of the message with which arguments are refused."""
    with pytest.raises(SystemExit) as exit_:
        parse_arguments(arguments)
    assert exit_.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("stage", "batch_size", "iterations", "steps"),
    [(0, 14, 160_000, [250_000]), (1, 8, 250_000, [450_000]), (2, 8, 150_000, [70_000])],
)
def test_each_stage_has_its_published_values(stage, batch_size, iterations, steps):
    args = parse_arguments(["--stage", str(stage)])
    assert (args.batch_size, args.iterations, list(args.steps)) == (batch_size, iterations, steps)
    assert (args.lr, args.gamma, args.amp) == (2e-5, 0.1, "off")


def test_given_values_replace_those_of_the_stage():
    args = parse_arguments(["--stage", "2", "-b", "3", "-i", "7", "--steps", "2", "5"])
    assert (args.batch_size, args.iterations, list(args.steps)) == (3, 7, [2, 5])
    assert list(parse_arguments(["--steps"]).steps) == []


def test_a_run_without_id_is_called_null():
    assert parse_arguments([]).id == "NULL"


@pytest.mark.parametrize("spelling", ["--local_rank", "--local-rank"])
def test_both_spellings_of_the_local_rank_are_taken(spelling):
    assert parse_arguments([f"{spelling}=3"]).local_rank == 3


def test_debug_reports_every_iteration():
    args = parse_arguments(["--debug", "--log_interval", "50"])
    assert (args.log_interval, args.picture_interval) == (1, 1)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--stage", "3"),
        ("--stage", "first"),
        ("--batch_size", "0"),
        ("--iterations", "-1"),
        ("--iterations", "1.5"),
        ("--save_interval", "0"),
        ("--log_interval", "0"),
        ("--picture_interval", "0"),
        ("--image_size", "100"),
        ("--image_size", "16"),
        ("--image_size", "0"),
        ("--backbone", "resnet34"),
        ("--amp", "fp8"),
        ("--score_activation", "tanh"),
        ("--quality_target", "mean"),
        ("--steps", "soon"),
        ("--num_workers", "-1"),
        ("--lr", "-1"),
        ("--lr", "nan"),
    ],
)
def test_a_senseless_value_is_refused_with_the_name_of_its_option(capsys, arguments):
    assert arguments[0] in refusal(capsys, *arguments)


def test_starting_and_resuming_exclude_each_other(capsys):
    assert "give one of them" in refusal(capsys, "--load_network", "a.pth", "--load_model", "b.pth")


def test_unknown_options_are_refused(capsys):
    assert "--momentum" in refusal(capsys, "--momentum", "0.9")


def test_help_names_every_option_with_its_default(capsys):
    with pytest.raises(SystemExit) as exit_:
        parse_arguments(["--help"])
    assert exit_.value.code == 0
    text = capsys.readouterr().out
    options = set(vars(parse_arguments([])))
    assert all(f"--{name}" in text for name in options)


def test_every_option_is_used():
    options = set(vars(parse_arguments([])))
    assert options - names_read_by(TRAIN) == {"debug"}
