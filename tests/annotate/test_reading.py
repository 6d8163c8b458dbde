"""Edits of a reading: what they set, and what they refuse."""

import pytest

from segjax.annotate.reading import EMPTY, LONGEST_NOTE, Allowed, Reading, edited, from_json
from segjax.errors import UserError

ALLOWED = Allowed(["drusen", "membrane"], 100, 80)
PLACED = Reading(disc=(10.0, 20.0), fovea=(60.5, 22.0))


def after(reading, kind, **keys):
    return edited(reading, {"kind": kind, **keys}, ALLOWED)


def marked(reading=PLACED, finding="drusen", region="macula", marked=True):
    return after(reading, "region", finding=finding, region=region, marked=marked)


def test_points_are_set_moved_and_taken_away():
    one = after(EMPTY, "point", point="disc", at=[10, 20])
    assert one.disc == (10.0, 20.0) and one.fovea is None
    assert after(one, "points", disc=[1, 2], fovea=[100, 80]).fovea == (100.0, 80.0)
    assert after(one, "point", point="disc", at=None) == EMPTY


def test_regions_are_marked_in_their_order_and_twice_is_once():
    reading = marked(marked(region="temporal"))
    assert reading.findings == {"drusen": ("macula", "temporal")}
    assert marked(reading) == reading
    reading = marked(reading, marked=False)
    assert reading.findings == {"drusen": ("temporal",)}
    assert marked(reading, region="temporal", marked=False).findings == {}


def test_findings_stand_in_the_order_of_the_list():
    one = marked(marked(finding="membrane"))
    assert list(one.findings) == ["drusen", "membrane"] and one == marked(
        marked(), finding="membrane"
    )


def test_what_the_list_lacks_is_kept():
    before = Reading(PLACED.disc, PLACED.fovea, {"of elsewhere": ("temporal",)})
    assert marked(before).findings == {"drusen": ("macula",), "of elsewhere": ("temporal",)}
    assert after(before, "note", note="a").findings == before.findings
    gone = marked(before, finding="of elsewhere", region="temporal", marked=False)
    assert gone.findings == {}


def test_normal_takes_findings_away_and_a_finding_takes_normal_away():
    normal = after(marked(), "normal", normal=True)
    assert normal.normal and not normal.findings
    assert not marked(normal).normal


def test_what_cannot_be_graded_is_neither_normal_nor_has_findings():
    normal = after(EMPTY, "normal", normal=True)
    for before in (marked(), normal):
        found = after(before, "ungradable", ungradable=True)
        assert found.ungradable and not found.findings and not found.normal
        assert after(found, "done", done=True).done
        assert not after(after(found, "done", done=True), "ungradable", ungradable=False).done
    blurred = after(PLACED, "ungradable", ungradable=True)
    assert not marked(blurred).ungradable
    assert marked(blurred, marked=False).ungradable
    assert not after(blurred, "normal", normal=True).ungradable


def test_what_says_nothing_is_not_done():
    with pytest.raises(UserError, match="nothing is marked"):
        after(PLACED, "done", done=True)
    done = after(marked(), "done", done=True)
    assert done.done and marked(done, region="temporal").done
    assert not marked(done, marked=False).done
    assert after(after(EMPTY, "normal", normal=True), "done", done=True).done


def test_a_reading_survives_its_text():
    reading = after(marked(), "note", note="a <b>\n'ß' \U0001f441")
    assert from_json(reading.to_json()) == reading


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        ([], "mapping"),
        ({"kind": "no"}, "kind='no'"),
        ({"kind": ["undo"]}, "kind="),
        ({"kind": "note"}, "takes note"),
        ({"kind": "note", "note": "a", "more": 1}, "takes note; got"),
        ({"kind": "note", "note": "a" * (LONGEST_NOTE + 1)}, "at most"),
        ({"kind": "note", "note": "\ud800"}, "half characters"),
        ({"kind": "note", "note": "a\0"}, "zero bytes"),
        ({"kind": "note", "note": 3}, "takes text"),
        ({"kind": "point", "point": "nose", "at": [1, 1]}, "point='nose'"),
        ({"kind": "point", "point": "disc", "at": [1]}, "two finite numbers"),
        ({"kind": "point", "point": "disc", "at": "12"}, "two finite numbers"),
        ({"kind": "point", "point": "disc", "at": [True, 1]}, "two finite numbers"),
        ({"kind": "point", "point": "disc", "at": [float("nan"), 1]}, "two finite numbers"),
        ({"kind": "point", "point": "disc", "at": [float("inf"), 1]}, "two finite numbers"),
        ({"kind": "point", "point": "disc", "at": [100.5, 1]}, "outside the photograph"),
        ({"kind": "point", "point": "disc", "at": [1, -0.1]}, "outside the photograph"),
        ({"kind": "point", "point": "disc", "at": [60.5, 22]}, "too close for regions"),
        ({"kind": "point", "point": "disc", "at": [61, 22.5]}, "too close for regions"),
        ({"kind": "point", "point": "disc", "at": [10**400, 1]}, "two finite numbers"),
        ({"kind": "points", "disc": [1, 1], "fovea": None}, "two finite numbers"),
        ({"kind": "region", "finding": "x", "region": "macula", "marked": True}, "finding='x'"),
        ({"kind": "region", "finding": "drusen", "region": "x", "marked": True}, "region='x'"),
        ({"kind": "region", "finding": "drusen", "region": "macula", "marked": 1}, "marked=1"),
        ({"kind": "finding", "finding": "drusen", "regions": "macula"}, "list of names"),
        ({"kind": "finding", "finding": "drusen", "regions": [["macula"]]}, "regions="),
        ({"kind": "normal", "normal": None}, "normal=None"),
        ({"kind": "ungradable", "ungradable": 1}, "ungradable=1"),
    ],
)
def test_wrong_edits_are_refused(edit, says):
    with pytest.raises(UserError, match=says):
        edited(PLACED, edit, ALLOWED)


def test_regions_want_points_and_hold_them():
    with pytest.raises(UserError, match="place both first"):
        marked(after(EMPTY, "point", point="disc", at=[1, 2]))
    with pytest.raises(UserError, match="follow from the fovea"):
        after(marked(), "point", point="fovea", at=None)
    assert after(marked(), "point", point="fovea", at=[70, 30]).findings == marked().findings
