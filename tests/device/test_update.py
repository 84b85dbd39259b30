"""Update over the air on the real MicroPython: the signature, the transfer, power cuts at every write, and whole boards."""

import hashlib
import json
import random
import re
from functools import cache
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from footfall_gateway.commissioning.bundle import Bundle, make_bundle
from footfall_gateway.commissioning.device_files import DeviceFile
from footfall_gateway.commissioning.signing import public_half
from tests.device.conftest import FIRMWARE
from tests.device.power_cut import POWER

GENUINE = """
import asyncio, binascii, io, sys
from node import flash, updater
from node.signature import genuine
found = []
for line in open("cases.jsonl"):
    n, signature, digest = json.loads(line)
    flash.read_json = lambda name: {"n": n}
    found.append(asyncio.run(genuine(updater.modulus(), io.BytesIO(signature.encode()), binascii.unhexlify(digest))))
show(found)
"""


@cache
def key_of(bits: int, exponent: int = 65_537, number: int = 0) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=exponent, key_size=bits)


def modulus(key: rsa.RSAPrivateKey) -> str:
    return f"{key.public_key().public_numbers().n:x}"


def signed(key: rsa.RSAPrivateKey, message: bytes) -> tuple[str, str, str]:
    """(modulus, signature, digest) as the node gets them."""
    signature = key.sign(message, padding.PKCS1v15(), hashes.SHA256())
    return modulus(key), signature.hex(), hashlib.sha256(message).hexdigest()


@pytest.fixture
def verify(run_on_board, flash):
    """What the node says of each (modulus, signature, digest)."""

    def run(cases):
        (flash / "cases.jsonl").write_text("".join(json.dumps(case) + "\n" for case in cases))
        return run_on_board(GENUINE)

    return run


def test_signatures_made_by_a_well_kept_library_are_genuine(verify):
    cases = [
        signed(key_of(bits), message)
        for bits in (2048, 3072, 4096)
        for message in (b"", b"footfall", bytes(1000))
    ]
    assert verify(cases) == [True] * len(cases)


def raw(key: rsa.RSAPrivateKey, message: bytes) -> str:
    """The signature of an encoded message as it stands: whatever padding a forger would like."""
    numbers = key.private_numbers()
    n = numbers.public_numbers.n
    return f"{pow(int.from_bytes(message), numbers.d, n):0{key.key_size // 4}x}"


PREFIX = bytes.fromhex("3031300d060960864801650304020105000420")


@pytest.mark.parametrize(
    "encode",
    [
        lambda d, k: (
            b"\0\1" + b"\xff" * (k - 54) + b"\0" + PREFIX + d
        ),  # the right one, to see that `raw` works
        lambda d, k: (
            b"\0\1" + b"\xff" * 8 + b"\0" + PREFIX + d + bytes(k - 62)
        ),  # Bleichenbacher 2006: rubbish behind it
        lambda d, k: b"\0\1" + b"\xff" * (k - 56) + b"\0" + PREFIX + d + b"\5\0",
        lambda d, k: b"\0\2" + b"\xff" * (k - 54) + b"\0" + PREFIX + d,
        lambda d, k: b"\0\1" + b"\xff" * 8 + b"\xfe" + b"\xff" * (k - 63) + b"\0" + PREFIX + d,
        lambda d, k: b"\0\1" + bytes(k - 54) + b"\0" + PREFIX + d,
        lambda d, k: b"\0\1" + b"\xff" * (k - 35) + b"\0" + d,  # no word on the hash
        lambda d, k: b"\0\1" + b"\xff" * (k - 52) + b"\0" + PREFIX[:2] + PREFIX[4:] + d,
        lambda d, k: bytes(k - 32) + d,
        lambda d, k: bytes(k - 1) + b"\1",  # the signature 1 is its own power
    ],
)
def test_only_the_one_padding_is_genuine_however_it_was_made(verify, encode, request):
    key = key_of(2048)
    digest = hashlib.sha256(b"footfall").digest()
    message = encode(digest, 256)
    assert len(message) == 256
    right = request.node.callspec.indices["encode"] == 0
    assert verify([(modulus(key), raw(key, message), digest.hex())]) == [right]


