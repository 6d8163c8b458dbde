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
# # Region-wise loss: which way does the gradient point?
#
# Many losses multiply the softmax $p$ by a map $Z$ that says what each class costs at each pixel:
#
# $$L = \frac{1}{N} \sum_{i=1}^{N} \sum_{k=1}^{K} p_{ik} Z_{ik}, \qquad
#   \frac{\partial L}{\partial z_{ij}} =
#   \frac{1}{N}\, p_{ij} \Big( Z_{ij} - \sum_k p_{ik} Z_{ik} \Big)$$
#
# for logits $z$ (Valverde and Tohka, equations 1 and 2; averages may also be taken over the
# classes). Boundary loss, one-sided Hausdorff loss and the region term of active contours are of
# this form, each with a map of its own. Writing them alike shows why some are hard to train.

# %%
# %matplotlib inline
import jax.numpy as jnp
import numpy as np

from segjax import losses, maps
from segjax.explore import plotting, simplex, training_maps
from segjax.explore.loss_text import on_one_pixel, parse_loss

# %% [markdown]
# ## The maps
#
# A cardiac phantom with three structures: right ventricle (1), muscle (2), left ventricle (3).

# %%
scene = training_maps.phantom(64)
labels = jnp.asarray(scene.labels)[None]
made = {
    "rectified": maps.rectified(labels, 4),
    "boundary": maps.boundary(labels, 4),
    "active contour": maps.active_contour(labels, 4),
}
plotting.image_row(
    {"image": scene.grey, "classes": scene.labels}
    | {f"{name}, class 2": np.asarray(values)[0, ..., 2] for name, values in made.items()},
    label="Z",
    signed=True,
    outline=scene.labels,
    columns=5,
)

# %% [markdown]
# *Figure 1. What the muscle costs at each pixel. Negative (blue) on the muscle, positive elsewhere;
# the boundary map is a distance in pixels, the rectified one lies between -1 and 1.*
#
# ## One pixel
#
# The gradient is negative for the classes that a step of descent will raise. It should be the true
# class alone. Whether it is depends on $Z$ and on $p$: take a pixel of class 3 far from classes 1
# and 2, once with a boundary map, once rectified.

# %%
simplex.negatives_figure()

# %% [markdown]
# *Figure 2. All softmax vectors of three classes. Orange: the gradient raises a wrong class along
# with class 3.*
#
# With $Z = (4, 7, -2)$ class 1 is cheaper than the average $\sum_k p_k Z_k$ whenever
# $p_2 > 2 p_3$, which is a third of the triangle. Rectified, all wrong classes cost the same, the
# average can never exceed that cost, and no vector is left on which more than one class is raised.
#
# The rule is simple: at every pixel, all classes but the true one get the same value.
#
# ## Size of the gradient
#
# Right signs are not everything. The gradient of cross entropy grows with the error; that of a
# region-wise loss carries the factor $p_{ij}$ and vanishes where the network is confidently wrong.

# %%
vector = jnp.array([1.0, 1.0, -0.6])
pixel_losses = {
    "cross entropy": on_one_pixel(parse_loss("cross_entropy"), 2),
    "region-wise, rectified": on_one_pixel(parse_loss("region_wise"), 2, vector),
}
simplex.gradient_figure(pixel_losses)

# %% [markdown]
# *Figure 3. The gradient by the logit of the true class 3. White: no gradient. Cross entropy pulls
# hardest at the far side, the region-wise loss hardly there.*

# %%
simplex.loss_figure(
    pixel_losses
    | {
        "region-wise, boundary": on_one_pixel(
            parse_loss("region_wise"), 2, jnp.array([4.0, 7.0, -2.0])
        )
    }
)

# %% [markdown]
# *Figure 4. The losses themselves, and the path of the softmax vector when its logits follow the
# gradient. With the boundary map the paths from corner 2 bend towards class 1 first.*
#
# ## During training
#
# A network of four convolutions learns the cardiac phantom, once with each map. At every step we
# count the negative components of the gradient at every pixel.

# %%
scene = training_maps.phantom(48)
labels = jnp.asarray(scene.labels)[None]
trained = {
    f"{make.__name__} maps": training_maps.train(
        scene, make(labels, 4)[0], losses.region_wise, steps=150, watched=(0, 10, 150)
    )
    for make in (maps.boundary, maps.rectified)
}
training_maps.training_figure(scene, trained)

# %% [markdown]
# *Figure 5. Negative components at the start, after ten steps and in the end, and their share over
# time. With boundary maps, most pixels start with two or three; the regions shrink but stay along
# the borders between structures.*

# %%
print("step    boundary: > 1 negative, right    rectified: > 1 negative, right")
for step in (0, 10, 50, 150):
    cells = [f"{r.shares[step]:>18.1%}{r.accuracies[step]:>14.1%}" for r in trained.values()]
    print(f"{step:4d}" + "  ".join(cells))

# %% [markdown]
# From the command line: `segjax landscape training` and
# `segjax landscape simplex --loss cross_entropy region_wise --vector 1 1 -0.6`.
