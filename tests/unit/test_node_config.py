"""What a node is told on its config topic, with which revision, and when it is told again."""

import ast
import json
from pathlib import Path

import pytest

from footfall_gateway.ledger import Ledger
from footfall_gateway.node_book import NodeBook
from footfall_gateway.node_config import LIMITS, PANEL, SEND_AGAIN_S, NodeConfigs
from footfall_gateway.node_messages import NodeState
from footfall_gateway.settings import NodeBarrier, NodeSettings, load_settings, places_of

ROOT = Path(__file__).parents[2]
MIDNIGHT_MS = 1_772_319_600_000  # 2026-03-01 00:00 in Berlin
HEAD = (
    '[mqtt]\nhost = "127.0.0.1"\n[[site]]\nid = "lab"\ntimezone = "Europe/Berlin"\n'
    '[[site.door]]\nid = "main"\nnode = "ff-door"\n[[site.terminal]]\nid = "exit"\nnode = "ff-exit"\n'
    '[[site.terminal]]\nid = "cafe"\nnode = "ff-cafe"\n'
)
LIMITED = HEAD + (
    '[[node]]\nnode = "ff-door"\nlockout_ms = 5000\n[[node.barrier]]\nbarrier = 1\nmin_block_ms = 60\nblocked_after_ms = 90000\n'
)
QUESTIONS = HEAD + (
    '[[question]]\nrevision = 1\nid = "satisfied"\nasked_from = 2026-01-01\n'
    '[[question]]\nrevision = 2\nid = "opening"\nasked_from = 2026-03-01\nasked_at = ["exit"]\n'
    '[[question]]\nrevision = 9\nid = "old"\n'
)


class Desk:
    """A gateway's configurations, and what was sent."""

    def __init__(self, folder: Path, text: str, now_ms: int = MIDNIGHT_MS - 1000) -> None:
        self.sent: list[tuple[str, dict]] = []
        self.seconds = 1000.0
        self.file = folder / "footfall.toml"
        self.ledger = Ledger.open(folder / "ledger.sqlite")
        self.start(text, now_ms)

    def start(self, text: str, now_ms: int = MIDNIGHT_MS - 1000) -> None:
        """As a start of the gateway with these settings."""
        self.file.write_text(text)
        settings = load_settings(self.file)
        self.configs = NodeConfigs(
            settings,
            places_of(settings),
            NodeBook(self.ledger),
            lambda node, text: self.sent.append((node, json.loads(text))),
            lambda: self.seconds,
        )
        self.configs.refresh(now_ms)

    def take(self) -> list[tuple[str, dict]]:
        sent, self.sent = self.sent, []
        return sent


@pytest.fixture
def desk(tmp_path):
    made = []

    def make(text: str, *arguments: int) -> Desk:
        made.append(Desk(tmp_path, text, *arguments))
        return made[-1]

    yield make
    for one in made:
        one.ledger.close()


def test_a_node_that_the_settings_say_nothing_about_is_told_nothing(desk):
    one = desk(HEAD)
    assert one.take() == []
    assert one.configs.texts() == []
    one.configs.told("ff-door", NodeState(online=True, rev=7), MIDNIGHT_MS)
    assert one.take() == []


def test_limits_are_sent_in_the_words_of_the_wire_and_nothing_that_was_left_out(desk):
    one = desk(LIMITED)
    content = {
        "v": 1,
        "rev": 1,
        "lockout_ms": 5000,
        "barriers": [{}, {"min_block_ms": 60, "blocked_after_ms": 90_000}],
    }
    assert one.take() == [("ff-door", content)]
    [(node, text)] = one.configs.texts()
    assert (node, json.loads(text)) == ("ff-door", content)


def test_the_revision_goes_up_with_the_content_and_only_then_for_the_life_of_the_ledger(desk):
    one = desk(LIMITED)
    one.take()
    one.start(LIMITED)
    assert [content["rev"] for _, content in one.take()] == [1]  # a start says it again
    one.configs.refresh(MIDNIGHT_MS)
    assert one.take() == []
    one.start(LIMITED.replace("5000", "4000"))
    assert [(content["rev"], content["lockout_ms"]) for _, content in one.take()] == [(2, 4000)]
    one.start(LIMITED)
    assert [(content["rev"], content["lockout_ms"]) for _, content in one.take()] == [(3, 5000)]


