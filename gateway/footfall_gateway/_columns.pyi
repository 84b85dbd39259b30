from typing import Any, TypeAlias

from footfall_gateway._beam import Barrier, Replay, Tally

Column: TypeAlias = Any  # a contiguous buffer of int, long long or unsigned char

def run(
    replay: Replay,
    barrier: Barrier,
    sensors: Column,
    t_ms: Column,
    states: Column,
    row: int,
    end: int,
    out_sensors: Column,
    out_t_ms: Column,
    out_events: Column,
    room: int,
) -> int: ...
def finish(
    replay: Replay, barrier: Barrier, out_sensors: Column, out_t_ms: Column, out_events: Column
) -> None: ...
def add(
    tally: Tally,
    sensors: Column,
    t_ms: Column,
    events: Column,
    end: int,
    out_sensors: Column,
    out_start_ms: Column,
    out_counts: Column,
) -> int: ...
def close(
    tally: Tally, written: int, out_sensors: Column, out_start_ms: Column, out_counts: Column
) -> int: ...
def run_and_add(
    replay: Replay,
    barrier: Barrier,
    tally: Tally,
    sensors: Column,
    t_ms: Column,
    states: Column,
    row: int,
    end: int,
    out_sensors: Column,
    out_t_ms: Column,
    out_events: Column,
    room: int,
    bucket_sensors: Column,
    bucket_starts_ms: Column,
    bucket_counts: Column,
    bucket_room: int,
) -> tuple[int, int]: ...
def parse_rows(
    text: bytes,
    fields: int,
    sensor_field: int,
    t_field: int,
    state_field: int,
    out_sensors: Column,
    out_t_ms: Column,
    out_states: Column,
) -> int: ...
