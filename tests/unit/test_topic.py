"""The MQTT topics of DESIGN."""

import pytest

from footfall_core import topic
from footfall_core.payload import PayloadError


@pytest.mark.parametrize("leaf", ["records", "ack", "state", "config", "command", "reply"])
def test_a_topic_is_written_and_read_as_the_design_shows_it(leaf):
    assert topic.of("ff-3c71bf4a", leaf) == f"footfall/1/ff-3c71bf4a/{leaf}"
    assert topic.parse(f"footfall/1/ff-3c71bf4a/{leaf}") == ("ff-3c71bf4a", leaf)


@pytest.mark.parametrize("name", ["a", "ff-3c71bf4a", "0", "x" * 32])
def test_a_node_may_be_called(name):
    assert topic.valid_node(name)


@pytest.mark.parametrize("name", ["", "x" * 33, "Ff", "a b", "a/b", "+", "#", "ä", "a_b", "a\n"])
def test_a_node_may_not_be_called(name):
    assert not topic.valid_node(name)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "footfall",
        "footfall/1/a",
        "footfall/1/a/ack/more",
        "footfall/2/a/ack",
        "Footfall/1/a/ack",
        "/footfall/1/a/ack",
        "footfall/1//ack",
        "footfall/1/A/ack",
        "footfall/1/a/acks",
        "footfall/1/+/ack",
    ],
)
def test_any_other_topic_is_refused(text):
    with pytest.raises(PayloadError) as refused:
        topic.parse(text)
    assert refused.value.field == "topic"
