"""A node's settings: from a file that a person writes (node.toml), or from questions, to config.json and what lies beside it.

The file has the settings of firmware/README.md under their own names, with three differences: passwords are read from files of
their own, `ca_file` names the authority's certificate (PEM or DER), and [place] says where the node will stand. Passwords come
from those files, from a hidden question, or are made here; never from the command line, and never to the screen.
"""

import base64
import binascii
import datetime as dt
import difflib
import hashlib
import ipaddress
import json
import os
import re
import secrets
import ssl
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from footfall_gateway.commissioning import CommissioningError
from footfall_gateway.commissioning.chips import Chip
from footfall_gateway.commissioning.device_files import DeviceFile, firmware_folder
from footfall_gateway.commissioning.language import marked, told, tr
from footfall_gateway.extras import how_to_install

__all__ = [
    "Asker",
    "NodeSettings",
    "Pins",
    "broker_line",
    "gateway_table",
    "judge",
    "read_settings",
    "settings_by_questions",
    "update_key_file",
]

CONFIG, CA = "config.json", "ca.der"
UPDATE_KEY = "update_key.json"
WIFI_KEYS = {"ssid", "password_file"}
MQTT_KEYS = {"host", "port", "user", "password_file", "new_password", "ca_file", "server_name", "keepalive_s", "deadline_s"}  # fmt: skip
USUAL_ANSWERS = ("good", "fair", "poor")  # settings.Terminal.answers
PASSERS_BY = "passers-by"  # a barrier's role: who walks past outside
READY, BARE = marked("ready-made"), marked("bare")
SENSORS = (READY, BARE)
KHZ = (38, 56)  # firmware/node/config.py
PLACE_KEYS = {"site", "door", "terminal"}
LARGEST_FILE = 16_384
PASSWORD_BYTES = 18  # of chance, 24 characters
LEAST_RSA_BITS = 2048

# mosquitto's password file: PBKDF2 with SHA-512, "$7$", rounds, salt, hash (mosquitto_passwd.c)
MOSQUITTO_ROUNDS, MOSQUITTO_SALT_BYTES = 101, 12


@dataclass(frozen=True)
class Pins:
    """The pins of a chip, as the firmware has them."""

    inputs: list[int]
    outputs: list[int]
    outer: int
    inner: int
    buttons: list[int]
    lamps: list[int]
    status: int
    carriers: list[int]  # of bare emitters


@dataclass(frozen=True)
class NodeSettings:
    """What is to be written, and where the node will stand. Printing it shows no password."""

    values: Mapping[str, Any] = field(repr=False)  # config.json
    ca: bytes | None = field(repr=False)  # DER
    name: str
    barriers: int
    buttons: int
    place: Mapping[str, str]
    new_password: bool  # the broker's password was made here: the broker does not know it yet

    def files(self) -> list[DeviceFile]:
        """What goes into the flash, config.json at last: it names the others."""
        files = [DeviceFile(CA, self.ca)] if self.ca is not None else []
        return [*files, DeviceFile(CONFIG, json.dumps(self.values, ensure_ascii=False).encode())]


class Asker(Protocol):
    """How questions reach the person; the command line gives one that uses the terminal."""

    def text(self, question: str, default: str | None = None) -> str: ...

    def hidden(self, question: str) -> str:
        """An answer that is not shown; may be empty."""

    def yes(self, question: str, *, default: bool) -> bool: ...

    def say(self, words: str) -> None: ...


# ---------------------------------------------------------------------------------------------------------- the rules


