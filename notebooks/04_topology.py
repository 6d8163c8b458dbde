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
# # Topology: when one pixel matters more than a thousand
#
# A vessel with a gap of one pixel carries no blood; a ring of muscle with a gap encloses nothing.
# Overlap losses see one wrong pixel. This notebook looks at what sees the gap: persistent homology,
# which counts components and loops at every threshold at once, and centre lines.

# %%
# %matplotlib inline
import jax.numpy as jnp
import numpy as np

from segjax import metrics, ops
from segjax.explore import plotting, shapes, topology
from segjax.explore.loss_text import parse_loss

# %% [markdown]
# ## A ring, almost right
#
# A predicted ring with one weak spot, and a small island beside it.

# %%
probs, label = topology.broken_ring(48)
predicted = probs > 0.5
overlap = metrics.dice(jnp.asarray(predicted, jnp.int32)[None], jnp.asarray(label)[None])
print(f"dice {float(overlap[0, 0]):.3f}")
for name, mask in (("truth", label > 0), ("prediction", predicted)):
    components, loops = np.asarray(metrics.betti_numbers(jnp.asarray(mask)[None]))[0]
    print(f"{name:10s} {components} components, {loops} loops")

# %% [markdown]
# ## Persistence
#
# Let the threshold fall from 1 to 0. Components appear at the peaks of the map and merge at its
# saddles; loops appear when the last gap closes and vanish when they are filled. A feature that
# lives from $b$ down to $d$ has the persistence $b - d$: how much the map would have to change to
# be rid of it. It hangs on two pixels only, those where it appears and where it ends.

# %%
topology.persistence_figure({"prediction": probs, "truth": label.astype(np.float32)})

# %% [markdown]
# *Figure 1. Above: pixels at which components (circles) and loops (squares) appear, and where they
# end (crosses). Below: birth and death of each; far from the diagonal is firm. The loop of the
# prediction appears late, at the weak spot; the island is a second component. Faint: persistence
# below 0.1.*
#
# ## Centre lines
#
# For tubes the skeleton is enough: clDice (Shit et al.) asks how much of the prediction's centre
# line lies in the truth, and how much of the truth's lies in the prediction,
#
# $$T_p = \frac{|S_P \cap G|}{|S_P|}, \quad T_s = \frac{|S_G \cap P|}{|S_G|}, \qquad
#   L = 1 - \frac{2\, T_p T_s}{T_p + T_s},$$
#
# with a soft skeleton, made of minima and maxima over neighbours, so that it has a gradient.

# %%
both = jnp.stack([jnp.asarray(probs), jnp.asarray(label, jnp.float32)])
skeletons = np.asarray(ops.soft_skeleton(both, iterations=5))
plotting.image_row(
    {
        "prediction": probs,
        "its soft skeleton": skeletons[0],
        "skeleton of the truth": skeletons[1],
    },
    label="probability",
    shared=True,
)

# %% [markdown]
# *Figure 2. Soft skeletons. The gap and the island, a few pixels among hundreds, are a good part of
# a centre line.*
#
# ## Where each loss pushes
#
# The topological loss (Hu et al.) moves births and deaths to where the truth has them: the $n$ most
# persistent features, as many as the truth has, become certain, all others vanish,
#
# $$L = \sum_{i \le n} \big( (1 - b_i)^2 + d_i^2 \big) + \tfrac{1}{2} \sum_{i > n} (b_i - d_i)^2 .$$

# %%
logit = np.log(probs / (1 - probs))[None, ..., None]
names = ("cross_entropy", "dice", "soft_cl_dice", "topological")
descent = {
    name.replace("_", " "): shapes.descent(parse_loss(name), logit, label[None], channel=0)[0]
    for name in names
}
plotting.image_row(descent, label="- gradient", signed=True, outline=label)

# %% [markdown]
# *Figure 3. Where a step of descent raises (red) and lowers (blue) the ring; black: the truth.
# Cross entropy and dice treat the gap as so many pixels, the topological loss touches the few that
# decide.*
#
# ## A repair
#
# Sixty steps of descent on the topological loss alone, on the logits of every pixel themselves: no
# network, which would spread each change over its surroundings.

# %%
repaired = topology.descend([parse_loss("topological")], probs, label, steps=60, rate=4.0)
changed = np.abs(repaired - probs) > 0.05
print(f"{changed.sum()} of {changed.size} pixels have changed by more than 0.05")
topology.persistence_figure({"before": probs, "after": repaired})

# %% [markdown]
# *Figure 4. A thin bridge closes the ring, and the island has sunk below the threshold. The loss
# counts features, it does not place them: the bridge is as thin as it can be. That is why it is
# added, with a small weight, to a loss of pixels.*
#
# From the command line: `segjax landscape hole --loss dice soft_cl_dice topological`.
