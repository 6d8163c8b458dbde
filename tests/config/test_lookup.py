import sys
import types

import pytest
from ml_collections import ConfigDict

from segjax.config import lookup
from segjax.errors import UserError


def test_every_family_offers_what_its_files_hold():
    assert {"coordinate_mean_squared_error", "multiscale_softmax_cross_entropy"} <= set(
        lookup.names("losses")
    )
    assert "CellposeUNet" in lookup.names("models")
    assert {"adam", "adamw", "sgd"} <= set(lookup.names("optimizers"))
    assert {"constant", "cosine_decay", "exponential_decay"} <= set(lookup.names("schedules"))
    assert {"idrid", "synthetic_fundus"} <= set(lookup.names("datasets"))
    assert lookup.names("tasks") == [
        "guided_classification",
        "lesion_segmentation",
        "localization",
        "patch_refinement",
        "segmentation",
        "volume_segmentation",
    ]


@pytest.mark.parametrize("family", lookup.FAMILIES)
def test_names_are_sorted_and_each_is_found(family):
    names = lookup.names(family)
    assert names == sorted(set(names))
    for name in names:
        assert callable(lookup.find(family, name))


def test_modules_and_helpers_are_not_offered():
    assert "cellpose" not in lookup.names("models")
    assert "common" not in lookup.names("datasets")
    assert "binding" not in lookup.names("tasks")
    assert not {"metric", "sums", "images"} & set(lookup.names("tasks"))


def test_a_misspelling_gets_path_value_nearest_and_options():
    with pytest.raises(UserError) as caught:
        lookup.find("optimizers", "sdg", "config.optimizer.name")
    message = str(caught.value)
    assert message.startswith("config.optimizer.name='sdg': ")
    assert "did you mean 'sgd'?" in message
    for name in lookup.names("optimizers"):
        assert name in message


def test_nothing_near_suggests_nothing():
    with pytest.raises(UserError) as caught:
        lookup.find("models", "qqqqqq", "config.model.name")
    assert "did you mean" not in str(caught.value)
    assert "CellposeUNet" in str(caught.value)


@pytest.mark.parametrize("name", [None, 3, "", ("sgd",)])
def test_what_is_no_name_is_refused(name):
    with pytest.raises(UserError, match="config.optimizer.name="):
        lookup.find("optimizers", name, "config.optimizer.name")


def test_a_colon_reaches_code_outside(monkeypatch):
    outside = types.ModuleType("my_losses")
    outside.mine = lambda heatmap, points, *, power=2: None
    monkeypatch.setitem(sys.modules, "my_losses", outside)
    assert lookup.find("losses", "my_losses:mine") is outside.mine
    assert lookup.spec("losses", "my_losses:mine").power == 2


@pytest.mark.parametrize("name", ["no_such_module:f", "math:no_such_name", ":f", "math:", ".:f"])
def test_code_outside_that_is_not_there_is_named(name):
    with pytest.raises(UserError, match="cannot import it") as caught:
        lookup.find("losses", name, "config.loss.mine.name")
    assert f"config.loss.mine.name={name!r}" in str(caught.value)


def test_options_are_keyword_only_parameters_without_what_the_program_supplies():
    def loss(logits, labels, *, where=None, weights=None, spacing=None, gamma=2.0, alpha):
        pass

    options = lookup.options_of(loss)
    assert set(options) == {"gamma", "alpha"}
    assert options["gamma"] == 2.0
    model = lookup.options_of(lookup.find("models", "CellposeUNet"))
    assert {"features", "outputs"} <= set(model)
    assert not {"parent", "name", "dtype", "axis_name"} & set(model)


def test_unknown_and_missing_options_are_named():
    def loss(logits, *, gamma=2.0, alpha):
        pass

    lookup.check_options(loss, {"alpha": 1}, "config.loss.a")
    with pytest.raises(UserError, match=r"config\.loss\.a\.gama: loss takes no such") as caught:
        lookup.check_options(loss, {"gama": 1, "alpha": 1}, "config.loss.a")
    assert "did you mean 'gamma'?" in str(caught.value)
    assert "It takes: gamma, alpha" in str(caught.value)
    with pytest.raises(UserError, match=r"config\.loss\.a\.alpha: loss needs this option"):
        lookup.check_options(loss, {"gamma": 1}, "config.loss.a")
    with pytest.raises(UserError, match="no options"):
        lookup.check_options(lambda x: x, {"a": 1}, "config.x")


def test_spec_writes_every_default_out():
    section = lookup.spec("optimizers", "sgd", learning_rate=0.01)
    assert section.to_dict() == {
        "name": "sgd",
        "learning_rate": 0.01,
        "momentum": 0.0,
        "nesterov": False,
        "weight_decay": 0.0,
    }
    with pytest.raises(UserError, match="momentun.*did you mean 'momentum'"):
        lookup.spec("optimizers", "sgd", learning_rate=0.01, momentun=0.9)
    with pytest.raises(UserError, match="learning_rate: sgd needs this option"):
        lookup.spec("optimizers", "sgd")


def test_resolve_gives_the_object_and_plain_options():
    section = ConfigDict({"name": "CellposeUNet", "features": [4, 8], "outputs": 1})
    found, options = lookup.resolve("models", section, "config.model")
    assert found is lookup.find("models", "CellposeUNet")
    assert options == {"features": (4, 8), "outputs": 1}
    assert isinstance(options["features"], tuple)


def test_resolve_leaves_the_callers_keys_out():
    term = lookup.spec("losses", "coordinate_mean_squared_error")
    term.weight = 0.5
    _, options = lookup.resolve("losses", term, "config.loss.a", extra=("weight",))
    assert "weight" not in options
    with pytest.raises(UserError, match=r"config\.loss\.a\.weight"):
        lookup.resolve("losses", term, "config.loss.a")
