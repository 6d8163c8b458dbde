"""Tasks bind a model, losses, metrics and pictures together over named fields; one file a task."""
