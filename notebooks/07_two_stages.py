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
# # Small lesions in two stages
#
# A microaneurysm is a few pixels of millions. Sarhan et al. (2019) let a fully convolutional
# network propose lesions at two scales, and a classifier of patches, which sees more around a
# pixel, judge what is proposed. Here both are small, trained in memory on a few synthetic
# photographs, in two minutes; the whole pipeline is `experiments/microaneurysms/demo.py`.

# %%
# %matplotlib inline
import numpy as np

from segjax.data.patches.centres import centres
from segjax.pipelines.fusion import fused
from segjax.pipelines.refinement import refined
from segjax.tasks.lesions import toy
from segjax.tasks.lesions.network import enlarged

whole, half = (toy.photographs(range(24), scale=scale) for scale in (1.0, 0.5))
held_out = [toy.photographs(range(1000, 1006), scale=scale) for scale in (1.0, 0.5)]
sick = next(n for n, photograph in enumerate(whole) if photograph.labels.any())

# %% [markdown]
# ## Two scales
#
# Patches of one size: at scale 1 a lesion has all its pixels, at 0.5 more of its surroundings are
# in sight. Photographs are enhanced first, $4 I - 4 G_\sigma * I + 128$.

# %%
toy.scales_figure(whole[sick], half[sick])

# %% [markdown]
# *Figure 1. The same lesion at both scales.*
#
# ## What the sampler picks
#
# Of millions of healthy pixels most are easy. Every period a pool of them is scored by the network
# as it is then, and drawn in proportion to $|y - p|$.

# %%
trained = {
    name: toy.train_refinement(whole, triplets=triplets, steps=240, period=60)
    for name, triplets in {"cross entropy": False, "with triplets": True}.items()
}
toy.drawn_figure(trained["with triplets"])

# %% [markdown]
# *Figure 2. Healthy patches drawn at the beginning of each period, with the probability of a lesion
# that the network gives them: at random first, then those that it takes for lesions.*
#
# ## The embedding
#
# $L = [d(a, p) - d(a, n) + \frac{1}{2}]_+$ with the angular distance
# $d(u, v) = \arccos(\hat u \cdot \hat v) / \pi$.

# %%
lesions = centres(p.labels * (not p.is_healthy) for p in held_out[0])
healthy = centres((p.field * p.is_healthy for p in held_out[0]), most=60)
kinds = [
    toy.patches_of(held_out[0], *found.at(np.arange(len(found))[:: max(1, len(found) // 250)]))
    for found in (lesions, healthy)
]
networks = {"before training": trained["with triplets"].before}
networks |= {name: each.score for name, each in trained.items()}
toy.embedding_figure(networks, *kinds)

# %% [markdown]
# *Figure 3. Patches of photographs that were not trained on, by their embedding (two principal
# components).*

# %%
for name, score in networks.items():
    near, far = toy.angles(score, *kinds)
    print(f"{name}: {near:.3f} between lesions, {far:.3f} between a lesion and a healthy patch")

# %% [markdown]
# Cross entropy alone separates the two kinds; the triplets are to widen the angle between them.
# Whether that raises AUC-PR is another question, which
# [three trainings of the demo](../docs/benchmarks.md) answer.
#
# ## Each stage
#
# Proposals at both scales, their fusion, and the refinement: each proposal has its pixels above 0.5
# judged, all others become 0, and the geometric mean is of all four maps, on photographs that were
# not trained on.

# %%
proposing = [toy.train_proposal(given, steps=240) for given in (whole, half)]
maps = {
    "scale 1": [proposing[0](p.image) for p in held_out[0]],
    "scale 0.5": [enlarged(proposing[1](p.image), p.stored_labels.shape) for p in held_out[1]],
}
pairs = list(zip(*maps.values(), strict=True))
maps["both"] = [fused(pair, "geometric") for pair in pairs]
maps["refined"] = []
for photograph, pair in zip(held_out[0], pairs, strict=True):
    judge = toy.judge_of(trained["with triplets"], photograph)
    judged = [refined(proposed, proposed > 0.5, judge, most=9000)[0] for proposed in pair]
    maps["refined"].append(fused([*pair, *judged], "geometric"))
toy.curves_figure(maps, held_out[0])

# %% [markdown]
# *Figure 4. Precision and recall of pixels, at both scales, fused, and refined.*
#
# What lies outside a mask is 0 in two of the four maps and can hardly be ranked any more, so that
# the refinement gains where most proposals are wrong. Here most are right: see
# [what refinement can gain](../docs/pipelines.md).
