"""The label of pixels and voxels of which nothing is known."""

# It is of no class (`ops.classes.counted`): losses leave it out, and so do evaluation, sampling
# and statistics of labels.
IGNORED = 255
