"""Fixtures that give a test its real programs and servers.

A program that cannot be had fails the test with the reason; nothing is skipped (but see tests/large_programs.py). Every server is the test's own, in the
test's temporary folder, and ends with the test. A failing test shows the end of its servers' logs.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trustme

from footfall_simulator import parts
from tests.servers import InfluxDB, Mosquitto, Server

_servers_of_test = pytest.StashKey[list[Server]]()
# They take minutes: begun last, one processor would wait for them
LONG = ("tests/faults/test_whole_way.py", "tests/pipeline/test_calit2.py", "tests/faults/test_endurance.py")
WITH_SERIAL_PORTS = (
    "tests/contract/test_flash.py",
    "tests/contract/test_link_serial.py",
    "tests/device/test_accept.py",
    "tests/device/test_cable.py",
    "tests/device/test_connect.py",
    "tests/device/test_console.py",
    "tests/device/test_node_cli.py",
    "tests/device/test_node_link.py",
    "tests/device/test_self_test_words.py",
    "tests/device/test_start.py",
    "tests/device/test_update_command.py",
    "tests/device/test_virtual_board.py",
    "tests/device/test_web_flasher.py",
    "tests/faults/test_cable.py",
    "tests/pipeline/test_build_guide.py",
    "tests/unit/test_ports.py",
    "tests/unit/test_recount.py",
)
_S = TypeVar("_S", bound=Server)
_T = TypeVar("_T")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests with serial ports in one worker, as the number of a port that one test pulled is given to the next at
    once, and whoever waits for the old one would open it; what takes minutes comes first."""
    for item in items:
        if item.nodeid.startswith(WITH_SERIAL_PORTS):
            item.add_marker(pytest.mark.xdist_group("serial ports"))
    items.sort(
        key=lambda item: (
            0 if item.nodeid.startswith(WITH_SERIAL_PORTS) else 1 if item.nodeid.startswith(LONG) else 2
        )
    )


@pytest.fixture
def micropython() -> parts.Micropython:
    """The real MicroPython."""
    return _or_fail(parts.micropython)


@pytest.fixture(scope="session")
def ca() -> trustme.CA:
    """A certificate authority for brokers with TLS (a broker's certificate: `make_mosquitto(ca=ca)`)."""
    return trustme.CA()


@pytest.fixture
def make_mosquitto(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Mosquitto]]:
    """Start a mosquitto; the arguments are those of the class, without the folder."""
    with ExitStack() as stack:

        def make(**arguments: Any) -> Mosquitto:
            folder = tmp_path / f"mosquitto-{len(_servers(request.node))}"
            return _started(request, stack, lambda: Mosquitto(folder, **arguments))

        yield make


@pytest.fixture
def mosquitto(make_mosquitto: Callable[..., Mosquitto]) -> Mosquitto:
    """A mosquitto that anybody may use."""
    return make_mosquitto()


@pytest.fixture
def influxdb(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[InfluxDB]:
    """An empty InfluxDB 1.6.7; influxdb-client talks to its `v2_url`."""
    with ExitStack() as stack:
        yield _started(request, stack, lambda: InfluxDB(tmp_path / "influxdb"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        for server in _servers(item):
            report.sections.append((f"the end of {server.log_file}", server.log_tail()))
    return report


def _servers(item: pytest.Item) -> list[Server]:
    return item.stash.setdefault(_servers_of_test, [])


def _started(request: pytest.FixtureRequest, stack: ExitStack, make: Callable[[], _S]) -> _S:
    server = _or_fail(make)
    _servers(request.node).append(server)
    stack.enter_context(server)
    return server


def _or_fail(get: Callable[[], _T]) -> _T:
    try:
        return get()
    except parts.PartError as error:
        pytest.fail(str(error), pytrace=False)
