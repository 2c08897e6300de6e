"""`python -m embrl` is `embrl`."""

import sys

from embrl.cli import main

sys.exit(main())
