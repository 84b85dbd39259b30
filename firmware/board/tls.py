"""TLS towards the broker: only with a certificate authority that the installer put on the flash. Used by app.py.

It also judges by the clock, see node/clock.py.
"""

import gc
import ssl


def context(ca_file):
    """An SSL context that accepts servers whose certificate this authority signed, and no others.

    ca_file: the authority's certificate in DER form. ValueError with the reason where it cannot be used.
    """
    try:
        with open(ca_file, "rb") as f:
            certificate = f.read()
    except OSError:
        raise ValueError("%s is not there" % ca_file) from None
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.verify_mode = ssl.CERT_REQUIRED  # type: ignore[attr-defined]  # the stubs do not know it
    try:
        made.load_verify_locations(cadata=certificate)
    except (ValueError, OSError):
        raise ValueError("%s is not a certificate in DER form" % ca_file) from None
    gc.collect()
    return made
