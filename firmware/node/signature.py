"""The signature under a firmware update: RSA, PKCS#1 v1.5, SHA-256, e = 65537. Loaded by update.py when one comes.

RSA because MicroPython has large whole numbers and no Ed25519. A signature is right if raised to the 65537th power modulo n it is
the one message that this padding allows: the whole of it is compared, nothing in it is searched or parsed, which is where
others went wrong (Bleichenbacher 2006).
"""

import asyncio
import binascii

from micropython import const

_LEAST_BYTES = const(256)  # 2048 bits
_MOST_BYTES = const(512)  # a longer key would take the heap and the time that the doors need
_SQUARINGS = const(16)  # 65537 is 2 ** 16 + 1
# What stands before a SHA-256 hash in the message (RFC 8017, 9.2, note 1)
_SHA256 = b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20"


async def genuine(modulus, signature, digest):
    """Whether `signature` (hex, as bytes) is right for a SHA-256 hash (32 bytes) and the key with this modulus (hex).

    Seventeen multiplications of some 3000 bits, and the doors come between any two of them.
    """
    size = len(modulus) // 2
    try:
        n = int.from_bytes(binascii.unhexlify(modulus), "big")
        x = s = int.from_bytes(binascii.unhexlify(signature), "big")
    except (TypeError, ValueError):
        return False
    if not _LEAST_BYTES <= size <= _MOST_BYTES or not n >> (size * 8 - 8):
        return False
    if len(signature) != 2 * size or signature != signature.lower() or len(digest) != 32 or not 0 < s < n:
        return False
    modulus = signature = None  # the memory is needed
    for _ in range(_SQUARINGS):
        x = x * x % n
        await asyncio.sleep_ms(0)
    x = x * s % n
    padding = b"\xff" * (size - 3 - len(_SHA256) - 32)
    return x == int.from_bytes(b"\x00\x01" + padding + b"\x00" + _SHA256 + digest, "big")
