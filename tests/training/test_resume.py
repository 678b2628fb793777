"""A run that was stopped goes on as if it had not been."""

import signal

import pytest
import torch

from model.weights.checkpoint import load_checkpoint, read_weights, save_checkpoint
from tests.helpers.light_network import KNOWN
from tests.helpers.training_runs import (
    LIGHT,
    begin,
    interrupt,
    kill,
    losses_of,
    only,
    read_to,
    train_here,
    write_training_data,
)
from tests.helpers.warm_processes import complete
from util.errors import InputError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_training_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Runs in this process know the light network, and sum in the order of those that are started with one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with KNOWN:
        yield
    torch.set_num_threads(threads)


ALONE = ["-i", 40, "--num_workers", 1, "--checkpoint_interval", 8, "--steps", 12]


def final(folder):
    return load_checkpoint(only(folder, "saves/*_run/*_checkpoint.pth"))


def assert_equal_states(first, second):
    assert first.iteration == second.iteration
    assert [key for key in first.network if not torch.equal(first.network[key], second.network[key])] == []
    moments = [checkpoint.optimizer["state"] for checkpoint in (first, second)]
    for number, entries in moments[0].items():
        assert all(torch.equal(value, moments[1][number][name]) for name, value in entries.items())
    assert first.scheduler == second.scheduler


@pytest.fixture(scope="module")
def uninterrupted(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        train_here(patch, folder, *LIGHT, *data["static"], *ALONE, "--id", "run")
    return folder


def test_a_killed_run_ends_in_the_same_weights(data, uninterrupted, tmp_path, monkeypatch, capsys):
    arguments = [*LIGHT, *data["static"], *ALONE, "--id", "run", "--resume", "auto"]
    for line in ("iteration 1:", "iteration 12:"):
        kill(begin(tmp_path, arguments), line)
    train_here(monkeypatch, tmp_path, *arguments)
    assert min(losses_of(capsys.readouterr().out)) > 1
    assert_equal_states(final(tmp_path), final(uninterrupted))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_stops(data, uninterrupted, tmp_path, monkeypatch, capsys, number):
    arguments = [*LIGHT, *data["static"], *ALONE, "--id", "run"]
    code, output = interrupt(*begin(tmp_path, arguments), "iteration 3:", number)
    assert code == 128 + number, output
    checkpoint = only(tmp_path, "saves/*_run/*_checkpoint.pth")
    reached = load_checkpoint(checkpoint).iteration
    assert 3 <= reached < 40
    assert f"resume with --load_model saves/{checkpoint.parent.name}/{checkpoint.name}" in output
    train_here(monkeypatch, tmp_path, *arguments[:-1], "again", "--load_model", checkpoint)
    assert min(losses_of(capsys.readouterr().out)) == reached + 1
    again = load_checkpoint(only(tmp_path, "saves/*_again/*_checkpoint.pth"))
    assert_equal_states(again, final(uninterrupted))


def test_a_run_with_sgd_ends_in_the_same_weights_and_not_with_another_optimizer(data, tmp_path, monkeypatch, capsys):
    arguments = [*LIGHT, *data["static"], "--optimizer", "sgd", "-i", 4, "--checkpoint_interval", 2]

    def train_on(*more):
        train_here(monkeypatch, tmp_path, *arguments, *more)

    train_on("--id", "run")
    middle = only(tmp_path, "saves/*_run/*_previous.pth")
    with pytest.raises(InputError, match="--optimizer is adam but"):
        train_on("--load_model", middle, "--optimizer", "adam")
    capsys.readouterr()
    train_on("--load_model", middle, "--id", "again")
    assert list(losses_of(capsys.readouterr().out)) == [3, 4]
    again = load_checkpoint(only(tmp_path, "saves/*_again/*_checkpoint.pth"))
    assert all("momentum_buffer" in entries for entries in again.optimizer["state"].values())
    assert_equal_states(again, final(tmp_path))


def test_a_run_with_a_moving_average_ends_in_the_same_average_and_saves_it(data, tmp_path, monkeypatch):
    arguments = [*LIGHT, *data["static"], "--ema", 0.7, "-i", 4, "--checkpoint_interval", 2]
    train_here(monkeypatch, tmp_path, *arguments, "--id", "run")
    middle = only(tmp_path, "saves/*_run/*_previous.pth")
    train_here(monkeypatch, tmp_path, *arguments, "--load_model", middle, "--id", "again")
    whole, again = final(tmp_path), load_checkpoint(only(tmp_path, "saves/*_again/*_checkpoint.pth"))
    assert_equal_states(whole, again)
    assert all(torch.equal(value, again.average[name]) for name, value in whole.average.items())
    assert any(not torch.equal(value, whole.network[name]) for name, value in whole.average.items())
    for file in ("run/*_4.pth", "run/*_checkpoint.pth"):
        used = read_weights(only(tmp_path, f"saves/*_{file}")).network
        assert all(torch.equal(value, used[name]) for name, value in whole.average.items()), file
    with pytest.raises(InputError, match=r"--ema is 0\.0 but"):
        train_here(monkeypatch, tmp_path, *arguments, "--ema", 0, "--load_model", middle)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda average: average.popitem(), "no average of the weights of this network"),
        (lambda average: average.update({next(iter(average)): torch.zeros(7)}), "does not fit"),
        (lambda average: next(iter(average.values())).fill_(torch.nan), "not finite"),
    ],
)
def test_a_damaged_average_is_refused(data, tmp_path, monkeypatch, spoil, message):
    arguments = [*LIGHT, *data["static"], "--ema", 0.7, "-i", 1]
    train_here(monkeypatch, tmp_path, *arguments, "--id", "run")
    path = only(tmp_path, "saves/*_run/*_checkpoint.pth")
    checkpoint = load_checkpoint(path)
    spoil(checkpoint.average)
    save_checkpoint(path, checkpoint, known=True)
    with pytest.raises(InputError, match=message):
        train_here(monkeypatch, tmp_path, *arguments, "--load_model", path)


