# network of a virtual chip: the file `wifi` says how it stands: up, wrong password, none.
from machine import asked

STA_IF, AP_IF = 0, 1
STAT_IDLE, STAT_CONNECTING, STAT_GOT_IP = 1000, 1001, 1010
STAT_BEACON_TIMEOUT, STAT_NO_AP_FOUND, STAT_WRONG_PASSWORD = 200, 201, 202
STAT_ASSOC_FAIL, STAT_HANDSHAKE_TIMEOUT = 203, 204


def hostname(name=None):
    return name


class WLAN:
    PM_NONE = 0

    def __init__(self, interface=STA_IF):
        pass

    def active(self, on=None):
        return True

    def connect(self, ssid=None, key=None, **_):
        pass

    def disconnect(self):
        pass

    def config(self, *_, **__):
        pass

    def isconnected(self):
        return asked("wifi", "none") == "up"

    def status(self, what=None):
        if what == "rssi":
            return -60
        state = asked("wifi", "none")
        return {"up": STAT_GOT_IP, "wrong password": STAT_WRONG_PASSWORD}.get(state, STAT_NO_AP_FOUND)

    def ifconfig(self, setting=None):
        return ("192.168.4.40", "255.255.255.0", "192.168.4.1", "192.168.4.1")
