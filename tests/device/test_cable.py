"""A node on a USB cable, on the real MicroPython, against the gateway's own reading and writing of lines."""

import contextlib
import json
import os
import subprocess
import threading
from pathlib import Path

import pytest

from footfall_gateway.link_serial import Lines, decode_line, encode_line
from footfall_simulator import parts

FIRMWARE = Path(__file__).parents[2] / "firmware"
WAIT_S = 60

DEVICE = """
import asyncio, time
from node.cable import Cable, MAX_BATCH_RECORDS
from node.console import Console
from node.clock import Uptime
from node.spool import Spool
from node.uplink import Uplink
spool = Spool()
spool.open()
spool.append((0, "R", "power", "test", 0))
console = Console()
cable = Cable("ff-test", console)
async def send(text):
    await cable.publish("footfall/1/ff-test/records", text.encode())
    return True
uplink = Uplink(spool, send, Uptime().now, 1, MAX_BATCH_RECORDS)
def on_message(where, content):
    leaf = where.split("/")[-1]
    if leaf == "ack":
        uplink.on_ack(str(content, "utf-8"))
    else:
        print("heard %s %s" % (leaf, str(content, "utf-8")))
cable.on_message = on_message
cable.on_connect = uplink.connected
async def count():
    for i in range(100):
        spool.append((1000 + i, "P", 0, 1, 400))
        print("passage t=%d barrier=0 in transit=400" % (1000 + i))
        if i % 10 == 9:
            spool.flush()
            uplink.wake()
        await asyncio.sleep_ms(5)
async def main():
    asyncio.create_task(console.listen())
    asyncio.create_task(cable.run(lambda: True))
    asyncio.create_task(uplink.run(lambda: cable.connected))
    await count()
    while spool.depth():
        await asyncio.sleep_ms(50)
    print("all acknowledged, %d damaged" % console.damaged)
asyncio.run(main())
"""


class Wire:
    """The gateway's end: every line read, messages acknowledged unless told otherwise."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.records: dict[int, list] = {}
        self.console: list[str] = []
        self.batch_sizes: set[int] = set()
        self.damaged = 0
        self.swallow = 3  # batches that get lost on the way
        self.changed = threading.Condition()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def write(self, data: bytes) -> None:
        with contextlib.suppress(
            BrokenPipeError
        ):  # the test is over, and what the device had said is still read
            os.write(self.process.stdin.fileno(), data)

    def wait_for(self, text: str) -> None:
        with self.changed:
            found = self.changed.wait_for(lambda: any(text in line for line in self.console), WAIT_S)
        assert found, (text, self.console[-5:])

    def _read(self) -> None:
        lines = Lines()
        while data := self.process.stdout.read1(4096):
            for line in lines.feed(data):
                with self.changed:
                    self._take(line)
                    self.changed.notify_all()

    def _take(self, line: bytes) -> None:
        try:
            message = decode_line(line)
        except ValueError:
            self.damaged += 1
            return
        if message is None:
            self.console.append(line.decode())
            return
        assert message[0] == "records"
        batch = json.loads(message[1])
        self.batch_sizes.add(len(batch["r"]))
        if self.swallow:
            self.swallow -= 1
            return
        self.records.update(enumerate(batch["r"], batch["seq"]))
        seq = 0
        while seq + 1 in self.records:
            seq += 1
        self.write(encode_line("ack", json.dumps({"v": 1, "spool": batch["spool"], "seq": seq})))


@pytest.fixture
def wire(micropython: parts.Micropython, flash: Path):
    command = micropython.command(["-c", DEVICE], heap_kb=192, path=[FIRMWARE, FIRMWARE / "lib"])
    process = subprocess.Popen(
        command.argv,
        env=command.env,
        cwd=flash,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    with process:
        wire = Wire(process)
        yield wire
        process.kill()
        wire.reader.join(WAIT_S)  # before its pipe is closed under it


def test_records_cross_the_cable_between_console_lines_and_lost_ones_are_sent_again(wire):
    wire.wait_for("all acknowledged, 0 damaged")
    assert sorted(wire.records) == list(range(1, 102))
    assert [record[0] for _, record in sorted(wire.records.items())][1:] == list(range(1000, 1100))
    assert max(wire.batch_sizes) <= 8
    assert wire.damaged == 0
    assert sum(line.startswith("passage") for line in wire.console) == 100


def test_a_damaged_or_foreign_line_is_dropped_and_the_next_one_is_heard(wire):
    good = encode_line("command", '{"v":1,"do":"identify"}')
    lines = (
        b"help()\r\n",
        good.replace(b"identify", b"identifx"),
        b"command {*\n" + b"ack {}*zzzzzzzz\n" + b"\xff\xfe {}*00000000\n",
        b"command {" + b"x" * 5000 + b"\n",
        good.replace(b"\n", b"\r\n"),
    )
    wire.write(b"".join(lines))  # at once: the device ends when all of its records are acknowledged
    wire.wait_for('heard command {"v":1,"do":"identify"}')
    wire.wait_for("all acknowledged, ")
    assert [line for line in wire.console if line.startswith("heard")] == [
        'heard command {"v":1,"do":"identify"}'
    ]
    assert "all acknowledged, 5 damaged" in wire.console


def test_a_long_message_arrives_whole(wire):
    text = json.dumps({"v": 1, "rev": 1, "padding": "x" * 1900})
    wire.write(encode_line("config", text))
    wire.wait_for("heard config " + text)


def test_what_is_printed_while_a_message_goes_out_waits_for_its_end(run_on_board):
    """A line in the middle of a message would spoil both."""
    shown = run_on_board(
        """
import asyncio
from node.console import Console
async def chatter():
    for i in range(200):
        print("chatter %d" % i)
        await asyncio.sleep_ms(0)
async def main():
    console = Console()
    task = asyncio.create_task(chatter())
    for _ in range(3):
        await console.write("reply", b'{"padding":"%s"}' % (b"x" * 1500))
    await task
asyncio.run(main())
"""
    )
    lines = shown.splitlines()
    replies = [decode_line(line.encode()) for line in lines if line.startswith("reply {")]
    assert len(replies) == 3
    assert [line for line in lines if line.startswith("chatter")] == [f"chatter {i}" for i in range(200)]
    assert len(lines) == 203
