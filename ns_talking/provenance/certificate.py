"""Whose name a video is signed with: a certificate of the user's, or one that this machine makes for itself.

A certificate from an authority on the C2PA trust list says who signed. One made here proves that a file is as it was
when it was signed, and nothing about who did it: anybody can make such a certificate, and every reader says so.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ns_talking.utils.files import atomic_path
from ns_talking.utils.optional import require
from ns_talking.utils.progress import CONSOLE

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import Certificate, CertificateBuilder

CERTIFICATE_VARIABLE = "NS_TALKING_CERTIFICATE"
"""Environment variable: PEM file with the user's certificate and those up to its authority, the user's first."""
KEY_VARIABLE = "NS_TALKING_PRIVATE_KEY"
"""Environment variable: PEM file with the certificate's private key, without a passphrase."""
LOCAL_SIGNER = "ns-talking local signer (untrusted)"
"""Name in a certificate that was made here. It holds no name of a person or a machine."""
TIMESTAMP_VARIABLE = "NS_TALKING_TIMESTAMP_AUTHORITY"
"""Environment variable: address of an RFC 3161 timestamp authority, which certifies when a video was signed. Nothing is
asked without it: the authority learns the address, the hash of what is signed, and when."""
_YEARS = 10
_ALGORITHMS = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}


@dataclass(frozen=True)
class Credential:
    """What signs: a chain of certificates and the private key of the first."""

    chain: bytes
    """PEM, the signer's certificate first."""
    key: bytes
    """PEM, PKCS #8, not encrypted."""
    algorithm: str
    """C2PA's name of the signature algorithm, for example `es256`."""
    local: bool
    """Whether it was made here, so that nobody vouches for it."""
    timestamp_authority: str | None = None
    """Address of the RFC 3161 authority that certifies the time; None asks nobody."""


def credential(certificate: Path | None = None, private_key: Path | None = None) -> Credential:
    """Find what to sign with: the files given, those that the environment names, or a local certificate.

    Args:
        certificate: PEM file with the user's certificate chain.
        private_key: PEM file with its private key.

    Raises:
        FileNotFoundError: When a file named is missing.
        ValueError: When one of the two is missing, or they cannot be used, or do not belong together; or when the
            environment names a timestamp authority that is no address.
        ImportError: When the package `cryptography` is missing.
    """
    return replace(_signer(certificate, private_key), timestamp_authority=_timestamp_authority())


def _signer(certificate: Path | None, private_key: Path | None) -> Credential:
    certificate = certificate or _from_environment(CERTIFICATE_VARIABLE)
    private_key = private_key or _from_environment(KEY_VARIABLE)
    if certificate is None and private_key is None:
        return _local_credential()
    if certificate is None or private_key is None:
        given, missing = ("certificate", "private key") if private_key is None else ("private key", "certificate")
        raise ValueError(
            f"A {given} to sign with was given, but no {missing}. Name both: --certificate and --private-key, or "
            f"{CERTIFICATE_VARIABLE} and {KEY_VARIABLE}."
        )
    return _users_credential(certificate.expanduser(), private_key.expanduser())


def _timestamp_authority() -> str | None:
    address = os.environ.get(TIMESTAMP_VARIABLE) or None
    if address is not None and not address.startswith(("http://", "https://")):
        raise ValueError(
            f"{TIMESTAMP_VARIABLE} is {address!r}, which is no address of a timestamp authority. "
            "Give one that begins with http:// or https://, or unset it."
        )
    return address


def signing_folder() -> Path:
    """Name the folder of the local certificate: `NS_TALKING_CONFIG`, else the platform's folder for settings."""
    if chosen := os.environ.get("NS_TALKING_CONFIG"):
        return Path(chosen).expanduser() / "signing"
    base = os.environ.get("XDG_CONFIG_HOME") or (os.environ.get("APPDATA") if os.name == "nt" else None)
    return (Path(base) if base else Path.home() / ".config") / "ns-talking" / "signing"


def _from_environment(variable: str) -> Path | None:
    name = os.environ.get(variable)
    return Path(name) if name else None


