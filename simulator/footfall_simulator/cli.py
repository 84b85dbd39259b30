"""`footfall simulate …`: the simulator's commands beside the demonstration. The gateway's command line finds it by entry point."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import click

from footfall_simulator.accuracy import accuracy
from footfall_simulator.disturbances import disturbances
from footfall_simulator.scenario import ScenarioError, load_scenario, play
from footfall_simulator.stalls import stalls

__all__ = ["simulate"]


@click.group(short_help="Simulated people: traces, and how well they count.")
def simulate() -> None:
    """People without a building: traces of beam edges, and how well they are counted."""


simulate.add_command(accuracy)
simulate.add_command(stalls)
simulate.add_command(disturbances)


@simulate.command(
    short_help="Write the beam edges of a scenario's people.",
    epilog="\b\nExamples:\n  footfall simulate trace rush_hour --out trace.csv\n  footfall recount trace.csv --out hours.csv",
)
@click.argument("scenario", metavar="SCENARIO")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The trace to write (CSV).")
@click.option("--truth", type=click.Path(path_type=Path), help="Also write who really walked (CSV).")
def trace(scenario: str, out: Path, truth: Path | None) -> int:
    """Let the people of a scenario walk and write the beam edges, as `footfall recount` reads them.

    SCENARIO is a TOML file or the name of a built-in one. The trace has the columns sensor,t_ms,state; the doors of the
    scenario are numbered in its order, beginning with 0.
    """
    try:
        chosen = load_scenario(scenario)
        performance = play(chosen)
    except ScenarioError as error:
        click.echo(str(error), err=True)
        return 2
    with out.open("w", newline="", encoding="ascii") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("sensor", "t_ms", "state"))
        for number, door in enumerate(chosen.door):
            writer.writerows((number, edge.t_ms, edge.state) for edge in performance.edges[door.name])
    if truth is not None:
        with truth.open("w", newline="", encoding="ascii") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("sensor", "t_ms", "direction"))
            for number, door in enumerate(chosen.door):
                writer.writerows((number, one.t_ms, one.direction) for one in performance.truth[door.name])
    edges = sum(map(len, performance.edges.values()))
    people = sum(map(len, performance.truth.values()))
    sys.stderr.write(f"{out}: {edges} edges of {people} people's passages\n")
    return 0