def test_no_random_change_and_no_other_key_makes_a_signature_genuine(verify):
    seeded = random.Random(7)
    key = key_of(2048)
    n, signature, digest = signed(key, b"footfall")
    cases = [(modulus(key_of(2048, number=1)), signature, digest), (modulus(key_of(3072)), signature, digest)]
    for _ in range(150):
        which = seeded.randrange(3)
        values = [n, signature, digest]
        number = int(values[which], 16)
        for _ in range(seeded.choice((1, 1, 2, 9))):
            number ^= 1 << seeded.randrange(len(values[which]) * 4)
        values[which] = f"{number:0{len(values[which])}x}"
        if values != [n, signature, digest]:
            cases.append(tuple(values))
    s = int(signature, 16)
    n_ = int(n, 16)
    others = [f"{number:0{len(n)}x}" for number in (0, 1, n_ - 1, n_, n_ + s, n_ - s)]
    others += [
        signature[:-1],
        signature + "0",
        "0" + signature,
        "",
        "x" * len(signature),
        " " + signature[1:],
    ]
    others += [signature[2:], signature.upper()]
    moduli = ["", "0", "1" * 510, n[:-2], "00" + n, "ff" * 513, "-" + n[1:]]
    cases += [(n, other, digest) for other in others] + [(other, signature, digest) for other in moduli]
    cases.append((n, signature, digest[:-2]))
    assert verify([*cases, (n, signature, digest)]) == [False] * len(cases) + [True]


def test_a_key_with_another_exponent_is_not_what_the_node_computes_with(verify):
    assert verify([signed(key_of(2048, 3), b"footfall")]) == [False]


# ------------------------------------------------------------------------------------- the transfer, without a board

# One life of a node that takes a bundle from a file beside it. A piece may be spoilt on its way, or stay out.
TAKE = """
import asyncio, binascii, os
from node import flash, update
order = json.load(open("order.json"))
pieces = []
async def ask(offset, n):
    if len(pieces) >= order["pieces"]:
        raise KeyboardInterrupt  # the power goes
    with open("bundle.ffu", "rb") as f:
        f.seek(offset)
        data = f.read(n)
    if not data:
        raise KeyboardInterrupt
    pieces.append(len(data))
    taking.take({"offset": offset + 1, "data": "AAAA"})  # nobody asked for these two
    taking.take({"offset": offset, "data": None})
    taking.take({"offset": offset, "data": str(binascii.b2a_base64(data), "utf-8").strip()})
async def quiet():
    pass
told = []
taking = update.Update(order["wanted"], "b", binascii.unhexlify(order["key"]), lambda: order["runs"], ask, quiet, lambda: order["room"], told.append)
try:
    asyncio.run(taking.run())
    end = "whole"
except update.RefusedError as error:
    end = str(error)
except KeyboardInterrupt:
    end = "power cut"
show([end, sum(pieces), told[-1] if told else None])
"""

RUNS = {"version": "0.1.0", "chip": "linux", "loader": 1}
PLENTY = 1 << 30


def some_files() -> list[DeviceFile]:
    """Not a firmware, but files of all sizes."""
    seeded = random.Random(3)
    sizes = {
        "app.mpy": 900,
        "board/a.mpy": 1,
        "board/b.mpy": 768,
        "node/a.mpy": 5000,
        "node/b.mpy": 9000,
        "node/c.py": 40,
    }
    return [DeviceFile(path, b"M\6\0\x1f" + seeded.randbytes(size)) for path, size in sizes.items()]


def some_bundle(**options) -> Bundle:
    return make_bundle(some_files(), **{"version": "0.2.0", "chip": "linux", "key": key_of(2048), **options})


@pytest.fixture
def take(run_on_board, flash):
    """Let a node take a bundle; how that ended, the bytes that it asked for, the percentage that it told last."""
    (flash / "slots/a").mkdir(parents=True)

    def run(bundle, *, content=None, key=None, room=PLENTY, pieces=PLENTY, **runs):
        order = {
            "wanted": {
                "version": bundle.version, "bundle": bundle.id, "size": len(bundle.content), "head": bundle.head_bytes,
            },
            "key": modulus(key or key_of(2048)),
            "room": room,
            "pieces": pieces,
            "runs": {**RUNS, **runs},
        }  # fmt: skip
        (flash / "order.json").write_text(json.dumps(order))
        (flash / "bundle.ffu").write_bytes(bundle.content if content is None else content)
        return run_on_board(TAKE)

    return run


