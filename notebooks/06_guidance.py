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
# # Where a classifier looks, and how to tell it where to look
#
# A network that tells whether a photograph shows a finding may do so for the wrong reason. Son et
# al. (2018) have annotators click the regions of the fundus that hold the finding, which is cheap,
# and add a loss that suppresses the activation map $a$ outside them ($m = 0$):
#
# $$L = \mathrm{BCE}(y, \hat y) + \lambda \frac{1}{N} \sum_l (1 - m_l) \log \max(a_l, \epsilon),
# \qquad \hat y = \sigma\Big(\frac{1}{N} \sum_l z_l\Big), \quad a_l = \sigma(z_l).$$

# %%
# %matplotlib inline
import numpy as np

from segjax.data import regions
from segjax.data.synthetic.findings import generate_findings
from segjax.explore import plotting
from segjax.tasks.guided_classification import toy

# %% [markdown]
# ## Eight regions
#
# The centres of the optic disc and the fovea, a distance $D$ apart, define them: circles of
# $\frac{2}{5} D$ and $\frac{2}{3} D$ joined by their chord, the disc halved, two tangents that run
# away from the disc, and a line through the disc at right angles to the axis.

# %%
eyes = {eye["eye"]: eye for eye in (generate_findings(seed, 384) for seed in range(8))}
plotting.image_row(
    {
        f"{side} eye": regions.outlined(eye["image"], eye["disc"], eye["fovea"]) / 255.0
        for side, eye in eyes.items()
    }
)

# %% [markdown]
# *Figure 1. The regions of a right and a left eye; the names are ours.*
#
# ## The loss of one cell
#
# Its gradient with respect to the logit is $(1 - a)$ above the floor and 0 below it: bounded, and
# weakest where a cell is confidently active outside. `complement` is the cross entropy of the
# outside, which is the opposite. Neither says anything about the inside.

# %%
toy.gradient_figure()

# %% [markdown]
# *Figure 2. Three forms of the guidance loss of a cell outside the regions, and their gradients.*
#
# ## With and without
#
# Two narrow networks with the same initial weights learn to tell hard exudates on photographs of
# 64 x 64 pixels; one of them is guided.

# %%
finding = "hard_exudate"
training = toy.photographs(finding, range(200))
held_out = toy.photographs(finding, range(1000, 1060))
trained = {
    name: toy.train(training, guidance, steps=200, learning_rate=5e-3)
    for name, guidance in {"with guidance": 0.4, "without": 0.0}.items()
}
for name, each in trained.items():
    found = toy.measured(each, held_out)
    print(f"{name}: " + ", ".join(f"{key} {value:.3f}" for key, value in found.items()))

# %%
toy.compared(trained, held_out)

# %% [markdown]
# *Figure 3. Photographs that were not trained on, their annotated regions, and both maps,
# as in the paper's Fig. 3.*
#
# Which of the two has the higher AUROC, sixty photographs cannot tell. AIR, the share of the
# activation inside the regions, is called relevance mass accuracy or energy pointing game
# elsewhere. It means little without its chance level: a map that is the same everywhere has the
# share of the map that the regions are.

# %%
share = np.mean(held_out.regions[held_out.labels == 1])
print(f"the regions are {share:.3f} of a photograph with the finding, on average")
