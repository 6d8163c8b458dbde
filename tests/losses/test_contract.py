"""What every loss owes, whatever it measures."""

import inspect

from segjax import losses

from .oracles import ORACLES


def test_every_loss_has_an_oracle():
    assert sorted(ORACLES) == sorted(losses.__all__)


def test_positional_parameters_are_arrays_and_keyword_only_ones_are_options():
    for name in losses.__all__:
        for parameter in inspect.signature(getattr(losses, name)).parameters.values():
            is_array = parameter.default is inspect.Parameter.empty
            assert is_array == (parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD), name


def test_docstrings_say_where_a_loss_comes_from_and_what_it_does_at_the_edges():
    for name in losses.__all__:
        text = inspect.getdoc(getattr(losses, name))
        for heading in ("Source:", "Departures:", "Returns:", "Empty cases:", "Raises:", "Cost:"):
            assert heading in text, (name, heading)
