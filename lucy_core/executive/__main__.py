"""`python -m lucy_core.executive` is the command `lucy`."""

import sys

from lucy_core.executive.command_line import main

sys.exit(main())