def slot_files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def whole(files: list[DeviceFile]) -> dict[str, bytes]:
    return {file.path: file.content for file in files}


def test_a_bundle_arrives_whole_in_the_other_slot_and_what_was_there_is_gone(take, flash):
    (flash / "slots/b/node").mkdir(parents=True)
    (flash / "slots/b/app.py").write_text("old")
    (flash / "slots/b/node/c.mpy").write_text("would hide node/c.py")
    bundle = some_bundle()
    assert take(bundle) == ["whole", len(bundle.content), 100]
    assert slot_files(flash / "slots/b") == whole(some_files())
    assert slot_files(flash / "slots/a") == {}


def test_a_transfer_that_breaks_off_goes_on_where_the_flash_ends(take, flash):
    bundle = some_bundle()
    asked = 0
    for _ in range(40):
        end, n, _ = take(bundle, pieces=7)
        asked += n
        assert ("app.mpy" in slot_files(flash / "slots/b")) == (end == "whole")
        if end == "whole":
            break
        assert end == "power cut"
    assert end == "whole"
    assert slot_files(flash / "slots/b") == whole(some_files())
    assert asked < len(bundle.content) + 6 * 384  # a file is flushed every 384 bytes


def test_another_bundle_begins_anew(take, flash):
    assert take(some_bundle(), pieces=10)[0] == "power cut"
    other = make_bundle(some_files()[:3], "0.3.0", "linux", key_of(2048))
    assert take(other) == ["whole", len(other.content), 100]
    assert slot_files(flash / "slots/b") == whole(some_files()[:3])


def test_a_slot_that_was_whole_is_checked_again_before_it_gets_another_trial(take, flash):
    bundle = some_bundle()
    take(bundle)
    assert take(bundle)[:2] == ["whole", 0]
    path = flash / "slots/b/node/b.mpy"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    assert "node/b.mpy is damaged" in take(bundle)[0]
    assert "app.mpy" not in slot_files(flash / "slots/b")
    assert take(bundle)[:2] == ["whole", len(bundle.content)]


def regions(bundle: Bundle) -> list[tuple[str, int, int]]:
    """(what, first byte, end) of every part of a bundle."""
    found = []
    at = 0
    *lines, signature = bundle.content[: bundle.head_bytes].splitlines(keepends=True)
    for i, line in enumerate(lines):
        found.append((f"line {i}", at, at + len(line)))
        at += len(line)
    found.append(("signature", at, at + len(signature) - 1))
    at += len(signature)
    for file in some_files():
        found.append((file.path, at, at + len(file.content)))
        at += len(file.content)
    assert at == len(bundle.content)
    return found


@pytest.mark.parametrize("region", regions(some_bundle()), ids=lambda region: region[0])
def test_a_flipped_bit_anywhere_is_refused_before_the_slot_counts_as_one(take, flash, region):
    what, first, end = region
    bundle = some_bundle()
    seeded = random.Random(what)
    for _ in range(4):
        content = bytearray(bundle.content)
        content[seeded.randrange(first, end)] ^= 1 << seeded.randrange(8)
        said, asked, _ = take(bundle, content=bytes(content))
        if first < bundle.head_bytes:
            assert said == "the signature does not fit this node's update key"
            assert asked == bundle.head_bytes, "no file was taken"
        else:
            assert said == f"{what} is damaged: its hash is not the one that was signed"
        assert "app.mpy" not in slot_files(flash / "slots/b")
        assert not (flash / "update.json").exists()


def test_files_in_each_others_place_and_a_truncated_end_are_refused(take, flash):
    bundle = some_bundle()
    head = bundle.content[: bundle.head_bytes]
    contents = [file.content for file in some_files()]
    swapped = head + b"".join([contents[1], contents[0], *contents[2:]])
    assert "is damaged" in take(bundle, content=swapped)[0]
    assert take(bundle, content=bundle.content[:-1])[0] == "power cut"  # it asks for the rest, and none comes
    assert "app.mpy" not in slot_files(flash / "slots/b")


