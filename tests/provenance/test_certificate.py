"""Laws of what videos are signed with."""

from __future__ import annotations

import os
import stat
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization as pem
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from ns_talking.provenance import certificate as module
from ns_talking.provenance.certificate import TIMESTAMP_VARIABLE, credential, signing_folder


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NS_TALKING_CONFIG", str(tmp_path / "settings"))
    return signing_folder()


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Certificate and key of a user."""
    made = credential()
    paths = tmp_path / "mine.pem", tmp_path / "mine.key"
    for path, content in zip(paths, (made.chain, made.key), strict=True):
        path.write_bytes(content)
    return paths


def test_what_is_no_address_of_a_timestamp_authority_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert credential().timestamp_authority is None
    monkeypatch.setenv(TIMESTAMP_VARIABLE, "http://tsa.example")
    assert credential().timestamp_authority == "http://tsa.example"
    monkeypatch.setenv(TIMESTAMP_VARIABLE, "tsa.example")
    with pytest.raises(ValueError, match="NS_TALKING_TIMESTAMP_AUTHORITY is 'tsa.example', which is no address"):
        credential()


def test_the_local_certificate_is_made_once_and_nobody_else_may_read_it(settings: Path) -> None:
    assert credential() == credential()
    assert credential().local
    (kept,) = settings.iterdir()
    if os.name == "posix":
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        assert stat.S_IMODE(settings.stat().st_mode) == 0o700


def test_a_local_certificate_that_is_damaged_or_ends_is_replaced(
    settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(module, "_YEARS", 0)
        first = credential()
    second = credential()
    assert second != first
    (settings / "local.pem").write_text("no certificate")
    third = credential()
    leaf = x509.load_pem_x509_certificates(third.chain)[0]
    assert third != second and leaf.not_valid_after_utc > datetime.now(timezone.utc) + timedelta(days=3000)


def test_where_nothing_can_be_kept_a_certificate_is_made_for_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("NS_TALKING_CONFIG", str(tmp_path / "file"))
    assert credential().local
    assert "cannot be kept" in capsys.readouterr().out


def test_the_users_own_is_taken_from_options_or_environment(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = credential(*files)
    assert not own.local and own.algorithm == "es256" and own.chain == files[0].read_bytes()
    monkeypatch.setenv("NS_TALKING_CERTIFICATE", str(files[0]))
    monkeypatch.setenv("NS_TALKING_PRIVATE_KEY", str(files[1]))
    assert credential() == own


def _private(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, passphrase: bytes | None = None) -> bytes:
    locked = pem.BestAvailableEncryption(passphrase) if passphrase else pem.NoEncryption()
    return key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, locked)


def test_what_cannot_sign_is_refused_with_its_reason(files: tuple[Path, Path], tmp_path: Path) -> None:
    certificate, key = files
    with pytest.raises(ValueError, match="A certificate .* but no private key"):
        credential(certificate, None)
    with pytest.raises(ValueError, match="A private key .* but no certificate"):
        credential(None, key)
    with pytest.raises(FileNotFoundError, match=r"no file .*gone.pem"):
        credential(tmp_path / "gone.pem", key)
    (tmp_path / "text.pem").write_text("hello")
    with pytest.raises(ValueError, match="holds no certificate in PEM"):
        credential(tmp_path / "text.pem", key)
    with pytest.raises(ValueError, match="holds no private key in PEM"):
        credential(certificate, tmp_path / "text.pem")
    (tmp_path / "other.key").write_bytes(_private(ec.generate_private_key(ec.SECP256R1())))
    with pytest.raises(ValueError, match="does not belong to the first certificate"):
        credential(certificate, tmp_path / "other.key")
    (tmp_path / "locked.key").write_bytes(_private(ec.generate_private_key(ec.SECP256R1()), b"secret"))
    with pytest.raises(ValueError, match="without a passphrase"):
        credential(certificate, tmp_path / "locked.key")
    with pytest.raises(ValueError, match="kind that C2PA does not sign with"):
        module._algorithm(ec.generate_private_key(ec.SECP256K1()), key)


def test_a_certificate_that_has_ended_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(module, "_YEARS", 0)
        ended = credential()
    for name, content in (("old.pem", ended.chain), ("old.key", ended.key)):
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match="which is not today. Renew it"):
        credential(tmp_path / "old.pem", tmp_path / "old.key")
