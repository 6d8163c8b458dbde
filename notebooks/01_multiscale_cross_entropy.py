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
# # A position as a class: multiscale softmax cross entropy
#
# Where is the fovea? A network answers with a heat map $F$, one number a pixel. Summed over its
# rows, the map gives one logit for every column; summed over its columns, one for every row. The
# coordinates of the point are then two classes, and a softmax cross entropy can train them:
#
# $$s_x[j] = \sum_i F[i, j], \qquad s_y[i] = \sum_j F[i, j], \qquad
#   L = \mathrm{CE}(s_x, \lfloor x \rfloor) + \mathrm{CE}(s_y, \lfloor y \rfloor).$$
#
# A class knows no neighbours, though: one pixel off is as wrong as the far corner. The multiscale
# loss (Wu, Walter and Merhof) pools the map to half its size, asks again, and adds up:
#
# $$L = \sum_{m=1}^{M} \lambda_m \left[ \mathrm{CE}(s_x^m, \lfloor x / 2^{m-1} \rfloor)
#   + \mathrm{CE}(s_y^m, \lfloor y / 2^{m-1} \rfloor) \right], \qquad
#   F_{m+1} = \mathrm{pool}_2(F_m).$$

# %%
# %matplotlib inline
import jax
import jax.numpy as jnp
import numpy as np

from segjax import losses, ops
from segjax.data.synthetic.fundus import generate_fundus
from segjax.explore import plotting, position
from segjax.tasks.localization.pictures import axis_logits_figure
from segjax.tasks.localization.toy import toy_losses

# %% [markdown]
# ## What a confident prediction costs
#
# Let the network be sure of one position, and move that position along the axis. The truth is
# column 70 of 256, as in the paper's Fig. 3.

# %%
position.position_figure(classes=256, target=70, side=64)

# %% [markdown]
# *Figure 1. Upper row: each loss over the predicted column (dashed: the true one). Lower row: over
# all positions of a map of 64 pixels (circle: the true one). Every loss is divided by its largest
# value.*
#
# The squared error pulls from everywhere, but hardly at all near the goal. Cross entropy pulls
# nowhere but at the goal; on a map it still rewards the right column or the right row alone. The
# multiscale loss descends in steps.
#
# The steps count how many of the $M$ dyadic blocks around the prediction miss the truth. That is
# not the distance: a block border can lie between neighbours.

# %%
curve = toy_losses(classes=256, target=70)["msce_8"]
for column in (63, 64, 71, 79, 128):
    away, missed = abs(column - 70), 8 * curve[column]
    print(f"column {column:3d}: {away:2d} px away, {missed:.0f} of 8 scales miss")

# %% [markdown]
# Column 63, seven pixels away, costs more than column 79, nine away: 63 lies in the block
# $[0, 64)$, the truth in $[64, 128)$.
#
# ## The scales of one heat map
#
# A synthetic photograph, and a map as a network in training might give it: a broad bump near the
# fovea, a sharper one elsewhere.

# %%
size = 64
photograph = generate_fundus(seed=2, size=size)
x, y = np.asarray(photograph["fovea"], np.float64)
point = jnp.array([[x, y]], jnp.float32)
row, column = np.mgrid[:size, :size] + 0.5
near = 0.9 * np.exp(-((column - x - 4) ** 2 + (row - y + 3) ** 2) / (2 * 6.0**2))
far = np.exp(-((column - 52) ** 2 + (row - 52) ** 2) / (2 * 2.0**2))
heatmap = jnp.asarray(near + far, jnp.float32)[None]
points = np.array([[x, y], np.asarray(ops.decode_argmax(heatmap))[0]])
axis_logits_figure(photograph["image"], heatmap[0], points, options={}, decode="argmax")

# %% [markdown]
# *Figure 2. The map, and the softmax of its axis logits from 64 classes (top) down to 2 (bottom);
# green: the true coordinate, dashed: the predicted one. At fine scales the true class is beaten by
# its neighbours, at coarse ones it leads already.*
#
# ## Where the gradient goes
#
# The gradient of the loss by the heat map is `softmax - one-hot`, spread along rows and columns,
# and from a coarse scale back through the pooling.

# %%
options = {
    "M = 1": {"scales": 1},
    "M = 6, average pooling": {"scales": 6, "pool": "average"},
    "M = 6, max pooling": {"scales": 6, "pool": "max"},
}
total = lambda given: lambda F: losses.multiscale_softmax_cross_entropy(F, point, **given).sum()  # noqa: E731
descent = {title: -jax.jit(jax.grad(total(given)))(heatmap)[0] for title, given in options.items()}
plotting.image_row(
    {title: np.asarray(values) for title, values in descent.items()},
    label="- gradient",
    signed=True,
    point=(x, y),
)

# %% [markdown]
# *Figure 3. Where a step of descent raises the map (red) and lowers it (blue); cross: the truth.
# One scale raises a single row and a single column and fights the near miss. More scales raise the
# blocks around the truth as well, fainter with each scale: evenly with average pooling, at the
# largest pixel of each block with max pooling.*
#
# ## Reading the position back

# %%
for decode in (ops.decode_argmax, ops.decode_agreement, ops.decode_centroid):
    found = np.asarray(decode(heatmap))[0]
    away = np.hypot(*(found - [x, y]))
    print(
        f"{decode.__name__:18s} ({found[0]:4.1f}, {found[1]:4.1f}): {away:4.1f} px from the truth"
    )

# %% [markdown]
# The same pictures from the command line: `segjax landscape position --target 70`.
