"""The page in a browser: what annotators do, and where a click comes to lie."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.annotate import browsing
from tests.annotate.serving import photograph, served

ENTER, ESCAPE, CONTROL, SHIFT = "\ue007", "\ue00c", "\ue009", "\ue008"
UGLY = "b 'b' \"c\" <img src=x onerror=document.title='hacked'> #%41.png"
SIZE = 1600, 1100
SPOT = 1234, 765  # the only bright pixel of a dark photograph
DISC, FOVEA = (400, 500), (1000, 520)


@pytest.fixture(scope="module")
def browser():
    with browsing.started() as made:
        yield made


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    dark = np.full((SIZE[1], SIZE[0], 3), (20, 30, 40), np.uint8)
    dark[SPOT[1], SPOT[0]] = 250
    assert cv2.imwrite(str(folder / "a spot.png"), dark)
    photograph(folder / UGLY, size=(300, 200))
    # Stored on its side: upright it is 1100 wide and 1600 high, and the spot at (h - 1 - y, x)
    exif = Image.Exif()
    exif[274] = 6
    stored = dark.copy()
    stored[SPOT[1] - 4 : SPOT[1] + 5, SPOT[0] - 4 : SPOT[0] + 5] = 250
    Image.fromarray(stored).save(folder / "turned.jpg", exif=exif, quality=100)
    return folder


@pytest.fixture
def page(photos, tmp_path):
    with served(photos, tmp_path / "a.sqlite") as made:
        yield made


@pytest.fixture
def window(browser, page):
    made = browser.window(page)
    yield made
    browser.close_windows()


def held(page, name, image=0):
    """What the server holds of an image and annotator."""
    who = page.annotator(name)
    return who.open(who.images[image]["id"]).json


def test_an_eye_is_annotated_by_clicks(window, page):
    window.begin("Kim")
    assert "optic disc" in window.text("hint")
    disc, fovea = window.click(*DISC), window.click(*FOVEA)
    window.find("finding-list").find_elements("css selector", "label")[4].click()
    window.saved()
    window.click(FOVEA[0] + 60, FOVEA[1] + 30)
    window.click(300, 100)
    assert window.reading["findings"] == {"drusen": ["macula", "superior_nasal"]}
    window.click(300, 100)
    window.find("finish").click()
    window.wait("location.hash && segjax.reading().disc === null && segjax.pending() === 0")
    found = held(page, "Kim")["reading"]
    assert found["findings"] == {"drusen": ["macula"]} and found["done"]
    assert found["disc"] == pytest.approx(disc, abs=1e-6)
    assert found["fovea"] == pytest.approx(fovea, abs=1e-6)


def test_all_but_the_points_is_done_by_keys(window, page):
    window.begin("Kim")
    window.click(*DISC)
    window.click(*FOVEA)
    window.keys("5", "w", "s", "]", "e", "w")
    assert window.reading["findings"] == {
        "drusen": ["macula", "temporal"],
        "retinal_pigmentary_change": ["macula", "superior_temporal"],
    }
    window.keys("w", "t", "a note w5", ESCAPE)
    assert window.reading["note"] == "a note w5"
    assert window.reading["findings"]["retinal_pigmentary_change"] == ["superior_temporal"]
    window.keys("u", "u")
    assert window.reading["findings"]["retinal_pigmentary_change"][0] == "macula"
    window.keys("U", "U")
    assert window.reading["note"] == "a note w5"
    window.together(CONTROL, "z")
    assert window.reading["note"] == ""
    window.keys("n")
    assert window.reading["normal"] and not window.reading["findings"]
    window.keys("u", ENTER)
    window.wait("segjax.reading().disc === null && segjax.pending() === 0")
    assert held(page, "Kim")["reading"]["done"]
    window.keys("n", ENTER)
    window.wait("document.getElementById('position').textContent.startsWith('3 of 3')")
    window.keys(",")
    window.wait("document.getElementById('position').textContent.startsWith('2 of 3')")
    assert window.reading["normal"] and window.reading["done"]
    window.keys("?")
    assert window.js("document.getElementById('help').open")
    window.keys(ESCAPE, "j")
    window.wait("document.getElementById('position').textContent.startsWith('3 of 3')")


def test_what_is_missing_is_said(window):
    window.begin("Kim")
    window.keys("w")
    assert "first" in window.text("message")
    window.keys(ENTER)
    window.wait("document.getElementById('message').textContent.includes('Nothing is marked')")


def zoom_in(window, point, scale):
    """Turns the wheel at a point of the photograph, which stays under the cursor."""
    window.settle()
    place = [round(v) for v in window.place_of(*point)]
    under = window.point_at(*place)
    for _ in range(30):
        window.wheel(*place, -200)
        assert window.point_at(*place) == pytest.approx(under, abs=1e-6)
        if window.js("segjax.view.scale") >= scale:
            return
    pytest.fail("the wheel does not zoom in")


@pytest.mark.parametrize("ratio", [1, 2])
@pytest.mark.parametrize("size", [(1280, 800), (1923, 1081)])
def test_a_click_is_where_it_is_seen(window, page, size, ratio):
    """The bright pixel is clicked after zoom, pan and resize; it is drawn there, and stored so."""
    window.size(*size, ratio)
    window.begin("Kim")
    middle = SPOT[0] + 0.5, SPOT[1] + 0.5
    zoom_in(window, middle, 8)
    before = window.place_of(*middle)
    start = [round(v) for v in before]
    window.pointer((start[0] - 300, start[1] - 100), "down", (start[0] - 250, start[1] - 60), "up")
    assert window.place_of(*middle) == pytest.approx((before[0] + 50, before[1] + 40), abs=1.5)
    assert window.reading["disc"] is None  # a drag marks nothing
    window.size(size[0] - 101, size[1] + 77, ratio)
    window.size(size[0], size[1], ratio)
    window.wait("document.querySelector('canvas').width > 0")
    place = window.place_of(*middle)
    window.wait(
        "(() => { segjax.redraw(); const c = document.querySelector('canvas'),"
        " b = c.getBoundingClientRect(), r = c.width / b.width; return c.getContext('2d')"
        f".getImageData(({place[0]} - b.left) * r, ({place[1]} - b.top) * r, 1, 1).data[0] > 200;"
        " })()"
    )
    assert window.js("document.querySelector('canvas').width") == pytest.approx(
        ratio * window.js("document.querySelector('canvas').getBoundingClientRect().width"), abs=1
    )
    window.click(*middle)
    window.saved()
    assert held(page, "Kim")["reading"]["disc"] == pytest.approx(middle, abs=0.5)


def test_a_rotated_photograph_is_clicked_upright(window, page):
    window.begin("Kim")
    window.keys(".", ".")
    window.wait("document.getElementById('image-name').textContent === 'turned.jpg'")
    window.opened()
    upright = SIZE[1] - 1 - SPOT[1] + 0.5, SPOT[0] + 0.5
    assert max(window.pixel(window.place_of(upright[0] + 60, upright[1]))) < 80
    window.wait("segjax.redraw() >= 0")
    assert min(window.pixel(window.place_of(*upright))) > 150
    zoom_in(window, upright, 4)
    hit = window.click(*upright)
    window.saved()
    found = held(page, "Kim", 2)["reading"]["disc"]
    assert found == pytest.approx(hit, abs=1e-6) and found == pytest.approx(upright, abs=0.5)


def test_a_reload_keeps_marks_image_and_undo(window):
    window.begin("Kim")
    window.keys(".")
    window.wait("document.getElementById('position').textContent.startsWith('2 of 3')")
    window.opened()
    window.click(100, 100)
    window.click(200, 104)
    window.keys("3", "w", "s")
    before = window.reading
    window.reload()
    assert window.text("position").startswith("2 of 3") and window.reading == before
    window.keys("u", "u", "u")
    assert window.reading["fovea"] is None and window.reading["findings"] == {}
    window.reload()
    window.keys("U", "U", "U")
    assert window.reading == before


def test_three_annotators_at_once_see_their_own(browser, window, page):
    people = [window, browser.window(page), browser.window(page)]
    for k, each in enumerate(people):
        each.begin(f"Annotator {k}")
    for each in people:
        each.click(*DISC)
    for k, each in enumerate(people):
        each.click(FOVEA[0] + 40 * k, FOVEA[1])
    for k, each in enumerate(people):
        each.keys("5", "wse"[k])
    for k, each in enumerate(people):
        marked = {"drusen": [("macula", "temporal", "superior_temporal")[k]]}
        assert each.reading["findings"] == marked
        each.reload()
        assert each.reading["findings"] == marked
        assert held(page, f"Annotator {k}")["reading"] == each.reading


def test_a_name_of_quotes_and_brackets_is_text(window):
    window.begin("<b>Kim</b>")
    window.keys(".")
    window.wait("document.getElementById('position').textContent.startsWith('2 of 3')")
    window.opened()
    assert window.text("image-name") == UGLY and window.text("annotator") == "<b>Kim</b>"
    window.keys("i")
    assert UGLY in window.text("image-list")
    assert window.js("document.title") != "hacked"
    assert window.js("document.querySelectorAll('img, b.annotator, .annotator b').length") == 0


def test_two_tabs_of_one_annotator_agree(browser, window, page):
    other = browser.window(page)
    for each in (window, other):
        each.begin("Kim")
        each.deaf()
    window.click(*DISC)
    window.saved()
    other.click(*DISC)  # as its page does not know of the first
    other.saved()
    other.click(*FOVEA)
    other.saved()
    window.keys("u")
    window.wait("document.getElementById('message').textContent.includes('another window')")
    assert window.reading == other.reading and window.reading["fovea"]


def test_a_stale_page_wipes_nothing(window, page):
    window.begin("Kim")
    window.click(*DISC)
    window.click(*FOVEA)
    window.saved()
    kim = page.annotator("Kim")
    kim.mark(kim.images[0]["id"], "drusen", "macula")  # as another window does
    window.keys("n")
    window.wait("document.getElementById('message').textContent.includes('another window')")
    assert window.reading["findings"] == {"drusen": ["macula"]}
    assert held(page, "Kim")["reading"]["findings"] == {"drusen": ["macula"]}
    window.keys("n")
    window.wait("document.getElementById('message').textContent.includes('1 mark taken away')")
    window.keys("u")
    assert window.reading["findings"] == {"drusen": ["macula"]}


def test_an_undo_that_comes_after_another_s_edit_is_refused_and_what_waits_dropped(window, page):
    window.begin("Kim")
    window.click(*DISC)
    window.click(*FOVEA)
    window.keys("5", "w")
    window.saved()
    window.online(False)
    window.keys("u")
    window.wait("!document.getElementById('banner').hidden")
    kim = page.annotator("Kim")
    kim.mark(kim.images[0]["id"], "membrane", "temporal")
    window.keys("s")
    window.online(True)
    window.says("another window")
    assert "error" in window.find("message").get_attribute("class")
    marked = {"drusen": ["macula"], "membrane": ["temporal"]}
    assert window.reading["findings"] == held(page, "Kim")["reading"]["findings"] == marked


def test_an_undo_whose_answer_was_lost_is_done_once(window, page):
    window.begin("Kim")
    window.click(*DISC)
    window.click(*FOVEA)
    window.keys("5", "w", "s")
    window.saved()
    # The server takes the first attempt, and the page hears nothing of it
    window.here().execute_script(
        "const real = window.fetch; window.fetch = async (...all) => {"
        " const answer = await real(...all);"
        " if (window.lost || !String(all[0]).includes('/edits')) return answer;"
        " window.lost = true; throw new TypeError('lost'); }"
    )
    window.keys("u", "n")
    assert window.reading["normal"]
    window.keys("u")
    assert window.reading["findings"] == {"drusen": ["macula"]}


def test_a_note_that_is_typed_survives_an_edit_of_elsewhere(window, page):
    window.begin("Kim")
    kim = page.annotator("Kim")
    image = kim.images[0]["id"]
    window.keys("t", "a l")
    kim.edit(image, "normal", normal=True)
    window.says("Your note is kept")
    assert window.find("note").get_property("value") == "a l"
    assert window.js("segjax.reading().normal && segjax.pending() === 1")
    window.keys("ong note", ESCAPE)
    assert window.reading["note"] == "a long note"
    found = held(page, "Kim")["reading"]
    assert found["note"] == "a long note" and found["normal"]


def test_a_key_that_is_held_down_marks_once(window):
    window.begin("Kim")
    window.click(*DISC)
    window.click(*FOVEA)
    window.keys("5")
    event = {"key": "w", "code": "KeyW", "windowsVirtualKeyCode": 87, "text": "w"}
    for repeat in (False, True, True, True):
        window.here().execute_cdp_cmd(
            "Input.dispatchKeyEvent", {"type": "keyDown", "autoRepeat": repeat, **event}
        )
    window.here().execute_cdp_cmd("Input.dispatchKeyEvent", {"type": "keyUp", **event})
    assert window.reading["findings"] == {"drusen": ["macula"]}


def test_odd_findings_and_addresses(browser, photos, tmp_path):
    (tmp_path / "list.txt").write_text("Constructor\nDrusen\n")
    with served(photos, tmp_path / "a.sqlite", tmp_path / "list.txt") as page:
        window = browser.window(page)
        window.here().get(f"{page.address}#%E0%A4%A")
        window.wait("!!window.segjax")
        window.begin("Kim")
        window.click(*DISC)
        window.click(*FOVEA)
        window.keys("1", "w", "2", "s", "[", "w", "e")
        marked = {"constructor": ["superior_temporal"], "drusen": ["temporal"]}
        assert window.reading["findings"] == marked
        window.js("(location.hash = '#%E0%A4%A')")
        window.keys(".")
        window.wait("document.getElementById('position').textContent.startsWith('2 of 3')")
        window.opened()
    browser.close_windows()


def test_display_is_kept_from_image_to_image_and_over_a_reload(window):
    window.begin("Kim")
    place = window.place_of(600, 300)
    assert window.pixel(place) == [40, 30, 20]
    window.keys("g", "b", "b", "b")
    window.wait("segjax.redraw() >= 0")
    red, green, blue = window.pixel(place)
    assert red == green == blue and red > 30
    window.keys(".")
    window.wait("document.getElementById('position').textContent.startsWith('2 of 3')")
    window.opened()
    red, green, blue = window.pixel(window.place_of(150, 100))
    assert red == green == blue
    window.keys(",")
    window.wait("document.getElementById('position').textContent.startsWith('1 of 3')")
    window.reload()
    assert window.pixel(window.place_of(600, 300))[0] > 30
    window.keys("x")
    assert window.pixel(window.place_of(600, 300)) == [40, 30, 20]


def test_what_the_server_missed_is_sent_again(browser, photos, tmp_path):
    with served(photos, tmp_path / "a.sqlite") as page:
        window = browser.window(page)
        window.begin("Kim")
    window.click(*DISC)
    window.wait("!document.getElementById('banner').hidden")
    assert window.js("segjax.pending()") == 1
    with served(photos, tmp_path / "a.sqlite", port=page.port):
        window.saved()
        window.wait("document.getElementById('banner').hidden")
        assert held(page, "Kim")["reading"]["disc"] == pytest.approx(DISC, abs=2)
    browser.close_windows()


def test_a_photograph_that_is_replaced_while_it_is_shown_is_not_marked(browser, tmp_path):
    photograph(tmp_path / "photos" / "a.png", size=(300, 200))
    with served(tmp_path / "photos", tmp_path / "a.sqlite") as page:
        window = browser.window(page)
        window.begin("Kim")
        photograph(tmp_path / "photos" / "a.png", size=(300, 200), seed=5)
        window.click(100, 100)
        window.wait("!document.getElementById('problem').hidden")
        assert "has changed since it was opened" in window.text("problem")
        assert held(page, "Kim")["state"] == 0
        window.reload()
        window.click(100, 100)
        window.saved()
        assert held(page, "Kim")["state"] == 1
    browser.close_windows()


def test_the_page_measures_itself(window):
    window.begin("Kim")
    assert 0 < window.js("Number(document.documentElement.dataset.openMs)") < 5000
    assert 0 <= window.js("segjax.redraw()") < 500


def test_what_cannot_be_graded_finishes_an_image_and_asks_for_no_points(window, page):
    window.begin("Kim")
    window.click(*DISC)
    window.click(*FOVEA)
    window.keys("5", "w", "N")
    window.says("1 mark taken away, u brings it back")
    assert window.reading["ungradable"] and not window.reading["findings"]
    window.keys("u", "s")
    assert window.reading["findings"] == {"drusen": ["macula", "temporal"]}
    window.find("ungradable").click()
    assert window.reading["ungradable"]
    window.keys("n")
    window.says("it can be graded")
    assert window.reading["normal"] and not window.reading["ungradable"]
    window.keys("N", ENTER)
    window.says("a spot.png finished, saved; now b ")
    found = held(page, "Kim")["reading"]
    assert found["ungradable"] and found["done"] and not found["normal"]
    window.opened()
    assert window.text("hint") == "Click the optic disc"
    window.keys("n")
    assert window.reading["normal"] and "leave it out" in window.text("hint")
    window.keys(ENTER)
    window.wait("document.getElementById('position').textContent.startsWith('3 of 3')")
    window.keys(",")
    window.wait("document.getElementById('position').textContent.startsWith('2 of 3')")
    window.opened()
    assert window.js("document.getElementById('hint').hidden")
    window.keys("n")
    window.says("; the image is no longer finished")
    assert not held(page, "Kim", 1)["reading"]["done"]


def test_images_that_cannot_be_opened_are_passed_over(browser, tmp_path):
    for k, name in enumerate(("a.png", "c.png", "d.png")):
        photograph(tmp_path / "photos" / name, size=(300, 200), seed=k)
    (tmp_path / "photos" / "b.jpg").write_bytes(b"nothing")
    cut = tmp_path / "photos" / "c.png"
    cut.write_bytes(cut.read_bytes()[:2000])
    with served(tmp_path / "photos", tmp_path / "a.sqlite") as page:
        window = browser.window(page)
        window.begin("Kim")
        assert window.text("position").startswith("1 of 3")
        window.keys(".")
        window.wait("!document.getElementById('problem').hidden")
        assert window.text("position").startswith("cannot be opened")
        window.keys(".")
        window.wait("document.getElementById('problem').textContent.startsWith('c.png')")
        window.keys(",", ",")
        window.opened()
        window.keys("n", ENTER)
        window.says("a.png finished, saved; now d.png, 2 of 2")
        window.opened()
        window.keys("i")
        assert window.text("image-list").count("cannot be opened") == 2
        window.keys(ESCAPE)
        window.wait("!document.querySelector('dialog[open]')")
        window.keys("n", ENTER)
        window.says("All 2 images are finished.")
    browser.close_windows()


def test_it_is_said_when_all_images_are_finished(browser, tmp_path):
    photograph(tmp_path / "photos" / "a.png", size=(300, 200))
    with served(tmp_path / "photos", tmp_path / "a.sqlite") as page:
        window = browser.window(page)
        window.begin("Kim")
        assert window.js("document.getElementById('all-done').hidden")
        window.keys("n", ENTER)
        window.says("All 1 images are finished.")
        assert window.text("all-done") == "All 1 images are finished. Progress"
        assert not window.find("finish").is_enabled()
        assert not window.find("next-unfinished").is_enabled()
    browser.close_windows()


def test_keys_mark_nothing_while_marks_are_hidden(window):
    window.begin("Kim")
    window.click(*FOVEA)
    window.click(*DISC)
    window.saved()
    assert window.text("eye").startswith("Right eye") is (FOVEA[0] > DISC[0])
    window.keys("5", "v")
    for key in ("w", "n", "N", "y"):
        window.keys("l", key)
        window.says("Marks are hidden")
    assert window.reading["findings"] == {} and not window.reading["normal"]
    window.keys("v", "m")
    window.says("There is no map")


def test_the_banner_does_not_cover_the_hint(window):
    window.begin("Kim")
    window.online(False)
    window.click(*DISC)
    window.wait("!document.getElementById('banner').hidden")
    boxes = "['banner', 'hint'].map((id) => document.getElementById(id).getBoundingClientRect())"
    assert window.js(f"(([a, b]) => a.bottom <= b.top)({boxes})")
    window.online(True)
    window.saved()


def test_the_list_of_images_is_walked_by_arrows(window):
    window.begin("Kim")
    window.keys("i", "\ue015", "\ue015", ENTER)
    window.wait("document.getElementById('position').textContent.startsWith('3 of 3')")


def test_saved_never_runs_back(window):
    window.begin("Kim")
    window.click(*DISC)
    window.click(*FOVEA)
    window.saved()
    before = window.text("saving")
    window.wait(f"!{json.dumps(before)}.includes(new Date().toLocaleTimeString('en-GB'))")
    window.keys("u", "u")
    window.saved()
    assert window.text("saving") > before


def test_progress_is_shown(window):
    window.begin("Kim")
    window.keys("n", ENTER)
    window.wait("segjax.reading().normal === false && segjax.pending() === 0")
    window.here().get(f"{window.page.address}progress")
    window.wait("document.body.textContent.includes('Kim')")
    text = window.js("document.body.textContent")
    assert "Drusen" in text and "Jaccard" in text and "Cohen" in text
