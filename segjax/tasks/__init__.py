"""Tasks bind a model, losses, metrics and pictures over named fields; one folder a task."""
