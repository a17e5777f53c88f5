"""No dependency may be one with a known hole, and SECURITY.md says how to look for new ones."""

from __future__ import annotations

import ast
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
FLOORS = {
    **{"pillow": "13.0.0", "keras": "3.15.1", "flask": "3.1.3", "werkzeug": "3.1.9"},
    **{"cryptography": "44.0.1", "distributed": "2026.1.1", "filelock": "3.20.3"},
}
WHERE_THERE = {"pydicom": "3.0.2"}  # asked for by nothing yet


def requirements() -> dict[str, Requirement]:
    """What setup.py names, by name."""
    tree = ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))
    lists = [node.value for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.value, ast.List)]
    found = [
        Requirement(ast.literal_eval(item)) for one in lists for item in one.elts if not isinstance(item, ast.Starred)
    ]
    return {requirement.name: requirement for requirement in found}


def test_floors_exclude_known_holes() -> None:
    named = requirements()
    assert FLOORS.keys() <= named.keys()
    for name, floor in (FLOORS | WHERE_THERE).items():
        if name not in named:
            continue
        (specifier,) = [one for one in named[name].specifier if one.operator == ">="]
        assert Version(specifier.version) >= Version(floor), name


def test_every_dependency_has_a_floor_and_what_is_installed_is_above_it() -> None:
    for name, requirement in requirements().items():
        assert {one.operator for one in requirement.specifier} & {">=", "=="}, f"{name} has no floor"
        try:
            assert version(name) in requirement.specifier, name
        except PackageNotFoundError:  # an extra that is not there
            continue


def test_the_audit_is_documented_and_there() -> None:
    assert "make audit" in (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    assert "\naudit:" in (ROOT / "Makefile").read_text(encoding="utf-8")
