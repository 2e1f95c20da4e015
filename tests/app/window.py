"""Starts scenarios in the real Blender of the chroot, and reads what they wrote. Runs outside, as root."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
INSIDE = Path(__file__).parent / "inside"
OUT = ROOT / "out" / "app"
#: Settings of this machine's own package index, proxy and certificates: the installer in the chroot needs the same.
PASSED_ON = ("PIP_", "UV_", "SSL_", "REQUESTS_", "CURL_CA", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
CERTIFICATES = "/etc/ssl/certs"


@dataclass
class Played:
    """What a scenario saw. ``facts``: all that a Blender wrote, by role; ``end``: what was left when all had ended."""

    facts: dict[str, list[dict]]
    end: dict = field(default_factory=dict)

    def all(self, key: str, role: str = "one") -> list:
        return [fact[key] for fact in self.facts[role] if key in fact]

    def one(self, key: str, role: str = "one"):
        """The only fact of that name; a scenario that failed says why instead."""
        (found,) = self.all(key, role)
        return found


def play(
    scenario: str,
    *,
    roles: tuple[str, ...] = ("one",),
    timeout: float = 300,
    fresh: bool = True,
    resources: str = "",
    **told: str,
) -> Played:
    """Play ``inside/<scenario>.py`` in as many Blenders as there are roles.

    Parameters
    ----------
    fresh : whether to begin with empty preferences and without extensions
    resources : name of the folder with preferences and extensions, to share it between scenarios
    told : variables for the scenario
    """
    out = OUT / scenario
    home = OUT / "resources" / (resources or scenario)
    shutil.rmtree(out, ignore_errors=True)
    if fresh:
        shutil.rmtree(home, ignore_errors=True)
    for folder in (out, home):
        folder.mkdir(parents=True, exist_ok=True)
    zip_file, chroot = Path(os.environ["DA3_ZIP"]), os.environ["DA3_CHROOT"]
    own = {
        "PATH": "/usr/bin:/bin", "HOME": "/root", "LANG": "C.UTF-8", "LIBGL_ALWAYS_SOFTWARE": "1",
        "XDG_RUNTIME_DIR": "/tmp/run", "TMPDIR": "/tmp", "BLENDER_USER_RESOURCES": str(home), "DA3_OUT": str(out),
        "DA3_ZIP": str(zip_file), "DA3_COURTYARD": str(ROOT / "sample_images" / "courtyard"),
        "DA3_ENVIRONMENT": os.environ["DA3_ENVIRONMENT"],
    }  # fmt: skip
    passed_on = {name: value for name, value in os.environ.items() if name.upper().startswith(PASSED_ON)}
    passed_on.pop("UV_CACHE_DIR", None)
    environ = {name: value for name, value in {**passed_on, **own, **told}.items() if value}
    read = [str(ROOT), str(zip_file.parent), CERTIFICATES, *worker_folders(), *index_folders(passed_on)]
    command = ["/usr/bin/python3", str(INSIDE / "launch.py"), str(INSIDE / f"{scenario}.py"), str(out), str(timeout)]
    plan = {
        "root": chroot, "read": list(dict.fromkeys(read)), "write": [str(OUT)], "environ": environ,
        "command": [*command, *roles],
    }  # fmt: skip
    (out / "plan.json").write_text(json.dumps(plan, indent=1), "utf-8")
    enter = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", sys.executable]
    enter += [str(Path(__file__).with_name("enter.py")), str(out / "plan.json")]
    subprocess.run(enter, check=True, stdin=subprocess.DEVNULL, timeout=timeout + 60)
    facts = {role: _lines(out / f"{role}.jsonl") for role in roles}
    end = json.loads((out / "end.json").read_text("utf-8"))
    played = Played(facts, end)
    for role in roles:
        ended = played.all("ended", role)
        log = "\n".join((out / f"{role}.log").read_text("utf-8", "replace").splitlines()[-25:])
        assert ended == ["well"], f"{scenario} ({role}): {ended}, exit codes {end['codes']}\n{log}"
    return played


def worker_folders() -> list[str]:
    """The worker's environment of `make test`, and the Python that it was made from."""
    environment = Path(os.environ["DA3_ENVIRONMENT"])
    base = (environment / "bin" / "python").resolve().parents[1]
    return [str(environment)] + ([] if base == Path("/usr") else [str(base)])


def index_folders(settings: dict[str, str]) -> list[str]:
    """pip's own settings file, and folders on this machine that it or the settings name as an index."""
    files = [file for file in (Path("/etc/pip.conf"),) if file.exists()]
    text = " ".join([*settings.values(), *(file.read_text("utf-8") for file in files)])
    words = [word.removeprefix("file://").rstrip("/") for word in text.split()]
    folders = [word for word in words if word.startswith("/") and Path(word).is_dir() and word != CERTIFICATES]
    return [*map(str, files), *folders]


def _lines(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()] if file.exists() else []
