"""Writes requirements.txt, the lock, from requirements.in: `make lock`.

Needs Python 3.13: pip picks wheels for another machine, but reads the conditions in packages' requirements
(`python_version < "3.13"`) with the eyes of the interpreter that runs it.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
WANTED, LOCK = FOLDER / "requirements.in", FOLDER / "requirements.txt"
PLATFORMS = ("aarch64", "x86_64")
GLIBC = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014")  # as in the Makefile


def main() -> None:
    """Ask pip what it would install for each platform, and write that down."""
    hashes: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for platform in PLATFORMS:
        for package in _resolved(platform):
            metadata = package["metadata"]
            name = re.sub(r"[-_.]+", "-", metadata["name"]).lower()
            found = package["download_info"]["archive_info"]["hashes"]["sha256"]
            hashes[name, metadata["version"]].add(f"--hash=sha256:{found}")
    names = [name for name, _ in hashes]
    if len(names) != len(set(names)):
        sys.exit("The platforms would get different versions of a package; pin it in requirements.in.")
    lines = [f"# Written by `make lock` from requirements.in ({digest(WANTED.read_text())}).\n"]
    for (name, version), found in sorted(hashes.items()):
        lines.append(" \\\n    ".join([f"{name}=={version}", *sorted(found)]) + "\n")
    LOCK.write_text("".join(lines))


def digest(wanted: str) -> str:
    """What tells whether a lock is that of these requirements: their hash, without comments."""
    pins = [re.sub(r"\s*#.*", "", line).strip() for line in wanted.splitlines()]
    return hashlib.sha256("\n".join(sorted(filter(None, pins))).encode()).hexdigest()[:16]


def _resolved(platform: str) -> list[dict[str, Any]]:
    report = subprocess.run(  # noqa: S603 - pip
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("--dry-run", "--ignore-installed", "--report", "-", "--requirement", str(WANTED)),
            *("--target", str(FOLDER), "--python-version", "3.13", "--implementation", "cp"),
            *("--only-binary", ":all:", *(f"--platform={glibc}_{platform}" for glibc in GLIBC)),
        ],
        check=True,
        stdout=subprocess.PIPE,
    ).stdout
    packages: list[dict[str, Any]] = json.loads(report)["install"]
    return packages


if __name__ == "__main__":
    main()
