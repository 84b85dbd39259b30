"""What a node with everything has left of its heap: a door, buttons, lamps, counters, and the broker over TLS.

An update over the air takes most of it. Tried with less and less heap, it went through with 25 KB free before, and not with 21;
tests/device/test_update_command.py sends one to such a node, and allows it no second try.
"""

import pytest

from tests.device.a_node import NODE, a_node
from tests.device.stand_in import StandInGateway

# Raise it when the firmware gets smaller; where a new part costs more than is left, make room first (firmware/README.md, "Memory")
LEAST_FREE_KB = {"plain": 36, "TLS": 30}
SELF_TESTS = 3
KEPT_BYTES = 1024  # what may be held on to after an answer: the names it was made of, once


@pytest.mark.parametrize("way", ["plain", "TLS"])
def test_a_node_with_everything_has_heap_to_spare_and_a_self_test_gives_back_what_it_took(
    way, tmp_path, micropython, make_mosquitto, ca
):
    broker = make_mosquitto(ca=ca if way == "TLS" else None)
    tls = {}
    if way == "TLS":
        (tmp_path / "flash").mkdir()
        (tmp_path / "flash/ca.der").write_bytes(broker.ca_der_file.read_bytes())
        tls = {"ca": "ca.der", "server_name": "localhost"}
    authority = str(broker.ca_file) if way == "TLS" else None
    with (
        a_node(tmp_path, micropython, broker, rate=5, state_s=5, mqtt={"host": "127.0.0.1", **tls}) as node,
        StandInGateway(broker.port, ca=authority) as gateway,
    ):
        node.board.wait_for_console("time: learned")

        def heaps() -> list[int]:
            return [state["heap"] for state in gateway.states if state["online"]]

        gateway.wait("two states", lambda: len(heaps()) >= 2)
        before = heaps()[-1]
        assert before >= LEAST_FREE_KB[way] * 1024
        for n in range(SELF_TESTS):
            gateway.send(NODE, "command", {"v": 1, "do": "test", "id": n, "watch_s": 1})
            (told,) = gateway.wait("its answer", lambda n=n: [r for r in gateway.replies if r.get("id") == n])
            assert told["ok"], told
        seen = len(heaps())
        gateway.wait("the heap as it was", lambda: max(heaps()[seen + 1 :], default=0) > before - KEPT_BYTES)
        assert not [line for line in node.board.lines if "MemoryError" in line]
