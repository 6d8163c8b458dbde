"""Annotation of findings by regions in a browser: `segjax annotate`."""
