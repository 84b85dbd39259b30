"""An update beside a spool that nobody empties, on the board's own file system: what was counted comes first."""

import json
import random

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from footfall_gateway.commissioning.bundle import make_bundle
from footfall_gateway.commissioning.device_files import DeviceFile
from footfall_gateway.commissioning.signing import public_half

# The gateway is away. Records are there already, more come with every piece of the bundle, and afterwards the spool grows to its limit.
UPDATE_AND_COUNT = """
import asyncio, binascii, os, sys
class machine:
    pass
sys.modules["machine"] = machine
import flash_chip
from node import flash, update, updater
from node.spool import Spool

order = json.load(open("order.json"))
bundle = open("bundle.ffu", "rb")
flash_chip.mount(flash_chip.FlashChip("chip.img", order["blocks"]))
os.chdir("/flash")
flash.write(updater.KEY_FILE, order["key"])

spool = Spool(max_bytes=order["spool_bytes"], report=lambda text: None)
spool.open()

def record(seq):
    return (seq * 21600, "P", 0, 1 if seq % 2 else -1, 150 + seq * 31 % 1400)

def count(people):
    for _ in range(people):
        if spool.still_to_come() < 6000:
            return False  # its own limit is near: what it drops there it would drop without an update, too
        spool.append(record(spool.next_seq))
        if spool.next_seq % 20 == 0:
            spool.flush()
    return True

class Node:
    pass
node = Node()
node.spool = spool
room = updater.Updater(node)._room

async def ask(offset, n):
    count(order["each_piece"])
    bundle.seek(offset)
    taking.take({"offset": offset, "data": str(binascii.b2a_base64(bundle.read(n)), "utf-8").strip()})

async def quiet():
    pass

count(order["before"])
runs = {"version": "0.1.0", "chip": "linux", "loader": 1}
taking = update.Update(order["wanted"], "b", updater.modulus(), lambda: runs, ask, quiet, room, lambda percent: None)
try:
    asyncio.run(taking.run())
    end = "whole"
except update.RefusedError as error:
    end = str(error)
while count(20):
    pass
spool.flush()

async def read_back():
    seq = 1
    while True:
        found = await spool.batch(seq, 0)
        if not found:
            return seq - 1
        for i, values in enumerate(json.loads(found[0])["r"]):
            assert tuple(values) == record(seq + i), values
        seq = found[1] + 1

show([end, spool.lost, asyncio.run(read_back()) == spool.next_seq - 1])
"""
SPOOL_BYTES = 120_000


@pytest.mark.parametrize(
    ("blocks", "end"),
    [
        (36, "not enough flash: it needs 68 KB, 0 KB are free beside the spool"),
        (
            50,
            "not enough flash: it needs 68 KB, 43 KB are free beside the spool",
        ),  # not even its list is taken
        (70, "not enough flash: it needs 96 KB, 85 KB are free beside the spool"),
        (74, "whole"),
    ],
)
def test_an_update_fits_beside_a_full_spool_or_is_refused_and_no_record_gives_way_to_it(
    run_on_board, flash, blocks, end
):
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    seeded = random.Random(5)
    files = [DeviceFile("app.mpy", b"M\6\0\x1f" + seeded.randbytes(6000))]
    files += [
        DeviceFile(f"node/n{i}.mpy", b"M\6\0\x1f" + seeded.randbytes(300 + 517 * i % 4000)) for i in range(12)
    ]
    bundle = make_bundle(files, "0.2.0", "linux", key)
    order = {
        "blocks": blocks,
        "spool_bytes": SPOOL_BYTES,
        "before": 5000,
        "each_piece": 25,
        "key": public_half(key),
        "wanted": {
            "version": "0.2.0", "bundle": bundle.id, "size": len(bundle.content), "head": bundle.head_bytes,
        },
    }  # fmt: skip
    (flash / "order.json").write_text(json.dumps(order))
    (flash / "bundle.ffu").write_bytes(bundle.content)
    assert run_on_board(UPDATE_AND_COUNT) == [end, 0, True]
