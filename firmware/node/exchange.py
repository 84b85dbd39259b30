"""The node's topics: who sends on which, and who hears what arrives. app.py builds it on a client, broker or cable."""

from footfall_core import topic
from node import mqtt

HEARD = (topic.ACK, topic.CONFIG, topic.COMMAND)


class Exchange:
    """Topics of `name` over `client` (mqtt.Client, cable.Cable, or None: nothing is sent, nothing heard).

    hear: leaf -> function(text). on_connect: functions to call when there is a connection anew.
    """

    def __init__(self, client, name):
        self.hear = {}
        self.on_connect = []
        self._client = client
        self._name = name
        if client:
            client.on_message = self._on_message
            client.on_connect = self._on_connect

    def connected(self):
        """True while there is a connection."""
        return self._client is not None and self._client.connected

    def connects(self):
        """How often a connection came to be since boot."""
        return self._client.connects if self._client else 0

    def publisher(self, leaf, retain=False):
        """An async function that publishes a text on one of the node's topics and tells whether it went out."""
        where = topic.of(self._name, leaf)

        async def publish(text):
            try:
                await self._client.publish(where, text.encode(), 1, retain)
            except mqtt.MqttError:
                return False  # said by the client; whoever keeps what must arrive sends it again
            return True

        return publish

    def _on_connect(self):
        for tell in self.on_connect:
            tell()

    def _on_message(self, where, content):
        try:
            text = str(content, "utf-8")
        except UnicodeError:
            text = ""  # no JSON either: whoever it is for refuses it
        self.hear[topic.parse(where)[1]](text)
