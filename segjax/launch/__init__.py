"""Engines that run the points of a sweep."""
