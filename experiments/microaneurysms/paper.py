"""The figures of Sarhan et al. (2019), Table 2, and of the challenge's leaderboard beside them."""


def _row(auc_pr, f1=None, precision=None, recall=None):
    figures = {"auc_pr": auc_pr, "f1": f1, "precision": precision, "recall": recall}
    return {name: value for name, value in figures.items() if value is not None}


TABLE_2 = {
    "HGN 1x": _row(0.3374, 0.3618, 0.2970, 0.4626),
    "HGN 0.5x": _row(0.3411, 0.4001, 0.4380, 0.3682),
    "HGN geometric": _row(0.3622, 0.3866, 0.5115, 0.3108),
    "HGN arithmetic": _row(0.3701, 0.4156, 0.4741, 0.3701),
    "cls geometric": _row(0.3895, 0.4153, 0.5402, 0.3374),
    "cls arithmetic": _row(0.3905, 0.4368, 0.4973, 0.3895),
    "PRN arithmetic": _row(0.3978, 0.4323, 0.54051, 0.3602),
    "PRN geometric": _row(0.4196, 0.38477, 0.61128, 0.2807),
    "IDRiD iFLYTEK-MIG": _row(0.5017),
    "IDRiD VRT": _row(0.4951),
    "IDRiD PATech": _row(0.4740),
}
