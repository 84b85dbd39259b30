"""The ingest thread's promises, with a link and a ledger that note what happens to them and in which order."""

import json
import logging
import threading
import time
from pathlib import Path

import pytest

from footfall_gateway.database import LedgerError
from footfall_gateway.dating import MAX_AHEAD_MS
from footfall_gateway.health import NodeWatch
from footfall_gateway.ledger import MAX_BACK_MS, Ledger
from footfall_gateway.link import Arrived, Inbox, Opened
from footfall_gateway.node_book import MAX_CRASHES_KEPT, NodeBook
from footfall_gateway.outbox import Outbox
from footfall_gateway.places import Placement, Places, Site
from footfall_gateway.receiver import Receiver

LIMIT_S = 60
NOW_MS = 1_767_225_600_000
PLACES = Places(
    [Site("lab", "Lab", "UTC")],
    [Placement("lab", "main", "ff-1", 0), Placement("lab", "side", "ff-2", 0)],
)


class NotedLink:
    """A link that notes receipts and messages in the common diary."""

    def __init__(self, diary: list[tuple[str, ...]], name: str = "a link") -> None:
        self.diary = diary
        self.name = name

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def receipt(self, arrived: Arrived) -> None:
        self.diary.append(("receipt", str(arrived.mid)))

    def send(self, node: str, leaf: str, payload: str, *, retain: bool = False) -> bool:
        self.diary.append(("retained" if retain else "sent", node, leaf, payload))
        return True


class Desk:
    """A receiver with everything around it; `process` runs it over these items and ends it."""

    def __init__(self, folder: Path, now_ms: int = NOW_MS) -> None:
        self.diary: list[tuple[str, ...]] = []
        self.ledger = Ledger.open(folder / "ledger.sqlite")
        store = self.ledger.store

        def noted_store(batches, refusals=(), *, now_ms):
            acks = store(batches, refusals, now_ms=now_ms)
            self.diary.append(
                ("stored", str(sum(len(batch.records) for batch in batches)), str(len(refusals)))
            )
            return acks

        self.ledger.store = noted_store
        self.outbox = Outbox(self.ledger)
        self.link = NotedLink(self.diary)
        self.failures: list[BaseException] = []
        self.now_ms = now_ms

    def receiver(self, inbox: Inbox) -> Receiver:
        watch = NodeWatch(self.ledger, PLACES, self.outbox)
        return Receiver(self.ledger, PLACES, inbox, watch, lambda: self.now_ms, self.failures.append)

    def process(self, *items: Arrived | Opened) -> list[tuple[str, ...]]:
        inbox = Inbox()
        for item in items:
            inbox.put(item)
        receiver = self.receiver(inbox)
        receiver.start()
        receiver.stop()
        diary, self.diary[:] = list(self.diary), []
        return diary

    def records(self, seq: int, n: int = 1, node: str = "ff-1", mid: int = 7) -> Arrived:
        batch = {
            "v": 1,
            "spool": "8f3a01c2",
            "boot": 1,
            "seq": seq,
            "r": [[1000 * (seq + i), "P", 0, 1, 420] for i in range(n)],
        }
        return Arrived(self.link, f"footfall/1/{node}/records", json.dumps(batch).encode(), mid=mid)

    def message(self, leaf: str, content: object, node: str = "ff-1", *, retained: bool = False) -> Arrived:
        payload = content if isinstance(content, bytes) else json.dumps(content).encode()
        return Arrived(self.link, f"footfall/1/{node}/{leaf}", payload, retained, 3)

    def refused(self) -> list[tuple[str, str]]:
        return [(entry.reason, entry.detail) for entry in reversed(self.ledger.quarantine())]


@pytest.fixture
def desk(tmp_path):
    desk = Desk(tmp_path)
    yield desk
    desk.ledger.close()
    assert desk.failures == []


def ack(seq: int, node: str = "ff-1") -> tuple[str, ...]:
    return ("retained", node, "ack", f'{{"v":1,"spool":"8f3a01c2","seq":{seq}}}')


