"""The sizes of benchmarks/device.py, which both of its sides read."""

import dataclasses

CLASSES = 4


@dataclasses.dataclass(frozen=True)
class Network:
    """A network and its batches.

    Attributes:
        kind: 'CellposeUNet' or 'PlainUNet'; every stage of the latter but the first halves.
        features: channels of each level.
        batch: images of a step.
        pixels: side of an image.
    """

    kind: str
    features: tuple[int, ...]
    batch: int
    pixels: int

    @property
    def channels(self) -> int:
        """Of the image: a photograph for one, a slice for the other."""
        return 3 if self.kind == "CellposeUNet" else 1

    @property
    def head_weights(self) -> tuple[float, ...]:
        """What the loss at each resolution of the plain U-Net weighs, as nnU-Net has it."""
        heads = len(self.features) - 1
        halves = [0.5**i for i in range(heads - 1)]
        return (1.0,) if heads == 1 else (*(half / sum(halves) for half in halves), 0.0)


@dataclasses.dataclass(frozen=True)
class Sizes:
    """One size of the whole script.

    Attributes:
        losses: (images, pixels of a side) of the losses and of persistence.
        masks: shapes `[b, *s]` of the distance transforms.
        networks: of the training steps and of augmentation.
        compared: networks whose first step is compared with the CPU's.
        population: network of each member.
        members: of the population.
        queue: steps that are sent to the device before it is waited for.
        seconds: for each turn of each timing.
    """

    losses: tuple[int, int]
    masks: dict[str, tuple[int, ...]]
    networks: tuple[Network, ...]
    compared: tuple[Network, ...]
    population: Network
    members: int
    queue: int
    seconds: float


FULL = Sizes(
    losses=(8, 256),
    masks={"2d": (8, 256, 256), "512": (4, 512, 512), "3d": (1, 64, 128, 128)},
    networks=(
        Network("CellposeUNet", (32, 64, 128, 256), batch=16, pixels=256),
        Network("PlainUNet", (32, 64, 128, 256, 512), batch=16, pixels=256),
    ),
    compared=(
        Network("CellposeUNet", (16, 32), batch=2, pixels=64),
        Network("PlainUNet", (16, 32, 64), batch=2, pixels=64),
    ),
    population=Network("PlainUNet", (16, 32, 64, 128, 128), batch=8, pixels=96),
    members=8,
    queue=5,
    seconds=0.4,
)
# Nearly all that a trial does is compile: as few different programs as there can be.
_TINY = (
    Network("CellposeUNet", (4,), batch=2, pixels=32),
    Network("PlainUNet", (4, 8), batch=2, pixels=32),
)
SMALL = Sizes(
    losses=(2, 32),
    masks={"2d": (2, 32, 32), "3d": (1, 8, 16, 16)},
    networks=_TINY,
    compared=_TINY,
    population=_TINY[1],
    members=8,
    queue=2,
    seconds=0.02,
)
