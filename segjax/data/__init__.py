"""Data sets, the pipelines that read them, and what is done to a picture before a model sees it."""
