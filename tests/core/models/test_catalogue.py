"""The table of models and what of it is installed."""

import dataclasses

import pytest
from da3_blender.core.errors import MissingModel
from da3_blender.core.models import catalogue


def test_the_table_holds_every_model_once():
    names = [m.name for m in catalogue.MODELS]
    assert len(set(names)) == len(names) == 11
    assert names[0] == "classic"
    assert [m.name for m in catalogue.MODELS if m.obsolete] == ["da3-large", "da3-giant", "da3nested-giant-large"]


def test_only_classic_needs_no_file_and_every_other_names_its_repository():
    for model in catalogue.MODELS:
        assert model.needs_file == (model.name != "classic")
        assert bool(model.repo) == bool(model.config) == bool(model.parameters) == model.needs_file


def test_rows_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        catalogue.find("da3-small").label = "x"


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(MissingModel, match="no model 'da3-tiny'.*classic.*da3nested-giant-large"):
        catalogue.find("da3-tiny")


def test_a_missing_file_is_named_with_its_place_and_a_way_to_get_it(tmp_path):
    with pytest.raises(MissingModel) as caught:
        catalogue.require("da3-base", tmp_path)
    message = str(caught.value)
    assert "da3-base.safetensors" in message and str(tmp_path) in message and "depth-anything/DA3-BASE" in message
    assert caught.value.exit_code == 3


def test_classic_requires_nothing(tmp_path):
    assert catalogue.require("classic", tmp_path) is None


def test_an_empty_file_and_a_partial_one_are_not_models(tmp_path):
    (tmp_path / "da3-small.safetensors").touch()
    (tmp_path / "da3-base.safetensors.part").write_bytes(b"1")
    (tmp_path / "da3-large.safetensors").mkdir()
    assert catalogue.installed(tmp_path) == []
    assert catalogue.installed(tmp_path / "nowhere") == []


@pytest.mark.parametrize(
    ("there", "best"),
    [
        ([], "classic"),
        (["da3metric-large", "da3-giant-1.1"], "classic"),
        (["da3-small"], "da3-small"),
        (["da3-small", "da3-base"], "da3-base"),
        (["da3-small", "da3-base", "da3-large-1.1"], "da3-large-1.1"),
    ],
)
def test_the_best_installed_is_large_then_base_then_small_then_classic(tmp_path, there, best):
    for name in there:
        (tmp_path / f"{name}.safetensors").write_bytes(b"1")
    assert {m.name for m in catalogue.installed(tmp_path)} == set(there)
    assert catalogue.best_installed(tmp_path).name == best


def test_sizes_are_those_of_the_files():
    mebibytes = {m.name: round(m.file_bytes / 2**20) for m in catalogue.MODELS}
    assert mebibytes["da3-small"] == 131
    assert mebibytes["da3-large-1.1"] == mebibytes["da3-large"] == 1568
    assert mebibytes["da3nested-giant-large-1.1"] == 6446
