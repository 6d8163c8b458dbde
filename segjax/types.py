"""Array aliases. Axis letters: b batch, *s spatial, h w d, c classes or channels, n points.

Annotations are documentation at run time and are checked (jaxtyping with beartype) in the tests.
"""

from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, Shaped

__all__ = ["Array", "Bool", "Float", "Int", "PRNGKeyArray", "Shaped"]
