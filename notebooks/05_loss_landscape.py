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
# # The landscape around a trained network
#
# Two losses may give the same segmentation and yet end in different places: one in a wide valley,
# the other in a narrow one. Walking away from the trained parameters $\theta$ along a random
# direction $d$ shows which,
#
# $$f(a) = L(\theta + a\, d), \qquad f(a, b) = L(\theta + a\, d_1 + b\, d_2),$$
#
# provided that the step is measured with the network's own measure. A ReLU network with
# normalisation computes the same when a filter is scaled up, so every filter of $d$ is given the
# length of the filter it is added to (Li et al., 2018):
#
# $$d_f \leftarrow \frac{d_f}{\lVert d_f \rVert} \lVert \theta_f \rVert .$$
#
# Right at $\theta$ the curvature is known exactly, without plotting: the eigenvalues of the Hessian
# $H$. The largest come from the Lanczos process, which asks only for products
# $H v = \frac{\mathrm{d}}{\mathrm{d}\epsilon} \nabla L(\theta + \epsilon v)$.

# %%
# %matplotlib inline
import jax
import jax.numpy as jnp
import numpy as np

from segjax import losses
from segjax.explore import curvature, parameters, plotting, training_maps

# %% [markdown]
# ## Lanczos on a known spectrum
#
# First a case with an answer: a quadratic $L = \frac{1}{2} \theta^\top H \theta$ with the
# eigenvalues 9, -7, 5, 3 and a bulk between -1 and 1.

# %%
eigenvalues = np.concatenate([[9.0, -7.0, 5.0, 3.0], np.linspace(-1, 1, 36)])
turn, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((40, 40)))
hessian = jnp.asarray((turn * eigenvalues) @ turn.T, jnp.float32)
key = jax.random.key(0, impl="rbg")
found = curvature.leading_eigenvalues(
    lambda theta: jnp.vdot(theta, hessian @ theta) / 2, jnp.ones(40), key, count=4
)
for value, residual in zip(found.eigenvalues, found.residuals, strict=True):
    print(f"{value:8.4f}  +- {residual:.1e}")

# %% [markdown]
# ## Two losses, one network
#
# A small network learns a cardiac phantom: right ventricle, muscle and left ventricle, on noise.
# Both losses start from the same weights.

# %%
scene = training_maps.phantom(32)
truth = jnp.asarray(scene.labels)[None]
functions = {
    "cross entropy": lambda logits, maps: losses.cross_entropy(logits, truth),
    "dice": lambda logits, maps: losses.dice(logits, truth),
}
maps = np.zeros((*scene.labels.shape, 4), np.float32)  # neither loss takes maps
trained = {
    name: training_maps.train(scene, maps, loss, steps=80, watched=(0, 80), learning_rate=3e-3)
    for name, loss in functions.items()
}
before = trained["dice"].predictions[0]
after = {f"{name}, step 80": record.predictions[80] for name, record in trained.items()}
plotting.image_row(
    {"image": scene.grey, "truth": scene.labels, "step 0": before} | after, columns=5
)

# %% [markdown]
# *Figure 1. The drawn image, its classes, and the most probable classes before and after training.*
#
# ## Around the minimum

# %%
around = {}
for name, loss in functions.items():
    value = training_maps.objective(scene, maps, loss)
    params = trained[name].params
    spectrum = curvature.leading_eigenvalues(value, params, key, count=5)
    around[name] = parameters.loss_landscape(
        value, params, key, reach=2.0, plane_points=17, spectrum=spectrum
    )
parameters.landscape_figure(around["cross entropy"], "cross entropy")

# %% [markdown]
# *Figure 2. Cross entropy around its trained parameters: along two random directions, over both
# (cross: the trained parameters), and the five largest eigenvalues of its Hessian.*

# %%
parameters.landscape_figure(around["dice"], "dice")

# %% [markdown]
# *Figure 3. The same for dice. It cannot exceed 1, so its walls end in a plateau, where descent
# finds no slope; those of cross entropy go on rising.*
#
# The planes are cuts through thousands of dimensions along directions chosen by chance: they show
# how wide the valley is in general, and miss the few steep directions. Those are in the Hessian.
#
# A trained work folder has the same picture behind one command:
# `segjax landscape parameters --workdir work/demo`.
