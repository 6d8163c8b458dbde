"""Medical volumes: reading, planning, preprocessing, sampling, augmentation, tiling."""
