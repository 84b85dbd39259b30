# network: one WiFi station. The host decides whether there is an access point, and how strong.
import _board
from machine import unique_id
from micropython import const

STA_IF, AP_IF = 0, 1
STAT_IDLE, STAT_CONNECTING, STAT_GOT_IP = 1000, 1001, 1010
STAT_BEACON_TIMEOUT, STAT_NO_AP_FOUND, STAT_WRONG_PASSWORD = 200, 201, 202
STAT_ASSOC_FAIL, STAT_HANDSHAKE_TIMEOUT = 203, 204

_JOIN_US = const(1500000)  # to find an access point and get an address
_hostname = "mpy-esp32"
_active = False
_wanted = None  # since when it wants to be connected


def reachable():
    if not _active or _wanted is None:
        return False
    now = _board.now()
    return _board.wifi_state == 1 and now - max(_wanted, _board.wifi_since) >= _JOIN_US


def hostname(name=None):
    global _hostname
    if name is None:
        return _hostname
    _hostname = name


def country(code=None):
    return "XX"


class WLAN:
    IF_STA, IF_AP = 0, 1
    PM_NONE, PM_PERFORMANCE, PM_POWERSAVE = 0, 1, 2

    def __init__(self, interface=STA_IF):
        if interface != STA_IF:
            raise ValueError("the virtual board has no access point mode")

    def active(self, on=None):
        global _active, _wanted
        if on is not None:
            _active = bool(on)
            if not _active:
                _wanted = None
        return _active

    def connect(self, ssid=None, key=None, **_):
        global _wanted
        if not _active:
            raise OSError("Wifi Not Started")
        _wanted = _board.now()

    def disconnect(self):
        global _wanted
        if not _active:
            raise OSError("Wifi Not Started")
        _wanted = None

    def isconnected(self):
        return reachable()

    def status(self, what=None):
        if what == "rssi":
            if not reachable():
                raise OSError("Wifi Not Connected")
            return _board.wifi_rssi
        if what is not None:
            raise ValueError("unknown status param")
        if reachable():
            return STAT_GOT_IP
        if _wanted is None:
            return STAT_IDLE
        if _board.now() - max(_wanted, _board.wifi_since) < _JOIN_US:
            return STAT_CONNECTING
        return STAT_WRONG_PASSWORD if _board.wifi_state == 2 else STAT_NO_AP_FOUND

    def ifconfig(self, setting=None):
        if reachable():
            return ("192.168.4.40", "255.255.255.0", "192.168.4.1", "192.168.4.1")
        return ("0.0.0.0", "0.0.0.0", "0.0.0.0", "0.0.0.0")

    def ipconfig(self, what=None, **_):
        address = self.ifconfig()
        if what == "addr4":
            return address[:2]
        if what == "gw4":
            return address[2]
        return None

    def config(self, what=None, **settings):
        if what == "mac":
            return unique_id()
        if what in ("dhcp_hostname", "hostname"):
            return _hostname
        if what is not None:
            raise ValueError("unknown config param")

    def scan(self):
        return (
            [(b"footfall", b"\x02\x00\x00\x00\x00\x01", 6, _board.wifi_rssi, 3, False)]
            if _board.wifi_state
            else []
        )
