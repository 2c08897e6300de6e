"""`python -m embrl` is `embrl`."""

import sys

from embrl.cli import main

if __name__ == "__main__":  # processes of environments run this file again
    sys.exit(main())
