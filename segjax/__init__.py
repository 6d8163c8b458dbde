"""segjax: segmentation and localisation of biomedical images in JAX and Flax.

Importing the package touches no device. The public families are modules:
`from segjax import losses, metrics, models, ops, stats`.
"""

__version__ = "0.1.0"
