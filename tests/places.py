"""Where the repository is, and the command `lucy` that belongs to it."""

import sys
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
LUCY = Path(sys.executable).with_name("lucy")
