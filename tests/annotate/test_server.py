"""What the server answers: readings, pictures, and what it refuses."""

import http.client
import json
import os
import socket

import cv2
import numpy as np
import pytest
from PIL import Image

from segjax.annotate.guard import LARGEST_BODY
from segjax.cli import main
from segjax.data.images import read_image
from tests.annotate.serving import TOKEN, photograph, served

UGLY = "a 'b' \"c\" <img src=x onerror=alert(1)> #%41 é.png"


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    photograph(folder / "plain.png")
    photograph(folder / "below" / UGLY, seed=1)
    photograph(folder / "large.png", size=(4200, 600), seed=2)
    (folder / "damaged.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    return folder


@pytest.fixture
def page(photos, tmp_path):
    with served(photos, tmp_path / "a.sqlite") as page:
        yield page


@pytest.fixture
def kim(page):
    return page.annotator("Kim")


def named(person, name):
    return next(each["id"] for each in person.images if each["name"].endswith(name))


def test_the_session_says_what_there_is(page, photos):
    said = page.get("api/session").json
    assert said["folder"] == photos.name and said["images"] == 3
    assert len({region["key"] for region in said["regions"]}) == 8
    assert {"name": "rnfl_defect", "label": "RNFL defect"} in said["findings"]


def test_an_annotator_is_made_once_and_known_then(page):
    assert page.post("api/annotators", {"name": "Kim", "check": True}).json["id"] is None
    first = page.post("api/annotators", {"name": "Kim"}).json
    again = page.post("api/annotators", {"name": "kim"}).json
    assert (first["known"], again["known"], again["name"]) == (False, True, "Kim")
    assert first["id"] == again["id"]


def test_edits_are_kept_and_seen_by_their_annotator_alone(page, kim):
    image = named(kim, "plain.png")
    assert kim.place(image).status == 200
    answer = kim.mark(image, "drusen", "macula").json
    assert answer["reading"]["findings"] == {"drusen": ["macula"]} and answer["saved"]
    assert set(answer["regions"]) == {r["name"] for r in page.get("api/session").json["regions"]}
    assert kim.edit(image, "done", done=True).json["reading"]["done"]
    assert {e["status"] for e in kim.images if e["id"] == image} == {"done"}
    lee = page.annotator("Lee")
    assert lee.open(image).json["reading"]["findings"] == {}
    assert {each["status"] for each in lee.images} == {"new"}


def test_what_cannot_be_graded_finishes_an_image(page, kim):
    image = named(kim, "plain.png")
    kim.place(image)
    kim.mark(image, "drusen", "macula")
    said = kim.edit(image, "ungradable", ungradable=True, id="an-edit").json
    again = kim.edit(image, "ungradable", ungradable=True, id="an-edit", state=0).json
    assert said == again and said["reading"]["ungradable"] and not said["reading"]["findings"]
    assert kim.edit(image, "done", done=True).json["reading"]["done"]
    counts = page.get("api/progress").json["annotators"]
    assert counts == [{"name": "Kim", "done": 1, "begun": 0, "ungradable": 1}]
    assert kim.edit(image, "note", note="", id="a b").status == 422


def test_undo_of_another_window_is_refused_with_what_holds(page, kim):
    image = named(kim, "plain.png")
    state = kim.edit(image, "note", note="a").json["state"]
    kim.edit(image, "note", note="b")
    answer = kim.edit(image, "undo", state=state)
    assert answer.status == 409 and answer.json["current"]["reading"]["note"] == "b"
    back = kim.edit(image, "undo", state=answer.json["current"]["state"]).json
    assert back["reading"]["note"] == "a" and back["redo"]


def test_an_import_while_the_page_is_open_is_kept(page, kim, photos, tmp_path):
    """Marks of a finding that the page does not know survive its edits, and are exported."""
    image = named(kim, "plain.png")
    table = tmp_path / "t.csv"
    table.write_text(
        "image,annotator,finding,regions,disc_x,disc_y,fovea_x,fovea_y\n"
        "plain.png,Kim,scar,macula,30,40,80,44\n"
    )
    words = ["annotate", str(photos), "--annotations", str(tmp_path / "a.sqlite")]
    assert main([*words, "--import", str(table)]) == 0
    assert kim.mark(image, "drusen", "temporal").json["reading"]["findings"] == {
        "scar": ["macula"],
        "drusen": ["temporal"],
    }
    said = page.get("api/session").json["findings"]
    assert {"name": "scar", "label": "Scar"} in said
    assert kim.mark(image, "scar", "macula", marked=False).status == 200
    assert main([*words, "--export", str(tmp_path / "x.json")]) == 0


def test_an_edit_of_another_state_is_refused(page, kim):
    """As a request that was given up, and comes late."""
    image = named(kim, "plain.png")
    first = kim.place(image).json["state"]
    kim.mark(image, "drusen", "macula")
    late = kim.edit(image, "normal", normal=True, state=first)
    assert late.status == 409 and late.json["current"]["reading"]["findings"]
    assert kim.open(image).json["reading"]["findings"] == {"drusen": ["macula"]}


@pytest.mark.parametrize("name", ["plain.png", "large.png"])
def test_tiles_are_the_pixels(page, kim, photos, name):
    image = named(kim, name)
    opened = kim.open(image).json["image"]
    pixels = read_image(photos / name)
    made = np.zeros_like(pixels)
    for row in range(-(-opened["height"] // opened["tile"])):
        for column in range(-(-opened["width"] // opened["tile"])):
            answer = page.get(f"api/images/{image}/tiles/0/{row}/{column}")
            tile = cv2.imdecode(np.frombuffer(answer.body, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
            top, left = row * opened["tile"], column * opened["tile"]
            made[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    assert np.array_equal(made, pixels)
    whole = page.get(f"api/images/{image}/overview")
    seen = cv2.imdecode(np.frombuffer(whole.body, np.uint8), cv2.IMREAD_COLOR)
    assert list(seen.shape[1::-1]) == opened["overview"]
    assert page.get(f"api/images/{image}/tiles/0/9/9").status == 404
    assert page.get(f"api/images/{image}/tiles/{opened['levels']}/0/0").status == 404


def test_reduced_tiles_cover_what_they_say(page, kim, photos):
    image = named(kim, "large.png")
    assert kim.open(image).json["image"]["levels"] == 2
    answer = page.get(f"api/images/{image}/tiles/1/0/4")
    tile = cv2.imdecode(np.frombuffer(answer.body, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    expected = read_image(photos / "large.png")[0:600, 4096:4200]
    assert tile.shape[:2] == (300, 52)
    means = expected.reshape(300, 2, 52, 2, 3).mean(axis=(1, 3))
    assert np.abs(tile - means).mean() < 6  # JPEG of noise


def test_a_rotated_photograph_is_upright(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    exif = Image.Exif()
    exif[274] = 6
    picture = Image.fromarray(np.zeros((40, 90, 3), np.uint8))
    picture.putpixel((3, 5), (255, 255, 255))
    picture.save(folder / "turned.jpg", exif=exif, quality=100)
    with served(folder, tmp_path / "a.sqlite") as page:
        kim = page.annotator("Kim")
        opened = kim.open(kim.images[0]["id"]).json["image"]
        assert (opened["width"], opened["height"]) == (40, 90)
        tile = page.get(f"api/images/{opened['id']}/tiles/0/0/0").body
        seen = cv2.imdecode(np.frombuffer(tile, np.uint8), cv2.IMREAD_GRAYSCALE)
        assert np.array_equal(seen, read_image(folder / "turned.jpg")[..., 0])
        assert np.unravel_index(seen.argmax(), seen.shape) == (3, 34)
        assert kim.edit(opened["id"], "point", point="disc", at=[39, 89]).status == 200


def test_ugly_names_and_damaged_photographs_are_said(page, kim):
    assert kim.open(named(kim, UGLY)).json["image"]["name"] == f"below/{UGLY}"
    answer = kim.open(named(kim, "damaged.jpg"))
    assert answer.status == 422 and answer.json["message"].startswith("damaged.jpg: ")
    assert kim.mark(named(kim, "damaged.jpg"), "drusen", "macula").status == 422


def test_what_cannot_be_opened_is_known_and_not_counted(tmp_path):
    folder = tmp_path / "photos"
    photograph(folder / "a.png")
    frames = [Image.new("L", (50, 40), level) for level in (0, 200)]
    frames[0].save(folder / "b.gif", save_all=True, append_images=frames[1:])
    photograph(folder / "c.png", seed=1)
    (folder / "d.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    cut = (folder / "c.png").read_bytes()
    (folder / "c.png").write_bytes(cut[: len(cut) // 2])
    with served(folder, tmp_path / "a.sqlite") as page:
        kim = page.annotator("Kim")

        def unreadable():
            return [each["name"] for each in kim.images if each["unreadable"]]

        assert unreadable() == ["b.gif", "d.jpg"] and page.get("api/session").json["images"] == 2
        said = [kim.open(each["id"]).json for each in kim.images[1:]]
        assert [each["unreadable"] for each in said] == [True] * 3
        assert said[0]["message"].startswith("b.gif: holds 2 frames")
        assert str(tmp_path) not in said[1]["message"]
        assert unreadable() == ["b.gif", "c.png", "d.jpg"]
        found = page.get("api/progress").json
        assert found["images"] == 1 and found["unreadable"] == ["b.gif", "d.jpg", "c.png"]
        (folder / "c.png").write_bytes(cut)
        assert kim.open(kim.images[2]["id"]).status == 200
        assert unreadable() == ["b.gif", "d.jpg"]


def test_a_photograph_that_was_replaced_is_not_annotated(tmp_path):
    folder = tmp_path / "photos"
    photograph(folder / "a.png")
    with served(folder, tmp_path / "a.sqlite") as page:
        kim = page.annotator("Kim")
        image = kim.images[0]["id"]
        kim.place(image)
        photograph(folder / "a.png", seed=7, size=(130, 90))
        for answer in (kim.open(image), kim.mark(image, "drusen", "macula")):
            assert answer.status == 422 and "another file than the one" in answer.json["message"]
        photograph(folder / "a.png")
        assert kim.open(image).json["reading"]["disc"] == [30, 40]
        (folder / "a.png").unlink()
        assert kim.open(image).json["message"] == "a.png: No such file or directory"


def test_what_a_page_shows_is_what_it_annotates(tmp_path):
    """No picture or edit of a photograph is of the one that has replaced it."""
    photograph(tmp_path / "photos" / "a.png")
    with served(tmp_path / "photos", tmp_path / "a.sqlite") as page:
        kim = page.annotator("Kim")
        image = kim.images[0]["id"]
        version = kim.open(image).json["image"]["version"]
        pictures = [f"api/images/{image}/{which}" for which in ("overview", "tiles/0/0/0")]
        path = f"api/annotators/{kim.id}/images/{image}/edits?version={version}"
        edit = {"kind": "point", "point": "disc", "at": [3, 4]}
        assert page.get(f"{pictures[0]}?version={version}").status == 200
        photograph(tmp_path / "photos" / "a.png", seed=9)
        answers = [page.get(f"{picture}?version={version}") for picture in pictures]
        for answer in (*answers, page.post(path, edit)):
            assert (
                answer.status == 422 and "has changed since it was opened" in answer.json["message"]
            )
        again = kim.open(image).json
        assert again["reading"]["disc"] is None and again["image"]["version"] != version
        assert page.post(path.replace(version, again["image"]["version"]), edit).status == 200


def test_nothing_is_written_into_the_folder(page, kim, photos):
    before = sorted((p, p.stat().st_mtime_ns) for p in photos.rglob("*"))
    for each in kim.images[:2]:
        kim.place(each["id"])
        page.get(f"api/images/{each['id']}/overview")
    assert sorted((p, p.stat().st_mtime_ns) for p in photos.rglob("*")) == before


# --- what is refused ---------------------------------------------------------------------------


def test_other_hosts_origins_and_tokens_are_refused(page):
    for host in ("evil.com", "127.0.0.1.evil.com", "localhost.evil.com:80", "", "[::2]"):
        assert page.get("api/session", headers={"Host": host}).status in (400, 403), host
    for host in ("localhost:9000", "127.0.0.1", "[::1]:80", "LOCALHOST"):
        assert page.get("api/session", headers={"Host": host}).status == 200, host
    assert page.get("api/session", headers={"Origin": "http://evil.com"}).status == 403
    here = {"Host": "localhost:9000", "Origin": "http://localhost:9000"}
    assert page.get("api/session", headers=here).status == 200
    for path in ("/", "/api/session", f"/{TOKEN}x/", f"/{TOKEN[:-1]}/", "/static/main.js", "//"):
        assert page.raw("GET", path).status == 403, path
    answer = page.raw("GET", f"/{TOKEN}")
    assert answer.status == 307 and answer.headers["location"] == f"/{TOKEN}/"


def test_two_hosts_are_refused(page):
    with socket.create_connection(("127.0.0.1", page.port)) as connection:
        lines = f"GET /{TOKEN}/api/session HTTP/1.1", "Host: localhost", "Host: evil.com", "", ""
        connection.sendall("\r\n".join(lines).encode())
        assert connection.recv(200).split()[1] in (b"400", b"403")


@pytest.mark.parametrize(
    "path",
    [
        "../../etc/passwd",
        "static/../../server.py",
        "static/%2e%2e/%2e%2e/server.py",
        "static/..%2f..%2fserver.py",
        "static//etc/passwd",
        "%2fetc%2fpasswd",
        "api/images/..%2f..%2fetc%2fpasswd/overview",
        "api/images//etc/passwd/overview",
        "api/images/%2fetc%2fpasswd/overview",
        "api/images/plain.png/overview",
        "api/images/0/tiles/-1/0/0",
        "static/__init__.py",
        "api/images/x/activation/drusen",
        "api/annotators/99/images",
        f"api/annotators/{'9' * 5000}/images",
        f"api/images/0/tiles/{10**12}/0/0",
    ],
)
def test_paths_lead_nowhere(page, path):
    answer = page.get(path)
    assert answer.status in (403, 404) and b"root:" not in answer.body
    if path.startswith("api/"):
        assert answer.json["message"]
    else:
        assert b"<p>" in answer.body


def test_people_get_a_sentence_and_programs_json(page):
    for path, status in (("/", 403), (f"/{TOKEN[:-1]}/", 403), (f"/{TOKEN}/progres", 404)):
        answer = page.raw("GET", path)
        assert answer.status == status and b"address" in answer.body and b"printed" in answer.body
        assert answer.headers["content-type"].startswith("text/html")
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    for path, status in (("/x/api/session", 403), (f"/{TOKEN}/api/none", 404)):
        answer = page.raw("GET", path)
        assert answer.status == status and answer.json["message"]


def test_a_link_out_of_the_folder_is_not_served(tmp_path):
    folder, secret = tmp_path / "photos", photograph(tmp_path / "secret.png", seed=3)
    photograph(folder / "a.png")
    photograph(folder / "b.png", seed=1)
    os.symlink(secret, folder / "link.png")
    with served(folder, tmp_path / "a.sqlite") as page:
        kim = page.annotator("Kim")
        assert [each["name"] for each in kim.images] == ["a.png", "b.png"]
        # Another file has become a link since the list was made
        kept = kim.images[0]["id"]
        (folder / "a.png").unlink()
        os.symlink(secret, folder / "a.png")
        answer = page.get(f"api/images/{kept}/overview")
        assert answer.status == 422 and answer.json["message"] == "a.png: leads out of the folder"


def test_a_large_body_is_refused_unread(page, kim):
    """Of a gigabyte that was announced, and of one that was not, next to nothing is taken."""
    place = f"/{TOKEN}/api/annotators/{kim.id}/images/{named(kim, 'plain.png')}/edits"
    kinds = {"Content-Length": str(10**9)}, {"Transfer-Encoding": "chunked"}
    for headers in kinds:
        connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=20)
        connection.putrequest("POST", place)
        for name, value in (headers | {"Content-Type": "application/json"}).items():
            connection.putheader(name, value)
        connection.endheaders()
        sent, block = 0, b"x" * 2**20
        try:
            while sent < 10**9:
                connection.send(b"100000\r\n" + block + b"\r\n")
                sent += len(block)
        except OSError:
            assert sent < 10**8
        else:
            pytest.fail("all of it was taken")
        finally:
            connection.close()
    assert page.get("api/session").status == 200


def test_bodies_that_are_no_edit_are_refused(page, kim):
    place = f"api/annotators/{kim.id}/images/{named(kim, 'plain.png')}/edits"
    json_ = {"Content-Type": "application/json"}
    for body, headers, status in (
        (b"{}", {}, 415),
        (b"{}", {"Content-Type": "text/plain"}, 415),
        (b"{", json_, 400),
        (b"\xff", json_, 400),
        (b"[" * 50_000, json_, 400),
        (b'"' + b"x" * LARGEST_BODY + b'"', json_, 413),
        (b"[]", json_, 422),
        (b'{"kind": "undo", "state": true}', json_, 422),
        (b'{"kind": "undo", "state": 1e400}', json_, 422),
        (b'{"kind": "point", "point": "disc", "at": [1e400, 1]}', json_, 422),
        (b'{"kind": "point", "point": "disc", "at": [NaN, 1]}', json_, 422),
        (b'{"kind": "point", "point": "disc", "at": [1%s, 1]}' % (b"0" * 400), json_, 422),
    ):
        answer = page.ask("POST", place, body, headers)
        assert answer.status == status, (body[:40], answer)
        assert json.loads(answer.body)["message"]
    assert page.ask("DELETE", place).status == 405
    assert page.ask("POST", "api/annotators", b'{"nome": 1}', json_).status == 422
    assert kim.open(named(kim, "plain.png")).json["state"] == 0


def test_answers_forbid_what_is_foreign(page):
    for path in ("", "api/session", "static/main.js", "nothing"):
        headers = page.get(path).headers
        assert "script-src 'self'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in headers
