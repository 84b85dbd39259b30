# ssl as MicroPython has it on a board: a thin layer over the built-in tls. Debian's build lacks it.
import tls
from tls import *


class SSLContext(tls.SSLContext):
    def load_verify_locations(self, cafile=None, cadata=None):
        super().load_verify_locations(cadata)
