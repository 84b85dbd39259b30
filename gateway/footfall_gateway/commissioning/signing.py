"""The key that signs firmware updates: one for an installation. Its public half lies on every node, put there when it is flashed.

RSA with PKCS#1 v1.5 padding and SHA-256, because a node can check it with nothing but MicroPython's whole numbers
(`firmware/node/signature.py`); Ed25519, which one would take otherwise, MicroPython does not have.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from footfall_gateway.commissioning import CommissioningError
from footfall_gateway.toml_reader import reason

__all__ = [
    "KEY_BITS",
    "create_key",
    "load_key",
    "public_half",
    "sign",
]

KEY_BITS = 3072  # good beyond 2030 (BSI TR-02102, NIST SP 800-57), and quick enough for a board
LEAST_BITS = 2048  # the least that a node takes, too
EXPONENT = 65_537  # the only one that a node computes with

AskPassphrase = Callable[[], str]


def create_key(path: Path, public_path: Path, passphrase: str | None = None) -> None:
    """Writes a new private key (PEM, readable by its owner only) and its public half. A file that is there is never touched."""
    key = rsa.generate_private_key(public_exponent=EXPONENT, key_size=KEY_BITS)
    protection = (
        serialization.BestAvailableEncryption(passphrase.encode())
        if passphrase
        else serialization.NoEncryption()
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    _write_new(path, pem, 0o600)
    _write_new(public_path, public, 0o644)


def _write_new(path: Path, content: bytes, mode: int) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise CommissioningError(
            f"{path} is there already, and is not overwritten: nodes that trust this key take no other key's updates",
            "Use it, or write to another file with --out.",
        ) from None
    except OSError as error:
        raise CommissioningError(f"{path}: cannot be written: {reason(error)}") from None
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def load_key(path: Path, ask_passphrase: AskPassphrase) -> rsa.RSAPrivateKey:
    """The private key in a file; `ask_passphrase` is called only where it has one."""
    try:
        pem = path.read_bytes()
    except OSError as error:
        raise CommissioningError(
            f"{path}: cannot be read: {reason(error)}",
            "Make a key with `footfall update key`, or name the right file with --key.",
        ) from None
    passphrase = ask_passphrase().encode() if b"ENCRYPTED" in pem else None
    try:
        key = serialization.load_pem_private_key(pem, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        what = "the passphrase is wrong" if passphrase is not None else "not a private key in PEM form"
        raise CommissioningError(f"{path}: {what}") from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise CommissioningError(f"{path}: not an RSA key; nodes can check no other kind")
    if key.key_size < LEAST_BITS or key.public_key().public_numbers().e != EXPONENT:
        raise CommissioningError(
            f"{path}: nodes take RSA keys of at least {LEAST_BITS} bits with the exponent {EXPONENT}"
        )
    return key


def public_half(key: rsa.RSAPrivateKey) -> str:
    """What goes onto a node as update_key.json."""
    return json.dumps({"n": f"{key.public_key().public_numbers().n:x}"})


def sign(key: rsa.RSAPrivateKey, content: bytes) -> bytes:
    """The signature over `content`, as long as the key's modulus."""
    return key.sign(content, padding.PKCS1v15(), hashes.SHA256())
