"""The shared training: experiment, step, loop, runs, parallelism, checkpoints."""
