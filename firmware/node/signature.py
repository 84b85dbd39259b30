"""The signature under a firmware update: RSA, PKCS#1 v1.5, SHA-256, e = 65537. Loaded by update.py when one comes.

RSA because MicroPython has large whole numbers and no Ed25519. A signature is right if raised to the 65537th power modulo n it is
the one message that this padding allows: the whole of it is compared, nothing in it is searched or parsed, which is where
others went wrong (Bleichenbacher 2006).

A heap that has been in use for months has room in small pieces only: so nothing is read, or multiplied, all at once.
"""

import asyncio
import binascii
import hashlib
import os

from micropython import const

_LEAST_BYTES = const(256)  # 2048 bits
_MOST_BYTES = const(512)  # a longer key would take the heap and the time that the doors need
_PIECE_BYTES = const(64)  # an even number: two hex digits are a byte
_DIGIT_BITS = const(384)
_SQUARINGS = const(16)  # 65537 is 2 ** 16 + 1
# What stands before a SHA-256 hash in the message (RFC 8017, 9.2, note 1)
_SHA256 = b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20"


async def under(name, modulus):
    """Whether the file `name` ends with the right signature, in hex and with a line feed, for all that stands before it."""
    left = os.stat(name)[6] - 2 * len(modulus) - 1
    digest = hashlib.sha256()
    with open(name, "rb") as f:
        while left > 0:
            piece = f.read(min(left, _PIECE_BYTES))
            digest.update(piece)
            left -= len(piece)
            await asyncio.sleep_ms(0)
        return await genuine(modulus, f, digest.digest())


async def genuine(modulus, file, digest):
    """Whether the rest of `file` is the signature, in hex, for a SHA-256 hash (32 bytes) and the key with this modulus (bytes).

    Seventeen multiplications of some 3000 bits, and the doors come between any two of them.
    """
    size = len(modulus)
    if not _LEAST_BYTES <= size <= _MOST_BYTES or not modulus[0] or len(digest) != 32:
        return False
    n = int.from_bytes(modulus, "big")
    x = s = _number(file, size)
    if not 0 < s < n:
        return False
    for _ in range(_SQUARINGS):
        x = _times(x, x, n, size)
        await asyncio.sleep_ms(0)
    x = _times(x, s, n, size)
    padding = b"\xff" * (size - 3 - len(_SHA256) - 32)
    return x == int.from_bytes(b"\x00\x01" + padding + b"\x00" + _SHA256 + digest, "big")


def _number(file, size):
    """The number of so many bytes that the rest of a file says in lower-case hex; 0 where that says anything else."""
    number = 0
    left = 2 * size
    while left:
        digits = file.read(min(left, _PIECE_BYTES))
        left -= len(digits)
        try:
            piece = binascii.unhexlify(digits)
        except ValueError:
            return 0
        if not piece or digits != digits.lower():
            return 0
        number = number << 8 * len(piece) | int.from_bytes(piece, "big")
    return number if file.read(2) in (b"", b"\n") else 0


def _times(x, y, n, size):
    """x * y % n, one digit of y after the other: so no number on the way is twice as long as n."""
    product = 0
    for at in range((size * 8 - 1) // _DIGIT_BITS * _DIGIT_BITS, -1, -_DIGIT_BITS):
        product = ((product << _DIGIT_BITS) + x * (y >> at & (1 << _DIGIT_BITS) - 1)) % n
    return product
