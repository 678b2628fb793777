"""Numbers on the command lines."""

import argparse
import math
import sys
from unittest.mock import patch

import pytest

import eval_davis
import eval_generic
import try_correspondence
from evaluation.arguments import evaluation_parser
from scripts import benchmark, check_data, demo, download_datasets, make_box_trees, make_synthetic, resize_length, score
from training.arguments import training_parser
from training.pretrain_arguments import pretraining_parser
from util.distributed import start
from util.errors import InputError
from util.numbers import number, whole

ABSURD = ("99999999999999999999", "9" * 5000, "nan", "inf", "-1e400", "", "many")


class Caught(Exception):
    """Instead of parsing."""


def parser_of(monkeypatch, make):
    """The parser that a script's `main` makes, or a function returns."""

    def catch(parser, *arguments):
        raise Caught(parser)

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", catch)
    try:
        return make()
    except Caught as caught:
        return caught.args[0]
    finally:
        monkeypatch.undo()


def numeric_actions(parser):
    """The arguments of a parser, sub-commands included, that take numbers."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from numeric_actions(command)
        elif getattr(action.type, "__qualname__", "").startswith(("whole.", "number.")) or action.type in (int, float):
            yield action


def benchmark_of(command):
    """The benchmark's `main`, which makes the parser of the wanted command alone."""

    def make():
        with patch.object(sys, "argv", ["benchmark.py", command]):
            benchmark.main()

    return make


PARSERS = (
    *(benchmark_of(command) for command in benchmark.COMMANDS),
    *(eval_davis.main, eval_generic.main, try_correspondence.main, check_data.main, demo.main),
    *(download_datasets.main, make_box_trees.main, make_synthetic.main, resize_length.main, score.main),
    *(training_parser, pretraining_parser),
)


@pytest.mark.parametrize("make", PARSERS)
def test_no_option_takes_an_absurd_number(monkeypatch, make):
    actions = [action for action in numeric_actions(parser_of(monkeypatch, make)) if action.choices is None]
    assert actions
    for action in actions:
        for text in ABSURD:
            with pytest.raises(argparse.ArgumentTypeError, match=r"is not a (whole )?number (from|above) "):
                action.type(text)


@pytest.mark.parametrize("make", PARSERS)
def test_defaults_are_within_their_ranges(monkeypatch, make):
    for action in numeric_actions(parser_of(monkeypatch, make)):
        given = action.default if isinstance(action.default, (list, tuple)) else [action.default]
        for value in given:
            assert value is None or action.type(str(value)) == value


def test_a_number_is_refused_with_its_range():
    with pytest.raises(argparse.ArgumentTypeError, match=r"^0 is not a whole number from 1 to 5$"):
        whole(1, 5)("0")
    with pytest.raises(argparse.ArgumentTypeError, match=r"^0 is not a number above 0, at most 5$"):
        number(0, 5, above=True)("0")


def test_the_ends_of_a_range_belong_to_it():
    assert [whole(-2, 5)(text) for text in ("-2", "5")] == [-2, 5]
    assert [number(-2, 5)(text) for text in ("-2", "5", "1e-300")] == [-2, 5, 1e-300]
    assert number(0, above=True)("1e-12") == 1e-12
    assert math.copysign(1, number(0)("-0.0")) == -1


@pytest.mark.parametrize(
    "words",
    [
        ("--mem_capacity", "1000000000"),
        ("--quality_threshold", "nan"),
        ("--scales", "1", "1e9"),
        ("--size", "1", "1"),
        ("--correct_steps", "99999999"),
        ("--correct_rate", "0"),
        ("--frame_batch", "-1"),
        ("--local_rank", "-1"),
    ],
)
def test_an_evaluation_names_the_option_that_it_refuses(capsys, words):
    with pytest.raises(SystemExit) as ended:
        evaluation_parser("").parse_args(words)
    assert ended.value.code == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert words[0] in line and "is not a" in line


@pytest.mark.parametrize("words", [("--frames", "0"), ("--late", "2"), ("--size", "-5"), ("--workers", "0")])
def test_made_trees_need_sensible_numbers(monkeypatch, words):
    option, value = words
    action = parser_of(monkeypatch, make_synthetic.main)._option_string_actions[option]
    with pytest.raises(argparse.ArgumentTypeError):
        action.type(value)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE: two is not a whole number from 1 to"),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE: 0 is not"),
        ({"WORLD_SIZE": "2", "RANK": "2"}, "RANK 2 is none of WORLD_SIZE 2 processes"),
        ({"RANK": "1"}, "RANK 1 is none of WORLD_SIZE 1 processes"),
        ({"MASTER_PORT": "99999"}, "MASTER_PORT: 99999 is not a whole number from 0 to 65535"),
        ({"WORLD_SIZE": "2", "RANK": "0"}, "the 2 processes do not find each other"),
    ],
)
def test_what_a_launcher_says_is_checked(monkeypatch, variables, message):
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=message):
        start("cpu")


def test_processes_of_one_machine_do_not_share_a_gpu(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    for name, value in {"WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=r"--device cuda:1 would put 2 processes on one GPU; pass --device cuda"):
        start("cuda:1")


@pytest.mark.parametrize("make", [eval_davis.main, eval_generic.main, try_correspondence.main])
def test_the_shipped_network_is_found_from_any_folder(monkeypatch, tmp_path, make):
    monkeypatch.chdir(tmp_path)
    parser = parser_of(monkeypatch, make)
    monkeypatch.chdir(tmp_path)
    assert parser.get_default("model").is_file()
