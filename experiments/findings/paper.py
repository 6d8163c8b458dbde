"""Table 1 of the paper on guided classification, as printed (on its own photographs)."""

# By finding: AUROC of Inception-v3, with and without guidance.
AUROC = {
    "macular_hole": (0.9592, 0.9870, 0.9676),
    "hard_exudate": (0.9889, 0.9938, 0.9910),
    "haemorrhage": (0.9760, 0.9862, 0.9895),
    "membrane": (0.9654, 0.9831, 0.9795),
    "drusen": (0.9746, 0.9811, 0.9786),
    "cotton_wool_patch": (0.9633, 0.9792, 0.9741),
    "rnfl_defect": (0.9037, 0.9263, 0.8870),
}
# By finding: AIR over true positives with and without guidance, then over false negatives.
AIR = {
    "macular_hole": (0.9999, 0.3156, 0.9999, 0.2611),
    "hard_exudate": (0.8089, 0.5999, 0.5750, 0.4614),
    "haemorrhage": (0.8890, 0.6388, 0.4899, 0.3857),
    "membrane": (0.9699, 0.3696, 0.8446, 0.2499),
    "drusen": (0.8292, 0.5611, 0.5931, 0.4012),
    "cotton_wool_patch": (0.8058, 0.5450, 0.4672, 0.4538),
    "rnfl_defect": (0.7233, 0.4024, 0.4801, 0.2838),
}


def figures(finding: str, model: str, guided: bool) -> dict[str, float]:
    """A row's own figures by metric; none for a finding that the paper does not list."""
    if finding not in AUROC:
        return {}
    if model == "inception":
        return {"auroc": AUROC[finding][0]}
    column = 0 if guided else 1
    true_positives, false_negatives = AIR[finding][column], AIR[finding][2 + column]
    return {
        "auroc": AUROC[finding][1 + column],
        "air_tp": true_positives,
        "air_fn": false_negatives,
    }
