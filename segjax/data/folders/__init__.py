"""A folder of one's own as a data set: what belongs together, what it means, how it is split."""

from segjax.data.folders.preparing import prepare

__all__ = ["prepare"]
