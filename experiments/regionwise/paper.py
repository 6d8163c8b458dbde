"""Tables 2 to 5 of Valverde and Tohka, "Region-wise Loss for Biomedical Image Segmentation".

A row is a loss, or in table 5 an approach; a column is `dice_CLASS` or `hausdorff_CLASS`, the
latter in mm. Tables 2 to 4 give (mean, standard deviation) of the validation volumes, averaged over
three runs. Table 5 gives what the competition's platform computed on the test set, for end diastole
and end systole apart: `dice_CLASS/ED`, `dice_CLASS/ES` and so on.
"""

# The names of the losses are formulas, which the text version of the paper has lost (with the sign
# between mean and deviation). Rows stand here in the paper's order, and section 4.1 names them:
#   1 rrw: the only row without stars in all three tables (stars compare with it), and on average
#     the best on ACDC, in Dice and in HD.
#   2 weighted_cross_entropy: "overall worse Dice coefficients and similar HDs" on ACDC (0.87 for RV
#     and M with stars, no star on an HD), "overall, the lowest Dice coefficients" over all tables,
#     "similar or worse HDs" on BraTS and KiTS (22.16 with a star for the kidney).
#   3 dice: "significantly worse results in almost all metrics and classes" on ACDC, and far larger
#     HDs everywhere: 77.49, 74.22 and 61.48 mm on BraTS, 84.29 mm on the tumours of KiTS.
#   4 focal: what is left, and "similar or slightly worse" than row 1 in every column of ACDC.
#   5 boundary: "underperformed, except in the HDs of the myocardium": 8.41 mm, the smallest of all
#     rows, while its HDs of RV and LV are above those of row 1.
# Rows 4 and 5 both have the "overall slightly better HDs" on BraTS and KiTS that the text gives to
# focal and boundary. One order fits all three tables.
# Confidence: certain of 1 and 3; very high of 2, for no other row has the lowest Dice; high of 4
# and 5, which only the myocardium tells apart (9.90 mm in row 4, 8.41 in row 5, 9.01 in row 1).

TABLE2 = {
    "rrw": {
        "dice_RV": (0.90, 0.09),
        "hausdorff_RV": (14.58, 11.03),
        "dice_M": (0.90, 0.03),
        "hausdorff_M": (9.01, 7.62),
        "dice_LV": (0.94, 0.05),
        "hausdorff_LV": (7.53, 5.95),
    },
    "weighted_cross_entropy": {
        "dice_RV": (0.87, 0.09),
        "hausdorff_RV": (16.23, 10.44),
        "dice_M": (0.87, 0.04),
        "hausdorff_M": (8.85, 5.23),
        "dice_LV": (0.94, 0.05),
        "hausdorff_LV": (7.43, 5.50),
    },
    "dice": {
        "dice_RV": (0.87, 0.11),
        "hausdorff_RV": (20.98, 15.34),
        "dice_M": (0.89, 0.03),
        "hausdorff_M": (13.87, 21.83),
        "dice_LV": (0.94, 0.05),
        "hausdorff_LV": (11.40, 19.29),
    },
    "focal": {
        "dice_RV": (0.89, 0.09),
        "hausdorff_RV": (14.89, 11.07),
        "dice_M": (0.90, 0.03),
        "hausdorff_M": (9.90, 14.60),
        "dice_LV": (0.94, 0.05),
        "hausdorff_LV": (8.44, 13.44),
    },
    "boundary": {
        "dice_RV": (0.89, 0.09),
        "hausdorff_RV": (16.55, 13.85),
        "dice_M": (0.90, 0.04),
        "hausdorff_M": (8.41, 5.39),
        "dice_LV": (0.94, 0.06),
        "hausdorff_LV": (8.36, 7.85),
    },
}
TABLE3 = {
    "rrw": {
        "dice_ET": (0.80, 0.15),
        "hausdorff_ET": (20.76, 19.32),
        "dice_ED": (0.78, 0.14),
        "hausdorff_ED": (37.48, 18.56),
        "dice_NCR_NET": (0.61, 0.26),
        "hausdorff_NCR_NET": (16.47, 12.64),
    },
    "weighted_cross_entropy": {
        "dice_ET": (0.80, 0.14),
        "hausdorff_ET": (23.59, 18.75),
        "dice_ED": (0.76, 0.13),
        "hausdorff_ED": (35.76, 18.83),
        "dice_NCR_NET": (0.61, 0.26),
        "hausdorff_NCR_NET": (16.39, 11.99),
    },
    "dice": {
        "dice_ET": (0.79, 0.16),
        "hausdorff_ET": (77.49, 16.67),
        "dice_ED": (0.77, 0.14),
        "hausdorff_ED": (74.22, 13.83),
        "dice_NCR_NET": (0.61, 0.25),
        "hausdorff_NCR_NET": (61.48, 22.34),
    },
    "focal": {
        "dice_ET": (0.80, 0.14),
        "hausdorff_ET": (19.27, 18.16),
        "dice_ED": (0.78, 0.14),
        "hausdorff_ED": (37.01, 19.25),
        "dice_NCR_NET": (0.61, 0.26),
        "hausdorff_NCR_NET": (16.16, 14.63),
    },
    "boundary": {
        "dice_ET": (0.80, 0.15),
        "hausdorff_ET": (19.04, 15.58),
        "dice_ED": (0.78, 0.14),
        "hausdorff_ED": (29.35, 18.80),
        "dice_NCR_NET": (0.60, 0.27),
        "hausdorff_NCR_NET": (16.87, 12.45),
    },
}
TABLE4 = {
    "rrw": {
        "dice_kidney": (0.95, 0.04),
        "hausdorff_kidney": (20.29, 16.64),
        "dice_tumor": (0.57, 0.31),
        "hausdorff_tumor": (56.38, 30.92),
    },
    "weighted_cross_entropy": {
        "dice_kidney": (0.92, 0.04),
        "hausdorff_kidney": (22.16, 17.18),
        "dice_tumor": (0.51, 0.34),
        "hausdorff_tumor": (56.70, 31.21),
    },
    "dice": {
        "dice_kidney": (0.94, 0.04),
        "hausdorff_kidney": (21.02, 18.44),
        "dice_tumor": (0.53, 0.31),
        "hausdorff_tumor": (84.29, 25.04),
    },
    "focal": {
        "dice_kidney": (0.95, 0.04),
        "hausdorff_kidney": (19.84, 15.73),
        "dice_tumor": (0.51, 0.35),
        "hausdorff_tumor": (41.37, 29.52),
    },
    "boundary": {
        "dice_kidney": (0.94, 0.05),
        "hausdorff_kidney": (18.62, 16.00),
        "dice_tumor": (0.51, 0.33),
        "hausdorff_tumor": (55.50, 30.48),
    },
}

