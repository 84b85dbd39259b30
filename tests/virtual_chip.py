"""A board at the end of a cable, for tests of what sets boards up: the chip's ROM loader, its flash, and MicroPython.

The real esptool talks to the loader (SLIP, ROM and stub commands), the real mpremote to the real MicroPython (the Unix port in
a folder that stands for the board's file system). What an image file brings into the flash decides whether MicroPython
starts, and where its file system lies. The cable is a TCP port that speaks RFC 2217, so that DTR and RTS pull EN and
GPIO0 as on a development board, or a pseudo terminal, which has no such lines: a link in the test's own folder leads to it, as
in tests/cable.py.
"""

import contextlib
import fcntl
import hashlib
import os
import pty
import select
import shutil
import socket
import struct
import subprocess
import termios
import threading
import time
import zlib
from pathlib import Path

from serial.rfc2217 import PortManager

from footfall_simulator import parts

SHIMS = Path(__file__).parent / "virtual_chip_shims"
SECTOR = 4096
FLASH_BYTES = 4 * 1024 * 1024
FORMATTED = b"littlefs"  # what begins a file system of ours
HEAP_KB = 192 + 48  # the prompt and the shims; and TLS, which on a chip has memory of its own
RESET_STATUS = 70  # machine.reset() of the shims ends the process with it
EN_RISES_S = 0.4  # the capacitor at EN: GPIO0 is read within that time after EN was let go; long, as the lines come over TCP
SYNC = b"\xc0\x00\x08\x24\x00"
LEAVES_S = 0.4  # from a restart of a chip that is the USB device itself until the computer has noticed
AWAY_S = 0.3  # ... and until it has found it again
LOOP_S = 0.25  # between two starts of a board that cannot boot
SEEN_WITHIN_S = 60
POLL_S = 0.05  # how soon the end of the test is noticed

ROM_LOG = b"ets Jul 29 2019 12:21:46\r\n\r\nrst:0x%x (%s),boot:0x%x (%s)\r\n"
TROUBLE = {
    "brownout": b"\r\nBrownout detector was triggered\r\n\r\n" + ROM_LOG % (12, b"SW_CPU_RESET", 19, b"SPI_FAST_FLASH_BOOT"),
    "panic": b"Guru Meditation Error: Core  1 panic'ed (LoadProhibited). Exception was unhandled.\r\n"
    b"Backtrace: 0x400d1a2b:0x3ffb1f50\r\n\r\nRebooting...\r\n"
    + ROM_LOG % (12, b"SW_CPU_RESET", 19, b"SPI_FAST_FLASH_BOOT"),
    "watchdog": ROM_LOG % (8, b"TG1WDT_SYS_RESET", 19, b"SPI_FAST_FLASH_BOOT"),
}  # fmt: skip
EMPTY = (
    ROM_LOG % (16, b"RTCWDT_RTC_RESET", 19, b"SPI_FAST_FLASH_BOOT") + b"invalid header: 0xffffffff\r\n" * 3
)

COMMANDS = {
    0x02: "FLASH_BEGIN", 0x03: "FLASH_DATA", 0x04: "FLASH_END", 0x05: "MEM_BEGIN", 0x06: "MEM_END", 0x07: "MEM_DATA",
    0x08: "SYNC", 0x09: "WRITE_REG", 0x0A: "READ_REG", 0x0B: "SPI_SET_PARAMS", 0x0D: "SPI_ATTACH", 0x0E: "READ_FLASH_SLOW",
    0x0F: "CHANGE_BAUDRATE", 0x10: "FLASH_DEFL_BEGIN", 0x11: "FLASH_DEFL_DATA", 0x12: "FLASH_DEFL_END",
    0x13: "SPI_FLASH_MD5", 0x14: "GET_SECURITY_INFO", 0xD0: "ERASE_FLASH", 0xD1: "ERASE_REGION", 0xD2: "READ_FLASH",
}  # fmt: skip
WRITES = {"FLASH_BEGIN", "FLASH_DEFL_BEGIN", "ERASE_FLASH", "ERASE_REGION"}  # erase, too
STUB_ONLY = {"ERASE_FLASH", "ERASE_REGION", "READ_FLASH"}
MAGIC = {"esp32": 0x00F01D83}
CHIP_ID = {"esp32s3": 9, "esp32c3": 5, "esp32c6": 13}
SPI_BASE = {"esp32": 0x3FF42000}  # the others: 0x60002000
USR2, W0 = {"esp32": (0x24, 0x80)}, {"esp32": 0x80}
FLASH_ID = 0x1640EF  # 4 MB
UART_DIVIDER = 347  # 40 MHz / 115200