@pytest.mark.parametrize(
    ("options", "node", "reason"),
    [
        ({"key": key_of(2048, number=1)}, {}, "the signature does not fit this node's update key"),
        ({"chip": "esp32s3"}, {}, "made for the chip esp32s3, this is linux"),
        ({"version": "0.0.9"}, {}, "older than 0.1.0, which runs here"),
        ({"version": "0.9.0"}, {"version": "0.10.0"}, "older than 0.10.0, which runs here"),
        ({"version": "0.0.9", "older": True}, {}, "whole"),
        ({"version": "0.1.0"}, {}, "whole"),
        ({"least_loader": 2}, {}, "needs loader 2, here is 1: flash the board"),
        ({"least_loader": 2}, {"loader": 2}, "whole"),
        ({}, {"room": 60_000}, "not enough flash: it needs 76 KB, 58 KB are free beside the spool"),
        ({}, {"room": 80_000}, "whole"),
    ],
)  # fmt: skip
def test_a_genuine_bundle_that_does_not_suit_the_node_is_refused_with_the_reason(take, options, node, reason):
    bundle = some_bundle(**options)
    said, asked, _ = take(bundle, **node)
    assert said == reason
    assert asked == (len(bundle.content) if reason == "whole" else bundle.head_bytes)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ffu": 2}, "format 2 of bundles is not known here"),
        ({"version": "0.3.0"}, "the bundle holds version 0.3.0, not 0.2.0"),
        ({"mpy": 5}, "compiled for another MicroPython (.mpy version 5)"),
        ({"micropython": [9, 1]}, "needs MicroPython 9.1: flash the board"),
        ({"files": 5}, "its list has 6 files, not 5"),
        ({"bytes": 5}, "its list of files does not come to its length"),
    ],
)
def test_a_genuine_head_that_contradicts_itself_is_refused(take, change, reason):
    bundle = some_bundle()
    *lines, _ = bundle.content[: bundle.head_bytes].splitlines(keepends=True)
    lines[0] = json.dumps({**json.loads(lines[0]), **change}).encode() + b"\n"
    head = b"".join(lines)
    head += key_of(2048).sign(head, padding.PKCS1v15(), hashes.SHA256()).hex().encode() + b"\n"
    made = Bundle(head + bundle.content[bundle.head_bytes :], len(head), "0.2.0", "linux", older=False)
    assert take(made)[0] == reason


@pytest.mark.parametrize("path", ["../app.mpy", "/main.py", "node/../../../main.py"])
def test_a_signed_path_outside_of_the_slot_is_refused(take, path, monkeypatch):
    monkeypatch.setattr("footfall_gateway.commissioning.bundle.PATH_FORM", re.compile(".*"))
    files = [*some_files(), DeviceFile(path, b"M\x06")]
    assert take(make_bundle(files, "0.2.0", "linux", key_of(2048)))[0] == f"it would write to {path}"


# ----------------------------------------------------------------------------- the power goes, at every single write

