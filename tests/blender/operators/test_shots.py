"""``generate --inputs``: many shots with one loaded model, of which one that fails keeps no other from being made."""

import tempfile
from pathlib import Path

import pictures
import pytest
from da3_blender import addon
from da3_blender.operators.command_line import cli

STAND_INS = Path(__file__).resolve().parents[2] / "support" / "stand_ins.py"


@pytest.fixture(autouse=True)
def enabled(empty_file, tmp_path, monkeypatch):
    (tmp_path / "temp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temp"))
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "da3-small.safetensors").write_bytes(b"a stand-in is loaded instead")
    monkeypatch.setenv("DA3_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("DA3_PREDICTOR", f"{STAND_INS}:quick")
    monkeypatch.setenv("DA3_STAND_IN_LOG", str(tmp_path / "loads.txt"))
    addon.register()
    yield
    addon.unregister()


@pytest.fixture
def run(capfd, tmp_path):
    """Runs a list; exit code, lines on stdout, the last on stderr."""
    for name in ("a", "b"):
        pictures.write(tmp_path / name)

    def run(text, *more, cut="\n"):
        (tmp_path / "list.csv").write_text(text.replace("\n", cut), "utf-8")
        code = cli.main(["generate", "--inputs", str(tmp_path / "list.csv"), "--process-resolution", "56", *more])
        out, said = capfd.readouterr()
        return code, [line for line in out.splitlines() if line.startswith(str(tmp_path))], said.splitlines()[-1]

    return run


def test_a_failed_shot_keeps_no_other_from_being_made_with_one_loaded_model(run, tmp_path):
    text = "input,output,report,process_resolution\na,a.blend,a.json,\nnone,none.blend,,\n# b twice\nb,b.blend,,42\na|b,c.blend,,\n"
    code, made, said = run(text)
    assert code == 1
    assert [line.rpartition("/")[2].split(" in ")[0] for line in made] == [
        f"a.blend: {3 * 56 * 42:,} points from 3 of 3 images",
        f"none.blend: failed: The input '{tmp_path}/none' does not exist: give a folder of images, or one image".rpartition(
            "/"
        )[2],
        f"b.blend: {3 * 42 * 28:,} points from 3 of 3 images",
        f"c.blend: {6 * 56 * 42:,} points from 6 of 6 images",
    ]
    assert "1 of 4 shots failed" in said
    assert (tmp_path / "loads.txt").read_text().splitlines() == ["load da3-small"]
    assert all((tmp_path / name).is_file() for name in ("a.blend", "a.json", "b.blend", "c.blend"))

    pictures.write(tmp_path / "none")
    dates = (tmp_path / "b.blend").stat().st_mtime_ns
    code, made, _ = run(text, "--skip-done")
    assert code == 0 and [("passed over" in line) for line in made] == [True, False, True, True]
    assert (tmp_path / "b.blend").stat().st_mtime_ns == dates and (tmp_path / "none.blend").is_file()


def test_semicolons_and_windows_line_ends_are_read_too(run, tmp_path):
    code, made, _ = run("\ufeffInput;Output;Merge-Points\na;a.blend;on\n", cut="\r\n")
    assert code == 0 and len(made) == 1


@pytest.mark.parametrize("text, sentence", [
    ("", "lacks 'input': it names the columns"),
    ("input,output\n", "has no shots"),
    ("input,result\na,a.blend", "lacks 'output'"),
    ("input,output,colour\na,a.blend,red", "has a column 'colour', which is neither a file nor a setting"),
    ("input,output,input\na,a.blend,b", "has the column 'input' twice"),
    ("input,output\na,a.blend\nb", "Line 3 of '{list}': 1 values for 2 columns"),
    ("input,output\n,a.blend", "Line 2 of '{list}': it has no input"),
    ("input,output\na,a.blend\nb,a.blend", "Line 3 of '{list}': line 2 makes '{here}/a.blend' too"),
    ("input,output,batch_size\na,a.blend,many", "Line 2 of '{list}': "),
    ('input,output\n"a,a.blend', "Line 2 of '{list}': it is no CSV"),
])  # fmt: skip
def test_a_bad_line_is_one_sentence_before_any_work(run, tmp_path, text, sentence):
    code, made, said = run(text)
    assert code == 2 and made == [] and not (tmp_path / "loads.txt").exists()
    assert sentence.format(list=tmp_path / "list.csv", here=tmp_path) in said


def test_a_farm_asks_for_some_of_the_shots(run, tmp_path):
    text = "input,output\n" + "".join(f"a,{name}.blend\n" for name in "pqrs")
    assert [run(text, "--only", only)[0] for only in ("0", "3-2", "5", "x", "-2")] == [2] * 5
    code, made, _ = run(text, "--only", "2-3")
    assert code == 0 and len(made) == 2
    assert sorted(path.name for path in tmp_path.glob("*.blend")) == ["q.blend", "r.blend"]
    assert run(text, "--only", "4-9")[0] == 0 and (tmp_path / "s.blend").is_file()


def test_a_list_that_is_not_there_and_words_that_contradict_it(capfd, tmp_path):
    for more in ((), ("--output", "x.blend")):
        assert cli.main(["generate", "--inputs", str(tmp_path / "none.csv"), *more]) == 2
        said = capfd.readouterr().err.splitlines()[-1]
        assert ("With --inputs the list says what --output would" if more else "cannot be read") in said
