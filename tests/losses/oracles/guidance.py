"""The guidance loss from its equation, in NumPy float64, pixel by pixel."""

import math

import numpy as np

from tests.losses.cases import Case


def guidance(activation_logits, region, epsilon=1e-3, form="log"):
    values = []
    for logits, inside in zip(activation_logits, region, strict=True):
        total = 0.0
        for z, m in zip(logits.ravel(), inside.ravel(), strict=True):
            a = 1 / (1 + math.exp(-float(z)))
            outside = 1 - float(bool(m))
            if form == "complement":
                total += outside * -math.log1p(-a)
            else:
                total += outside * math.log(max(a, epsilon))
                total -= outside * math.log(epsilon) if form == "shifted" else 0
        values.append(total / logits.size)
    return np.array(values)


ORACLES = {"guidance": guidance}
CASES = [
    Case("guidance", shapes=((8, 8, 3), (4, 6, 5, 3))),
    Case("guidance", {"form": "shifted", "epsilon": 0.2}, shapes=((8, 8, 3),)),
    Case("guidance", {"form": "complement"}, shapes=((8, 8, 3), (4, 6, 5, 3))),
]
