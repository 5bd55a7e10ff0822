"""`python -m lucy_core.executive` is the command `lucy`."""

import sys

from lucy_core.executive.entry import main

sys.exit(main())