def test_a_gateway_whose_clock_has_gone_back_tells_nobody_the_time_and_takes_the_right_clocks(desk, caplog):
    desk.process(desk.records(1))
    yesterday = NOW_MS - 86_400_000
    desk.now_ms = yesterday
    assert desk.process(desk.message("reply", {"v": 1, "ask": "time", "t": 5})) == [("receipt", "3")]
    assert "ff-1 asks the time, but this gateway's own clock has gone back" in caplog.text
    clock = f'{{"v":1,"spool":"8f3a01c2","boot":1,"seq":2,"r":[[1500,"C",{NOW_MS},"gw"]]}}'
    assert ack(2) in desk.process(Arrived(desk.link, "footfall/1/ff-1/records", clock.encode()))
    assert desk.refused() == []  # the node was told the time before the clock went back
    desk.now_ms = NOW_MS - MAX_BACK_MS + 1
    assert len(desk.process(desk.message("reply", {"v": 1, "ask": "time", "t": 5}))) == 2  # answered


def test_a_gateway_that_starts_with_the_time_of_its_last_end_tells_no_node_that_knows_better(desk, caplog):
    weekend_ms = 62 * 3_600_000
    ask = {"v": 1, "ask": "time", "t": weekend_ms}

    def answered() -> bool:
        return any(entry[0] == "sent" for entry in desk.process(desk.message("reply", ask)))

    clock = f'{{"v":1,"spool":"8f3a01c2","boot":1,"seq":1,"r":[[0,"C",{NOW_MS},"gw"]]}}'
    desk.process(Arrived(desk.link, "footfall/1/ff-1/records", clock.encode()))
    desk.now_ms = NOW_MS + 120_000  # started again, the network has not told it the time yet
    assert not answered()
    assert (
        "ff-1 asks the time, but this gateway's own clock is 2 d 13 h behind what the node was told before"
        in caplog.text
    )
    assert len(desk.process(desk.message("reply", ask, "ff-2"))) == 2  # it knows no better
    assert (
        len(desk.process(desk.message("reply", ask | {"t": 5}))) == 2
    )  # a new boot, of which nothing is here yet
    desk.now_ms = NOW_MS + weekend_ms - MAX_AHEAD_MS
    assert answered()
    desk.now_ms = NOW_MS + 120_000
    desk.ledger.trust_clock("ben", "it is right", desk.now_ms)
    assert answered()


def test_a_node_that_believes_a_wrong_clock_of_its_own_is_told_the_time(desk):
    clock = f'{{"v":1,"spool":"8f3a01c2","boot":1,"seq":1,"r":[[0,"C",{NOW_MS},"rtc"]]}}'
    desk.process(Arrived(desk.link, "footfall/1/ff-1/records", clock.encode()))
    assert len(desk.process(desk.message("reply", {"v": 1, "ask": "time", "t": 86_400_000}))) == 2


def test_a_clock_that_stays_behind_is_believed_after_an_hour(desk, monkeypatch):
    monkeypatch.setattr("footfall_gateway.receiver.CLOCK_SETTLES_S", -1.0)
    clock = f'{{"v":1,"spool":"8f3a01c2","boot":1,"seq":1,"r":[[0,"C",{NOW_MS},"gw"]]}}'
    desk.process(Arrived(desk.link, "footfall/1/ff-1/records", clock.encode()))
    assert len(desk.process(desk.message("reply", {"v": 1, "ask": "time", "t": 86_400_000}))) == 2


@pytest.mark.parametrize("source", ["gw", "rtc"])
def test_a_boot_is_dated_by_the_gateway_s_time_and_by_a_clock_that_went_on_through_a_reset(desk, source):
    desk.process(desk.records(1))
    [boot] = desk.ledger.undated()
    assert boot.n_in == 1
    clock = f'{{"v":1,"spool":"8f3a01c2","boot":1,"seq":2,"r":[[1500,"C",{NOW_MS},"{source}"]]}}'
    assert ack(2) in desk.process(Arrived(desk.link, "footfall/1/ff-1/records", clock.encode()))
    assert desk.refused() == []
    assert desk.ledger.undated() == ()


CRASH = {
    "v": 1,
    "do": "crash",
    "boot": 12,
    "fw": "0.1.0",
    "text": "Traceback:\n  somewhere\nMemoryError: \x1b[2Jno\n",
}


