"""Fixtures that give a test its real programs and servers.

A program that cannot be had fails the test with the reason; nothing is skipped (but see tests/large_programs.py). Every server is the test's own, in the
test's temporary folder, and ends with the test. A failing test shows the end of its servers' logs.
"""

import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import hypothesis
import paho.mqtt.client as paho
import pytest
import trustme

from footfall_simulator import parts
from tests.servers import InfluxDB, Mosquitto, Server

_servers_of_test = pytest.StashKey[list[Server]]()
# They take minutes: begun last, one processor would wait for them
LONG = (
    "tests/faults/test_whole_way.py",
    "tests/pipeline/test_calit2.py",
    "tests/faults/test_endurance.py",
    "tests/pipeline/test_demo.py",
    "tests/contract/test_ledger_order.py",
    "tests/pipeline/test_passersby.py",
    "tests/contract/test_build.py",
    "tests/faults/",
    "tests/device/",
    "tests/contract/test_flash.py",
    "tests/pipeline/test_flash_by_the_guide.py",
)
# A machine that is busy with other things is slow, not wrong. The same examples in every run: what a run finds, the next one
# finds as well. `FOOTFALL_EXPLORE=1` looks for others.
hypothesis.settings.register_profile(
    "patient",
    deadline=None,
    derandomize=not os.environ.get("FOOTFALL_EXPLORE"),
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("patient")
_S = TypeVar("_S", bound=Server)
_T = TypeVar("_T")


def pytest_configure() -> None:
    """A shell that begins the tests in the background has them ignore Ctrl-C, and whatever they start: tests send it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ["LC_ALL"] = "C.UTF-8"  # commands speak the computer's language, tests read English
    paho.Client.loop_stop = _loop_stop


def _loop_stop(client: paho.Client) -> paho.MQTTErrorCode:
    """As paho's, but for two things that may strike any test.

    The two sockets by which the thread is woken are closed with it: paho leaves them to the garbage collector, which may find them
    open, and reports that as an error of whichever test runs by then. And a thread that ends by itself between paho's looking at it
    and its waiting for it is an AttributeError there.
    """
    thread = client._thread
    client._thread_terminate = True
    if thread is not threading.current_thread():
        if thread is not None:
            thread.join()
        client._reset_sockets(sockpair_only=True)
    return paho.MQTT_ERR_INVAL if thread is None else paho.MQTT_ERR_SUCCESS


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deal out what takes minutes, the longest first: `--dist worksteal` gives each worker an equal stretch of this order, and
    whoever has nothing left takes from the ends of the others'."""
    places = {
        item: next((i for i, begin in enumerate(LONG) if item.nodeid.startswith(begin)), len(LONG))
        for item in items
    }
    long = sorted((item for item in items if places[item] < len(LONG)), key=places.__getitem__)
    rest = [item for item in items if places[item] == len(LONG)]
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    count = len(items)
    items.clear()
    for worker in range(workers):
        mine = long[worker::workers]
        others = max(0, (count - len(items)) // (workers - worker) - len(mine))
        items += mine + rest[:others]
        del rest[:others]
    items += rest


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
