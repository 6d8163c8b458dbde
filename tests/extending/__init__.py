"""One of each thing that a researcher adds, written outside the package."""
