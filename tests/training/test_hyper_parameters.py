"""The command line of train.py."""

import ast
from pathlib import Path

import pytest

from datasets.train.sets import TRAINING_SETS
from training.arguments import check_resumable, describe_run, fill_batch, parse_arguments
from util.errors import InputError

ROOT = Path(__file__).parents[2]
OTHERWISE = [
    ("seed", 1),
    ("total_batch", 3),
    ("lr", 1.0),
    ("samples", 99),
    ("image_size", (64, 80)),
    ("optimizer", "sgd"),
]
OTHERWISE += [("momentum", 0.5), ("augmentation", "stm_cycle"), ("clip_draw", "stm_cycle"), ("samples_per_video", 2)]
OTHERWISE += [("skip_growth", 5), ("skip_start", (9, 9)), ("composites", 0.5), ("composite_stills", True)]
OTHERWISE += [("zoom", 2.0)]
READERS = [ROOT / name for name in ("train.py", "training/run.py", "training/loop.py", "training/arguments.py")]


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


@pytest.mark.parametrize("stage", [0, 2])
def test_stm_cycle_has_its_published_data(stage):
    args = parse_arguments(["--arch", "stm_cycle", "--stage", str(stage)])
    assert (args.image_size, args.clip_length, args.num_objects) == ((240, 427), 3, 5)
    assert (args.clip_draw, args.augmentation) == ("stm_cycle", "stm_cycle")
    assert (args.skip_growth, args.skip_start, args.samples_per_video) == (5, (5, 3), 1)
    assert (args.optimizer, args.lr, args.weight_decay) == ("adam", 1e-5, 5e-4)


@pytest.mark.parametrize("arch", ["qdmn", "qdmn_small", "mask_propagation", "stcn"])
def test_other_networks_have_the_data_of_mivos(arch):
    args = parse_arguments(["--arch", arch, "--stage", "2"])
    assert (args.image_size, args.clip_length, args.num_objects) == ((384, 384), 3, 2)
    assert (args.clip_draw, args.augmentation, args.skip_growth) == ("mivos", "mivos", 0)


@pytest.mark.parametrize(("given", "size"), [(["64"], (64, 64)), (["48", "85"], (48, 85))])
def test_the_image_size_is_one_side_or_height_and_width(given, size):
    assert parse_arguments(["--image_size", *given, "-b", "1"]).image_size == size


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
        ("--image_size", "16"),
        ("--image_size", "0"),
        ("--image_size", "64", "16"),
        ("--image_size", "64", "64", "64"),
        ("--samples_per_video", "0"),
        ("--skip_growth", "-1"),
        ("--skip_growth", "5", "--stage", "1"),
        ("--skip_start", "5"),
        ("--skip_start", "0", "3"),
        ("--clip_draw", "random"),
        ("--augmentation", "none"),
        ("--repeat_frames", "--clip_draw", "stm_cycle"),
        ("--zoom", "0.5"),
        ("--zoom", "2", "--augmentation", "stm_cycle", "--stage", "2"),
        ("--composites", "1"),
        ("--composites", "-0.1"),
        ("--composite_stills", "--stage", "2"),
        ("--composite_stills", "--composites", "0.5", "--stage", "0"),
        ("--optimizer", "rmsprop"),
        ("--momentum", "1"),
        ("--momentum", "-0.1"),
        ("--backbone", "resnet152"),
        ("--amp", "fp8"),
        ("--score_activation", "tanh"),
        ("--quality_target", "mean"),
        ("--steps", "soon"),
        ("--num_workers", "-1"),
        ("--lr", "-1"),
        ("--lr", "nan"),
        ("--clip_length", "1"),
        ("--total_batch", "0"),
        ("--grad_accum", "0"),
        ("--max_skip", "0"),
        ("--resume", "newest"),
        ("--resume", "auto"),
        ("--val_root", "data"),
        ("--checkpoint_interval", "0"),
    ],
)
def test_a_senseless_value_is_refused_with_the_name_of_its_option(capsys, arguments):
    assert arguments[0] in refusal(capsys, *arguments)


def test_starting_and_resuming_exclude_each_other(capsys):
    assert "give one of them" in refusal(capsys, "--load_network", "a.pth", "--load_model", "b.pth")


