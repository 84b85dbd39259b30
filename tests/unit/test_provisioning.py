"""A node's settings, from a file or from answers: judged by the firmware's own rules, passwords never seen, certificates turned."""

import datetime as dt
import json
import subprocess
import tomllib
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from paho.mqtt.enums import CallbackAPIVersion

from footfall_gateway.commissioning import CommissioningError, provisioning
from footfall_gateway.commissioning.chips import ESP32, ESP32C3, ESP32S3
from footfall_gateway.commissioning.provisioning import (
    Asker,
    broker_line,
    gateway_table,
    judge,
    read_settings,
    settings_by_questions,
    update_key_file,
)
from footfall_gateway.settings import load_settings

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "gateway/footfall_gateway/commissioning/node.example.toml"
SECRET = "correct horse battery"


class Answers(Asker):
    """Somebody who answers by what the question begins with, and takes what is proposed otherwise."""

    def __init__(self, **answers):
        self.answers = answers
        self.heard = []
        self.asked = []

    def _answer(self, question, default):
        self.asked.append(question)
        assert len(self.asked) < 60, self.heard[-3:]
        for begins, answer in self.answers.items():
            if question.lower().startswith(begins.replace("_", " ")):
                return answer.pop(0) if isinstance(answer, list) else answer
        return default

    def text(self, question, default=None):
        given = self._answer(question, default)
        assert given is not None, question
        return given

    def hidden(self, question):
        return self._answer(question, "")

    def yes(self, question, *, default):
        return self._answer(question, default)

    def say(self, words):
        self.heard.append(words)


@pytest.fixture
def write(tmp_path):
    def write(text):
        (tmp_path / "wifi.password").write_text(SECRET + "\n")
        (tmp_path / "node.toml").write_text(text)
        return tmp_path / "node.toml"

    return write


def refused(path, asker=None, chip=ESP32):
    with pytest.raises(CommissioningError) as caught:
        read_settings(path, chip, "ff-1", asker)
    return "\n".join(caught.value.lines)


# -------------------------------------------------------------------------------------------------------------- the file


def test_the_example_becomes_what_the_firmware_takes(tmp_path):
    path = tmp_path / "node.toml"
    path.write_text(EXAMPLE.read_text())
    (tmp_path / "wifi.password").write_text(SECRET)
    made = read_settings(path, ESP32, "ff-3c71bf4a", None)
    config = json.loads(made.files()[-1].content)
    assert made.files()[-1].path == "config.json"
    assert config["node"] == "ff-3c71bf4a"
    assert config["wifi"] == {"ssid": "town", "password": SECRET}
    assert config["mqtt"]["user"] == "ff-3c71bf4a"
    assert len(config["mqtt"]["password"]) >= 20
    assert "new_password" not in config["mqtt"]
    assert "place" not in config
    assert judge(config, ESP32)[0] == []
    assert (made.name, made.barriers, made.buttons) == ("ff-3c71bf4a", 1, 0)


def test_every_line_of_the_example_that_is_commented_out_is_a_setting_too(tmp_path):
    text = EXAMPLE.read_text()
    names = {
        line.strip("# ").split(" =")[0]
        for line in text.splitlines()
        if line.startswith("# ") and " = " in line
    }
    known = (ROOT / "firmware/README.md").read_text()
    own = {"password_file", "ca_file", "terminal", "user", "server_name"}
    assert {name for name in names if f"`{name}`" not in known} <= own


