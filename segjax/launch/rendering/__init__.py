"""Text for schedulers, one kind a file: the points of a sweep as jobs of a cluster."""