def test_the_total_batch_is_shared_by_processes_and_parts():
    args = parse_arguments(["--total_batch", "16", "--grad_accum", "2"])
    fill_batch(args, world=4)
    assert (args.batch_size, args.total_batch) == (2, 16)
    args = parse_arguments(["-b", "3"])
    fill_batch(args, world=2)
    assert (args.batch_size, args.total_batch) == (3, 6)


def test_a_total_batch_that_cannot_be_shared_is_refused():
    with pytest.raises(InputError, match="multiple of 4"):
        fill_batch(parse_arguments(["--total_batch", "6", "--grad_accum", "2"]), world=2)


def test_statistics_are_not_learned_from_a_batch_of_one_object():
    with pytest.raises(InputError, match="-b of at least 2"):
        fill_batch(parse_arguments(["--no_pretrained_backbone", "-b", "1"]), world=1)


@pytest.mark.parametrize(("name", "value"), OTHERWISE)
def test_a_run_does_not_go_on_under_other_arguments(name, value):
    args = parse_arguments([])
    args.samples = 40
    fill_batch(args, world=1)
    recorded = dict(vars(args))
    check_resumable(args, recorded, Path("run.pth"))
    with pytest.raises(InputError, match=r"run.pth belongs to a run with"):
        check_resumable(args, {**recorded, name: value}, Path("run.pth"))


def test_a_run_whose_frames_were_recorded_by_their_side_goes_on():
    args = parse_arguments(["--image_size", "64"])
    check_resumable(args, {"image_size": 64}, Path("run.pth"))
    check_resumable(args, {"image_size": (64, 64)}, Path("run.pth"))
    for other in (80, (64, 80)):
        with pytest.raises(InputError, match="--image_size is"):
            check_resumable(args, {"image_size": other}, Path("run.pth"))


def test_a_run_that_is_older_than_an_option_goes_on_as_it_was():
    check_resumable(parse_arguments([]), {"seed": 14159265}, Path("run.pth"))
    with pytest.raises(InputError, match=r"--optimizer is sgd but run\.pth belongs to a run with adam"):
        check_resumable(parse_arguments(["--optimizer", "sgd"]), {}, Path("run.pth"))
    args = parse_arguments(["--arch", "stm_cycle", "--skip_growth", "0"])
    with pytest.raises(InputError, match=r"stm_cycle but run\.pth belongs to a run with mivos"):
        check_resumable(args, {"arch": "stm_cycle"}, Path("run.pth"))


def test_a_run_on_single_objects_does_not_go_on_with_several():
    args = parse_arguments([])
    args.several_objects = True
    for recorded in ({"stage": 0}, {"several_objects": False}):
        with pytest.raises(InputError, match=r"whether the data hold several objects is True but run\.pth"):
            check_resumable(args, recorded, Path("run.pth"))
    check_resumable(args, {"several_objects": True}, Path("run.pth"))
    check_resumable(parse_arguments(["--stage", "2"]), {"stage": 2}, Path("run.pth"))


def test_the_description_names_batch_epochs_and_schedule():
    args = parse_arguments(["-i", "10", "--steps", "8", "99", "-b", "4"])
    args.samples = 21
    fill_batch(args, world=2)
    text = describe_run(args, world=2, start=3)
    assert "batch 8 (2 processes x 1 parts x 4), 2 iterations per epoch, 5 epochs" in text
    assert "iterations 3 to 10, rate 2e-05, times 0.1 at 8" in text and "99" not in text


def test_unknown_options_are_refused(capsys):
    assert "--nesterov" in refusal(capsys, "--nesterov")


def test_help_names_every_option_with_its_default(capsys):
    with pytest.raises(SystemExit) as exit_:
        parse_arguments(["--help"])
    assert exit_.value.code == 0
    text = capsys.readouterr().out
    options = set(vars(parse_arguments([]))) - {"several_objects"}  # found in the data
    assert all(f"--{name}" in text for name in options)


def test_every_option_is_used():
    of_sets = {name for entry in TRAINING_SETS for name in (entry.option, entry.list_option)}
    options = set(vars(parse_arguments([]))) - of_sets
    assert options - set.union(*map(names_read_by, READERS)) == set()
