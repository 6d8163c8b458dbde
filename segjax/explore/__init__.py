"""Looking into losses and runs: toy experiments, and pictures for notebooks and reports."""
