"""Finds a Chromium for the browser tests: one that is there, else Playwright's, else the system's package manager."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"]
MAC = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")


def find() -> str | None:
    """The path of a Chromium or Chrome; None when there is none."""
    for name in NAMES:
        path = shutil.which(name)
        if path:
            return path
    if MAC.exists():
        return str(MAC)
    return _playwright()


def _playwright() -> str | None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else None


def install() -> None:
    """Brings a Chromium, trying each way in turn."""
    ways = [[sys.executable, "-m", "playwright", "install", "--with-deps", "chromium"]]
    if shutil.which("apt-get"):
        sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
        ways.append([*sudo, "sh", "-c", "apt-get update -q && apt-get install -qy --no-install-recommends chromium"])
    elif shutil.which("dnf"):
        ways.append(["sudo", "-n", "dnf", "install", "-y", "chromium"])
    elif shutil.which("brew"):
        ways.append(["brew", "install", "--cask", "chromium"])
    for way in ways:
        print("No Chromium yet; trying:", " ".join(way), flush=True)
        done = subprocess.run(way, capture_output=True, text=True, check=False)  # noqa: S603 - fixed commands
        if find():
            return
        print((done.stderr or done.stdout).strip().splitlines()[-1:], flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--install", action="store_true", help="install one if there is none")
    if parser.parse_args().install and find() is None:
        install()
    found = find()
    if found is None:
        sys.exit("No Chromium was found. Install Chromium or Chrome, then try again.")
    print(found)