def test_printing_the_settings_shows_no_password(write):
    made = read_settings(
        write('[wifi]\nssid = "town"\npassword_file = "wifi.password"\n'), ESP32, "ff-1", None
    )
    assert SECRET in made.files()[-1].content.decode()
    assert SECRET not in repr(made)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[wifi\n", "is not TOML"),
        ('[wifi]\nssid = "town"\npassword = "x"\n', "wifi.password: a password does not belong into this file"),
        ('[mqtt]\nhost = "x"\npassword = "x"\n', 'name that: password_file = "mqtt.password"'),
        ('[wifi]\nssid = "town"\npasword_file = "x"\n', 'wifi.pasword_file: unknown key; did you mean "password_file"?'),
        ('[place]\nroom = "x"\n', "place.room: unknown key; known are door, site, terminal"),
        ('wifi = "town"\n', "wifi: found 'town', expected a table [wifi]"),
        ('[wifi]\nssid = "town"\npassword_file = "nothing"\n', "nothing cannot be read (No such file or directory)"),
        ('[wifi]\nssid = "town"\npassword_file = "node.toml"\n', "should hold the password as its only line"),
        ('[wifi]\nssid = "town"\n', "password_file: missing, and there is nobody to ask for the password of the WiFi town"),
        ('node = "Main Door"\n', 'node is "Main Door", expected a name of a-z, 0-9 and -'),
        ("watchdog = 3\n", "watchdog is not a setting"),
        ("[[barriers]]\nouter = 32\ninner = 32\n", "barriers[0].inner is 32, expected a pin that nothing else uses"),
        ("[[barriers]]\nouter = 6\n", "barriers[0].outer is 6, expected one of the pins 4, 13"),
        ("spool_kb = 9000\n", "spool_kb is 9000, expected a whole number from 16 to 8192"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_place_and_what_was_expected(text, words, write):
    path = write(text)
    said = refused(path)
    assert said.startswith(f"{path}: ")
    assert words in said
    assert SECRET not in said


def test_a_password_that_the_firmware_does_not_take_is_not_quoted(write, tmp_path):
    path = write('[wifi]\nssid = "town"\npassword_file = "wifi.password"\n')
    (tmp_path / "wifi.password").write_text("hidden" * 20)
    said = refused(path)
    assert 'wifi.password is "***", expected a text of at most 64 characters' in said
    assert "hidden" not in said


def test_a_file_that_is_not_there():
    assert "node.toml: cannot be read (No such file or directory)" in refused(Path("nowhere/node.toml"))


def test_all_mistakes_that_the_firmware_sees_are_named_at_once(write):
    said = refused(write('node = "X"\nspool_kb = 1\n[[barriers]]\nouter = 99\n'))
    assert said.count("node.toml: ") == 3
    assert "the default holds" not in said


def test_pins_are_judged_by_the_table_of_the_chip(write):
    path = write("[[barriers]]\nouter = 32\n")
    assert read_settings(path, ESP32, "ff-1", None).values["barriers"] == [{"outer": 32}]
    for chip in (ESP32S3, ESP32C3):
        assert "barriers[0].outer is 32, expected one of the pins" in refused(path, chip=chip)


def test_a_password_that_no_file_has_is_asked_for_without_showing_it(write):
    asker = Answers(password_of_the_wifi_town=SECRET, ff_1="x", **{"ff-1's_own_password": "broker's"})
    made = read_settings(write('[wifi]\nssid = "town"\n[mqtt]\nhost = "10.0.0.1"\n'), ESP32, "ff-1", asker)
    assert made.values["wifi"]["password"] == SECRET
    assert asker.asked == ["Password of the WiFi town", "Ff-1's own password at the broker"]
    assert not made.new_password


def test_a_node_without_a_network_needs_no_password(write):
    made = read_settings(write("serial = true\n"), ESP32, "ff-1", None)
    assert made.values["serial"] is True


# ------------------------------------------------------------------------------------------------------- certificates


def test_a_certificate_may_be_pem_or_der_and_arrives_as_der(write, ca, tmp_path):
    pem = ca.cert_pem.bytes()
    (tmp_path / "ca.pem").write_bytes(b"some words before\n" + pem)
    found = provisioning.certificate(tmp_path / "ca.pem")
    (tmp_path / "ca.crt").write_bytes(found)
    assert provisioning.certificate(tmp_path / "ca.crt") == found
    text = subprocess.run(
        ["openssl", "x509", "-in", tmp_path / "ca.pem", "-outform", "der"], capture_output=True, check=True
    )
    assert found == text.stdout


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"hello", "is no certificate, neither PEM nor DER"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "is no certificate"),
        (b"-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----\n" * 2, "2 certificates in one file, the board takes one"),
    ],
)  # fmt: skip
def test_what_is_no_certificate_is_refused(content, words, tmp_path):
    (tmp_path / "ca.pem").write_bytes(content)
    with pytest.raises(CommissioningError, match=words):
        provisioning.certificate(tmp_path / "ca.pem")


# ------------------------------------------------------------------------------------------------------ the questions


def test_someone_who_takes_every_proposal_gets_a_door_with_the_pins_of_the_build_guide():
    asker = Answers(name_of_the_wifi="town", its_password=["", ""], address_of_the_broker="10.1.2.3")
    made = settings_by_questions(asker, ESP32, "ff-3c71bf4a")
    assert made.values["barriers"] == [{"outer": 32, "inner": 33}]
    assert made.values["status"] == 4
    assert made.values["wifi"] == {"ssid": "town"}
    assert made.values["mqtt"]["user"] == made.name == "ff-3c71bf4a"
    assert made.new_password
    assert any("5 GHz" in words for words in asker.heard)
    assert judge(made.values, ESP32)[0] == []


