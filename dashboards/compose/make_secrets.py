"""Makes the passwords that compose.yaml needs. Run once before the first start, and again to add a node.

    python3 dashboards/compose/make_secrets.py ff-3c71bf4a ff-51d0c2e7

Each name is a node: it gets a user of its own at the broker. What exists is kept, so a second run only adds. Written,
readable by you alone, in this folder:

    .env                          passwords for InfluxDB and Grafana, and whose files these are
    secrets/gateway.mqtt          the gateway's password at the broker
    secrets/gateway.influx        the gateway's token at InfluxDB
    secrets/nodes.txt             each node's password, to be put into its config.json
    secrets/mosquitto.passwords   all users of the broker, hashed
    var/                          where broker and gateway keep their data
"""

import base64
import hashlib
import os
import re
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
NODE = re.compile(r"[a-z0-9-]{1,32}")
GATEWAY = "gateway"
IN_ENV = (
    "FOOTFALL_INFLUX_ADMIN",
    "FOOTFALL_INFLUX_TOKEN",
    "FOOTFALL_GRAFANA_READS",
    "FOOTFALL_GRAFANA_ADMIN",
)
HASH_ITERATIONS = 101  # mosquitto_passwd's own number; these passwords are random, not guessable words
SALT_BYTES = 12


def make(folder: Path, nodes: Sequence[str]) -> None:
    """Writes all files below `folder`; keeps every password that is already there."""
    for name in ("secrets", "var/mosquitto", "var/gateway"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "secrets").chmod(0o700)

    env = _pairs(folder / ".env", "=")
    env |= {name: _password() for name in IN_ENV if name not in env}
    env |= {"FOOTFALL_UID": str(os.getuid()), "FOOTFALL_GID": str(os.getgid())}
    _write(folder / ".env", "".join(f"{name}={value}\n" for name, value in env.items()))
    _write(folder / "secrets/gateway.influx", env["FOOTFALL_INFLUX_TOKEN"] + "\n")

    of_gateway = folder / "secrets/gateway.mqtt"
    if not of_gateway.exists():
        _write(of_gateway, _password() + "\n")
    of_nodes = _pairs(folder / "secrets/nodes.txt", " ")
    of_nodes |= {node: _password() for node in nodes if node not in of_nodes}
    _write(
        folder / "secrets/nodes.txt", "".join(f"{node} {password}\n" for node, password in of_nodes.items())
    )

    users = {GATEWAY: of_gateway.read_text(encoding="utf-8").strip(), **of_nodes}
    hashed = "".join(f"{user}:{_hashed(password)}\n" for user, password in users.items())
    _write(folder / "secrets/mosquitto.passwords", hashed)


def _password() -> str:
    return secrets.token_hex(
        24
    )  # no character that a shell, a compose file or Grafana would take for its own


def _hashed(password: str) -> str:
    """As mosquitto keeps it ($7$: PBKDF2 with SHA-512)."""
    salt = secrets.token_bytes(SALT_BYTES)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, HASH_ITERATIONS)
    return f"$7${HASH_ITERATIONS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def _pairs(path: Path, separator: str) -> dict[str, str]:
    if not path.exists():
        return {}
    lines = (
        line.partition(separator) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()
    )
    return {name: value for name, _, value in lines}


def _write(path: Path, text: str) -> None:
    """Never readable by others, not even for a moment, and never half written."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    new.replace(path)


def main(arguments: Sequence[str]) -> int:
    for name in arguments:
        if not NODE.fullmatch(name) or name == GATEWAY:
            print(
                f'"{name}" is no name for a node, expected small letters, digits and - (at most 32), such as ff-3c71bf4a',
                file=sys.stderr,
            )
            return 2
    if os.getuid() == 0:
        print(
            "Run this as an ordinary user: broker and gateway run as whoever owns these files.",
            file=sys.stderr,
        )
        return 2
    make(HERE, arguments)
    print(
        f"The nodes' passwords are in {HERE / 'secrets/nodes.txt'}; Grafana's (user admin) in {HERE / '.env'}."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