def test_a_crash_report_is_kept_and_told_once_however_often_it_comes(desk, caplog):
    book = NodeBook(desk.ledger)
    assert desk.process(desk.message("reply", CRASH), desk.message("reply", CRASH)) == [("receipt", "3")] * 2
    desk.process(desk.message("reply", CRASH))
    [kept] = book.crashes()
    assert (kept.node, kept.boot, kept.firmware, kept.text) == ("ff-1", 12, "0.1.0", CRASH["text"])
    assert [one.message for one in caplog.records if "crashed" in one.message] == [
        "node ff-1: crashed (boot 12, firmware 0.1.0): MemoryError: \\x1b[2Jno"
    ]
    desk.process(desk.message("reply", CRASH | {"boot": 13}), desk.message("reply", CRASH, "ff-2"))
    assert [(one.node, one.boot) for one in book.crashes()] == [("ff-1", 13), ("ff-1", 12), ("ff-2", 12)]
    assert [(one.node, one.crashes) for one in book.summaries()] == [("ff-1", 2), ("ff-2", 1)]


def test_only_the_latest_crashes_of_a_node_are_kept_and_all_are_counted(desk):
    reports = [desk.message("reply", CRASH | {"boot": boot}) for boot in range(50)]
    desk.process(desk.message("reply", CRASH, "ff-2"), *reports)
    kept = [one.boot for one in NodeBook(desk.ledger).crashes() if one.node == "ff-1"]
    assert kept == list(range(49, 49 - MAX_CRASHES_KEPT, -1))
    assert [one.crashes for one in NodeBook(desk.ledger).summaries()] == [50, 1]


@pytest.mark.parametrize(
    "wrong",
    [
        {"text": "x" * 1001},
        {"text": 5},
        {"text": None},
        {"boot": -1},
        {"boot": "12"},
        {"boot": 2**40},
        {"fw": ["0.1.0"]},
        {"fw": "x" * 65},
    ],
)
def test_a_malformed_crash_report_is_quarantined(desk, wrong):
    desk.process(desk.message("reply", CRASH | wrong))
    assert [reason for reason, _ in desk.refused()] == ["bad reply"]
    assert NodeBook(desk.ledger).crashes() == ()


def test_a_crash_report_waits_for_a_full_disk_and_is_kept_before_the_broker_forgets_it(
    desk, mocker, monkeypatch
):
    monkeypatch.setattr("footfall_gateway.receiver.Backoff.next_s", lambda _self: 0.01)
    keep = NodeBook.keep_crashes
    full = LedgerError(desk.ledger.path, "the disk is full", temporary=True)
    called = mocker.patch.object(NodeBook, "keep_crashes", autospec=True)
    answers = iter([full, full, None])

    def keeping(self, reports, now_ms):
        answer = next(answers)
        if answer is not None:
            raise answer
        return keep(self, reports, now_ms)

    called.side_effect = keeping
    inbox = Inbox()
    receiver = desk.receiver(inbox)
    receiver.start()
    inbox.put(desk.message("reply", CRASH))
    deadline = time.monotonic() + LIMIT_S
    while not desk.diary and time.monotonic() < deadline:
        time.sleep(0.01)
    receiver.stop()
    assert desk.diary == [("receipt", "3")]
    assert len(NodeBook(desk.ledger).crashes()) == 1


def test_the_last_state_of_a_node_is_kept_and_offline_leaves_what_it_said(desk):
    book = NodeBook(desk.ledger)
    told = {"v": 1, "online": True, "fw": "0.2.0", "rev": 7, "slot": "b", "safe": True, "config_error": "no"}
    desk.process(desk.message("state", told))
    desk.now_ms += 60_000
    desk.process(desk.message("state", {"v": 1, "online": False}))
    [one] = book.summaries()
    assert (one.online, one.told_ms) == (False, NOW_MS + 60_000)
    assert (one.state.fw, one.state.rev, one.state.slot, one.state.safe) == ("0.2.0", 7, "b", True)
    desk.now_ms += 60_000
    desk.process(desk.message("state", told | {"rev": 8}, retained=True))
    [one] = book.summaries()
    assert (one.online, one.state.rev, one.told_ms) == (True, 8, NOW_MS + 60_000)


