"""Engines that run the points of a sweep, one class a file (`base.py` says what one is)."""
