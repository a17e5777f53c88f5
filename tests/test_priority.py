"""Who comes first where processors are busy."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no niceness")
def test_a_process_gives_way_once():
    code = (
        "import os; from picasso.priority import give_way; before = os.nice(0); give_way(); give_way(); "
        "print(os.nice(0) - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "5\n"
