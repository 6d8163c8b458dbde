import pytest

import segjax
from segjax.cli.parser import build_parser
from segjax.errors import UserError

HOME = "/home/somebody"


@pytest.mark.parametrize(
    "words, wanted",
    [
        ("train --config x.py --workdir=~/run", {"workdir": "run"}),
        ("evaluate --workdir=~/run", {"workdir": "run"}),
        (
            "predict --workdir=~/run --input ~/a.png ~/b --output=~/o",
            {"workdir": "run", "output": "o"},
        ),
        ("export --workdir=~/run --output=~/o", {"output": "o"}),
        (
            "data prepare idrid --manual_dir=~/m --data_dir=~/d",
            {"manual_dir": "m", "data_dir": "d"},
        ),
        ("data show idrid --data_dir=~/d --output=~/o.png", {"data_dir": "d", "output": "o.png"}),
        ("data list --data_dir=~/d --cache_dir=~/c", {"data_dir": "d", "cache_dir": "c"}),
        ("data remove idrid --data_dir=~/d --cache_dir=~/c", {"data_dir": "d", "cache_dir": "c"}),
        ("plan acdc --data_dir=~/d --output=~/p.json", {"data_dir": "d", "output": "p.json"}),
        ("sweep --config x.py --workdir=~/run", {"workdir": "run"}),
        ("landscape shift --output=~/o.png", {"output": "o.png"}),
        ("landscape parameters --workdir=~/run", {"workdir": "run"}),
    ],
)
def test_home_in_every_flag_that_takes_a_path(monkeypatch, words, wanted):
    monkeypatch.setenv("HOME", HOME)
    args = vars(build_parser().parse_args(words.split()))
    assert {name: str(args[name]) for name in wanted} == {
        k: f"{HOME}/{v}" for k, v in wanted.items()
    }


def test_version_and_fields_of_the_config(capsys):
    with pytest.raises(SystemExit):
        build_parser().parse_args(["--version"])
    assert capsys.readouterr().out == f"segjax {segjax.__version__}\n"
    with pytest.raises(UserError, match="no such flag; .* set by --config.PATH"):
        build_parser().parse_known_args(["train", "--seed=1"])


def test_home_in_lists_of_paths(monkeypatch):
    monkeypatch.setenv("HOME", HOME)
    parse = build_parser().parse_args
    words = ["predict", "--workdir", "r", "--input", "~/a.png", "~/b", "--output", "o"]
    assert parse(words).input == [f"{HOME}/a.png", f"{HOME}/b"]
    assert [str(path) for path in parse(["report", "~/x", "y"]).folders] == [f"{HOME}/x", "y"]


def test_the_help_of_predict_names_nifti(capsys):
    with pytest.raises(SystemExit):
        build_parser().parse_args(["predict", "--help"])
    shown = capsys.readouterr().out
    assert "NIfTI" in shown and ".nii.gz" in shown