def test_a_terminal_on_a_cable_with_pins_of_its_own():
    asker = Answers(
        door_with="terminal", how_many_buttons="2", is_it_wired=False, has_it_a_status=False, how_does_it="cable",
        gpio_of_the_button_1=["6", "13"], gpio_of_the_button_2="14",
        gpio_of_the_lamp_of_button_1="21", gpio_of_the_lamp_of_button_2="22",
    )  # fmt: skip
    made = settings_by_questions(asker, ESP32, "ff-1")
    assert made.values == {
        "node": "ff-1", "barriers": [], "buttons": [13, 14], "lamps": [21, 22], "serial": True
    }  # fmt: skip
    assert any("the others of this chip are taken" in words for words in asker.heard)


def test_a_chip_with_few_pins_asks_for_those_that_the_build_guide_does_not_have():
    asker = Answers(
        door_with="terminal", how_many_buttons="1", has_it_a_status=False, how_does_it="cable",
        gpio_of_the_button_1="3", gpio_of_the_lamp_of_button_1="4",
    )  # fmt: skip
    made = settings_by_questions(asker, ESP32C3, "ff-1")
    assert (made.values["buttons"], made.values["lamps"]) == ([3], [4])


def test_a_certificate_that_cannot_be_used_is_asked_for_again(ca, tmp_path):
    (tmp_path / "ca.pem").write_bytes(ca.cert_pem.bytes())
    asker = Answers(
        name_of_the_wifi="town", address_of_the_broker="10.1.2.3",
        file_of_the_certificate=["nothing.pem", str(tmp_path / "ca.pem")], name_in_the_broker="gateway.town.example",
    )  # fmt: skip
    made = settings_by_questions(asker, ESP32, "ff-1")
    assert "nothing.pem: cannot be read (No such file or directory)" in asker.heard
    assert made.values["mqtt"]["ca"] == "ca.der"
    assert made.values["mqtt"]["server_name"] == "gateway.town.example"
    assert [file.path for file in made.files()] == ["ca.der", "config.json"]


def test_an_answer_that_is_no_name_is_asked_for_again():
    asker = Answers(short_name_of_the_site=["Stadt Labor", "lab"], how_does_it="cable")
    assert settings_by_questions(asker, ESP32, "ff-1").place["site"] == "lab"


@pytest.mark.parametrize(
    ("answers", "heard", "taken"),
    [
        ({"name_of_the_wifi": ["x" * 33, "town"]}, "expected a text of at most 32 characters", ("wifi", "ssid", "town")),
        ({"its_password": ["x" * 65, SECRET, ""]}, 'wifi.password is "***", expected a text of at most 64 characters', ("wifi", "password", SECRET)),
        ({"address_of_the_broker": ["x" * 129, "10.1.2.3"]}, "expected a text of at most 128 characters", ("mqtt", "host", "10.1.2.3")),
        ({"address_of_the_broker": ["10.1.2.3:0", "10.1.2.3:8884"]}, "mqtt.port is 0, expected a whole number from 1 to 65535", ("mqtt", "port", 8884)),
        ({"user_name": ["x" * 129, "ff-9"]}, "expected a text of at most 128 characters", ("mqtt", "user", "ff-9")),
    ],
)  # fmt: skip
def test_an_answer_that_the_firmware_would_not_take_is_asked_for_again(answers, heard, taken):
    asker = Answers(
        **{"name_of_the_wifi": "town", "its_password": "", "address_of_the_broker": "10.1.2.3"} | answers
    )
    made = settings_by_questions(asker, ESP32, "ff-1")
    assert any(heard in words for words in asker.heard), asker.heard
    assert not any("config.json" in words for words in asker.heard)
    table, name, value = taken
    assert made.values[table][name] == value


@pytest.mark.parametrize(
    ("chip", "two", "carriers"), [(ESP32, True, [23, 22]), (ESP32S3, True, [1, 2]), (ESP32C3, False, [5])]
)
def test_bare_leds_get_the_carriers_of_the_pin_table_one_for_each_beam(chip, two, carriers):
    asker = Answers(two_beams=two, light_barriers="bare", how_does_it="cable")
    made = settings_by_questions(asker, chip, "ff-1")
    assert made.values["carriers"] == carriers
    assert judge(made.values, chip)[0] == []


def test_bare_leds_take_the_pins_of_two_lamps_so_that_the_fourth_lamp_is_asked_for():
    asker = Answers(
        door_with="both", light_barriers="bare", how_many_buttons="4", has_it_a_status=False, how_does_it="cable",
        gpio_of_the_lamp_of_button_4=["22", "14"],
    )  # fmt: skip
    made = settings_by_questions(asker, ESP32, "ff-1")
    assert "Is it wired as the build guide says?" not in asker.asked
    assert made.values["carriers"] == [23, 22]
    assert made.values["lamps"] == [18, 19, 21, 14]
    assert judge(made.values, ESP32)[0] == []


