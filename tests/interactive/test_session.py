"""The session: what is corrected stays, what is propagated fills the rest, and everything is on disk at once."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from interactive.prompts import Paint, Polygon, from_json, to_json
from interactive.storage import LONGEST_NOTE, FrameNote
from model.interactive import Box, Click, Stroke
from tests.helpers.interactive_sessions import (
    HEIGHT,
    WIDTH,
    DiskClicks,
    StillNetwork,
    open_session,
    saved_masks,
    still_frames,
)
from util.errors import InputError

LEFT, RIGHT = Click(16, 24), Click(48, 24)


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    return still_frames(tmp_path_factory.mktemp("interactive") / "frames")


@pytest.fixture
def session(frames, tmp_path):
    session = open_session(frames, tmp_path / "session")
    yield session
    session.close()


def areas(session, object_id=1):
    return (saved_masks(session) == object_id).sum((1, 2)).tolist()


def run(session, *directions, **options):
    return list(session.propagate(directions or ("forward", "backward"), **options))


def test_a_click_gives_a_mask_that_is_saved_at_once(session, frames, tmp_path):
    k = session.add_object("dog")
    ids = session.prompt(3, k, LEFT)
    assert ids[24, 16] == k and ids[24, 60] == 0
    assert (np.array(Image.open(tmp_path / "session/masks/00003.png")) == ids).all()
    assert session.prompts(3)[k] == (LEFT,)


def test_prompts_add_up_and_a_frame_is_encoded_once(frames, tmp_path):
    clicks = DiskClicks()
    session = open_session(frames, tmp_path / "session", clicks=clicks)
    k = session.add_object()
    one = session.prompt(0, k, LEFT)
    two = session.prompt(0, k, RIGHT)
    three = session.prompt(0, k, replace(LEFT, positive=False))
    assert (one > 0).sum() < (two > 0).sum() and three[24, 16] == 0 and three[24, 50] == k
    assert clicks.encoded == 1
    session.close()


def test_prompts_have_the_coordinates_of_the_frame_in_any_working_size(frames, tmp_path):
    session = open_session(frames, tmp_path / "session", size=24)
    ids = session.prompt(0, session.add_object(), Click(60, 44))
    assert ids[44, 60] == 1 and ids[2, 2] == 0 and ids.shape == (HEIGHT, WIDTH)
    session.close()


def test_painted_pixels_stay_through_later_clicks(session):
    k = session.add_object()
    session.prompt(0, k, LEFT)
    session.prompt(0, k, Paint(((60.5, 40.5),), radius=3))
    ids = session.prompt(0, k, Paint(((16.5, 24.5),), positive=False, radius=2))
    assert ids[40, 60] == k and ids[24, 16] == 0
    ids = session.prompt(0, k, Click(18, 26))
    assert ids[40, 60] == k and ids[24, 16] == 0 and ids[30, 18] == k


def test_without_a_network_for_clicks_masks_are_painted(frames, tmp_path):
    session = open_session(frames, tmp_path / "session", can_click=False)
    k = session.add_object()
    session.encode(0)
    with pytest.raises(InputError, match="no network for clicks"):
        session.prompt(0, k, LEFT)
    assert session.prompt(0, k, Paint(((20.0, 20.0),))).any()
    session.close()


def test_a_polygon_covers_the_pixels_within(session):
    ids = session.prompt(0, session.add_object(), Polygon(((10, 10), (20, 10), (20, 20), (10, 20))))
    assert (ids[10:20, 10:20] == 1).all() and 100 <= (ids > 0).sum() <= 144


def test_the_object_that_is_talked_about_gets_the_pixels(session):
    first, second = session.add_object(), session.add_object()
    session.prompt(0, first, LEFT)
    ids = session.prompt(0, second, Click(26, 24))
    assert ids[24, 24] == second and ids[24, 6] == first


def test_undo_and_redo_go_through_all_that_was_done(session):
    k = session.add_object()
    states = [session.mask(0)]
    for prompt in (LEFT, RIGHT, replace(RIGHT, positive=False)):
        states.append(session.prompt(0, k, prompt))
    for state in states[-2::-1]:
        assert session.undo() and (session.mask(0) == state).all()
    assert not session.known.has_mask[0] and session.undo().kind == "add an object"
    assert session.objects == () and session.undo() is None
    assert session.redo() and [thing.id for thing in session.objects] == [k]
    for state in states[1:]:
        assert session.redo() and (session.mask(0) == state).all()
    assert session.redo() is None


def test_a_new_step_ends_what_could_be_redone(session):
    k = session.add_object()
    session.prompt(0, k, LEFT)
    session.undo()
    session.prompt(1, k, RIGHT)
    assert session.redo() is None and session.mask(1).any()


def test_masks_are_propagated_both_ways(session):
    k = session.add_object()
    ids = session.prompt(5, k, LEFT)
    assert run(session) == [5, 6, 7, 8, 9, 10, 11, 5, 4, 3, 2, 1, 0]
    assert all((mask == ids).all() for mask in saved_masks(session))
    assert session.known.quality[k][5] == 1 and session.known.quality[k][0] == np.float32(0.9)
    assert session.pending() == []


def test_only_what_is_new_is_propagated(session):
    k = session.add_object()
    session.prompt(0, k, LEFT)
    run(session)
    session.prompt(11, k, RIGHT)
    assert run(session, "forward") == []
    session.prompt(6, k, RIGHT)
    assert run(session, "forward") == [6, 7, 8, 9, 10]


def test_what_was_corrected_is_never_overwritten(session):
    first, second = session.add_object(), session.add_object()
    early = session.prompt(0, first, LEFT)
    late = session.prompt(8, first, RIGHT)
    run(session)
    assert (session.mask(0) == early).all() and (session.mask(8) == late).all()
    session.prompt(4, second, RIGHT)
    run(session)
    assert ((session.mask(8) == first) == (late == first)).all()
    assert (session.mask(7) == second).any() and (session.mask(0) == second).any()
    assert ((session.mask(0) == first) == (early == first)).all()


def test_a_correction_during_propagation_is_kept(session):
    k = session.add_object()
    session.prompt(0, k, LEFT)
    for index in session.propagate(["forward"]):
        if index == 4:
            corrected = session.prompt(6, k, RIGHT)
    assert (session.mask(6) == corrected).all() and session.mask(11)[24, 48] == k
    assert session.undo().kind == "propagation" and not session.known.has_mask[11] and session.known.has_mask[4]
    assert session.undo().kind == "click" and session.undo().kind == "propagation"
    assert not session.known.has_mask[4]


def test_every_correction_is_permanent_memory(frames, tmp_path):
    network = StillNetwork()
    session = open_session(frames, tmp_path / "session", network)
    k = session.add_object()
    session.prompt(0, k, LEFT)
    run(session)
    session.prompt(9, k, RIGHT)
    network.remembered.clear()
    assert next(session.propagate(["backward"])) == 9
    assert [int(masks[0, 0, 24, 48] > 0.5) for masks in network.remembered] == [0, 1]
    session.close()


def test_blended_between_two_corrections_the_nearer_side_counts(frames, tmp_path):
    session = open_session(frames, tmp_path / "session", blends=True)
    k = session.add_object()
    left = session.prompt(0, k, LEFT)
    run(session)
    right = session.prompt(10, k, RIGHT)
    run(session)
    masks = saved_masks(session)
    assert (masks[1:5] == left).all() and (masks[6:] == right).all()
    session.close()


def test_blended_the_better_side_counts_for_more(frames, tmp_path):
    network = StillNetwork()
    session = open_session(frames, tmp_path / "session", network, blends=True)
    k = session.add_object()
    session.prompt(0, k, LEFT)
    network.qualities = [0.2] * 12
    run(session)
    right = session.prompt(10, k, RIGHT)
    run(session)
    assert (saved_masks(session)[2:] == right).all()
    session.close()


def test_the_latest_side_counts(frames, tmp_path):
    session = open_session(frames, tmp_path / "session")
    k = session.add_object()
    session.prompt(0, k, LEFT)
    run(session)
    right = session.prompt(10, k, RIGHT)
    run(session)
    assert (saved_masks(session)[1:] == right).all()
    session.close()


def test_a_cancelled_propagation_keeps_what_it_has_and_can_go_on(session):
    k = session.add_object()
    session.prompt(0, k, LEFT)
    asked = []

    def cancelled():
        asked.append(None)
        return len(asked) > 9

    done = list(session.propagate(["forward"], cancelled=cancelled))
    assert 0 < len(done) < 12 and session.known.has_mask.sum() == len(done)
    assert [visit.index for _, visit in session.pending(directions=["forward"])] == list(range(12))
    assert run(session, "forward") == list(range(12)) and session.known.has_mask.all()


def test_propagation_can_start_from_a_frame_that_was_not_corrected(session):
    k = session.add_object()
    session.prompt(0, k, LEFT)
    for index in session.propagate(["forward"]):
        if index == 4:
            break
    assert run(session, "forward", start=4) == list(range(4, 12))
    with pytest.raises(ValueError, match="no mask"):
        session.undo()
        run(session, start=9)


def test_undoing_a_propagation_brings_all_frames_back(session):
    k = session.add_object()
    session.prompt(0, k, LEFT)
    run(session)
    session.prompt(11, k, RIGHT)
    before, quality = saved_masks(session), session.known.quality[k].copy()
    run(session)
    after = saved_masks(session)
    assert (before != after).any()
    session.undo()
    assert (saved_masks(session) == before).all() and np.array_equal(session.known.quality[k], quality)
    assert session.pending()
    session.redo()
    assert (saved_masks(session) == after).all() and not session.pending()


def test_an_object_is_removed_from_all_frames_and_comes_back(session):
    first, second = session.add_object(), session.add_object()
    session.prompt(0, first, LEFT)
    session.prompt(0, second, RIGHT)
    run(session)
    session.remove_object(first)
    assert set(np.unique(saved_masks(session))) == {0, second}
    assert session.add_object() == 3
    session.undo()
    session.undo()
    assert all(areas(session, first))


def test_a_cleared_frame_is_free_again(session):
    k = session.add_object()
    session.prompt(0, k, LEFT)
    session.prompt(6, k, RIGHT)
    run(session)
    session.clear(6, k)
    assert not session.mask(6).any() and 6 not in session.known.corrected
    session.prompt(0, k, Click(17, 24))
    run(session)
    assert session.mask(6).any()


def test_a_confirmed_frame_counts_as_corrected_even_where_an_object_is_absent(session):
    k = session.add_object()
    session.prompt(0, k, LEFT)
    session.confirm(6)
    run(session)
    assert not session.mask(6).any() and session.known.quality[k][6] == 1


def test_a_session_is_resumed_as_it_was(session, frames, tmp_path):
    k = session.add_object("a  dog ")
    session.prompt(0, k, LEFT)
    run(session)
    session.prompt(7, k, RIGHT)
    session.change_object(k, hidden=True)
    masks, quality, pending = saved_masks(session), session.known.quality[k].copy(), session.pending()
    session.close()
    again = open_session(frames, tmp_path / "session", resume=True)
    assert (saved_masks(again) == masks).all() and np.array_equal(again.known.quality[k], quality)
    assert again.pending() == pending and again.known.corrected == session.known.corrected
    assert again.objects[0].name == "a dog" and again.objects[0].hidden
    assert again.prompts(7)[k] == (RIGHT,)
    assert again.undo().kind == "click" and again.undo().kind == "propagation" and again.undo().kind == "click"
    assert not again.known.has_mask.any()
    again.close()


def test_a_process_that_dies_while_it_propagates_loses_no_saved_frame(frames, tmp_path):
    session = open_session(frames, tmp_path / "session")
    k = session.add_object()
    ids = session.prompt(0, k, LEFT)
    ongoing = session.propagate(["forward"])
    assert [next(ongoing) for _ in range(5)] == list(range(5))
    os.close(os.open(tmp_path / "session/masks/.00005.png.host.1.vos-unfinished", os.O_CREAT))
    session.folder.close()  # as the system does when a process ends
    again = open_session(frames, tmp_path / "session", resume=True)
    assert again.known.has_mask.tolist() == [True] * 5 + [False] * 7
    assert all((again.mask(index) == ids).all() for index in range(5))
    assert run(again, "forward") == list(range(12))
    again.close()


def test_a_second_instance_is_refused(session, frames, tmp_path):
    with pytest.raises(InputError, match="in use by another process"):
        open_session(frames, tmp_path / "session", resume=True)


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda folder: (folder / "session.json").write_text("{"), "damaged"),
        (lambda folder: (folder / "masks/00000.png").write_bytes(b"\x89PNG"), "no mask of this session"),
        (lambda folder: Image.new("P", (WIDTH, HEIGHT)).save(folder / "masks/00000.png"), "no mask of this session"),
        (lambda folder: (folder / "session.json").unlink(), "is no session"),
    ],
)
def test_a_damaged_session_says_what_to_do(session, frames, tmp_path, change, said):
    session.prompt(0, session.add_object(), LEFT)
    session.close()
    change(tmp_path / "session")
    for _ in range(2):  # nothing is left held
        with pytest.raises(InputError, match=said):
            open_session(frames, tmp_path / "session", resume=True)


def test_a_session_of_another_video_is_refused(session, tmp_path):
    session.close()
    with pytest.raises(InputError, match="was made of still"):
        open_session(still_frames(tmp_path / "others", 3), tmp_path / "session", resume=True)


def test_a_session_is_not_begun_where_one_is(session, frames, tmp_path):
    session.close()
    with pytest.raises(InputError, match="--resume"):
        open_session(frames, tmp_path / "session")


def test_a_full_disk_leaves_the_mask_that_was_there(session, monkeypatch):
    k = session.add_object()
    before = session.prompt(0, k, LEFT)

    def full(*args, **options):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "save", full)
        with pytest.raises(OSError, match="No space"):
            session.prompt(0, k, RIGHT)
    assert (session.mask(0) == before).all() and session.prompts(0)[k] == (LEFT,)
    assert [step.kind for step in session.folder.done] == ["add an object", "click"]
    assert session.undo().kind == "click" and not session.known.has_mask[0]


def test_help_is_wanted_where_the_worst_mask_is_expected(frames, tmp_path):
    network = StillNetwork()
    session = open_session(frames, tmp_path / "session", network)
    k = session.add_object()
    assert session.neediest_frame() is None
    session.prompt(0, k, LEFT)
    network.qualities = [1.0] + [0.9] * 6 + [0.3] * 3
    run(session)
    assert session.neediest_frame() == 8
    session.confirm(8)
    assert session.neediest_frame() in (7, 9)
    session.close()


def test_given_masks_are_corrections(session):
    ids = np.zeros((HEIGHT, WIDTH), np.uint8)
    ids[:20, :20], ids[30:, 30:] = 4, 9
    session.set_mask(2, ids)
    assert [thing.id for thing in session.objects] == [4, 9]
    run(session)
    assert (saved_masks(session) == ids).all()
    with pytest.raises(ValueError, match="the frame"):
        session.set_mask(2, ids[:5])
    with pytest.raises(InputError, match="renumber"):
        session.set_mask(3, np.full((HEIGHT, WIDTH), 255))


def test_prompts_survive_being_sent():
    points = ((1.0, 2.5), (3.0, 4.0), (0.0, 9.0))
    for prompt in (Click(1, 2, False), Stroke(points, True, 4.0), Box(1, 2, 3, 4), Paint(points), Polygon(points)):
        assert from_json(json.loads(json.dumps(to_json(prompt)))) == prompt


def test_very_long_prompts_are_forgotten_rather_than_the_mask(session):
    k = session.add_object()
    points = tuple((float(i % 60) + 0.123456, float(i % 40) + 0.654321) for i in range(5000))
    for _ in range(5):
        session.prompt(0, k, Paint(points))
    assert session.mask(0).any() and k not in session.prompts(0)
    session.prompt(0, k, LEFT)
    assert session.prompts(0)[k] == (LEFT,)
    assert len(FrameNote(prompts={k: (Paint(points),) * 9}).text()) <= LONGEST_NOTE


def test_memory_does_not_grow_with_what_is_propagated(frames, tmp_path):
    session = open_session(frames, tmp_path / "session")
    k = session.add_object()
    session.prompt(0, k, LEFT)
    for step in range(4):
        run(session)
        session.prompt(step, k, LEFT)
    held = [session._clicks._features, session._reader._frames]
    assert len(held[0]) <= 3 and len(held[1]) <= 8
    assert not any(isinstance(value, np.ndarray) and value.size > len(session) for value in vars(session).values())
    session.close()
