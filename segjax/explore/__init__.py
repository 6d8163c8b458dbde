"""Looking into losses: gradient checks, landscapes and pictures."""
