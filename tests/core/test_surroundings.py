"""What a machine may lack or have of its own: network access, proxies, certificates, room, a home, sense in numbers."""

import hashlib
from pathlib import Path

import pytest
from da3_blender.core.errors import BadInput, DA3Error, MissingModel
from da3_blender.core.files.user_cache import user_cache
from da3_blender.core.models import segmentation_catalogue, segmentation_download
from da3_blender.core.monitor import Monitor
from da3_blender.core.settings import Settings
from da3_blender.core.worker.life import private_folder

PINNED = segmentation_catalogue.find("yoloe-11s-seg-pf")
UNKNOWN = segmentation_catalogue.find("yoloe-11l-seg-pf")


def test_the_default_network_has_a_pinned_digest():
    assert segmentation_catalogue.find(Settings().seg_model).sha256


def test_without_online_access_no_network_is_downloaded(tmp_path, monkeypatch):
    monkeypatch.setattr(segmentation_download, "download", lambda *_, **__: pytest.fail("the network was used"))
    with pytest.raises(MissingModel, match="Online Access is off.*--online"):
        segmentation_download.require(PINNED, tmp_path, Monitor(), online=False)


def test_the_first_digest_is_remembered_and_shown_and_another_file_is_refused(tmp_path):
    file = segmentation_catalogue.path(UNKNOWN, tmp_path)
    file.write_bytes(b"first")
    digest = hashlib.sha256(b"first").hexdigest()
    assert digest in segmentation_catalogue.check(UNKNOWN, file)
    assert (
        segmentation_catalogue.check(UNKNOWN, file) == ""
        and segmentation_catalogue.digest_of(UNKNOWN, tmp_path) == digest
    )
    file.write_bytes(b"other")
    with pytest.raises(MissingModel, match="not the file that came first.*was not opened"):
        segmentation_catalogue.check(UNKNOWN, file)
    (tmp_path / f"{file.name}.sha256").write_text("nonsense")
    with pytest.raises(MissingModel, match="holds no SHA-256"):
        segmentation_catalogue.digest_of(UNKNOWN, tmp_path)


@pytest.fixture
def session(monkeypatch):
    """``http_session`` with a session of its own for the test."""
    pytest.importorskip("huggingface_hub")
    from da3_blender.core.models import hub
    from huggingface_hub.utils import close_session

    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    close_session()
    yield hub.http_session
    close_session()


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"ALL_PROXY": "socks5://127.0.0.1:1"}, "SOCKS"),
        ({"HTTPS_PROXY": "nonsense://x"}, "proxy"),
        ({"REQUESTS_CA_BUNDLE": "/nowhere.pem"}, "REQUESTS_CA_BUNDLE"),
        ({"SSL_CERT_FILE": "/nowhere.pem"}, "SSL_CERT_FILE"),
    ],
)
def test_proxies_and_certificates_that_cannot_be_used_are_named(session, monkeypatch, variables, said):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(DA3Error, match=said):
        session()


def test_certificates_of_a_company_are_taken(session, monkeypatch):
    import os

    import certifi

    monkeypatch.setenv("SSL_CERT_FILE", "")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certifi.where())
    session()
    assert os.environ["SSL_CERT_FILE"] == certifi.where()


def test_a_temporary_folder_that_takes_nothing_is_named(monkeypatch):
    def full(**_):
        raise OSError(28, "No space left on device")

    monkeypatch.setenv("TMPDIR", "/full")
    monkeypatch.setattr(private_folder.tempfile, "mkdtemp", full)
    monkeypatch.setattr(private_folder.tempfile, "gettempdir", lambda: "/full")
    with pytest.raises(DA3Error, match="can be made in '/full'.*TMPDIR"):
        private_folder.PrivateFolder()


def test_without_a_home_there_is_still_a_cache(monkeypatch):
    def none():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", none)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert user_cache().name == "da3-blender"


@pytest.mark.parametrize("value", ["99999999999", 2**31, "9" * 5000, "-99999999999"])
def test_integers_beyond_32_bits_are_out_of_range(value):
    with pytest.raises(BadInput) as refused:
        Settings.from_strings({"end_frame": value})
    assert "End Frame" in str(refused.value) and len(str(refused.value)) < 200
