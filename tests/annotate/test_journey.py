"""From a folder of photographs to a trained classifier, and its map back on the page."""

import cv2
import numpy as np
import pytest

from segjax.annotate.photographs import Folder
from segjax.annotate.proposals import Proposals
from segjax.annotate.reading import EMPTY, Reading
from segjax.cli import main
from segjax.data.png import write_png
from segjax.data.regions import REGIONS, active_regions, region_map
from segjax.data.synthetic.findings import FINDINGS, generate_findings
from segjax.errors import UserError
from tests.annotate.serving import served

pytestmark = pytest.mark.usefixtures("command_settings")

SEEDS = range(10)
SMALL = {
    "data.image_size": "(32, 32)",
    "data.batch_size": 8,
    "evaluate.batch_size": 8,
    "train.steps": 1,
    "model.features": "(4, 4, 8, 8)",
    "model.branch": 4,
}


@pytest.fixture(scope="module")
def eyes():
    return {f"eye_{seed}.png": generate_findings(seed, 96) for seed in SEEDS}


@pytest.fixture(scope="module")
def home(tmp_path_factory, eyes):
    made = tmp_path_factory.mktemp("journey")
    for name, eye in eyes.items():
        write_png(made / "photos" / name, eye["image"])
    return made


def regions_of(eye, finding):
    return [name for name, there in zip(REGIONS, eye[f"{finding}_regions"], strict=True) if there]


def annotate(page, name, eyes):
    """An annotator marks what the phantoms show."""
    who = page.annotator(name)
    for image in who.images:
        eye = eyes[image["name"]]
        who.place(image["id"], eye["disc"].tolist(), eye["fovea"].tolist())
        for finding in FINDINGS:
            if marked := regions_of(eye, finding):
                answer = who.edit(image["id"], "finding", finding=finding, regions=marked)
                assert answer.status == 200
        if not any(eye[f"{finding}_label"] for finding in FINDINGS):
            who.edit(image["id"], "normal", normal=True)
        assert who.edit(image["id"], "done", done=True).status == 200


@pytest.fixture(scope="module")
def classifier(home, eyes, command_settings):
    """A classifier of drusen, trained for a step on what was annotated."""
    with served(home / "photos", home / "a.sqlite") as page:
        annotate(page, "Kim", eyes)
    photos, file, table = (str(home / name) for name in ("photos", "a.sqlite", "table.csv"))
    assert main(["annotate", photos, "--annotations", file, "--table", table]) == 0
    data = ["--data_dir", str(home / "data")]
    given = ["--images", photos, "--findings", table, "--name", "mine", "--validation", "0.2"]
    assert main(["data", "prepare", "folder", *given, "--seed", "5", *data]) == 0
    config = home / "mine.py"
    assert main(["new", str(config), "--data", "mine", *data]) == 0
    flags = [f"--config.{key}={value}" for key, value in SMALL.items()]
    flags += ["--config.task_options.finding=drusen", f"--config.data.data_dir={home / 'data'}"]
    assert main(["train", "--config", str(config), "--workdir", str(home / "run"), *flags]) == 0
    return home / "run"


def test_a_map_comes_back_to_the_page(home, eyes, classifier):
    proposals = Proposals(runs=[classifier], findings=FINDINGS)
    # Remembered then: the server's threads have the strict switches of tests, this one JAX's own
    folder = Folder(home / "photos")
    proposals.of(folder.open(next(iter(folder.listed))), EMPTY)
    with served(home / "photos", home / "a.sqlite", proposals=proposals) as page:
        assert page.get("api/session").json["proposals"] == {
            "points": False,
            "findings": ["drusen"],
        }
        kim, lee = page.annotator("Kim"), page.annotator("Lee")
        image = kim.images[0]
        said = page.get(f"api/annotators/{kim.id}/images/{image['id']}/proposal").json
        (found,) = said["findings"]
        assert found["finding"] == "drusen" and 0 < found["probability"] < 1 and found["map"]
        answer = page.get(f"api/images/{image['id']}/activation/drusen")
        heat = cv2.imdecode(np.frombuffer(answer.body, np.uint8), cv2.IMREAD_UNCHANGED)
        assert heat.shape == (96, 96, 4)
        activation = heat[..., 3] / 255
        eye = eyes[image["name"]]
        inside = region_map(eye["disc"], eye["fovea"], 96, 96)
        level = min(0.5, activation.max())
        seen = {REGIONS[k] for k in np.unique(inside[activation >= level + 0.004])}
        assert seen <= {*found["regions"]}
        # Without points there are no regions yet; accepted, they are an ordinary edit
        path = f"api/annotators/{lee.id}/images/{image['id']}/proposal"
        assert page.get(path).json["findings"][0]["regions"] is None
        lee.place(image["id"], eye["disc"].tolist(), eye["fovea"].tolist())
        regions = page.get(path).json["findings"][0]["regions"]
        assert regions == found["regions"]
        answer = lee.edit(image["id"], "finding", finding="drusen", regions=regions)
        assert answer.json["reading"]["findings"] == {"drusen": regions}
        assert page.get(f"api/images/{image['id']}/activation/membrane").status == 404


def test_points_are_predicted_by_runs_of_points(home, trained):
    with pytest.raises(UserError, match="was not trained to find the disc"):
        Proposals({"disc": trained})
    proposals = Proposals({"fovea": trained})
    folder = Folder(home / "photos")
    opened = folder.open(next(iter(folder.listed)))
    said = proposals.of(opened, EMPTY)
    assert said["findings"] == [] and {*said["points"]} == {"fovea"}
    x, y = said["points"]["fovea"]
    assert 0 <= x <= 96 and 0 <= y <= 96
    assert proposals.of(opened, Reading(disc=(1.0, 2.0))) == said


def test_runs_of_something_else_are_refused(trained, classifier, tmp_path):
    with pytest.raises(UserError, match="takes runs of guided_classification"):
        Proposals(runs=[trained], findings=FINDINGS)
    with pytest.raises(UserError, match="classifies 'drusen', which is not in the list"):
        Proposals(runs=[classifier], findings=["membrane"])
    with pytest.raises(UserError, match="classifies 'drusen', as"):
        Proposals(runs=[classifier, classifier], findings=FINDINGS)
    with pytest.raises(UserError, match="no such work folder"):
        Proposals(runs=[tmp_path / "none"], findings=FINDINGS)
    with pytest.raises(UserError):
        Proposals(runs=[tmp_path], findings=FINDINGS)


def test_active_regions_hold_half_or_the_peak():
    disc, fovea = (20, 50), (60, 52)
    heat = np.zeros((100, 100), np.float32)
    assert active_regions(heat, disc, fovea) == ()
    heat[52, 60] = 0.3
    assert active_regions(heat, disc, fovea) == ("macula",)
    heat[48, 20], heat[2, 80] = 0.9, 0.5
    assert active_regions(heat, disc, fovea) == ("disc_superior", "superior_temporal")