class VirtualChip:
    """A board with an empty flash, running. `url` is its port. All threads have ended when it is left."""

    def __init__(
        self,
        folder: Path,
        micropython: parts.Micropython,
        chip="esp32",
        *,
        on_pty=False,
        running=False,
        native_usb=False,
    ):
        self.chip = chip
        self.files = folder / "files"
        self.files.mkdir(parents=True, exist_ok=True)
        self.machine = folder / "machine"  # what the shims ask: pins, network
        self.machine.mkdir(exist_ok=True)
        self.flash = bytearray(b"\xff" * FLASH_BYTES)
        self.commands = []  # names, in order
        self.trouble = None  # a key of TROUBLE, or "silent"
        self.deaf = False  # the ROM loader does not answer
        self.cut_at = None  # (command, how many of them): then the cable is pulled
        self.corrupt_md5 = False
        self.resets = 0
        self.banner = "MicroPython v1.26.1 on 2025-09-11; Generic ESP32 module with ESP32"
        self._micropython = micropython
        self._sending = threading.Lock()
        self._resetting = (
            threading.RLock()
        )  # the test, the cable's thread and the capacitor's may want to at once
        self._mode = "off"
        self._process = None
        self._inner = None
        self._inner_guard = (
            threading.Lock()
        )  # or a byte for one process would go to whatever has its number by then
        self._runner = None
        self._capacitor = None
        self._closing = False
        self._generation = 0
        self._connection = None
        self._manager = None
        self.dtr = self.rts = False
        self._always_runs = running  # as if MicroPython had been flashed before, whatever the flash says
        self._on_pty = on_pty
        self._native_usb = (
            native_usb  # the port goes with every restart of the program, and comes back under another name
        )
        self._replug = False
        if on_pty:
            self.url = str(folder / "port")
            self.port = Path(self.url)  # where it is now
            self._plug_in()
        else:
            self._listener = socket.create_server(("127.0.0.1", 0))
            self.url = f"rfc2217://127.0.0.1:{self._listener.getsockname()[1]}"
        self._server = threading.Thread(target=self._serve_pty if on_pty else self._serve_tcp, daemon=True)
        self._server.start()

    def __enter__(self):
        self.reset()
        return self

    def shape(self, name, content):
        """Tell the shims how something stands: wifi, a pin. Whole or not at all: they may be looking at this moment."""
        beside = self.machine / f"{name}.new"
        beside.write_text(str(content))
        beside.replace(self.machine / name)

    def wait_until_seen(self, pin, level):
        """Until the firmware has been told of a pin's change."""
        seen = self.machine / f"seen{pin}"
        until = time.monotonic() + SEEN_WITHIN_S
        while not seen.exists() or seen.read_text() != str(level):
            assert time.monotonic() < until, f"pin {pin} is not seen to be {level}"
            time.sleep(POLL_S)

    def __exit__(self, *_):
        with self._sending:
            self._closing = True
            if self._on_pty:
                self.port.unlink()  # before the terminal's number is free for another test's
        if not self._on_pty:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._hang_up()
        self._server.join()
        if self._capacitor is not None:
            self._capacitor.cancel()
            self._capacitor.join()
        self._mode = "off"
        self._stop()
        if self._on_pty:
            os.close(self._master)
        else:
            self._listener.close()

    # ---- the cable

    def _plug_in(self):
        self._master, slave = pty.openpty()
        attributes = termios.tcgetattr(slave)
        attributes[0] = attributes[1] = attributes[3] = 0
        termios.tcsetattr(slave, termios.TCSANOW, attributes)
        self.port.symlink_to(os.ttyname(slave))
        os.close(slave)

    def _go_and_come_back(self):
        time.sleep(LEAVES_S)
        with self._sending:
            if self._closing:
                return
            self.port.unlink()
            os.close(self._master)
            time.sleep(AWAY_S)
            self.port = self.port.with_name(f"port{self.resets}")
            self._plug_in()

    def _restarted(self):
        self.resets += 1
        self._replug = self._native_usb and self.resets > 1  # switched on, it is there at once

    def _serve_pty(self):
        """No lines here: esptool's first word brings the loader, and the end of its connection the program."""
        while not self._closing:
            if self._replug:
                self._replug = False
                self._go_and_come_back()
            if not select.select([self._master], [], [], POLL_S)[0]:
                continue
            try:
                data = os.read(self._master, 4096)
            except OSError:  # nobody holds the other end
                if self._mode == "rom" and self.heard:
                    self.reset()
                time.sleep(0.02)
                continue
            if self._replug:
                continue  # it is leaving, and hears nothing any more
            if self._mode == "rom" and self.heard and not self._goes_on(data):
                self.reset()
            if self._mode == "run" and data.startswith(SYNC) and not self.deaf:
                self.reset(download=True)
            self._from_host(data)

    def _goes_on(self, data):
        """Whether this comes from whoever has spoken to the loader so far: or they have gone, and somebody else came so soon that
        the end was not seen."""
        if self._slip is not None:
            return True  # in the middle of a word
        return data.startswith(b"\xc0") and not (self._stub and data.startswith(SYNC))

    def _serve_tcp(self):
        while not self._closing:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connection = connection
            self._manager = PortManager(_Lines(self), _Writer(self))
            while True:
                try:
                    data = connection.recv(4096)
                except OSError:
                    data = b""
                if not data:
                    break
                plain = b"".join(self._manager.filter(data))
                if plain:
                    self._from_host(plain)
            self._manager = None
            self._connection = None
            connection.close()

    def _hang_up(self):
        if self._on_pty:
            self.deaf = True
            return
        connection = self._connection
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _to_host(self, data):
        with self._sending:
            try:
                if self._on_pty:
                    os.write(self._master, data)
                elif self._manager is not None:
                    self._connection.sendall(b"".join(self._manager.escape(data)))
            except (OSError, AttributeError):
                pass  # nobody listens

    def lines_changed(self):
        """EN is low while RTS is set and DTR is not; GPIO0 the other way round."""
        with self._resetting:
            if self.rts and not self.dtr:
                if self._mode != "off":
                    self._mode = "off"
                    self._stop()
            elif self._mode == "off":
                self._mode = "rising"
                generation = self._generation
                self._capacitor = threading.Timer(EN_RISES_S, lambda: self._risen(generation))
                self._capacitor.start()
            if self._mode == "rising" and self.dtr and not self.rts:
                self.reset(download=True)

    def _risen(self, generation):
        with self._resetting:
            if self._mode == "rising" and generation == self._generation:
                self.reset()

    def _from_host(self, data):
        if self._mode == "rom":
            self._to_loader(data)
        elif self._mode == "run":
            with self._inner_guard:
                if self._inner is None:
                    return
                for control in data:
                    if control in (1, 2):
                        self._raw = control == 1
                with contextlib.suppress(OSError):
                    os.write(self._inner, data)

    # ---- starting

    def reset(self, *, download=False):
        """As if EN was pulsed, with or without BOOT held."""
        with self._resetting:
            self._stop()
            if download:
                self.resets += 1
                self._mode = "rom"
                self._stub = False
                self._slip = None
                self.heard = False
                if self._on_pty:
                    return
                self._to_host(
                    ROM_LOG % (1, b"POWERON_RESET", 3, b"DOWNLOAD_BOOT(UART0/UART1/SDIO_REI_REO_V2)")
                )
                self._to_host(b"waiting for download\r\n")
                return
            self._restarted()
            self._mode = "run"
            self._runner = threading.Thread(target=self._run, args=(self._generation,), daemon=True)
            self._runner.start()

    def _stop(self):
        """End what runs, and wait until it has ended."""
        self._generation += 1
        process = self._process
        if process is not None:
            process.kill()
        if self._runner is not None:
            self._runner.join()
            self._runner = None

    def _run(self, generation):
        def current():
            return generation == self._generation and not self._closing

        words = None
        if self.trouble is not None:
            words = TROUBLE.get(self.trouble, b"")
        elif not self._always_runs and not self._bootable():
            words = EMPTY
        elif not self._always_runs and not self._file_system():
            words = b"The filesystem appears to be corrupted. If you had important data there, you\r\n"
        if words is not None:
            while current():
                self._to_host(words)
                time.sleep(LOOP_S)
            return
        self._to_host(ROM_LOG % (1, b"POWERON_RESET", 19, b"SPI_FAST_FLASH_BOOT"))
        main = True
        self._raw = False
        while current():
            status = self._run_micropython(current, main=main)
            if not current():
                return
            main = status == RESET_STATUS or not self._raw
            if status == RESET_STATUS:
                self._restarted()
                self._raw = False
                self._to_host(ROM_LOG % (12, b"SW_CPU_RESET", 19, b"SPI_FAST_FLASH_BOOT"))
            else:
                self._to_host(b"\r\nMPY: soft reboot\r\n")

    def _run_micropython(self, current, *, main):
        inner, slave = pty.openpty()
        attributes = termios.tcgetattr(slave)
        attributes[0] = 0
        attributes[1] = 0
        attributes[3] = termios.ISIG | termios.NOFLSH  # Ctrl-C stops a program
        termios.tcsetattr(slave, termios.TCSANOW, attributes)
        command = self._micropython.command(
            [str(SHIMS / "start.py")], heap_kb=HEAP_KB, path=[SHIMS, "", "lib"]
        )
        environment = {**command.env, "VIRTUAL_CHIP": str(self.machine), "VIRTUAL_BANNER": self.banner,
                       "VIRTUAL_MAIN": str(int(main)), "VIRTUAL_VFS": str(self.file_system_at() or 0)}  # fmt: skip
        process = subprocess.Popen(
            command.argv, env=environment, cwd=self.files, stdin=slave, stdout=slave, stderr=slave,
            start_new_session=True, preexec_fn=_take_terminal,  # noqa: PLW1509 - the terminal that sends Ctrl-C
        )  # fmt: skip
        os.close(slave)
        self._process = process
        with self._inner_guard:
            self._inner = inner
        if not current():  # reset, or the end of the test, while it was being started
            process.kill()
        while True:
            try:
                data = os.read(inner, 4096)
            except OSError:
                break
            if current():
                self._to_host(data)
        with self._inner_guard:
            self._inner = None
            os.close(inner)
        return process.wait()

    def _bootable(self):
        start = 0x1000 if self.chip == "esp32" else 0
        return self.flash[start] == 0xE9 and self.flash[0x10000] == 0xE9

    def file_system_at(self):
        """Where MicroPython has its files: behind the last partition."""
        if self.flash[0x8000:0x8002] != b"\xaa\x50":
            return None
        end = 0
        for at in range(0x8000, 0x8C00, 32):
            magic, _, _, offset, size = struct.unpack_from("<HBBII", self.flash, at)
            if magic != 0x50AA:
                break
            end = max(end, offset + size)
        return end

    def _file_system(self):
        """Find it, or make it where the flash is empty; False where something else lies there."""
        at = self.file_system_at()
        if self.flash[at : at + len(FORMATTED)] == FORMATTED:
            return True
        if self.flash[at : at + SECTOR] != b"\xff" * SECTOR:
            return False
        shutil.rmtree(self.files)
        self.files.mkdir()
        self.flash[at : at + len(FORMATTED)] = FORMATTED
        return True

    # ---- the loader: https://docs.espressif.com/projects/esptool/en/latest/esp32/advanced-topics/serial-protocol.html

    def _to_loader(self, data):
        for byte in data:
            if byte == 0xC0:
                if self._slip:
                    packet = bytes(self._slip).replace(b"\xdb\xdc", b"\xc0").replace(b"\xdb\xdd", b"\xdb")
                    self._slip = None
                    self._packet(packet)
                else:
                    self._slip = bytearray()
            elif self._slip is not None:
                self._slip.append(byte)

    def _frame(self, data):
        self._to_host(b"\xc0" + data.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc") + b"\xc0")

    def _answer(self, op, value=0, data=b"", status=0):
        tail = bytes([1 if status else 0, status]) + (b"" if self._stub else b"\0\0")
        self._frame(struct.pack("<BBHI", 1, op, len(data) + len(tail), value) + data + tail)

    def _packet(self, packet):
        if len(packet) == 4:  # "so far I have ...", while the flash is read
            return
        if self.deaf or len(packet) < 8:
            return
        _, op, length, _ = struct.unpack_from("<BBHI", packet)
        data = packet[8:]
        assert len(data) == length
        name = COMMANDS.get(op, hex(op))
        self.commands.append(name)
        self.heard = True
        if self.cut_at is not None and self.commands.count(name) == self.cut_at[1] and name == self.cut_at[0]:
            self.cut_at = None
            self._hang_up()
            return
        handle = getattr(self, "_do_" + name.lower(), None)
        if handle is None or (name in STUB_ONLY and not self._stub):
            self._answer(op, status=5)
        else:
            handle(op, data)

    def _do_sync(self, op, _):
        for _ in range(8):
            self._answer(op, 0 if self._stub else 0x20120707)

    def _do_read_reg(self, op, data):
        [address] = struct.unpack("<I", data)
        spi = SPI_BASE.get(self.chip, 0x60002000)
        value = 0
        if address == 0x40001000:
            value = MAGIC.get(self.chip, 0)
        elif address in (0x3FF40014, 0x60000014):
            value = UART_DIVIDER
        elif address == spi + W0.get(self.chip, 0x58):
            value = FLASH_ID
        elif address == spi:
            value = 0  # the command is done
        elif address in (
            0x3FF5A004,
            0x60007044,
            0x60008844,
        ):  # the address, 24:6f:3c:71:bf:4a, as the shims tell it
            value = 0x3C71BF4A
        elif address in (0x3FF5A008, 0x60007048, 0x60008848):
            value = 0x246F
        self._answer(op, value)

    def _do_write_reg(self, op, _):
        self._answer(op)

    def _do_get_security_info(self, op, _):
        if self.chip == "esp32":
            self._answer(op, status=5)
        else:
            self._answer(op, data=struct.pack("<IB7BII", 0, 0, *[0] * 7, CHIP_ID[self.chip], 0))

    def _do_acknowledge(self, op, _):
        self._answer(op)

    _do_spi_set_params = _do_spi_attach = _do_change_baudrate = _do_acknowledge
    _do_mem_begin = _do_mem_data = _do_flash_end = _do_flash_defl_end = _do_acknowledge

    def _do_mem_end(self, op, data):
        self._answer(op)
        if struct.unpack("<II", data)[1]:
            self._stub = True
            self._frame(b"OHAI")

    def erase(self, offset, size):
        end = -(-(offset + size) // SECTOR) * SECTOR
        start = offset // SECTOR * SECTOR
        self.flash[start:end] = b"\xff" * (end - start)

    def _do_erase_flash(self, op, _):
        self.erase(0, FLASH_BYTES)
        self._answer(op)

    def _do_erase_region(self, op, data):
        self.erase(*struct.unpack("<II", data))
        self._answer(op)

    def _do_flash_begin(self, op, data):
        size, _, _, self._at = struct.unpack_from("<IIII", data)
        self._unpack = None
        self.erase(self._at, size)
        self._answer(op)

    def _do_flash_defl_begin(self, op, data):
        self._do_flash_begin(op, data)
        self._unpack = zlib.decompressobj()

    def _do_flash_data(self, op, data):
        [length] = struct.unpack_from("<I", data)
        block = data[16 : 16 + length]
        if self._unpack is not None:
            block = self._unpack.decompress(block)
        self.flash[self._at : self._at + len(block)] = block
        self._at += len(block)
        self._answer(op)

    _do_flash_defl_data = _do_flash_data

    def _do_spi_flash_md5(self, op, data):
        at, size, _, _ = struct.unpack("<IIII", data)
        digest = hashlib.md5(self.flash[at : at + size])
        if self.corrupt_md5:
            digest.update(b"!")
        self._answer(op, data=digest.digest() if self._stub else digest.hexdigest().encode())

    def _do_read_flash_slow(self, op, data):
        at, size = struct.unpack_from("<II", data)
        self._answer(op, data=bytes(self.flash[at : at + size]).ljust(64, b"\0"))

    def _do_read_flash(self, op, data):
        at, size, block, _ = struct.unpack("<IIII", data)
        self._answer(op)
        content = bytes(self.flash[at : at + size])
        for i in range(0, size, block):
            self._frame(content[i : i + block])
        self._frame(hashlib.md5(content).digest())


def _take_terminal():
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class _Writer:
    def __init__(self, chip):
        self._chip = chip

    def write(self, data):
        self._chip._connection.sendall(data)


class _Lines:
    """The serial port as RFC 2217's server sees it: only the two lines matter."""

    cts = dsr = cd = True
    ri = False

    def __init__(self, chip):
        object.__setattr__(self, "_chip", chip)
        for name, value in (("baudrate", 115200), ("bytesize", 8), ("parity", "N"), ("stopbits", 1),
                            ("xonxoff", False), ("rtscts", False), ("break_condition", False)):  # fmt: skip
            object.__setattr__(self, name, value)

    def __getattr__(self, name):
        return getattr(self._chip, name)  # dtr, rts

    def __setattr__(self, name, value):
        if name in ("dtr", "rts"):
            setattr(self._chip, name, value)
            self._chip.lines_changed()
        else:
            object.__setattr__(self, name, value)

    def reset_input_buffer(self):
        pass

    def reset_output_buffer(self):
        pass
