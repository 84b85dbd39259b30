# What a board does after a reset: main.py if there is one, then the prompt. Ctrl-C stops main.py.
#
# Debian's Unix port is built without the raw prompt that mpremote speaks to, so it is done here: Ctrl-A begins it, Ctrl-D runs what
# came before it, Ctrl-B ends it, Ctrl-D alone is a soft reset. https://docs.micropython.org/en/latest/reference/repl.html
import io
import os
import sys

SHIMS = sys.path[0]
sys.path[:] = ["", ".frozen", "lib", SHIMS]


def say(text):
    sys.stdout.buffer.write(text if isinstance(text, (bytes, bytearray)) else text.encode())


def start_main():
    try:
        os.stat("main.py")
    except OSError:
        return
    try:
        import main  # the board executes it; that it is imported here makes no difference to it
    except KeyboardInterrupt:
        print("KeyboardInterrupt: ")
    except Exception as error:
        sys.print_exception(error)


def run(code, names):
    say(b"OK")
    try:
        exec(str(code, "utf-8"), names)
        error = b""
    except SystemExit:
        raise
    except BaseException as caught:
        text = io.StringIO()
        sys.print_exception(caught, text)
        error = text.getvalue().replace("\n", "\r\n").encode()
    say(b"\x04" + error + b"\x04>")


def prompt(raw):
    names = {"__name__": "__main__"}
    line = bytearray()
    say(b"raw REPL; CTRL-B to exit\r\n>" if raw else b">>> ")
    while True:
        try:
            byte = sys.stdin.buffer.read(1)
            if not byte:
                return
            if byte == b"\x01":
                raw, line = True, bytearray()
                say(b"raw REPL; CTRL-B to exit\r\n>")
            elif byte == b"\x02":
                raw, line = False, bytearray()
                say("\r\n%s\r\n>>> " % os.getenv("VIRTUAL_BANNER"))
            elif byte == b"\x03":
                line = bytearray()
            elif byte == b"\x04" and (not raw or not line):
                return
            elif not raw:
                say(b"\r\n>>> " if byte == b"\r" else byte)
            elif byte == b"\x05" and not line:  # mpremote asks for raw paste: understood, but not here
                sys.stdin.buffer.read(2)
                say(b"R\x00")
            elif byte == b"\x04":
                run(line, names)
                line = bytearray()
            else:
                line.extend(byte)
        except KeyboardInterrupt:
            line = bytearray()


if os.getenv("VIRTUAL_MAIN") == "1":
    start_main()
prompt(os.getenv("VIRTUAL_MAIN") != "1")
