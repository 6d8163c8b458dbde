"""`python -m segjax`: the command where the script of that name is not on the path."""

import sys

from segjax.cli import main

if __name__ == "__main__":
    sys.exit(main())
