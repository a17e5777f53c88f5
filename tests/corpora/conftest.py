"""The application and programs of `tests/api`, and the helpers beside them."""

from __future__ import annotations

import sys
from pathlib import Path

for _folder in ("web", "api"):
    sys.path.insert(0, str(Path(__file__).parents[1] / _folder))
