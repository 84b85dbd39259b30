"""From an empty board to a door that counts: `footfall flash`, `footfall node`, `footfall accept`, `footfall update`.

`chips` and `device_files` say what belongs onto which board; everything else here stands on them.
"""

__all__ = ["CommissioningError"]


class CommissioningError(Exception):
    """It cannot go on, for a reason outside this program: the board, the cable, a file, an answer.

    `lines`: what happened and where, then what to do; the command line shows them as they are and ends with 1.
    """

    def __init__(self, *lines: str) -> None:
        self.lines = lines
        super().__init__("\n".join(lines))
