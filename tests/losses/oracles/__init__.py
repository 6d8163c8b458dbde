"""Every loss once more, written from its equation in NumPy float64, one image at a time.

Each file of this package has `ORACLES`, by the loss's name. A public loss without an entry fails
tests/losses/test_contract.py; one without a case fails tests/losses/test_every_loss.py.
"""

import importlib
import pkgutil

FAMILIES = [importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)]
ORACLES = {name: oracle for family in FAMILIES for name, oracle in family.ORACLES.items()}
CASES = [case for family in FAMILIES for case in family.CASES]
