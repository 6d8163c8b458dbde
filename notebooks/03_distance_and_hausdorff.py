# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Losses that know distances
#
# Overlap losses count wrong pixels; they do not ask where those lie. For a radiologist a stray
# island far from the organ is worse than a boundary that is off by a pixel, and the Hausdorff
# distance says so:
#
# $$\mathrm{HD}(S, G) = \max\Big( \max_{s \in \partial S} \min_{g \in \partial G}
#   \lVert s - g \rVert,\;
#   \max_{g \in \partial G} \min_{s \in \partial S} \lVert s - g \rVert \Big).$$
#
# It hangs on a single pixel, so nobody descends on it directly. This notebook looks at its
# replacements.

# %%
# %matplotlib inline
import jax.numpy as jnp
import numpy as np

from segjax import metrics
from segjax.explore import plotting, shapes
from segjax.explore.loss_text import parse_loss
from segjax.ops.distance import distance_transform, signed_distance

# %% [markdown]
# ## The distance transform
#
# $D(m)_i = \min_{j \notin m} \lVert i - j \rVert$ for the pixels $i$ of a mask $m$, and 0 outside.
# Everything here is made of it. It is exact, and runs inside `jit`.

# %%
disc = shapes.family("shift", size=64, radius=12.0, steps=5)
truth = jnp.asarray(disc.labels[:1]) > 0
plotting.image_row(
    {
        "D(truth)": np.asarray(distance_transform(truth, spatial_ndim=2))[0],
        "D(not truth)": np.asarray(distance_transform(~truth, spatial_ndim=2))[0],
        "signed distance": np.asarray(signed_distance(truth, spatial_ndim=2))[0],
    },
    label="pixels",
    outline=disc.labels[0],
)

# %% [markdown]
# *Figure 1. Distances inside a disc, outside it, and both with a sign.*
#
# ## Boundary loss and Hausdorff loss
#
# Boundary loss (Kervadec et al.) multiplies the prediction by the signed distance $\phi_G$ of the
# truth; Karimi and Salcudean weigh the squared error by the distances from both boundaries:
#
# $$L_B = \frac{1}{N} \sum_i p_i\, \phi_G(i), \qquad
#   L_{HD} = \frac{1}{N} \sum_i (p_i - g_i)^2 \big( d_G^\alpha(i) + d_S^\alpha(i) \big).$$
#
# Their two cheaper forms count how many erosions an error survives ($L_{ER}$), and which disks fit
# into it ($L_{CV}$). What they share shows when the predicted disc moves away.

# %%
names = ("cross_entropy", "dice", "boundary", "hausdorff_dt", "hausdorff_er", "hausdorff_cv")
terms = [parse_loss(name) for name in names]
shapes.shapes_figure(terms, "shift", size=64, radius=12.0)

# %% [markdown]
# *Figure 2. A disc shifted to the right. Cross entropy and dice are blind once the discs no longer
# touch, at 24 pixels. Boundary loss and the Hausdorff loss by distance transforms go on rising; the
# two cheaper forms measure how thick the error is, which is at most the disc itself.*

# %%
shapes.shapes_figure(terms, "hole", size=64, radius=12.0)

# %% [markdown]
# *Figure 3. A hole that grows in the disc. Its middle is as far from the boundary as the disc
# allows, so boundary loss and the Hausdorff loss by distance transforms notice it early; erosions
# need an error a few pixels thick. At the right end the prediction is empty: it has no boundary,
# one of the two distances drops out, and the Hausdorff loss falls. That is one of the reasons for
# adding an overlap loss.*
#
# ## Where they push
#
# The gradient by the logit of the object, for a disc predicted nine pixels too far right
# and not quite surely.

# %%
soft, labels = disc.logits[1:2] / 4, disc.labels[1:2]
descent = {
    name.replace("_", " "): shapes.descent(parse_loss(name), soft, labels)[0]
    for name in ("dice", "boundary", "hausdorff_dt")
}
plotting.image_row(descent, label="- gradient", signed=True, outline=disc.labels[1])

# %% [markdown]
# *Figure 4. Where a step of descent raises (red) and lowers (blue) the object; black: the truth.
# Dice pulls at the missed half of the disc. Boundary and Hausdorff losses push with the distance,
# and hardest at the far border of the image, where the prediction is nearly right already.*
#
# ## Against the distance itself

# %%
family = shapes.family("shift", size=64, radius=12.0, steps=7)
predicted = jnp.asarray(family.logits[..., 1] > 0)
distances = metrics.hausdorff_distance(predicted, jnp.asarray(family.labels) > 0)
values = {name: shapes.values_over(term, family) for name, term in zip(names, terms, strict=True)}
print("shift  Hausdorff distance  " + "  ".join(f"{name:>13s}" for name in names))
for index, shift in enumerate(family.parameter):
    cells = "  ".join(f"{values[name][index]:13.4f}" for name in names)
    print(f"{shift:5.1f}  {float(distances[index]):18.2f}  {cells}")

# %% [markdown]
# Boundary loss is negative for a good prediction: its least value is not 0, since the distances
# inside the truth count as a gain. And its gradient by the logits vanishes where the prediction is
# sure of itself, as that of every loss linear in $p$ (notebook 02). Both are why these losses are
# added to an overlap loss, with a weight that grows during training, rather than used alone.
#
# From the command line: `segjax landscape shift --loss dice boundary hausdorff_dt`.
