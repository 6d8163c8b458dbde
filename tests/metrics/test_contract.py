"""What every metric owes, whatever it measures."""

import ast
import inspect
import pathlib

import pytest

from segjax import metrics

HEADINGS = ("Source:", "Departures:", "Args:", "Returns:", "Empty cases:", "Raises:", "Cost:")
CONTRACT = """dice jaccard hausdorff_distance average_surface_distance surface_dice r_aed roc_auc
average_precision activation_in_region betti_numbers betti_error euler_number cl_dice""".split()


def test_the_names_that_others_rely_on_are_there():
    assert set(CONTRACT) <= set(metrics.__all__)
    assert metrics.__all__ == sorted(metrics.__all__)


@pytest.mark.parametrize("name", metrics.__all__)
def test_the_docstring_says_what_it_measures_and_what_happens_at_the_edges(name):
    text = inspect.getdoc(getattr(metrics, name))
    places = [text.find(heading) for heading in HEADINGS]
    assert min(places) > 0 and places == sorted(places), dict(zip(HEADINGS, places, strict=True))
    assert len(text.splitlines()[0]) < 100 and text.splitlines()[1] == ""


@pytest.mark.parametrize("name", metrics.__all__)
def test_the_docstring_describes_every_argument(name):
    function = getattr(metrics, name)
    arguments = inspect.getdoc(function).split("Args:")[1].split("Returns:")[0]
    described = [line.split(":")[0].strip() for line in arguments.splitlines() if ":" in line]
    for parameter in inspect.signature(function).parameters:
        assert parameter in described, parameter


@pytest.mark.parametrize("name", metrics.__all__)
def test_positional_parameters_are_arrays_and_keyword_only_ones_are_options(name):
    for parameter in inspect.signature(getattr(metrics, name)).parameters.values():
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
            assert parameter.default is parameter.empty, parameter
        else:
            assert parameter.kind is parameter.KEYWORD_ONLY, parameter
        assert parameter.annotation is not parameter.empty, parameter
        assert parameter.name != "mask" or parameter.kind is not parameter.KEYWORD_ONLY


def test_libraries_that_take_long_to_import_wait_until_they_are_used():
    for path in pathlib.Path(metrics.__file__).parent.glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [node.module] if isinstance(node, ast.ImportFrom) else []
                names += [alias.name for alias in node.names]
                assert not any(n.split(".")[0] in ("scipy", "skimage") for n in names), path.name