# Lives of a node, each from the loader's choice to a restart or a cut: the real loader, updater, update and trial.
CUT_EVERYWHERE = (
    POWER
    + """
import asyncio, binascii, hashlib
import node as package
from node import boot, flash, signature, trial, update, updater

class Restart(BaseException):
    pass

class Quick:
    create_task = asyncio.create_task
    @staticmethod
    async def sleep_ms(ms):
        await asyncio.sleep_ms(0)
    sleep = sleep_ms

class Board:
    free_flash_kb = staticmethod(lambda: 1000)

class machine:
    pass

for module in (flash, update):
    module.open = File
    module.os = Os()
updater.asyncio = trial.asyncio = Quick
updater.system = Board
updater.forget = lambda name: None
sys.modules["machine"] = machine
loader = {"__name__": "loader"}
with open(sys.argv[1]) as f:
    exec(f.read().partition("\\nwatchdog = ")[0], loader)
loader["open"] = File
loader["os"] = Os()

order = json.load(open("order.json"))
reached = order["reached"]

class Node:
    chip = "linux"
    client = True
    vouched = False
    update_told = None
    def __init__(self):
        self.settings = self.journal = self.spool = self.status = self.supervisor = self.uptime = self
        self.serial = False
        self.next_seq = 5
        self.acked = 9 if reached else 3
        self.failures = 0
        self.ms = 0
    def all_quiet(self):
        return True
    def still_to_come(self):
        return 0
    def changed(self):
        pass
    def now(self):
        self.ms += 50000
        return self.ms
    def update_over(self):
        pass
    def restart(self, reason):
        raise Restart()

def sha(path):
    with open(path, "rb") as f:
        return str(binascii.hexlify(hashlib.sha256(f.read()).digest()), "utf-8")

def whole(slot):
    try:
        return all(sha("slots/%s/%s" % (slot, path)) == order["files"][path] for path in order["files"])
    except OSError:
        return False

def put(path, text):
    with open(path, "w") as f:
        f.write(text)

def wipe(folder):
    for entry in os.ilistdir(folder):
        path = folder + "/" + entry[0]
        if entry[1] == 0x4000:
            wipe(path)
            os.rmdir(path)
        elif entry[0] not in ("order.json", "bundle.ffu", "update_key.json"):
            os.remove(path)

def begin():
    wipe(".")
    for folder in ("slots", "slots/a", "slots/b", "slots/b/node"):
        os.mkdir(folder)
    put("slots/a/app.py", "the old one")
    put("slots/b/app.py", "older still")
    put("slots/b/node/b.py", "would hide node/b.mpy")
    put("start.json", '{"slot":"a"}')

def life(send):
    # Returns the slot that ran, whether it is settled, and what the state tells of the update.
    asyncio.new_event_loop()
    slots, on_trial, safe, why = loader["choose"](loader["read_notes"](), True)
    slot = slots[0]
    with open("slots/a/app.py") as f:
        assert f.read() == "the old one"
    assert slot == "a" or whole("b"), "a slot that is not whole was started"
    assert slot != "b" or on_trial or reached
    assert "b" not in slots or whole("b") or sorted(os.listdir("slots/b")) == ["app.py", "node"], "half a slot counts as one"
    boot.begin({"slot": slot, "trial": on_trial}, "")
    package.VERSION = "0.2.0" if slot == "b" else "0.1.0"
    node = Node()
    if flash.read("update.json"):
        node.update_told = trial.answer()
    if on_trial:
        asyncio.run(trial.keep(node))
        return slot, True, node.update_told
    if slot == "b" or boot.failed() or not send:
        return slot, True, node.update_told
    one = node.updater = updater.Updater(node, report=lambda text: None)
    async def answer(text):
        values = json.loads(text)
        if values.get("ask") == "update":
            with open("bundle.ffu", "rb") as f:
                f.seek(values["offset"])
                data = f.read(values["bytes"])
            one.piece({"offset": values["offset"], "data": str(binascii.b2a_base64(data), "utf-8")})
        assert "error" not in values, values
    async def main():
        one.command(dict(order["wanted"], id=1), answer)
        while True:
            await asyncio.sleep_ms(0)
    asyncio.run(main())

def lives(cut_at, then_cut_at):
    # True when the first cut was beyond the end: all has been tried.
    begin()
    done = True
    for cut in (cut_at, then_cut_at, None, None, None, None):
        while True:
            power.left = cut
            try:
                slot, settled, told = life(True)
                power.left = None
                if told and "interrupted" in told.get("error", ""):
                    continue
                if settled:
                    return done, slot, told
            except Restart:
                cut = power.left  # goes on with what is left of the time
                continue
            except Cut:
                done = False
                break
    raise AssertionError("never settled")

cuts = 0
while True:
    done, slot, told = lives(cuts, 3 + cuts * 7 % 29)
    power.left = None
    if reached:
        assert slot == "b" and whole("b") and told is None, (cuts, slot, told)
        assert "update.json" not in os.listdir() or cuts, os.listdir()
    else:
        assert slot == "a" and told["version"] == "0.2.0" and "gateway" in told["error"], (cuts, slot, told)
    assert life(False)[0] == slot
    if done:
        break
    cuts += 1
show(cuts)
"""
)


@pytest.mark.parametrize("reached", [True, False], ids=["it reaches the gateway", "it never does"])
def test_a_power_cut_at_every_write_of_an_update_ends_on_the_old_or_the_new_firmware_whole(
    run_on_board, flash, reached
):
    bundle = some_bundle()
    order = {
        "wanted": {
            "version": bundle.version,
            "bundle": bundle.id,
            "size": len(bundle.content),
            "head": bundle.head_bytes,
        },
        "files": {file.path: hashlib.sha256(file.content).hexdigest() for file in some_files()},
        "reached": reached,
    }
    (flash / "order.json").write_text(json.dumps(order))
    (flash / "bundle.ffu").write_bytes(bundle.content)
    (flash / "update_key.json").write_text(public_half(key_of(2048)))
    cuts = run_on_board(CUT_EVERYWHERE, FIRMWARE / "main.py")
    assert cuts > 40