def _users_credential(certificate: Path, private_key: Path) -> Credential:
    require("cryptography", None, "signing videos")
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization as pem

    for path in (certificate, private_key):
        if not path.is_file():
            raise FileNotFoundError(f"There is no file {path} to sign with. Check the path.")
    try:
        chain = x509.load_pem_x509_certificates(certificate.read_bytes())
    except ValueError as error:
        raise ValueError(f"{certificate} holds no certificate in PEM format ({error}).") from error
    try:
        key = pem.load_pem_private_key(private_key.read_bytes(), None)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{private_key} holds no private key in PEM format that can be used without a passphrase ({error})."
        ) from error
    public = pem.Encoding.DER, pem.PublicFormat.SubjectPublicKeyInfo
    if chain[0].public_key().public_bytes(*public) != key.public_key().public_bytes(*public):
        raise ValueError(f"The private key {private_key} does not belong to the first certificate in {certificate}.")
    if not chain[0].not_valid_before_utc <= datetime.now(timezone.utc) <= chain[0].not_valid_after_utc:
        raise ValueError(
            f"The certificate {certificate} is valid from {chain[0].not_valid_before_utc:%Y-%m-%d} to "
            f"{chain[0].not_valid_after_utc:%Y-%m-%d}, which is not today. Renew it."
        )
    return Credential(certificate.read_bytes(), _private_pem(key), _algorithm(key, private_key), local=False)


def _algorithm(key: Any, path: Path) -> str:  # Any: cryptography has a class for every kind of key.
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _ALGORITHMS:
        return _ALGORITHMS[key.curve.name]
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= 2048:
        return "ps256"
    raise ValueError(
        f"The private key {path} is of a kind that C2PA does not sign with. Use P-256, P-384, P-521, Ed25519, or RSA "
        "of 2048 bits or more."
    )


def _local_credential() -> Credential:
    """Read this machine's certificate, or make one that lasts ten years."""
    require("cryptography", None, "signing videos")
    path = signing_folder() / "local.pem"
    kept = _read_local(path)
    if kept is not None:
        return kept
    content = _new_local()
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Nobody else may read it from the first byte on, whatever the user's mask is.
        private = partial(os.open, mode=0o600)
        with atomic_path(path) as temporary, open(temporary, "wb", opener=private) as file:
            file.write(content)
    except OSError as error:
        CONSOLE.print(
            f"The local certificate cannot be kept in {path.parent} ({error.strerror}), so this run makes one of its "
            "own. NS_TALKING_CONFIG=FOLDER names another place.",
            markup=False,
        )
    return _split(content)


def _read_local(path: Path) -> Credential | None:
    """Read the certificate made earlier; None where there is none that can be used for another day."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization as pem

    try:
        content = path.read_bytes()
        leaf = x509.load_pem_x509_certificates(content)[0]
        pem.load_pem_private_key(content, None)
    except (OSError, ValueError):
        return None
    return _split(content) if leaf.not_valid_after_utc > datetime.now(timezone.utc) + timedelta(days=1) else None


def _split(content: bytes) -> Credential:
    """Take apart what `_new_local` put into one file, which cannot be half new and half old."""
    marker = b"-----BEGIN CERTIFICATE-----"
    key, _, chain = content.partition(marker)
    return Credential(marker + chain, key, "es256", local=True)


def _new_local() -> bytes:
    """Make a private key, its certificate and that of its authority, whose own key is forgotten at once."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives import serialization as pem
    from cryptography.hazmat.primitives.asymmetric import ec

    authority, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer = x509.SubjectKeyIdentifier.from_public_key(authority.public_key())
    root = (
        _certificate("ns-talking local authority (untrusted)", authority, for_signing=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(issuer, critical=False)
        .sign(authority, hashes.SHA256())
    )
    leaf = (
        _certificate(LOCAL_SIGNER, key, for_signing=True)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), critical=False)
        # C2PA wants a purpose; this one is on its list and every certificate tool knows it.
        .add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .sign(authority, hashes.SHA256())
    )
    certificates: tuple[Certificate, ...] = (leaf, root)
    return _private_pem(key) + b"".join(certificate.public_bytes(pem.Encoding.PEM) for certificate in certificates)


def _certificate(name: str, key: EllipticCurvePrivateKey, for_signing: bool) -> CertificateBuilder:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    def named(common_name: str) -> x509.Name:
        pairs = ((NameOID.ORGANIZATION_NAME, "made on this machine, vouched for by nobody"),)
        return x509.Name([x509.NameAttribute(*pair) for pair in (*pairs, (NameOID.COMMON_NAME, common_name))])

    now = datetime.now(timezone.utc)
    usage = x509.KeyUsage(
        digital_signature=for_signing,
        key_cert_sign=not for_signing,
        crl_sign=not for_signing,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(named("ns-talking local authority (untrusted)"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365 * _YEARS))
        .add_extension(usage, critical=True)
    )


def _private_pem(key: Any) -> bytes:  # Any: cryptography has a class for every kind of key.
    from cryptography.hazmat.primitives import serialization as pem

    return key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, pem.NoEncryption())