def test_a_chip_without_a_pin_left_says_so():
    asker = Answers(door_with="both", how_many_buttons="5", how_does_it="cable", is_it_wired=True)
    with pytest.raises(
        CommissioningError, match=r"this chip has no pin left for the .*\nNothing was written"
    ):
        settings_by_questions(FirstFree(asker), ESP32C3, "ff-1")


class FirstFree(Answers):
    """Takes the first pin that is named as free."""

    def __init__(self, other):
        super().__init__(**other.answers)

    def text(self, question, default=None):
        if not question.startswith("GPIO"):
            return super().text(question, default)
        if self.heard and self.heard[-1].startswith("one of "):
            return self.heard.pop().removeprefix("one of ").split(",")[0].split(":")[0]
        return "?"


# ----------------------------------------------------------------------------------- what the gateway has to be told


def test_what_is_printed_for_the_gateway_is_what_it_reads(write, tmp_path):
    made = read_settings(
        write('buttons = [25, 26]\n[place]\nsite = "lab"\ndoor = "main"\nterminal = "exit"\n'),
        ESP32,
        "ff-1",
        None,
    )
    site = '[[site]]\nid = "lab"\ntimezone = "Europe/Berlin"\n'
    (tmp_path / "footfall.toml").write_text(
        '[mqtt]\nhost = "x"\n' + site + gateway_table(made, dt.date(2026, 3, 1))
    )
    [read] = load_settings(tmp_path / "footfall.toml").sites
    assert [(door.id, door.node, door.barrier, door.valid_from) for door in read.doors] == [
        ("main", "ff-1", 0, dt.date(2026, 3, 1))
    ]
    assert [(terminal.id, terminal.node, len(terminal.answers)) for terminal in read.terminals] == [
        ("exit", "ff-1", 2)
    ]


def test_a_barrier_for_those_outside_is_one_for_the_gateway_too():
    barriers = [{"outer": 32, "inner": 33}, {"outer": 13, "inner": 14, "role": "passers-by"}]
    made = provisioning.NodeSettings({"barriers": barriers}, None, "ff-1", 2, 0, {}, new_password=False)
    tables = gateway_table(made).split("[[site.door]]")
    assert ["role" in table for table in tables] == [False, False, True]
    assert 'role = "passers-by"' in tables[2]


def test_mosquitto_takes_the_line_and_lets_in_only_who_knows_the_password(make_mosquitto, tmp_path):
    users = tmp_path / "users"
    users.write_text(broker_line("ff-1", SECRET) + "\n")
    assert SECRET not in users.read_text()
    broker = make_mosquitto(settings=[f"password_file {users}"])

    def answer(password):
        codes = []
        client = paho.Client(CallbackAPIVersion.VERSION2)
        client.on_connect = lambda *arguments: codes.append(arguments[3].value)
        client.username_pw_set("ff-1", password)
        client.connect(broker.host, broker.port)
        while not codes:
            client.loop(0.1)
        client.disconnect()
        return codes[0]

    assert answer(SECRET) == 0
    assert answer("guessed") != 0


def test_two_lines_for_the_same_password_have_nothing_in_common():
    assert broker_line("ff-1", SECRET).split("$")[3] != broker_line("ff-1", SECRET).split("$")[3]


# --------------------------------------------------------------------------------------------------- keys for updates


def pem(key):
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


@pytest.fixture(scope="module")
def owners_key():
    return rsa.generate_private_key(65537, 2048)


def test_a_public_key_becomes_its_modulus(owners_key, tmp_path):
    (tmp_path / "update.pem").write_bytes(pem(owners_key))
    file = update_key_file(tmp_path / "update.pem")
    assert file.path == "update_key.json"
    assert int(json.loads(file.content)["n"], 16) == owners_key.public_key().public_numbers().n


def test_a_private_key_is_kept_off_the_board(owners_key, tmp_path):
    (tmp_path / "update.pem").write_bytes(
        owners_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    with pytest.raises(CommissioningError, match="this is a private key; it must never get onto a board"):
        update_key_file(tmp_path / "update.pem")


def test_what_is_no_usable_key_is_refused(tmp_path):
    (tmp_path / "a.pem").write_text("hello")
    with pytest.raises(CommissioningError, match="no public key in PEM form"):
        update_key_file(tmp_path / "a.pem")
    (tmp_path / "b.pem").write_bytes(pem(ec.generate_private_key(ec.SECP256R1())))
    with pytest.raises(CommissioningError, match="no RSA key of 2048 bits or more"):
        update_key_file(tmp_path / "b.pem")


def test_the_example_is_toml():
    assert tomllib.loads(EXAMPLE.read_text())["place"]["site"] == "lab"
