"""``python -m fixgw`` is the command ``fixgw``."""

import sys

from fixgw.cli import main

sys.exit(main())
