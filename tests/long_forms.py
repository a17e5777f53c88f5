"""Whether tests run in their short form, as in every run, or in their long one."""

from __future__ import annotations

import os

OF_TESTS = {"PICASSO_EVERYTHING": "TESTS_EVERYTHING", "PICASSO_CORPORA": "TESTS_CORPORA"}
"""Variables for tests by the name that people give them; `conftest.py` calls them by the other one."""


def everything() -> bool:
    """Whether the long forms of tests run too (make test-all)."""
    return bool(os.environ.get(OF_TESTS["PICASSO_EVERYTHING"]))
