"""The WiFi, kept up by `keep`. mqtt.Client asks `up` before it tries to connect."""

import asyncio

import network

_PATIENCE_S = 20  # for one attempt; a slow DHCP server takes 10
_LONGEST_PAUSE_S = 60
_REASONS = (
    ("STAT_WRONG_PASSWORD", "the password is wrong"),
    ("STAT_NO_AP_FOUND", "no such network in reach"),
    ("STAT_HANDSHAKE_TIMEOUT", "no handshake, most often a wrong password"),
    ("STAT_ASSOC_FAIL", "the access point refuses"),
    ("STAT_BEACON_TIMEOUT", "the access point went silent"),
    ("STAT_CONNECTING", "still connecting"),
)


class Wifi:
    """One network, by name and password; hostname is what the router's list shows."""

    def __init__(self, ssid, password, hostname, report=print):
        self._ssid = ssid
        self._password = password
        self._report = report
        self.problem = None  # why there is no network, in words
        network.hostname(hostname)
        self._wlan = network.WLAN(network.STA_IF)

    def up(self):
        """True while there is a network."""
        return self._wlan.isconnected()

    def rssi(self):
        """The signal in dBm, or None without a network."""
        if not self.up():
            return None
        try:
            return self._wlan.status("rssi")
        except (OSError, ValueError):
            return None

    def address(self):
        """The address in the network; 0.0.0.0 without one."""
        return self._wlan.ifconfig()[0]

    async def keep(self):
        """Join the network, and again whenever it is lost; for ever."""
        pause_s = 1
        self._wlan.active(True)
        while True:
            try:
                self._wlan.connect(self._ssid, self._password)
                for _ in range(_PATIENCE_S * 4):
                    if self.up():
                        break
                    await asyncio.sleep_ms(250)
            except OSError as error:
                self._report("WiFi %s: %s" % (self._ssid, error))
            if self.up():
                pause_s = 1
                self.problem = None
                self._report("WiFi %s: connected, address %s" % (self._ssid, self.address()))
                while self.up():
                    await asyncio.sleep(10)
                self._report("WiFi %s: lost" % self._ssid)
                continue
            self.problem = self._reason()
            self._report("WiFi %s: %s; trying again in %d s" % (self._ssid, self.problem, pause_s))
            self._wlan.disconnect()
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    def _reason(self):
        status = self._wlan.status()
        for constant, words in _REASONS:
            if getattr(network, constant, None) == status:
                return words
        return "status %s" % status
