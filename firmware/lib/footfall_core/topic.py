"""The MQTT topics, version 1: `footfall/1/<node>/<leaf>`. Used by the node, the gateway and the simulator."""

from footfall_core.payload import PayloadError

ROOT = "footfall/1/"
RECORDS = "records"
ACK = "ack"
STATE = "state"
CONFIG = "config"
COMMAND = "command"
REPLY = "reply"
LEAVES = (RECORDS, ACK, STATE, CONFIG, COMMAND, REPLY)
MAX_NODE_LENGTH = 32


def valid_node(name):
    """True for a node's name: 1 to 32 of a-z, 0-9 and '-'."""
    if not 1 <= len(name) <= MAX_NODE_LENGTH:
        return False
    for c in name:
        if not ("a" <= c <= "z" or "0" <= c <= "9" or c == "-"):
            return False
    return True


def of(node, leaf):
    """The topic of a node's leaf, for example of("ff-3c71bf4a", RECORDS)."""
    return ROOT + node + "/" + leaf


def parse(topic):
    """(node, leaf) of a topic; PayloadError where it is not one of ours."""
    parts = topic.split("/")
    if len(parts) != 4 or parts[0] + "/" + parts[1] + "/" != ROOT:
        raise PayloadError("topic", topic, ROOT + "<node>/<leaf>")
    if not valid_node(parts[2]):
        raise PayloadError("topic", topic, "a node name of 1 to 32 a-z, 0-9, '-'")
    if parts[3] not in LEAVES:
        raise PayloadError("topic", topic, "one of " + ", ".join(LEAVES))
    return parts[2], parts[3]
