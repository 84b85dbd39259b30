"""The start of `footfall`, and of `python -m footfall_gateway`: `cli` is loaded here, which takes half a second.

Ctrl-C meanwhile ends the program without a word; from then on `cli.main` has words for it.
"""

import signal
from typing import NoReturn

__all__ = ["main"]


def main() -> NoReturn:
    """The console script."""
    usual = signal.getsignal(signal.SIGINT)
    if usual is signal.default_int_handler:  # else somebody wants it ignored, as nohup does
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from footfall_gateway import cli  # noqa: PLC0415 - what takes half a second

    signal.signal(signal.SIGINT, usual)
    cli.main()


if __name__ == "__main__":
    main()
