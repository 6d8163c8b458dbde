"""How tests compile: unoptimised, for nearly all that a test does is compile."""

from importlib import metadata

FLAGS = ["--xla_backend_optimization_level=0"]
# Together they halve what is left. XLA ends a process for a flag that it does not know, so other
# versions go without.
if metadata.version("jaxlib").startswith("0.10."):
    FLAGS += [
        "--xla_cpu_use_fusion_emitters=false",
        "--xla_cpu_parallel_codegen_split_count=1",
    ]


def flags(given: str, *, optimised: bool) -> str:
    """XLA_FLAGS with those of an unoptimised program, or without them."""
    names = [flag.partition("=")[0] for flag in FLAGS]
    others = [flag for flag in given.split() if flag.partition("=")[0] not in names]
    return " ".join(others + ([] if optimised else FLAGS))
