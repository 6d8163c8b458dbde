"""What every metric owes, whatever it measures."""

import ast
import functools
import inspect
import pathlib

import jax
import numpy as np
import pytest
from numpy.lib import recfunctions

from segjax import metrics

OPTIONS = {"surface_dice": {"tolerance": 1.0}, "match_lesions": {"least": 0.7}}
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


def arguments(name):
    """Arrays for a metric, made from its parameters' names; volumes where it can."""
    rng = np.random.default_rng(0)
    shape = (1, 6, 10, 8)  # one image, so that in Fortran order its volume is contiguous too
    masks = rng.random(shape) < 0.5
    masks[:, 2:4, 2:7, 1:6] = True
    made = {
        "pred": masks,
        "mask": masks,
        "label": np.roll(masks, 1, axis=2),
        "predicted": rng.integers(0, 2, shape),
        "labels": np.roll(masks, 2, axis=1),
        "scores": rng.random(shape).astype(np.float32),
        "activation": rng.random(shape).astype(np.float32),
        "region": np.roll(masks, 3, axis=1),
        "counts": np.cumsum(rng.integers(1, 9, (3, 5, 4)), axis=1)[:, ::-1],
        "mean_distance": rng.random((3, 4)),
        "thresholds": np.array([0.25, 0.5]),
    }
    made["histogram"] = metrics.score_histogram(made["scores"], made["labels"])
    plane = made["scores"][0, 0], made["labels"][0, 0]
    made["match"] = metrics.match_lesions(*plane, least=0.8)
    if name == "match_lesions":
        made |= dict(zip(("scores", "labels"), plane, strict=True))
    if name in ("euclidean_distance", "r_aed"):
        made = {"predicted": rng.random((6, 2)), "true": rng.random((6, 2))}
    parameters = inspect.signature(getattr(metrics, name)).parameters.values()
    arrays = [made[p.name] for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    return jax.tree.map(np.ascontiguousarray, arrays)


def numbers(result):
    """All numbers of a result in one array: of an array, a tuple of several, or records."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(result)]
    plain = [recfunctions.structured_to_unstructured(x) if x.dtype.names else x for x in leaves]
    return np.concatenate([np.ravel(x) for x in plain])


def strided(x):
    """x as every other element of a larger array."""
    larger = np.zeros([2 * n for n in x.shape], x.dtype)
    view = larger[tuple(slice(None, None, 2) for _ in x.shape)]
    view[...] = x
    return view


def reversed_view(x):
    every = tuple(slice(None, None, -1) for _ in x.shape)
    return np.ascontiguousarray(x[every])[every]


@pytest.mark.parametrize("name", metrics.__all__)
def test_the_order_of_an_array_in_memory_does_not_matter(name):
    arrays, options = arguments(name), OPTIONS.get(name, {})
    metric = getattr(metrics, name)
    wanted = metric(*arrays, **options)
    values = numbers(wanted)
    assert values.size and np.all(np.isfinite(values) | np.isneginf(values))  # -inf: not found
    for view in (np.asfortranarray, reversed_view, strided):
        given = jax.tree.map(view, arrays)
        assert jax.tree.all(jax.tree.map(np.array_equal, given, arrays))
        for some in (given, [given[0], *arrays[1:]]):
            same = functools.partial(np.testing.assert_array_equal, err_msg=view.__name__)
            jax.tree.map(same, metric(*some, **options), wanted)
