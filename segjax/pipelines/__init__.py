"""Several trained networks composed: stages are ordinary configs, each with a work folder."""
