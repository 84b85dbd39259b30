"""What `footfall config check` looks at beyond the file itself: the data folder, and with --connect the other ends."""

import tempfile
from collections.abc import Iterator
from typing import NamedTuple

from footfall_gateway.link_mqtt import probe
from footfall_gateway.link_serial import try_port
from footfall_gateway.settings import Settings
from footfall_gateway.sink_influx import AwayError, InfluxWriter, LinesRefusedError
from footfall_gateway.toml_reader import reason

__all__ = ["Result", "connections", "data_folder_problem"]


class Result(NamedTuple):
    what: str
    reached: bool
    words: str


def data_folder_problem(settings: Settings) -> str | None:
    """Why the ledger could not be written there; None if it could. Creates nothing that stays."""
    folder = settings.gateway.data
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        return f"{existing} is not a folder, expected a folder to keep the ledger in"
    try:
        with tempfile.TemporaryDirectory(dir=existing, prefix=".footfall-check-"):
            return None
    except OSError as error:
        missing = "" if existing == folder else f"{folder} does not exist and "
        return f"{missing}{existing} cannot be written ({reason(error)}), expected a folder of this user"


def connections(settings: Settings) -> Iterator[Result]:
    """Tries each other end once, within a few seconds, and says how it went. Writes nothing to any of them."""
    if settings.mqtt is not None:
        problem = probe(settings.mqtt, settings.mqtt_password)
        where = f"broker {settings.mqtt.host}:{settings.mqtt.effective_port}"
        yield Result(where, problem is None, problem or "reached, lets this gateway in")
    for serial in settings.serial:
        problem = try_port(serial)
        if problem is not None and ": footfall (" in problem:  # the gateway itself, as it should be
            yield Result(f"serial port {serial.port}", reached=True, words=problem)
            continue
        yield Result(
            f"serial port {serial.port}", problem is None, problem or "there, and nobody else uses it"
        )
    if settings.influxdb is not None:
        writer = InfluxWriter(settings.influxdb, settings.influx_token)
        try:
            writer.write([])
        except AwayError as error:
            yield Result(writer.name, reached=False, words=error.reason)
        except LinesRefusedError:
            yield Result(writer.name, reached=True, words="reached")  # nothing was written, and it said so
        else:
            yield Result(writer.name, reached=True, words="reached")
        finally:
            writer.close()