def test_a_disturbed_barrier_is_told_apart_from_an_obstructed_one_and_each_change_once(desk, caplog):
    caplog.set_level(logging.INFO, "footfall_gateway")
    story = [([0], [0]), ([2, 1], [2, 0]), ([2, 1], [2, 0]), ([2, 1], [2, 1]), ([0, 1], [0, 0]), ([0], [])]
    desk.process(
        *(
            desk.message("state", {"v": 1, "online": True, "faults": faults, "noisy": noisy})
            for faults, noisy in story
        )
    )
    words = [one.message.removeprefix("node ff-1: ") for one in caplog.records if "barrier" in one.message]
    assert words == [
        "barrier 0 is disturbed by edges that no people make, it cannot count",
        "barrier 1 is obstructed, it cannot count",
        "barrier 1 is disturbed by edges that no people make, it cannot count",
        "barrier 0 is free again",
        "barrier 1 is free again",
    ]


def test_a_barrier_with_another_role_at_the_node_than_here_is_told_once(desk, caplog):
    told = [["door"], ["passers-by", "door"], ["passers-by"], [], ["door"]]
    desk.process(*(desk.message("state", {"v": 1, "online": True, "roles": roles}) for roles in told))
    assert caplog.text.count("ff-1: has another role for barrier 0 than the settings here, which count") == 1
    assert "barrier 1" not in caplog.text


def test_an_update_that_failed_is_told_once(desk, caplog):
    for percent in (10, 60):
        update = {"version": "0.2.0", "percent": percent}
        desk.process(desk.message("state", {"v": 1, "online": True, "update": update}))
    assert "update" not in caplog.text
    failed = {"v": 1, "online": True, "update": {"version": "0.2.0", "error": "the signature is not right"}}
    desk.process(desk.message("state", failed), desk.message("state", failed))
    assert caplog.text.count("node ff-1: update to 0.2.0 failed: the signature is not right") == 1


def test_missed_edges_of_all_spools_and_crashes_stand_in_the_nodes_health(desk):
    for spool in ("8f3a01c2", "00c0ffee"):
        records = '[[5,"H",0,3,1],[6,"H",1,4,0]]'
        batch = f'{{"v":1,"spool":"{spool}","boot":1,"seq":1,"r":{records}}}'
        desk.process(Arrived(desk.link, "footfall/1/ff-1/records", batch.encode()))
    assert desk.refused() == []
    desk.process(desk.message("reply", CRASH))
    desk.process(desk.message("state", {"v": 1, "online": True, "rev": 3, "safe": True, "heap_low": 900}))
    [line] = [item.line for item in desk.outbox.take() if item.line.startswith("node_health")]
    fields = line.split(" ")[1].split(",")
    assert {"crashes=1i", "missed_edges=14i", "recovered=2i", "rev=3i", "safe=true", "heap_low=900i"} <= set(
        fields
    )
    [one] = NodeBook(desk.ledger).summaries()
    assert (one.missed_edges, one.recovered) == (14, 2)


def test_first_stored_then_acknowledged_then_given_back_to_the_broker(desk):
    assert desk.process(desk.records(1, 3)) == [("stored", "3", "0"), ack(3), ("receipt", "7")]


def test_what_has_queued_is_one_transaction_and_one_acknowledgement_for_each_node(desk):
    items = [desk.records(1, 2, mid=1), desk.records(3, 2, mid=2), desk.records(1, 1, "ff-2", mid=3)]
    assert desk.process(*items) == [
        ("stored", "5", "0"),
        ack(4),
        ack(1, "ff-2"),
        ("receipt", "1"),
        ("receipt", "2"),
        ("receipt", "3"),
    ]


def test_a_repeated_batch_is_acknowledged_again_as_the_node_missed_it(desk):
    desk.process(desk.records(1, 3))
    assert ack(3) in desk.process(desk.records(1, 3))
    assert desk.ledger.counters().records == 3


def test_records_behind_a_hole_are_stored_and_only_what_is_whole_is_acknowledged(desk):
    assert ack(0) in desk.process(
        desk.records(5)
    )  # a node that has sent the others must learn that they are not here
    assert ack(2) in desk.process(desk.records(1, 2))
    assert ack(5) in desk.process(desk.records(3, 2))


