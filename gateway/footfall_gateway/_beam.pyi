# What Python sees of the compiled core; the contract is in firmware/lib/footfall_core/beam.py.

class Barrier:
    beams: int
    glitch_ms: int
    min_block_ms: int
    blocked_after_ms: int
    passage_ago_ms: int
    transit_ms: int
    outer_fault_ago_ms: int
    inner_fault_ago_ms: int
    faulted: int
    settled: int
    raw: int

    def __init__(
        self, beams: int = 2, glitch_ms: int = ..., min_block_ms: int = ..., blocked_after_ms: int = ...
    ) -> None: ...
    def start(self, state: int) -> None: ...
    def quiet(self) -> bool: ...
    def step(self, elapsed_ms: int, state: int) -> int: ...

class Replay:
    started: bool
    sensor: int
    last_ms: int
    found: int

    def __init__(self) -> None: ...

class Tally:
    width_ms: int

    def __init__(self, width_ms: int) -> None: ...