def judge(values: Mapping[str, Any], chip: Chip) -> tuple[list[str], dict[str, Any]]:
    """What the firmware would complain about, and what it would make of it."""
    program = Path(__file__).with_name("settings_rules.py")
    done = subprocess.run(
        [sys.executable, "-I", str(program), str(firmware_folder()), f"module with {chip.title}"],
        input=json.dumps(values),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    if done.returncode:
        raise CommissioningError(
            tr(
                "the firmware's own rules for settings cannot be asked: {words}",
                words=(done.stderr.strip().splitlines() or ["?"])[-1],
            )
        )
    told = json.loads(done.stdout)
    return told["problems"], told


def pins_of(chip: Chip) -> Pins:
    return Pins(**judge({}, chip)[1]["pins"])


def _made(
    values: Mapping[str, Any],
    ca: bytes | None,
    place: Mapping[str, str],
    chip: Chip,
    where: str,
    *,
    new_password: bool,
) -> NodeSettings:
    problems, told = judge(values, chip)
    if problems:
        lines = [_in_words(problem, f"{where}: ") for problem in problems]
        raise CommissioningError(
            *lines, tr("Nothing was written. What each setting means: firmware/README.md")
        )
    return NodeSettings(values, ca, told["name"], told["barriers"], told["buttons"], place, new_password)


def _in_words(problem: str, where: str) -> str:
    return where + told(problem.removeprefix(f"{CONFIG}: ").removesuffix("; the default holds"))


# ----------------------------------------------------------------------------------------------------------- the file


def read_settings(path: Path, chip: Chip, own_name: str, asker: Asker | None) -> NodeSettings:
    """The settings in `path`; passwords that it does not name are asked for. own_name: for a file without `node`."""
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise CommissioningError(
            tr("{path}: cannot be read ({why})", path=path, why=told(error.strerror or ""))
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CommissioningError(tr("{path}: is not TOML: {error}", path=path, error=error)) from None
    values = dict(raw)
    place = _table(path, values.pop("place", {}), "place", PLACE_KEYS)
    values.setdefault("node", own_name)
    if "wifi" in values:
        wifi = values["wifi"] = _table(path, values["wifi"], "wifi", WIFI_KEYS)
        wifi["password"] = _password(
            path, wifi, tr("password of the WiFi {ssid}", ssid=wifi.get("ssid", "")), "wifi", asker
        )
        if not wifi["password"]:
            del wifi["password"]  # an open network
    ca, new_password = None, False
    if "mqtt" in values:
        mqtt = values["mqtt"] = _table(path, values["mqtt"], "mqtt", MQTT_KEYS)
        mqtt.setdefault("user", values["node"])
        if mqtt.pop("new_password", False) is True:
            mqtt["password"], new_password = new_broker_password(), True
        else:
            mqtt["password"] = _password(
                path, mqtt, tr("{node}'s own password at the broker", node=values["node"]), "mqtt", asker
            )
        if "ca_file" in mqtt:
            ca = certificate(path.parent / str(mqtt.pop("ca_file")))
            mqtt["ca"] = CA
    return _made(values, ca, place, chip, str(path), new_password=new_password)


def _table(path: Path, raw: object, name: str, known: set[str]) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise CommissioningError(
            tr("{path}: {name}: found {raw!r}, expected a table [{name}]", path=path, name=name, raw=raw)
        )
    for key in raw:
        if key == "password":
            raise CommissioningError(
                tr(
                    "{path}: {name}.password: a password does not belong into this file", path=path, name=name
                ),
                tr(
                    'Write it into a file of its own, as its only line, and name that: password_file = "{name}.password"',
                    name=name,
                ),
                tr("Or leave it out: then you are asked for it."),
            )
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = (
                tr('; did you mean "{near}"?', near=near[0])
                if near
                else tr("; known are {known}", known=", ".join(sorted(known)))
            )
            raise CommissioningError(
                tr("{path}: {name}.{key}: unknown key{hint}", path=path, name=name, key=key, hint=hint)
            )
    return dict(raw)


def _password(path: Path, table: dict[str, Any], what: str, name: str, asker: Asker | None) -> str:
    file = table.pop("password_file", None)
    if file is None:
        if asker is None:
            raise CommissioningError(
                tr(
                    "{path}: {name}.password_file: missing, and there is nobody to ask for the {what}",
                    path=path,
                    name=name,
                    what=what,
                )
            )
        return asker.hidden(what[0].upper() + what[1:])
    try:
        text = (path.parent / str(file)).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommissioningError(
            tr(
                "{path}: {name}.password_file: {file} cannot be read ({why})",
                path=path,
                name=name,
                file=file,
                why=told(getattr(error, "strerror", None) or "not text"),
            )
        ) from None
    lines = text.splitlines()
    if len(lines) != 1 or not lines[0].strip():
        raise CommissioningError(
            tr(
                "{path}: {name}.password_file: {file} should hold the password as its only line",
                path=path,
                name=name,
                file=file,
            )
        )
    return lines[0].strip()


def certificate(path: Path) -> bytes:
    """An authority's certificate, PEM or DER, as DER."""
    try:
        content = path.read_bytes()[: LARGEST_FILE + 1]
    except OSError as error:
        raise CommissioningError(
            tr("{path}: cannot be read ({why})", path=path, why=told(error.strerror or ""))
        ) from None
    blocks = re.findall(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", content, re.DOTALL)
    if len(blocks) > 1:
        raise CommissioningError(
            tr("{path}: {count} certificates in one file, the board takes one", path=path, count=len(blocks)),
            tr("Name the one of the authority that signed the broker's certificate."),
        )
    try:
        der = ssl.PEM_cert_to_DER_cert(blocks[0].decode("ascii")) if blocks else content
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=der)
    except (ValueError, ssl.SSLError, binascii.Error):
        raise CommissioningError(
            tr("{path}: is no certificate, neither PEM nor DER", path=path),
            tr(
                "It is the file that the broker has as cafile, or ca.pem of whoever runs the broker; never a private key."
            ),
        ) from None
    return der


def new_broker_password() -> str:
    return secrets.token_urlsafe(PASSWORD_BYTES)


# ------------------------------------------------------------------------------------------------------ the questions


def settings_by_questions(asker: Asker, chip: Chip, own_name: str) -> NodeSettings:
    """Ask for everything, in the order in which a person at the door knows it; again what the firmware would not take."""
    values: dict[str, Any] = {}
    place = {}
    asker.say(tr("What is this board for? Press Enter to take what stands in brackets."))
    kind = _one_of(
        asker,
        tr("door with light barriers, feedback terminal, or both"),
        (marked("door"), marked("terminal"), marked("both")),
    )
    place["site"] = _name(asker, tr("Short name of the site, as in footfall.toml"), "lab")
    if kind != "terminal":
        place["door"] = _name(asker, tr("Short name of the door"), "main")
    if kind != "door":
        place["terminal"] = _name(asker, tr("Short name of the terminal"), "exit")
    values["node"] = _name(asker, tr("Name of this board"), own_name)
    values.update(_ask_pins(asker, kind, pins_of(chip)))
    ca, new_password = None, False
    how = _one_of(asker, tr("How does it reach the gateway"), (marked("wifi"), marked("cable")))
    if how == "cable":
        values["serial"] = True
    else:
        asker.say(tr("An ESP32 hears 2.4 GHz only: a network that is on 5 GHz alone is not there for it."))
        values["wifi"] = _taken(asker, chip, "wifi", lambda: _ask_wifi(asker))
        values["mqtt"] = mqtt = _taken(asker, chip, "mqtt", lambda: _ask_broker(asker))
        if ca := _ask_certificate(asker):
            mqtt["ca"] = CA
            if _is_address(mqtt["host"]):
                name = asker.text(
                    tr("Name in the broker's certificate (- if that is the address itself)"), "-"
                )
                if name != "-":
                    mqtt["server_name"] = name
        mqtt |= _taken(asker, chip, "mqtt", lambda: mqtt | _ask_credential(asker, values["node"]))
        new_password = "password" not in mqtt
        if new_password:
            mqtt["password"] = new_broker_password()
    return _made(values, ca, place, chip, tr("your answers"), new_password=new_password)


def _taken(asker: Asker, chip: Chip, name: str, ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `ask` returns for the setting `name`, asked until the firmware would take it."""
    while True:
        values = ask()
        problems, _ = judge({name: values}, chip)
        if not problems:
            return values
        for problem in problems:
            asker.say(_in_words(problem, ""))


def _ask_pins(asker: Asker, kind: str, pins: Pins) -> dict[str, Any]:
    values: dict[str, Any] = {}
    beams = 0
    if kind != "terminal":
        beams = 2 if asker.yes(tr("Two beams, so that in and out can be told apart?"), default=True) else 1
    question = tr("Light barriers: ready-made, or bare LEDs")  # the low-cost variant
    bare = beams > 0 and _one_of(asker, question, SENSORS) == BARE
    carriers = pins.carriers[:beams] if bare else []
    lamps = [pin for pin in pins.lamps if pin not in carriers]
    count = 0 if kind == "door" else int(_one_of(asker, tr("How many buttons"), ("3", "2", "4", "5", "1")))
    in_the_guide = count <= min(len(pins.buttons), len(lamps))
    usual = in_the_guide and asker.yes(tr("Is it wired as the build guide says?"), default=True)
    used: set[int] = set()

    def pin(what: str, allowed: Sequence[int], proposed: Sequence[int], at: int = 0) -> int:
        free = [one for one in allowed if one not in used]
        first = proposed[at] if at < len(proposed) else None
        given = first if usual and first is not None else _pin(asker, what, free, first)
        used.add(given)
        return given

    values["barriers"] = []
    if beams:
        values["barriers"].append({"outer": pin(tr("outer beam"), pins.inputs, [pins.outer])})
    if beams == 2:
        values["barriers"][0]["inner"] = pin(tr("inner beam"), pins.inputs, [pins.inner])
    if bare:
        beam = (tr("outer"), tr("inner"))
        values["carriers"] = [
            pin(tr("LED of the {beam} beam ({khz} kHz)", beam=beam[i], khz=KHZ[i]), pins.outputs, carriers, i)
            for i in range(beams)
        ]
    if count:
        values["buttons"] = [
            pin(tr("button {number}", number=i + 1), pins.inputs, pins.buttons, i) for i in range(count)
        ]
        values["lamps"] = [
            pin(tr("lamp of button {number}", number=i + 1), pins.outputs, lamps, i) for i in range(count)
        ]
    if usual or asker.yes(tr("Has it a status lamp?"), default=True):
        values["status"] = pin(tr("status lamp"), pins.outputs, [pins.status])
    return values


def _ask_wifi(asker: Asker) -> dict[str, Any]:
    wifi = {"ssid": asker.text(tr("Name of the WiFi"))}
    password = asker.hidden(tr("Its password (nothing for an open network)"))
    return {**wifi, "password": password} if password else wifi


def _ask_broker(asker: Asker) -> dict[str, Any]:
    given = asker.text(tr("Address of the broker (the gateway's computer), such as 10.1.2.3"))
    host, _, port = given.partition(":")
    return {"host": host, "port": int(port)} if port.isdigit() else {"host": given}


def _ask_certificate(asker: Asker) -> bytes | None:
    asker.say(tr("The authority's certificate, with which the board knows the broker (TLS)."))
    asker.say(tr("Without it, what is counted and the password cross the network in the open."))
    while (file := asker.text(tr("File of the certificate (- for none)"), "-")) != "-":
        try:
            return certificate(Path(file).expanduser())
        except CommissioningError as error:
            for line in error.lines:
                asker.say(line)
    return None


def _ask_credential(asker: Asker, node: str) -> dict[str, Any]:
    user = asker.text(tr("User name at the broker"), node)
    password = asker.hidden(tr("Its password (nothing: a new one is made for this board)"))
    return {"user": user, "password": password} if password else {"user": user}


def _one_of(asker: Asker, question: str, answers: tuple[str, ...]) -> str:
    """One of the answers, which are shown, and may be begun, in the language that is spoken."""
    shown = [tr(answer) for answer in answers]
    while True:
        given = asker.text(f"{question} ({', '.join(shown)})", shown[0]).lower()
        fitting = [one for one in answers if tr(one).lower().startswith(given) or one == given]
        if len(fitting) == 1:
            return fitting[0]
        asker.say(tr("one of: {answers}", answers=", ".join(shown)))


def _name(asker: Asker, question: str, default: str) -> str:
    while True:
        given = asker.text(question, default)
        if re.fullmatch(r"[a-z0-9][a-z0-9-]{0,31}", given):
            return given
        asker.say(tr("small letters, digits and - only, at most 32"))


def _pin(asker: Asker, what: str, free: Sequence[int], proposed: int | None) -> int:
    if not free:
        raise CommissioningError(
            tr("this chip has no pin left for the {what}", what=what),
            tr(
                "Nothing was written. Fewer buttons, or a second board, one for the door and one for the terminal."
            ),
        )
    while True:
        given = asker.text(tr("GPIO of the {what}", what=what), str(proposed) if proposed in free else None)
        if given.isdigit() and int(given) in free:
            return int(given)
        asker.say(
            tr(
                "one of {free}: the others of this chip are taken or read at its start",
                free=", ".join(map(str, free)),
            )
        )


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


# ------------------------------------------------------------------------------------- what the gateway has to be told


def gateway_table(settings: NodeSettings, today: dt.date | None = None) -> str:
    """What belongs into footfall.toml for this node."""
    place = settings.place
    since = (today or dt.datetime.now(dt.UTC).date()).isoformat()
    lines = [tr('# below [[site]] with id = "{site}"', site=place.get("site", "…"))]
    for barrier in range(settings.barriers):
        lines += ["[[site.door]]", f'id = "{place.get("door", "main")}"', f'node = "{settings.name}"']
        lines += [f"barrier = {barrier}", f"valid_from = {since}"]
        lines += [f'role = "{PASSERS_BY}"'] if _role(settings, barrier) == PASSERS_BY else []
    if settings.buttons:
        lines += ["[[site.terminal]]", f'id = "{place.get("terminal", "exit")}"', f'node = "{settings.name}"']
        if settings.buttons != len(USUAL_ANSWERS):
            answers = json.dumps([tr("answer {number}", number=i + 1) for i in range(settings.buttons)])
            lines.append(
                tr("answers = {answers}   # what stands at the buttons, the first one first", answers=answers)
            )
        lines += [f"valid_from = {since}"]
    return "\n".join(lines)


def _role(settings: NodeSettings, barrier: int) -> str:
    return str(settings.values["barriers"][barrier].get("role", "")) if "barriers" in settings.values else ""


def broker_line(user: str, password: str, salt: bytes | None = None) -> str:
    """A line for mosquitto's password file. It holds a hash: the password cannot be read from it."""
    salt = salt or os.urandom(MOSQUITTO_SALT_BYTES)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, MOSQUITTO_ROUNDS)
    return (
        f"{user}:$7${MOSQUITTO_ROUNDS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"
    )


def update_key_file(path: Path) -> DeviceFile:
    """update_key.json from a public RSA key (PEM): updates over the air are taken if this key's owner signed them."""
    try:
        from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - comes with the extra
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey  # noqa: PLC0415
    except ImportError:
        raise CommissioningError(
            tr("cryptography, which reads keys, is not installed"),
            tr("Install it: {command}", command=how_to_install("flash")),
        ) from None
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CommissioningError(
            tr("{path}: cannot be read ({why})", path=path, why=told(error.strerror or ""))
        ) from None
    if b"PRIVATE KEY" in content:
        raise CommissioningError(
            tr("{path}: this is a private key; it must never get onto a board", path=path),
            tr("Name the public one beside it."),
        )
    try:
        key = serialization.load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm):
        raise CommissioningError(tr("{path}: is no public key in PEM form", path=path)) from None
    if not isinstance(key, RSAPublicKey) or key.key_size < LEAST_RSA_BITS or key.public_numbers().e != 65537:
        raise CommissioningError(
            tr(
                "{path}: is no RSA key of {bits} bits or more, as updates need it",
                path=path,
                bits=LEAST_RSA_BITS,
            )
        )
    return DeviceFile(UPDATE_KEY, json.dumps({"n": f"{key.public_numbers().n:x}"}).encode())