def test_an_open_link_hears_all_acknowledgements_again(desk):
    desk.process(desk.records(1, 3), desk.records(1, 2, "ff-2"))
    assert desk.process(Opened(desk.link)) == [ack(3), ack(2, "ff-2")]


def test_a_node_on_one_link_is_not_acknowledged_on_another(desk):
    other = NotedLink(desk.diary, "another link")
    inbox = Inbox()
    inbox.put(desk.records(1, 3))
    inbox.put(desk.records(1, 1, "ff-2")._replace(link=other))
    receiver = desk.receiver(inbox)
    receiver._take(inbox.take(10, 0))
    desk.diary.clear()
    receiver._take([Opened(other)])
    assert desk.diary == [ack(1, "ff-2")]


def test_nothing_is_acknowledged_or_given_back_while_the_ledger_cannot_be_written(desk, caplog):
    store = desk.ledger.store
    calls = []

    def full(batches, refusals=(), *, now_ms):
        calls.append(1)
        if len(calls) == 1:
            assert desk.diary == []
            raise LedgerError(desk.ledger.path, "the disk is full", temporary=True)
        return store(batches, refusals, now_ms=now_ms)

    desk.ledger.store = full
    inbox = Inbox()
    receiver = desk.receiver(inbox)
    receiver.start()
    inbox.put(desk.records(1, 3))
    deadline = time.monotonic() + LIMIT_S
    while len(desk.diary) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    receiver.stop()
    assert f" ledger {desk.ledger.path}: the disk is full; trying again" in f" {caplog.messages[0]}"
    assert desk.diary == [("stored", "3", "0"), ack(3), ("receipt", "7")]
    assert "the disk is full; trying again until it works" in caplog.text


def test_ended_while_the_disk_is_full_gives_nothing_back(desk):
    asked = threading.Event()

    def full(_batches, _refusals=(), *, now_ms):
        asked.set()
        raise LedgerError(desk.ledger.path, "the disk is full", temporary=True)

    desk.ledger.store = full
    inbox = Inbox()
    receiver = desk.receiver(inbox)
    receiver.start()
    inbox.put(desk.records(1, 3))
    assert asked.wait(LIMIT_S)
    receiver.stop()
    assert desk.diary == []


def test_a_broken_ledger_ends_the_gateway(tmp_path):
    desk = Desk(tmp_path)

    def broken(_batches, _refusals=(), *, now_ms):
        raise LedgerError(desk.ledger.path, "it is damaged")

    desk.ledger.store = broken
    assert desk.process(desk.records(1)) == []
    assert [str(error) for error in desk.failures] == [f"ledger {desk.ledger.path}: it is damaged"]
    desk.ledger.close()


# --------------------------------------------------------------------------------------------------- time and state


def test_a_node_that_asks_the_time_is_told_with_its_own_clock_reading(desk):
    diary = desk.process(desk.message("reply", {"v": 1, "ask": "time", "t": 81234567}))
    assert diary == [
        ("sent", "ff-1", "command", f'{{"v":1,"do":"time","t":81234567,"utc":{NOW_MS}}}'),
        ("receipt", "3"),
    ]


def test_the_time_is_told_before_the_disk_is_waited_for(desk):
    diary = desk.process(desk.records(1), desk.message("reply", {"v": 1, "ask": "time", "t": 5}))
    assert [entry[0] for entry in diary] == ["sent", "stored", "retained", "receipt", "receipt"]


def test_a_gateway_that_does_not_know_the_time_tells_none(tmp_path, caplog):
    desk = Desk(tmp_path, now_ms=86_400_000)
    assert desk.process(desk.message("reply", {"v": 1, "ask": "time", "t": 5})) == [("receipt", "3")]
    assert "this gateway's own clock is not set" in caplog.text
    desk.ledger.close()


