"""The shared training: preflight, step, loop, parallelism, checkpoints, evaluation and reports."""
