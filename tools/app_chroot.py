"""A Blender with a window, in a Debian of its own under the cache folder: made once, by root, with debootstrap.

Everything that has to be mounted is mounted in a mount namespace of its own, so nothing stays mounted, whatever happens.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import paths

SUITE = "trixie"  # which carries Blender 4.3.2 with Python 3.13
PACKAGES = "blender python3-numpy xvfb xdotool libxtst6 libgl1-mesa-dri imagemagick x11-utils ca-certificates".split()
#: In a private mount namespace; $1 is the folder. /proc is there for the packages' own scripts.
INSTALL = """
set -e
mount -t proc proc "$1/proc"
chroot "$1" apt-get update -q
chroot "$1" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $PACKAGES
chroot "$1" apt-get clean
"""
OWN_NAMESPACE = ["unshare", "--mount", "--propagation", "private"]


def folder() -> Path:
    """Where it is, or will be."""
    return paths.cache() / f"app-{SUITE}-{paths.key_of(SUITE, INSTALL, *PACKAGES)}"


def why_not() -> str:
    """Why it cannot be had on this machine; empty where it can."""
    if sys.platform != "linux" or not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "it needs root on Linux, for a chroot"
    if subprocess.call([*OWN_NAMESPACE, "true"], stderr=subprocess.DEVNULL) != 0:
        return "this machine allows no mount namespace (unshare --mount)"
    if (folder() / "complete").exists():
        return ""
    if not shutil.which("debootstrap") and not _install_debootstrap():
        return "debootstrap is not installed (apt-get install debootstrap)"
    return "" if mirror() else "this machine's apt sources name no Debian mirror"


def make(target: Path) -> None:
    """Debian and Blender, into an empty folder; about two minutes and 1.4 GB."""
    # The marker of setup.once is the last file to come, so an interrupted one is made anew.
    packages = subprocess.list2cmdline(PACKAGES)
    _run(["debootstrap", "--variant=minbase", SUITE, str(target), mirror() or ""])
    for name in ("resolv.conf", "hosts"):
        shutil.copyfile(Path("/etc") / name, target / "etc" / name)
    (target / "etc" / "mtab").unlink(missing_ok=True)
    (target / "etc" / "mtab").symlink_to("/proc/self/mounts")
    policy = target / "usr" / "sbin" / "policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")  # no package may start a service
    policy.chmod(0o755)
    _run([*OWN_NAMESPACE, "sh", "-c", INSTALL, "sh", str(target)], PACKAGES=packages)


def mirror() -> str | None:
    """The mirror that this machine's apt has for its own Debian; nothing here names one."""
    found = []
    for file in sorted(Path("/etc/apt").glob("sources.list*")) + sorted(Path("/etc/apt/sources.list.d").glob("*")):
        if file.is_file():
            text = file.read_text("utf-8", "replace")
            found += re.findall(r"^\s*(?:URIs:\s*|deb\s+(?:\[.*?\]\s+)?)(\S+/debian/?)(?:\s|$)", text, re.MULTILINE)
    return found[0] if found else None


def _install_debootstrap() -> bool:
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update", "-q"], ["install", "-q", "-y", "--no-install-recommends", "debootstrap"]):
        subprocess.call(["apt-get", *command], env=environ, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    return shutil.which("debootstrap") is not None


def _run(command: list[str], **extra: str) -> None:
    code = subprocess.call(command, env={**os.environ, **extra}, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    if code != 0:
        raise SystemExit(f"This failed with exit code {code}: {' '.join(command)}")
