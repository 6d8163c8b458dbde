"""One TFDS builder per file; each is imported from its own module."""