# The stars: (row, column) that differs from rrw, p < 0.05 in a paired permutation test.
STARS2 = {
    ("weighted_cross_entropy", "dice_RV"),
    ("weighted_cross_entropy", "dice_M"),
    ("dice", "dice_RV"),
    ("dice", "hausdorff_RV"),
    ("dice", "dice_M"),
    ("dice", "hausdorff_M"),
    ("dice", "hausdorff_LV"),
}
STARS3 = {
    ("weighted_cross_entropy", "dice_ED"),
    ("dice", "dice_ET"),
    ("dice", "hausdorff_ET"),
    ("dice", "hausdorff_ED"),
    ("dice", "hausdorff_NCR_NET"),
    ("boundary", "hausdorff_ED"),
}
STARS4 = {
    ("weighted_cross_entropy", "dice_kidney"),
    ("weighted_cross_entropy", "hausdorff_kidney"),
    ("weighted_cross_entropy", "dice_tumor"),
    ("dice", "dice_kidney"),
    ("dice", "hausdorff_tumor"),
    ("focal", "dice_tumor"),
    ("focal", "hausdorff_tumor"),
    ("boundary", "dice_kidney"),
    ("boundary", "dice_tumor"),
}

# Voxels of each class, in percent, from the heads of the tables.
PERCENT2 = {"RV": 1.21, "M": 1.3, "LV": 1.27}
PERCENT3 = {"ET": 0.26, "ED": 0.66, "NCR_NET": 0.16}
PERCENT4 = {"kidney": 1.89, "tumor": 0.47}

# The row "(Ours)" is rrw; the others are the top three submissions of the competition.
TABLE5 = {
    "rrw": {
        "dice_RV/ED": 0.95,
        "dice_RV/ES": 0.89,
        "hausdorff_RV/ED": 12.0,
        "hausdorff_RV/ES": 13.9,
        "dice_M/ED": 0.91,
        "dice_M/ES": 0.92,
        "hausdorff_M/ED": 9.3,
        "hausdorff_M/ES": 11.8,
        "dice_LV/ED": 0.97,
        "dice_LV/ES": 0.93,
        "hausdorff_LV/ED": 6.2,
        "hausdorff_LV/ES": 10.5,
    },
    "isensee": {
        "dice_RV/ED": 0.95,
        "dice_RV/ES": 0.90,
        "hausdorff_RV/ED": 10.1,
        "hausdorff_RV/ES": 12.2,
        "dice_M/ED": 0.90,
        "dice_M/ES": 0.92,
        "hausdorff_M/ED": 8.7,
        "hausdorff_M/ES": 8.7,
        "dice_LV/ED": 0.97,
        "dice_LV/ES": 0.93,
        "hausdorff_LV/ED": 7.4,
        "hausdorff_LV/ES": 6.9,
    },
    "baumgartner": {
        "dice_RV/ED": 0.93,
        "dice_RV/ES": 0.88,
        "hausdorff_RV/ED": 12.7,
        "hausdorff_RV/ES": 14.7,
        "dice_M/ED": 0.89,
        "dice_M/ES": 0.90,
        "hausdorff_M/ED": 8.7,
        "hausdorff_M/ES": 10.6,
        "dice_LV/ED": 0.96,
        "dice_LV/ES": 0.91,
        "hausdorff_LV/ED": 6.5,
        "hausdorff_LV/ES": 9.2,
    },
    "jang": {
        "dice_RV/ED": 0.93,
        "dice_RV/ES": 0.89,
        "hausdorff_RV/ED": 12.9,
        "hausdorff_RV/ES": 11.8,
        "dice_M/ED": 0.88,
        "dice_M/ES": 0.90,
        "hausdorff_M/ED": 9.9,
        "hausdorff_M/ES": 8.9,
        "dice_LV/ED": 0.96,
        "dice_LV/ES": 0.92,
        "hausdorff_LV/ED": 7.7,
        "hausdorff_LV/ES": 7.1,
    },
}