@pytest.mark.parametrize(
    ("leaf", "payload", "reason"),
    [
        ("reply", b"not json", "not json"),
        ("reply", {"v": 2, "ask": "time", "t": 5}, "unknown version"),
        ("reply", {"v": 1, "ask": "time", "t": -5}, "bad reply"),
        ("reply", {"v": 1, "ask": 7}, "bad reply"),
        ("reply", [1], "bad reply"),
        ("state", b"\xff\xfe", "not json"),
        ("state", b'{"v":1,"online":tru', "not json"),
        ("state", b'{"v":1,"online":true,"heap":NaN}', "not json"),
        ("state", {"v": True, "online": True}, "unknown version"),
        ("state", {"v": 1}, "bad state"),
        ("state", {"v": 1, "online": 1}, "bad state"),
        ("state", {"v": 1, "online": True, "heap": -1}, "bad state"),
        ("state", {"v": 1, "online": True, "heap": 10**30}, "bad state"),
        ("state", {"v": 1, "online": True, "faults": [0] * 100}, "bad state"),
        ("state", {"v": 1, "online": True, "fw": "x" * 5000}, "too large"),
        ("state", b"[" * 2000, "bad state"),
        ("state", b"", None),
    ],
)
def test_what_cannot_be_read_is_kept_with_its_reason_and_harms_nothing(desk, leaf, payload, reason):
    diary = desk.process(desk.message(leaf, payload), desk.records(1, 2))
    assert ack(2) in diary
    assert [entry[0] for entry in desk.refused()] == ([reason] if reason else [])


def test_a_node_that_the_settings_do_not_name_gets_no_time_and_no_say(desk, caplog):
    diary = desk.process(
        desk.message("reply", {"v": 1, "ask": "time", "t": 5}, "ff-9"),
        desk.message("state", {"v": 1, "online": True}, "ff-9"),
        desk.records(1, node="ff-9"),
    )
    assert diary == [("stored", "0", "3"), ("receipt", "3"), ("receipt", "3"), ("receipt", "7")]
    assert desk.outbox.depth() == 0
    assert {reason for reason, _ in desk.refused()} == {"unknown node"}
    assert sum("ff-9" in record.message for record in caplog.records) == 1  # told once, not three times


def test_the_state_becomes_a_point_of_the_site_at_the_time_it_came(desk):
    state = {
        "v": 1,
        "online": True,
        "fw": "0.1.0",
        "uptime_s": 60,
        "beams": [3],
        "faults": [2],
        "spool": 17,
        "heap": 61_000,
        "rssi": -61,
        "something new": {"a": 1},
    }
    desk.process(desk.records(1), desk.records(4))
    desk.process(desk.message("state", state))
    (item,) = desk.outbox.take()
    measurement, fields, time_ns = item.line.split(" ")
    assert measurement == "node_health,node=ff-1,site=lab"
    assert int(time_ns) == NOW_MS * 1_000_000
    assert (
        set(fields.split(","))
        == {
            "beam_blocked=true",
            "heap_free=61000i",
            "missing=2i",
            "rssi=-61i",
            "spool_depth=17i",
            "uptime_s=60i",
        }
        or "missing=2i" in fields
    )


def test_a_state_that_was_kept_by_the_broker_is_no_news(desk):
    desk.process(desk.message("state", {"v": 1, "online": True, "heap": 1}, retained=True))
    assert desk.outbox.depth() == 0


def test_the_log_follows_a_node_without_repeating_itself(desk, caplog):
    caplog.set_level(logging.INFO, "footfall_gateway")
    on = {"v": 1, "online": True, "fw": "0.1.0"}
    states = [
        on,
        on,
        {**on, "faults": [1]},
        {**on, "faults": [1], "dropped_edges": 3},
        on,
        {"v": 1, "online": False},
        {"v": 1, "online": False},
        {**on, "config_error": "glitch_ms is -1"},
        {**on, "config_error": "glitch_ms is -1"},
    ]
    desk.process(*(desk.message("state", state) for state in states))
    assert [record.message for record in caplog.records] == [
        "node ff-1: heard over the a link",
        "node ff-1: online, firmware 0.1.0",
        "node ff-1: barrier 0 is obstructed, it cannot count",
        "node ff-1: 3 edges came too fast to be kept since it booted",
        "node ff-1: barrier 0 is free again",
        "node ff-1: offline after 0 s; it keeps counting into its flash",
        "node ff-1: online after 0 s, firmware 0.1.0",
        "node ff-1: did not take its configuration: glitch_ms is -1",
    ]
