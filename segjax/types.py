"""Array aliases. Axis letters: b batch, *s spatial, h w d, c classes or channels, n points.

Annotations document shapes; arrays are checked by the functions themselves (`ops/checks.py`).
"""

from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, Shaped

__all__ = ["Array", "Bool", "Float", "Int", "PRNGKeyArray", "Shaped"]
