"""The certificate by which the processes of one machine know each other."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NAME = "picasso"
FIRST, LAST = datetime(1970, 1, 1), datetime(9999, 12, 31)


def security() -> Any:
    """What Dask needs to talk by TLS: a key and its certificate, made now and kept in memory only.

    As `distributed.Security.temporary`, but that it holds at any time. That one holds for a year: a server that runs
    longer, or whose clock is set, would lose its worker.
    """
    from distributed.security import Security

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(FIRST)
        .not_valid_after(LAST)
        .sign(key, hashes.SHA256())
    )
    certificate = made.public_bytes(serialization.Encoding.PEM).decode()
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    secret = key.private_bytes(encoding, form, serialization.NoEncryption()).decode()
    roles = ("scheduler", "worker", "client")
    return Security(
        tls_ca_file=certificate,
        require_encryption=True,
        **{f"tls_{role}_key": secret for role in roles},
        **{f"tls_{role}_cert": certificate for role in roles},
    )
