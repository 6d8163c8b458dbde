"""Leading eigenvalues of the Hessian of a loss, by Lanczos on Hessian-vector products."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from segjax import checks
from segjax.types import Array, Float, PRNGKeyArray


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues of largest magnitude, in that order.

    Args:
        eigenvalues: with their signs, `[k]`.
        residuals: ||H v - lambda v|| for the approximate unit eigenvector v, `[k]`: some true
            eigenvalue lies within this distance.
        iterations: Hessian-vector products made.
    """

    eigenvalues: np.ndarray
    residuals: np.ndarray
    iterations: int


def hessian_product(loss: Callable[[Any], Array], params: Any, tangent: Any) -> Any:
    """H v: the derivative of the gradient at `params` along `tangent` (forward over reverse).

    Args:
        loss: of the parameters, one number.
        params, tangent: pytrees of the same structure and dtypes.

    Returns: a pytree like `params`.
    Cost: about twice a gradient; the Hessian is never formed.
    """
    return jax.jvp(jax.grad(loss), (params,), (tangent,))[1]


def leading_eigenvalues(
    loss: Callable[[Any], Array],
    params: Any,
    key: PRNGKeyArray,
    *,
    count: int = 5,
    iterations: int | None = None,
) -> Spectrum:
    """Eigenvalues of largest magnitude of the Hessian at `params`: how curved the loss is there.

    The Lanczos process builds an orthonormal basis q_1, ..., q_m of the Krylov space of a random
    vector, in which the Hessian is tridiagonal; the eigenvalues of that small matrix approach those
    of the Hessian, the outermost first. Each new vector is orthogonalised against all before,
    twice: without that, rounding brings back found eigenvalues as ghosts.

    H q_i = beta_(i-1) q_(i-1) + alpha_i q_i + beta_i q_(i+1)

    Source: Lanczos (1950); full reorthogonalisation as in Golub and Van Loan, Matrix Computations,
    section 10.3.
    Departures: none. An eigenvalue counts once, however often it occurs: one start vector sees one
        direction of each eigenspace.

    Args:
        loss: of the parameters, one number.
        params: a pytree of arrays of one floating dtype.
        key: of the start vector.
        count: how many eigenvalues.
        iterations: m; None takes 4 count + 10, at most the number of parameters.

    Returns: the spectrum; fewer eigenvalues where the Hessian has fewer different ones.
    Empty cases: a Hessian of zeros gives the single eigenvalue 0.
    Raises: ValueError for a count below 1, or fewer iterations than `count`.
    Cost: m Hessian-vector products, O(m n) memory for n parameters.
    """
    start, unflatten = ravel_pytree(jax.tree.map(jnp.asarray, params))
    checks.check("count", count, checks.whole(least=1))
    checks.check("iterations", iterations, checks.none_or(checks.whole(least=count)))
    steps = min(4 * count + 10 if iterations is None else iterations, start.size)

    def product(flat: Array, vector: Array) -> Array:
        return hessian_product(lambda x: loss(unflatten(x)), flat, vector)

    alphas, betas = _lanczos(
        product, start, jax.random.normal(key, start.shape, start.dtype), steps
    )
    # The last beta leads out of the basis, and is no entry of the matrix
    small = np.diag(alphas) + np.diag(betas[:-1], 1) + np.diag(betas[:-1], -1)
    values, vectors = np.linalg.eigh(small)
    order = np.argsort(-np.abs(values))[:count]
    # No residual is known better than the products are computed
    rounding = float(jnp.finfo(start.dtype).eps) * np.abs(values).max()
    # ||H y - theta y|| = beta_m |s_m| of a Ritz vector y, s_m the last component of its eigenvector
    # s in the basis: no further product is needed.
    residuals = np.abs(betas[-1] * vectors[-1, order]) + rounding
    return Spectrum(values[order], residuals, len(alphas))


def _lanczos(
    product: Callable, point: Array, start: Float[Array, "n"], steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Diagonal and off-diagonal of the tridiagonal matrix; the last beta is the remainder."""

    @jax.jit
    # `point` is an argument: as a constant, all parameters would be compiled into the program
    def step(point: Array, basis: Array, vector: Array, index: Array):
        # Rows not yet filled are zero and take no part.
        basis = jax.lax.dynamic_update_slice_in_dim(basis, vector[None], index, axis=0)
        image = product(point, vector)
        alpha = jnp.vdot(vector, image)
        # In full precision: accelerators multiply in fewer bits by default, which orthogonality
        # does not survive.
        for _ in range(2):
            inner = jnp.matmul(basis, image, precision="highest")
            image = image - jnp.matmul(inner, basis, precision="highest")
        beta = jnp.sqrt(jnp.sum(image**2))
        # At beta = 0 the space is exhausted: the caller stops, and no nan arises
        following = image / jnp.where(beta > 0, beta, 1)
        return basis, following, alpha, beta

    basis = jnp.zeros((steps, start.size), start.dtype)
    vector = start / jnp.sqrt(jnp.sum(start**2))
    alphas, betas, largest = [], [], 0.0
    rounding = 10 * float(jnp.finfo(start.dtype).eps)
    for index in range(steps):
        basis, vector, alpha, beta = step(point, basis, vector, jnp.int32(index))
        alphas.append(float(alpha))
        betas.append(float(beta))
        largest = max(largest, abs(alphas[-1]) + betas[-1])
        if betas[-1] <= rounding * largest:
            break  # the space is exhausted: what is left is rounding
    return np.array(alphas), np.array(betas)
