"""What the page of progress says, against agreement computed by hand."""

import pytest

from segjax import stats
from tests.annotate.serving import photograph, served

# Of four photographs and three annotators: where drusen are marked; None: not finished.
MARKS = [
    [("macula",), ("macula", "temporal"), ("macula",)],
    [(), (), ("temporal",)],
    [("macula",), (), None],
    [("temporal",), ("temporal",), ("macula",)],
]
NAMES = ("Kim", "Lee", "Park")


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for k in range(len(MARKS)):
        photograph(folder / f"{k}.png", seed=k)
    with served(folder, folder.parent / "progress.sqlite") as page:
        for person, name in enumerate(NAMES):
            who = page.annotator(name)
            for image, marks in zip(who.images, MARKS, strict=True):
                who.place(image["id"])
                if marks[person] is None:
                    continue
                if marks[person]:
                    regions = list(marks[person])
                    who.edit(image["id"], "finding", finding="drusen", regions=regions)
                else:
                    who.edit(image["id"], "normal", normal=True)
                who.edit(image["id"], "done", done=True)
        yield page.get("api/progress").json


def test_who_is_how_far(said):
    expected = [("Kim", 4, 0), ("Lee", 4, 0), ("Park", 3, 1)]
    assert [(a["name"], a["done"], a["begun"]) for a in said["annotators"]] == expected
    assert said["images"] == 4 and said["missing"] == []


def test_what_cannot_be_graded_is_counted_and_out_of_the_figures(tmp_path):
    photograph(tmp_path / "photos" / "a.png")
    with served(tmp_path / "photos", tmp_path / "f.sqlite") as page:
        for name, kind in (("Lee", "normal"), ("Kim", "normal"), ("Park", "ungradable")):
            who = page.annotator(name)
            image = who.images[0]["id"]
            who.edit(image, kind, **{kind: True})
            who.edit(image, "done", done=True)
        found = page.get("api/progress").json
    assert [a["ungradable"] for a in found["annotators"]] == [0, 0, 1]
    assert [a["done"] for a in found["annotators"]] == [1, 1, 1]
    # As the table of annotators has them: in the order of their coming
    pairs = [(pair["a"], pair["b"]) for pair in found["findings"][0]["cohen"]]
    assert pairs == [("Lee", "Kim")]
    assert found["findings"][0]["fleiss_annotators"] == 2


def test_agreement_is_of_finished_readings(said):
    drusen = next(each for each in said["findings"] if each["name"] == "drusen")
    marked = [[None if m is None else bool(m) for m in row] for row in MARKS]
    whole = [row for row in marked if None not in row]
    kappas = {}
    for a, b in ((0, 1), (0, 2), (1, 2)):
        both = [(row[a], row[b]) for row in marked if row[a] is not None and row[b] is not None]
        kappas[NAMES[a], NAMES[b]] = stats.cohen_kappa(*zip(*both, strict=True))
    assert {(e["a"], e["b"]): e["kappa"] for e in drusen["cohen"]} == pytest.approx(kappas)
    assert [each["images"] for each in drusen["cohen"]] == [4, 3, 3]
    assert drusen["cohen_mean"] == pytest.approx(sum(kappas.values()) / 3)
    counts = [[sum(row), 3 - sum(row)] for row in whole]
    assert drusen["fleiss"] == pytest.approx(stats.fleiss_kappa(counts))
    assert (drusen["fleiss_images"], drusen["fleiss_annotators"]) == (3, 3)
    # Pairs that both marked: 1/2, 1, 1/2 of the first, 1, 0, 0 of the last photograph
    assert drusen["jaccard"] == pytest.approx((0.5 + 1 + 0.5 + 1 + 0 + 0) / 6)
    assert (drusen["jaccard_pairs"], drusen["present"]) == (6, 8)


def test_all_figures_are_of_the_photographs_of_the_folder(tmp_path):
    for name in ("a", "b"):
        photograph(tmp_path / name / f"{name}.png", seed=ord(name))
        with served(tmp_path / name, tmp_path / "f.sqlite") as page:
            for who in map(page.annotator, NAMES):
                image = who.images[0]["id"]
                who.place(image)
                who.mark(image, "drusen", "macula")
                who.edit(image, "done", done=True)
            found = page.get("api/progress").json
    drusen = next(each for each in found["findings"] if each["name"] == "drusen")
    assert (drusen["present"], drusen["fleiss_images"], drusen["jaccard_pairs"]) == (3, 1, 3)
    assert {each["images"] for each in drusen["cohen"]} == {1}
    assert found["missing"] == ["a.png"]


def test_what_is_not_defined_is_null(said):
    other = next(each for each in said["findings"] if each["name"] == "membrane")
    assert other["cohen_mean"] is None and other["fleiss"] is None and other["jaccard"] is None
