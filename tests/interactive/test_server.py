"""The page's server: who may ask, what is refused, and that nothing that is sent brings it down."""

import asyncio
import io
import json
import random
import time
import zipfile

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from interactive.jobs import Busy, Desk
from interactive.server import MOST_BYTES, PageServer
from tests.helpers.interactive_sessions import HEIGHT, WIDTH, StillNetwork, open_session, saved_masks, still_frames

TOKEN = "right-token"
HOSTS = ("127.0.0.1", "localhost", "[::1]")
CLICK = {"kind": "click", "x": 16, "y": 24}


class SlowNetwork(StillNetwork):
    """Takes a while for each frame."""

    def segment(self, *args, **options):
        time.sleep(0.05)
        return super().segment(*args, **options)


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    return still_frames(tmp_path_factory.mktemp("server") / "frames")


@pytest.fixture
def server(frames, tmp_path):
    session = open_session(frames, tmp_path / "session")
    server = PageServer(session)
    yield server
    server.desk.stop()
    server.desk.wait(10)
    session.close()


def client_of(server, **options):
    return TestClient(server.app(TOKEN, HOSTS), base_url=f"http://127.0.0.1:8765/{TOKEN}/", **options)


@pytest.fixture
def client(server):
    with client_of(server) as client:
        yield client


def do(client, command, **given):
    return client.post(f"do/{command}", json=given)


def finish(server, client):
    server.desk.wait(20)
    return client.get("state").json()["job"]


def test_the_page_and_all_that_it_needs_come_from_here(client):
    page = client.get("")
    assert page.status_code == 200 and "text/html" in page.headers["content-type"]
    assert client.get("page.js").status_code == client.get("page.css").status_code == 200
    assert "http://" not in page.text and "https://" not in page.text + client.get("page.js").text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("path", ["/", "/wrong/", "/wrong/state", f"/{TOKEN}", f"/{TOKEN}x/state", "//state", "/%00/"])
def test_without_the_token_nothing_is_told(client, path):
    answer = client.get(f"http://127.0.0.1:8765{path}")
    assert answer.status_code == 403 and "token" in answer.text and TOKEN not in answer.text


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", "", "127.0.0.1:80:80"])
def test_a_foreign_host_is_refused(client, host):
    assert client.get("state", headers={"Host": host}).status_code == 403


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:9999", "[::1]:8765"])
def test_this_machine_may_ask_through_any_port(client, host):
    assert client.get("state", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:9", "file://"])
def test_another_page_may_not_ask(server, client, origin):
    answer = client.post("do/add", json={}, headers={"Origin": origin})
    assert answer.status_code == 403 and server.session.objects == ()


def test_the_page_itself_may_ask(client):
    assert client.post("do/add", json={}, headers={"Origin": "http://127.0.0.1:8765"}).json() == {"object": 1}


@pytest.mark.parametrize(
    "path",
    [
        "../../etc/passwd",
        "%2e%2e/%2e%2e/etc/passwd",
        "index.html",
        "export/../session.json",
        "export/..%2fsession.json",
    ],
)
def test_no_path_is_opened(client, path):
    assert client.get(f"http://127.0.0.1:8765/{TOKEN}/{path}").status_code in (403, 404)


def test_a_click_is_seen_in_the_mask_and_in_the_state(server, client):
    k = do(client, "add", name="dog").json()["object"]
    assert do(client, "prompt", frame=2, object=k, prompt=CLICK).status_code == 200
    grey = np.array(Image.open(io.BytesIO(client.get("mask/2.png").content)))
    assert (grey == server.session.mask(2)).all() and grey[24, 16] == k
    state = client.get("state").json()
    assert state["objects"][0]["name"] == "dog" and state["corrected"] == {"2": [k]} and state["pending"] == [2]
    assert state["masks"] == "001000000000" and state["undo"] == "click" and state["quality"]["1"][2] == 100
    assert client.get("prompts/2").json() == {"1": [{**CLICK, "positive": True}]}


def test_frames_come_as_jpeg(client):
    picture = Image.open(io.BytesIO(client.get("frame/3.jpg").content))
    assert picture.format == "JPEG" and picture.size == (WIDTH, HEIGHT)
    assert Image.open(io.BytesIO(client.get("thumbnail/3.jpg").content)).height == 96
    assert client.get("frame/12.jpg").status_code == client.get("mask/99999999999999.png").status_code == 404


def test_propagation_export_and_download(server, client):
    do(client, "add")
    do(client, "prompt", frame=0, object=1, prompt=CLICK)
    assert do(client, "propagate").status_code == 200
    job = finish(server, client)
    assert (job["state"], job["done"], job["total"]) == ("done", 12, 12)
    assert do(client, "export", form="masks").status_code == 200
    assert finish(server, client)["state"] == "done"
    with zipfile.ZipFile(io.BytesIO(client.get("export/masks").content)) as archive:
        for index, name in enumerate(sorted(archive.namelist())):
            assert (np.array(Image.open(archive.open(name))) == server.session.mask(index)).all()
    assert client.get("export/davis").status_code == 404
    assert do(client, "undo").json() == {"step": "propagation"} and not server.session.known.has_mask[5]
    assert do(client, "propagate", directions=["forward"]).status_code == 200


def test_while_propagation_runs_a_person_corrects_and_stops(frames, tmp_path):
    session = open_session(frames, tmp_path / "slow", SlowNetwork())
    server = PageServer(session)
    client = client_of(server)
    do(client, "add")
    do(client, "prompt", frame=0, object=1, prompt=CLICK)
    do(client, "propagate")
    assert do(client, "propagate").status_code == do(client, "undo").status_code == 409
    assert do(client, "prompt", frame=11, object=1, prompt=CLICK | {"x": 48}).status_code == 200
    assert client.get("frame/7.jpg").status_code == 200
    do(client, "stop")
    assert finish(server, client)["state"] == "stopped"
    assert session.known.has_mask[0] and session.known.has_mask[11] and not session.known.has_mask[10]
    assert session.mask(11)[24, 48] == 1
    session.close()


def test_a_job_that_fails_says_why_and_the_session_goes_on(server, client, monkeypatch):
    do(client, "add")
    do(client, "prompt", frame=0, object=1, prompt=CLICK)
    before = saved_masks(server.session)

    def broken(*args, **options):
        raise RuntimeError("out of luck")

    with monkeypatch.context() as patch:
        patch.setattr(StillNetwork, "segment", broken)
        do(client, "propagate")
        job = finish(server, client)
    assert job["state"] == "failed" and "out of luck" in job["message"]
    assert (saved_masks(server.session) == before).all()
    assert do(client, "propagate").status_code == 200 and finish(server, client)["state"] == "done"


def test_a_full_disk_at_export_is_one_message_and_leaves_nothing(server, client, monkeypatch):
    do(client, "add")
    do(client, "prompt", frame=0, object=1, prompt=CLICK)

    def full(*args, **options):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "save", full)
        assert do(client, "export", form="masks").status_code == 200
        job = finish(server, client)
        refused = do(client, "prompt", frame=1, object=1, prompt=CLICK)
    assert job["state"] == "failed" and "no space left" in job["message"]
    assert refused.status_code == 507 and "no space left" in refused.json()["error"]
    assert not list((server.session.folder.folder / "export").glob("[!.]*")) and not server.session.known.has_mask[1]
    assert do(client, "prompt", frame=1, object=1, prompt=CLICK).status_code == 200