def test_two_processes_that_were_killed_end_in_the_same_weights(data, tmp_path):
    arguments = [*LIGHT, *data["static"], "-i", 30, "--num_workers", 1, "--checkpoint_interval", 4, "--id", "run"]
    folders = [tmp_path / name for name in ("whole", "killed")]
    for folder in folders:
        folder.mkdir()
    complete(begin(folders[0], arguments, 2))
    arguments += ["--resume", "auto"]
    kill(begin(folders[1], arguments, 2), "iteration 6:")
    output = complete(begin(folders[1], arguments, 2))
    assert 4 < min(losses_of(output)) <= 30
    assert_equal_states(*map(final, folders))


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(data, tmp_path, monkeypatch, capsys, caplog):
    arguments = [*LIGHT, *data["static"], "-i", 2, "--checkpoint_interval", 1, "--id", "run", "--resume", "auto"]
    train_here(monkeypatch, tmp_path, *arguments)
    checkpoint = only(tmp_path, "saves/*_run/*_checkpoint.pth")
    content = bytearray(checkpoint.read_bytes())
    content[len(content) // 2] ^= 1
    checkpoint.write_bytes(content)
    capsys.readouterr()
    train_here(monkeypatch, tmp_path, *arguments)
    assert "trying the one before" in caplog.text
    assert list(losses_of(capsys.readouterr().out)) == [2]


def test_another_batch_size_is_refused(data, uninterrupted, tmp_path, monkeypatch):
    checkpoint = only(uninterrupted, "saves/*_run/*_checkpoint.pth")
    arguments = [*LIGHT, *data["static"], *ALONE, "--total_batch", 4, "--load_model", checkpoint]
    with pytest.raises(InputError, match="--total_batch is 4 but"):
        train_here(monkeypatch, tmp_path, *arguments)
    assert list(tmp_path.iterdir()) == []


def test_an_unreadable_picture_is_written_down_and_too_many_end_the_run(tmp_path, monkeypatch):
    data = write_training_data(tmp_path / "data")
    broken = tmp_path / "data/static/ecssd/b.jpg"
    broken.write_bytes(broken.read_bytes()[:100])
    arguments = [*LIGHT, *data["static"], "-i", 2, "--id", "run"]
    train_here(monkeypatch, tmp_path, *arguments)
    assert str(broken) in only(tmp_path, "saves/*_run/*_unreadable_0.txt").read_text()
    for name in "ac":
        (broken.parent / f"{name}.jpg").write_bytes(b"")
    with pytest.raises(InputError, match="more than 1 samples cannot be read"):
        train_here(monkeypatch, tmp_path, *arguments, "--max_unreadable", 1)


def test_a_process_that_is_asked_to_stop_takes_the_others_along(data, tmp_path):
    arguments = [*LIGHT, *data["static"], "-i", 500, "--id", "run"]
    leader, other = begin(tmp_path, arguments, 2)
    read_to(leader, "iteration 2:")
    other.send_signal(signal.SIGTERM)
    for process in (other, leader):
        process.communicate(timeout=60)
        assert process.returncode == 128 + signal.SIGTERM
    assert 2 <= final(tmp_path).iteration < 500
