r"""What Windows wants otherwise, as far as that can be told without one: path lengths, exit codes, sentences."""

import importlib.metadata
import sys
from pathlib import Path, PureWindowsPath
from types import SimpleNamespace

import pytest
from da3_blender.core.devices import support
from da3_blender.core.files import windows
from da3_blender.core.worker.life import death
from da3_blender.core.worker.server.explaining import explained

ROOT = Path(__file__).resolve().parents[3]
USER = "x" * 20  # letters, the longest that Windows takes for an account
# What the longest names get beside the environment's own: building.py's part, trash.py's mark, uv's cache.
PART = "environment.part-01234567"
CACHE = r"environment.cache\archive-v0\0123456789abcdefghijk"


def longest_inside():
    """The longest path below ``site-packages`` of all packages that are installed here, by their own lists (RECORD)."""
    files = [file for package in importlib.metadata.distributions() for file in package.files or ()]
    return max((str(file) for file in files), key=len)


def test_no_path_of_the_packages_is_too_long_for_windows():
    pytest.importorskip("torch")  # in the worker's environment: its headers have the longest names
    parent = windows.environment_parent(rf"C:\Users\{USER}\AppData\Local", "5.2")
    inside = longest_inside()
    assert len(inside) > 100
    for folder in (parent / PART / "Lib" / "site-packages", parent / CACHE):
        assert len(str(folder / PureWindowsPath(inside))) <= windows.LONGEST_PATH, folder / inside
    roaming = PureWindowsPath(rf"C:\Users\{USER}\AppData\Roaming\Blender Foundation\Blender\5.2\extensions\.user")
    there = roaming / "user_default" / "da3_blender" / PART / "Lib" / "site-packages" / inside
    assert len(str(there)) > windows.LONGEST_PATH  # why it does not lie with the extension's other data


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("C:\\a\\b", "\\\\?\\C:\\a\\b"),
        ("\\\\host\\share\\a", "\\\\?\\UNC\\host\\share\\a"),
        ("\\\\?\\C:\\a", "\\\\?\\C:\\a"),
    ],
)
def test_the_long_form_of_a_path(path, expected):
    assert windows.in_long_form(path) == expected


@pytest.mark.skipif(sys.platform == "win32", reason="there it is another")
def test_elsewhere_a_path_is_as_it_was(tmp_path):
    assert windows.long_path(tmp_path) is tmp_path


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0xC0000005, "exit code 0xc0000005 (an access violation)"),
        (0xC0000135, "(a library that is missing)"),
        (3, "ended with exit code 3"),
        (-11, "was killed by SIGSEGV"),
        (-200, "was killed by signal 200"),
    ],
)
def test_an_exit_code_is_said_in_words(tmp_path, code, words):
    assert words in windows.how_it_ended(code)
    assert words in death.obituary(code, tmp_path / "no.log")


def test_a_missing_runtime_of_microsofts_is_a_sentence_that_says_what_to_install():
    error = OSError(
        '[WinError 126] The specified module could not be found. Error loading "C:\\x\\torch\\lib\\c10.dll"'
    )
    assert "Visual C++ Redistributable" in explained(error)
    assert "Redistributable" in explained(ImportError("DLL load failed while importing _C: Das Modul fehlt"))
    assert "Redistributable" not in explained(FileNotFoundError(2, "No such file", "c10.dll"))


def test_no_program_is_started_with_a_window():
    """Each place that starts one says so; what a hidden program starts has no window either."""
    wanting = []
    for file in [*ROOT.glob("core/**/*.py"), *ROOT.glob("operators/**/*.py"), *ROOT.glob("streaming/**/*.py")]:
        text = file.read_text("utf-8")
        for start in ("subprocess.run(", "subprocess.Popen("):
            for piece in text.split(start)[1:]:
                call = piece[: piece.find("\n\n")]
                if not any(sign in call for sign in ("NO_WINDOW", "creationflags", "**options", '["ps"')):
                    wanting.append(f"{file.name}: {call[:60]}")
    assert wanting == []


@pytest.mark.parametrize(
    ("kind", "abi", "macos", "expected"),
    [
        ("macosx-x86_64", "cpython-311-darwin", "14.5", support.INTEL_MAC),
        ("macosx-arm64", "cpython-311-darwin", "13.6", support.OLD_MACOS),
        ("macosx-arm64", "cpython-311-darwin", "14.0", ""),
        ("macosx-arm64", "cpython-313-darwin", "26.1", ""),
        ("win-arm64", "cp313-win_arm64", "", support.WINDOWS_ARM),
        ("win-amd64", "cp311-win_amd64", "", ""),
        ("linux-x86_64", "cpython-311-x86_64-linux-musl", "", support.MUSL),
        ("linux-aarch64", "cpython-311-aarch64-linux-gnu", "", support.LINUX_ARM),
        ("linux-x86_64", "cpython-311-x86_64-linux-gnu", "", ""),
    ],
)
def test_a_platform_without_packages_is_told_before_anything_is_downloaded(kind, abi, macos, expected):
    assert support.lacking(kind, abi, macos) == expected


def test_the_worker_leaves_its_folder_before_it_deletes_it(tmp_path, monkeypatch):
    """Windows deletes no folder that is a process's current one."""
    from da3_blender.core.worker.server import server

    here, order = tmp_path / "session", []
    here.mkdir()
    monkeypatch.setattr(
        server, "os", SimpleNamespace(chdir=lambda to: order.append(to), _exit=lambda code: order.append(code))
    )
    monkeypatch.setattr(server.private_folder, "remove", lambda folder: order.append(folder))
    monkeypatch.setattr(server.pulse, "take_time", lambda: None)  # it would end the tests, seconds later
    server.Server(None, None, here)._end()
    assert order == [tmp_path, here, 0]
