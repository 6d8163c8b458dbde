"""Both stages on synthetic photographs of 1024 pixels: proposals at two scales, refined, fused.

Command:   segjax pipeline train experiments/microaneurysms/demo.py --workdir work/two_stages
           segjax pipeline evaluate experiments/microaneurysms/demo.py --workdir work/two_stages
           segjax pipeline predict experiments/microaneurysms/demo.py --workdir work/two_stages \\
               --input PHOTOGRAPHS --output work/found
Arguments: seed=N (0)
           ring=N              also trains prn_ring, which takes the pixels up to N from a lesion
                               as healthy candidates (0: not trained)
Hardware:  two CPU cores, 14 minutes.
Expected:  three trainings, AUC-PR (challenge33) on 24 test photographs: 0.78 to 0.80 at scale 1,
           0.78 to 0.84 at 0.5, 0.84 to 0.88 fused, 0.80 to 0.84 refined by either network, which
           has little to gain here (docs/benchmarks.md says why).
"""

from segjax.config.arguments import parse_arg
from segjax.recipes import microaneurysms

DATA, HEALTHY = "synthetic_fundus/1024px_32_12_24", "grade=0"


def get_pipeline(arg=None):
    args = parse_arg(arg, seed=0, ring=0)
    shared = {"healthy": HEALTHY, "healthy_centres": 20_000}
    stages, rows, compared = {}, dict(microaneurysms.ROWS), list(microaneurysms.COMPARED)
    for name, scale in (("hgn_1x", 1.0), ("hgn_05x", 0.5)):
        stages[name] = microaneurysms.hypotheses(DATA, scale, **shared)
        microaneurysms.small_hypotheses(stages[name], patch=96, steps=240)
        stages[name].evaluate.every_percent = 100  # one takes as long as 60 steps
    rings = {"cls": 0, "prn": 0} | ({"prn_ring": args["ring"]} if args["ring"] else {})
    for name, ring in rings.items():
        stages[name] = microaneurysms.refinement(DATA, name != "cls", ring=ring, **shared)
        microaneurysms.small_refinement(stages[name], patch=65, steps=400, pool=1000)
    if args["ring"]:
        for rule in ("arithmetic", "geometric"):
            maps = [map_.replace("prn@", "prn_ring@") for map_ in rows[f"PRN {rule}"]]
            rows[f"PRN with ring {rule}"] = maps
        compared.append(("PRN with ring geometric", "HGN geometric"))
    for config in stages.values():
        config.seed = args["seed"]
    return microaneurysms.two_stages(
        stages,
        refinements=tuple(rings),
        rows=rows,
        compared=compared,
        strides=(2,),
        most_patches=20_000,
    )
