"""The table of options: what defaults, range checks and the docs are made of."""

import importlib.util
import math
import pathlib

import pytest

from segjax.data.augment import default_options, default_strengths, vocabulary

DOCS = pathlib.Path(__file__).parents[3] / "docs"
KINDS = ("photographs", "slices")


def augmentation_table():
    path = DOCS / "augmentation_table.py"
    spec = importlib.util.spec_from_file_location("augmentation_table", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_fields_of_configs_are_these_with_these_defaults():
    # Saved configs name them, and a field that one lacks has its default.
    assert default_strengths() == dict.fromkeys(
        (
            *("flip_horizontal", "flip_vertical", "transpose", "rotate", "scale", "translate"),
            *("shear", "brightness", "contrast", "gamma", "noise"),
        ),
        0.0,
    )
    assert default_options() == {
        "rotate": 0.2,
        "scale": 0.2,
        "noise": 0.1,
        "blur": 0.2,
        "brightness": 0.15,
        "contrast": 0.15,
        "low_resolution": 0.25,
        "inverted_gamma": 0.1,
        "gamma": 0.3,
        "mirror": 0.5,
        "rotate_degrees": 180.0,
        "scale_low": 0.7,
        "scale_high": 1.4,
        "noise_variance": 0.1,
        "blur_low": 0.5,
        "blur_high": 1.0,
        "brightness_low": 0.75,
        "brightness_high": 1.25,
        "contrast_low": 0.75,
        "contrast_high": 1.25,
        "zoom_low": 0.5,
        "zoom_high": 1.0,
        "gamma_low": 0.7,
        "gamma_high": 1.5,
    }


def test_probabilities_of_slices_are_in_the_order_of_their_keys():
    assert vocabulary.probabilities("slices") == (
        *("rotate", "scale", "noise", "blur", "brightness", "contrast"),
        *("low_resolution", "inverted_gamma", "gamma", "mirror"),
    )


def test_every_option_is_named_once_and_its_default_is_in_range():
    for kind in KINDS:
        own = [option.name for option in vocabulary.OPTIONS if option.kind == kind]
        assert len(own) == len(set(own)) == len(vocabulary.options_of(kind))
        assert vocabulary.complete(kind, {}) == vocabulary.defaults(kind)
    assert {option.kind for option in vocabulary.OPTIONS} == set(KINDS)
    assert all(type(option.default) is float for option in vocabulary.OPTIONS)
    assert {option.effect for option in vocabulary.OPTIONS} > set(vocabulary.SPATIAL)


@pytest.mark.parametrize("option", vocabulary.OPTIONS, ids=lambda o: f"{o.kind}-{o.name}")
def test_both_ends_are_taken_and_what_lies_beyond_is_refused(option):
    def taken(value):
        return vocabulary.complete(option.kind, {option.name: value})[option.name]

    known = vocabulary.defaults(option.kind)
    high = known.get(option.high, option.high)
    # What another option has as its end is no lower than that option.
    below = [other.name for other in vocabulary.OPTIONS if other.high == option.name]
    low = max(option.low, *(known[name] for name in below)) if below else option.low
    assert taken(low) == low
    with pytest.raises(ValueError, match="takes a (finite )?number"):
        taken(low - 0.001)
    with pytest.raises(ValueError, match=f"`{option.name}` takes a (finite )?number"):
        taken(math.inf)
    if high != math.inf:
        assert taken(high) == high
        with pytest.raises(ValueError, match=f"`{option.name}` takes a number from"):
            taken(high + 0.001)
    with pytest.raises(ValueError, match="takes a (finite )?number"):
        taken(math.nan)


@pytest.mark.parametrize("kind, name", [("photographs", "mirror"), ("slices", "translate")])
def test_options_of_the_other_kind_are_refused(kind, name):
    with pytest.raises(TypeError, match=f"`{name}` is no augmentation of {kind}: they take "):
        vocabulary.complete(kind, {name: 0.1})


def test_the_docs_show_the_table():
    page = (DOCS / "augmentation.md").read_text()
    assert augmentation_table().updated(page) == page, "run `python docs/augmentation_table.py`"
    assert all(f"| `{option.name}` |" in page for option in vocabulary.OPTIONS)
