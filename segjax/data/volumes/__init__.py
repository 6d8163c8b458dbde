"""Medical volumes: reading, planning, preprocessing, sampling, components."""