def test_an_error_of_the_program_is_told_and_not_the_end(server, monkeypatch):
    client = client_of(server, raise_server_exceptions=False)
    monkeypatch.setattr(server.session, "add_object", lambda name: 1 / 0)
    answer = do(client, "add")
    assert answer.status_code == 500 and "ZeroDivisionError" in answer.json()["error"]
    assert client.get("state").status_code == 200


@pytest.mark.parametrize("body", [b"x" * (MOST_BYTES + 1), (b"x" * 4096 for _ in range(MOST_BYTES // 4096 + 1))])
def test_too_much_is_refused(client, body):
    answer = client.post("do/add", content=body)
    assert answer.status_code == 413 and "larger than" in answer.text


def test_malformed_messages_are_refused_in_one_line_and_change_nothing(server, client):
    do(client, "add")
    do(client, "prompt", frame=0, object=1, prompt=CLICK)
    before, steps = saved_masks(server.session), len(server.session.folder.done)
    draw = random.Random(20)
    odd = [None, True, -1, 2**40, 1e308, float("nan"), "", "../..", "\ud800", [], [[]], {}, {"kind": "click"}, "1"]
    prompts = [
        {"kind": kind, "x": a, "y": b, "x0": a, "points": c, "radius": d, "positive": e}
        for kind in ("click", "stroke", "box", "paint", "polygon", "?")
        for a, b, c, d, e in [[draw.choice(odd) for _ in range(5)] for _ in range(20)]
    ]
    bodies = [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"null", b"[1]", b'"text"', b"9" * 5000, b'{"frame":1e999}']
    for kind in ("prompt", "clear", "confirm", "look", "change", "remove", "propagate", "export", "nothing"):
        for _ in range(20):
            names = draw.sample(["frame", "object", "prompt", "name", "hidden", "directions", "form"], 4)
            given = {name: draw.choice(odd) for name in names}
            wrong = {"frame": draw.choice(odd[2:]), "object": draw.choice([None, 7, "1", -1]), "directions": "up"}
            bodies.append((kind, {**wrong, **given, "object": wrong["object"], "directions": wrong["directions"]}))
    bodies += [("prompt", {"frame": 0, "object": 1, "prompt": prompt}) for prompt in prompts]
    refused = 0
    for body in bodies:
        kind, content = ("prompt", body) if isinstance(body, bytes) else (body[0], json.dumps(body[1]).encode())
        answer = client.post(f"do/{kind}", content=content)
        assert answer.status_code in (400, 404) and "\n" not in answer.json()["error"], (kind, content[:300])
        refused += 1
    assert refused > 300
    assert (saved_masks(server.session) == before).all() and len(server.session.folder.done) == steps
    assert do(client, "prompt", frame=0, object=1, prompt=CLICK).status_code == 200


def test_listeners_are_told_what_changed_once():
    async def listen():
        desk = Desk()
        listener = desk.listen()
        for index in (1, 2, 2):
            desk.tell({index})
        assert await listener.changes(1) == ({1, 2}, False)
        desk.tell(everything=True)
        assert await listener.changes(1) == (set(), True)
        assert await listener.changes(0.01) == (set(), False)
        desk.leave(listener)
        desk.tell({3})
        assert await listener.changes(0.01) == (set(), False)

    asyncio.run(listen())


def test_one_job_at_a_time():
    desk = Desk()
    desk.start("waiting", _wait, 1)
    with pytest.raises(Busy):
        desk.start("another", lambda desk: "", 1)
    desk.stop()
    desk.wait(10)
    assert desk.progress.state == "stopped"
    desk.start("another", lambda desk: "said", 1)
    desk.wait(10)
    assert (desk.progress.state, desk.progress.message) == ("done", "said")


def _wait(desk):
    while not desk.cancelled():
        time.sleep(0.01)
    return ""
