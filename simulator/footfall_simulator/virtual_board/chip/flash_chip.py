# A board's flash chip as a block device for MicroPython's own VfsLfs2: the real littlefs over a file of the host.
#
# As NOR flash does, an erase sets a whole block to ones and a program only clears bits. Every erase and every programmed
# byte is counted per block, in the file <image>.wear, over all boots: blocks * 4 bytes of erases, then as much of bytes
# programmed. The image lies outside of MicroPython's heap, so that a small heap stays what it is. Used on a virtual
# board (run_firmware.py) and by tests, never imported by the firmware.
import ffi
import uctypes
import vfs

BLOCK = 4096  # the ESP32's erase unit, and what its `vfs` partition is mounted with
_PROT_READ_WRITE, _MAP_SHARED, _MAP_ANONYMOUS = 3, 1, 32
_mmap = ffi.open(None).func("p", "mmap", "pLiiil")
# Outside of MicroPython's heap, as the image is: on a board, too, the erasing is none of the heap's business
_ERASED = memoryview(
    uctypes.bytearray_at(_mmap(None, BLOCK, _PROT_READ_WRITE, _MAP_SHARED | _MAP_ANONYMOUS, -1, 0), BLOCK)
)
for _at in range(BLOCK):
    _ERASED[_at] = 0xFF


def _mapped(path, size, fill):
    # The file's bytes, shared with whoever else has it; made of `fill` where it is not there or shorter
    try:
        file = open(path, "r+b")
    except OSError:
        file = open(path, "w+b")
    missing = size - file.seek(0, 2)
    while missing > 0:
        missing -= file.write(fill[:missing])
    file.flush()
    there = uctypes.bytearray_at(_mmap(None, size, _PROT_READ_WRITE, _MAP_SHARED, file.fileno(), 0), size)
    file.close()
    return memoryview(there)


class FlashChip:
    """`blocks` blocks in the file `path`. With a list as `log`, every erase and program is kept in it too:
    (block, offset, bytes), bytes None for an erase."""

    def __init__(self, path, blocks=512, log=None):
        self.blocks = blocks
        self.data = _mapped(path, blocks * BLOCK, _ERASED)
        wear = _mapped(path + ".wear", blocks * 8, bytes(BLOCK))
        self._wear = uctypes.struct(
            uctypes.addressof(wear), {"n": (uctypes.ARRAY | 0, uctypes.UINT32 | blocks * 2)}
        ).n
        self.log = log
        self.operations = 0

    def readblocks(self, block, buffer, offset=0):
        at = block * BLOCK + offset
        buffer[:] = self.data[at : at + len(buffer)]

    def writeblocks(self, block, buffer, offset=0):
        self.operations += 1
        if self.log is not None:
            self.log.append((block, offset, bytes(buffer)))
        self._wear[self.blocks + block] += len(buffer)
        program(self.data, block * BLOCK + offset, buffer)

    def ioctl(self, op, argument):
        if op == 4:
            return self.blocks
        if op == 5:
            return BLOCK
        if op == 6:
            self.operations += 1
            if self.log is not None:
                self.log.append((argument, 0, None))
            self._wear[argument] += 1
            self.data[argument * BLOCK : argument * BLOCK + BLOCK] = _ERASED
        return 0

    def erases(self):
        """How often each block has been erased."""
        return [self._wear[block] for block in range(self.blocks)]


def program(data, at, buffer):
    # Clear bits. What is programmed twice without an erase in between keeps the zeros of both.
    n = len(buffer)
    if data[at : at + n] == _ERASED[:n]:
        data[at : at + n] = buffer
        return
    for i in range(n):
        data[at + i] &= buffer[i]


def mount(chip, folder="/flash"):
    """Mount the chip as a board does at its start; a chip without a file system gets an empty one."""
    try:
        files = vfs.VfsLfs2(chip)
    except OSError:
        vfs.VfsLfs2.mkfs(chip)
        files = vfs.VfsLfs2(chip)
    vfs.mount(files, folder)
    return files
