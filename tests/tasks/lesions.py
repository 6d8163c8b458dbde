"""What the tests of tasks on lesions share: photographs in memory, an experiment, networks."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np

from segjax.config.defaults import base
from segjax.data.features import EncodedImage
from segjax.train import parallel

DIGEST = "0123456789abcdef" * 4


def example(index, size=(40, 56), lesions=None, **more):
    """A photograph of noise; `lesions` are pixels (y, x), of which each is a square of 3 by 3."""
    generator = np.random.default_rng(index)
    image = generator.integers(0, 256, (*size, 3), dtype=np.uint8)
    mask = np.zeros((*size, 1), np.uint8)
    for y, x in () if lesions is None else lesions:
        mask[y - 1 : y + 2, x - 1 : x + 2] = 1
    return {"image_id": f"eye{index}".encode(), "image": image, "microaneurysms": mask, **more}


SPLIT = (
    example(0, (40, 56), [(10, 12), (1, 1), (38, 54)], grade=2),
    example(1, (40, 56), grade=0),
    example(2, (51, 47), [(25, 24)], grade=1),
    example(3, (64, 45), grade=0),
    example(4, (40, 56), grade=3),
)


class Data:
    """A data set in memory (`data/dataset.py: Dataset`); it counts how often it was opened."""

    def __init__(self, **splits):
        self.splits, self.opened = splits or {"train": SPLIT, "validation": SPLIT}, 0
        self.digest = DIGEST
        self.features = {
            "image": EncodedImage(shape=(None, None, 3)),
            "image_id": SimpleNamespace(shape=(), np_dtype=np.object_),
            "microaneurysms": EncodedImage(shape=(None, None, 1)),
            "grade": SimpleNamespace(shape=(), np_dtype=np.int64),
            "findings": SimpleNamespace(shape=(4,), np_dtype=np.uint8),
        }

    def open(self, split, fields):
        self.opened += 1
        return self.splits[split]

    def column(self, split, field):
        return [example[field] for example in self.splits[split]]

    def expression(self, split):
        return f"{split}[:90%]"


def experiment(task, folder, model=None, data=None, augment=None, **changes):
    """What a task may use of an experiment; `changes` are of `config.data` and `evaluate`."""
    config = base()
    config.data.data_dir = str(folder)
    config.evaluate.batch_size = 3
    for name, value in changes.items():
        section, _, key = name.rpartition("__")
        config[section or "data"][key] = value
    return SimpleNamespace(
        config=config, data=data or Data(), task=task, model=model, augment=augment
    )


def one_device():
    return parallel.make("sharding", jax.local_devices()[:1])


def state(slope=7.3, offset=-4.1):
    """Variables of the stub networks."""
    variables = {"params": {"slope": jnp.float32(slope), "offset": jnp.float32(offset)}}
    return SimpleNamespace(variables=variables)


class PixelNetwork:
    """The logit of each pixel is slope v + offset, v its red intensity in [0, 1]."""

    def __init__(self, classes=2):
        self.classes = classes

    def apply(self, variables, image, *, train):
        assert not train and image.dtype == jnp.float32
        own = variables["params"]
        logit = own["slope"] * image[..., 0] + own["offset"]
        parts = [logit] if self.classes == 1 else [-logit / 2, logit / 2]
        return {"logits": jnp.stack(parts, axis=-1)}


def pixel_oracle(image, slope=7.3, offset=-4.1):
    """What `PixelNetwork` gives, float64."""
    logit = slope * (np.asarray(image)[..., 0] / 255) + offset
    return 1 / (1 + np.exp(-logit))


class WholePatch:
    """The logit weighs every pixel of a patch; the embedding is its red middle and its mean."""

    embeds = True

    def __init__(self):
        self.calls = []

    @staticmethod
    def weights(size):
        y, x = np.mgrid[: size[0], : size[1]]
        return (np.sin(3 * y + x * x) * 0.3).astype(np.float32)[..., None]

    def apply(self, variables, image, *, train):
        assert not train and image.dtype == jnp.float32
        self.calls.append(image.shape)
        own = variables["params"]
        total = jnp.sum(image * self.weights(image.shape[1:3])[None], axis=(1, 2, 3))
        logit = own["slope"] * total + own["offset"]
        middle = image[:, image.shape[1] // 2, image.shape[2] // 2, 0]
        outputs = {"logits": jnp.stack([-logit / 2, logit / 2], axis=-1)}
        if self.embeds:
            outputs["embedding"] = jnp.stack([middle, jnp.mean(image, axis=(1, 2, 3))], axis=-1)
        return outputs


def patch_oracle(image, centre, size, slope=0.7, offset=-0.2):
    """The probability and the embedding at one pixel, float64, the border repeated."""
    rows, columns = (
        np.clip(np.arange(c - side // 2, c - side // 2 + side), 0, n - 1)
        for c, side, n in zip(centre, size, image.shape, strict=False)
    )
    patch = np.asarray(image)[np.ix_(rows, columns)].astype(np.float64) / 255
    logit = slope * np.sum(patch * WholePatch.weights(size)) + offset
    middle = patch[size[0] // 2, size[1] // 2, 0]
    return 1 / (1 + np.exp(-logit)), (middle, patch.mean())