def test_the_question_changes_at_local_midnight_at_the_terminals_that_it_is_meant_for(desk):
    one = desk(QUESTIONS)
    assert one.take() == [
        ("ff-cafe", {"v": 1, "rev": 1, "question": 1}),
        ("ff-exit", {"v": 1, "rev": 1, "question": 1}),
    ]
    one.configs.refresh(MIDNIGHT_MS - 1)
    assert one.take() == []
    one.configs.refresh(MIDNIGHT_MS)
    assert one.take() == [("ff-exit", {"v": 1, "rev": 2, "question": 2})]


def test_a_question_without_a_day_only_names_votes(desk):
    assert desk(HEAD + '[[question]]\nrevision = 3\nid = "x"\n').take() == []


def test_a_question_may_be_meant_for_a_node_that_has_buttons_beside_its_door(desk):
    text = HEAD + '[[question]]\nrevision = 3\nid = "x"\nasked_from = 2026-01-01\nasked_at = ["ff-door"]\n'
    assert desk(text).take() == [("ff-door", {"v": 1, "rev": 1, "question": 3})]


def test_a_node_with_an_older_revision_is_told_again_but_not_every_second(desk):
    one = desk(LIMITED)
    one.take()
    older = NodeState(online=True, rev=0)
    one.configs.told("ff-door", older, MIDNIGHT_MS)
    assert one.take() == []  # it may be about to take it
    one.seconds += SEND_AGAIN_S
    one.configs.told("ff-door", older, MIDNIGHT_MS)
    one.configs.told("ff-door", older, MIDNIGHT_MS)
    assert [content["rev"] for _, content in one.take()] == [1]
    one.seconds += SEND_AGAIN_S
    one.configs.told("ff-door", NodeState(online=True, rev=1), MIDNIGHT_MS)
    assert one.take() == []


def test_a_node_that_refuses_is_left_alone(desk):
    one = desk(LIMITED)
    one.take()
    one.seconds += SEND_AGAIN_S
    one.configs.told("ff-door", NodeState(online=True, rev=0, config_error="barriers is ..."), MIDNIGHT_MS)
    assert one.take() == []


def test_a_node_with_a_revision_that_was_never_sent_gets_a_higher_one(desk, caplog):
    one = desk(LIMITED)
    one.take()
    one.configs.told("ff-door", NodeState(online=True, rev=41), MIDNIGHT_MS)
    [(_, content)] = one.take()
    assert (content["rev"], content["lockout_ms"]) == (42, 5000)
    assert "has configuration 41, which this gateway never sent" in caplog.text
    one.configs.told("ff-door", NodeState(online=True, rev=42), MIDNIGHT_MS)
    assert one.take() == []


@pytest.mark.parametrize(("kind", "names"), [(NodeBarrier, LIMITS), (NodeSettings, PANEL)])
def test_limits_are_those_that_the_firmware_takes(kind, names):
    """A value that passes here is not refused by the node."""
    [taken] = [
        one
        for file in sorted((ROOT / "firmware/node").glob("*.py"))
        for one in ast.walk(ast.parse(file.read_text()))
        if isinstance(one, ast.Dict)
        and set(names) <= {getattr(key, "value", None) for key in one.keys}
        and all(isinstance(bounds, ast.Tuple) for bounds in one.values)
    ]
    allowed = {
        ast.literal_eval(key): [ast.unparse(bound) for bound in bounds.elts[1:]]  # type: ignore[attr-defined, arg-type]
        for key, bounds in zip(taken.keys, taken.values, strict=True)
    }
    allowed.pop("question", None)  # numbers of `[[question]]`
    assert set(names) == set(allowed)
    for name, (least, most) in allowed.items():
        meta = kind.__annotations__[name].__args__[0].__metadata__[0]
        assert (str(meta.ge), str(meta.le)) == (least, most), name
