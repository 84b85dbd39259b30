# ssl as MicroPython has it on a board: a thin layer over the built-in tls. Debian's build lacks it.
import socket

import tls
from tls import *

CERT_NONE = tls.CERT_NONE
CERT_REQUIRED = tls.CERT_REQUIRED


def _content(file_or_bytes):
    if isinstance(file_or_bytes, str):
        with open(file_or_bytes, "rb") as file:
            return file.read()
    return file_or_bytes


class SSLContext(tls.SSLContext):
    def load_cert_chain(self, certfile, keyfile):
        super().load_cert_chain(_content(certfile), _content(keyfile))

    def load_verify_locations(self, cafile=None, cadata=None):
        super().load_verify_locations(_content(cafile) if cafile else cadata)

    def wrap_socket(self, sock, **options):
        inside = super().wrap_socket(getattr(sock, "inside", sock), **options)
        return socket.socket(inside=inside)
