"""What each node is told on its config topic: limits from `[[node]]`, and the question that it asks at the moment.

`service` makes one `NodeConfigs`; `receiver` tells it what nodes say of their configuration. A configuration has a revision
that goes up whenever its content changes, for the life of the ledger; the node says in its state which one it has, and
why it refused one. A node that the settings say nothing about is told nothing.

Over MQTT it is retained: a node finds it whenever it connects. A cable retains nothing, so it is also sent again to a node
that tells another revision. A node that refuses a configuration is not pestered with it.
"""

import json
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from footfall_core.payload import VERSION
from footfall_gateway.node_book import Configuration, NodeBook
from footfall_gateway.node_messages import NodeState
from footfall_gateway.places import Places, local_midnight_ms
from footfall_gateway.settings import NodeSettings, QuestionName, Settings

__all__ = ["NodeConfigs", "content_of"]

SEND_AGAIN_S = 60.0  # to a node that has another revision; it may be about to take this one
LIMITS = ("glitch_ms", "min_block_ms", "blocked_after_ms")
PANEL = ("lockout_ms", "debounce_ms")

log = logging.getLogger(__name__)


class NodeConfigs:
    """The configurations of all nodes. Called from several threads. `send(node, text)` brings one on its way."""

    def __init__(
        self,
        settings: Settings,
        places: Places,
        book: NodeBook,
        send: Callable[[str, str], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._places = places
        self._book = book
        self._send = send
        self._now = now
        self._lock = threading.Lock()
        self._current: dict[str, Configuration] = {}
        self._sent_at: dict[str, float] = {}

    def refresh(self, now_ms: int) -> None:
        """Works out what each node is to have now; sends what has changed. LedgerError where that cannot be kept."""
        with self._lock:
            for node in _configured(self._settings, self._places):
                content = content_of(self._settings, self._places, node, now_ms)
                if content:
                    text = json.dumps(content, separators=(",", ":"))
                    if node in self._current and self._current[node].content == text:
                        continue
                    self._become(node, self._book.configure(node, text, now_ms))

    def texts(self) -> list[tuple[str, str]]:
        """(node, what its config topic should say): for a link that has just opened."""
        with self._lock:
            self._sent_at.update(dict.fromkeys(self._current, self._now()))
            return [(node, _message(one)) for node, one in self._current.items()]

    def told(self, node: str, state: NodeState, now_ms: int) -> None:
        """A node has said (just now) which revision it has. LedgerError where a new one cannot be kept."""
        with self._lock:
            current = self._current.get(node)
            if current is None or state.rev is None or state.rev == current.rev:
                return
            if state.rev > current.rev:
                # the ledger that knew that number is lost, or somebody else has configured the node
                log.warning(
                    "node %s: has configuration %d, which this gateway never sent; it gets a newer one",
                    node,
                    state.rev,
                )
                self._become(node, self._book.configure(node, current.content, now_ms, state.rev + 1))
            elif not state.config_error and self._now() - self._sent_at.get(node, 0.0) >= SEND_AGAIN_S:
                self._say(node, current)

    def _become(self, node: str, configuration: Configuration) -> None:
        if self._current.get(node) == configuration:
            return
        self._current[node] = configuration
        log.info("node %s: configuration %d is %s", node, configuration.rev, configuration.content)
        self._say(node, configuration)

    def _say(self, node: str, configuration: Configuration) -> None:
        self._sent_at[node] = self._now()
        self._send(node, _message(configuration))


def content_of(settings: Settings, places: Places, node: str, now_ms: int) -> dict[str, Any]:
    """What the settings say to this node now, in the words of the config topic, without a revision; empty for nothing."""
    content: dict[str, Any] = {}
    for one in settings.nodes:
        if one.node == node:
            content |= _limits(one)
    asked = _asked(settings.questions, places, node, now_ms)
    if asked is not None:
        content["question"] = asked.revision
    return content


def _message(configuration: Configuration) -> str:
    return f'{{"v":{VERSION},"rev":{configuration.rev},{configuration.content[1:]}'


def _configured(settings: Settings, places: Places) -> list[str]:
    return sorted({one.node for one in settings.nodes} | places.nodes)


def _limits(node: NodeSettings) -> dict[str, Any]:
    content: dict[str, Any] = {name: getattr(node, name) for name in PANEL if getattr(node, name) is not None}
    if node.barriers:
        barriers: list[dict[str, int]] = [{} for _ in range(1 + max(one.barrier for one in node.barriers))]
        for one in node.barriers:
            barriers[one.barrier] = {
                name: getattr(one, name) for name in LIMITS if getattr(one, name) is not None
            }
        content["barriers"] = barriers
    return content


def _asked(
    questions: tuple[QuestionName, ...], places: Places, node: str, now_ms: int
) -> QuestionName | None:
    """The question that this node asks now: of those meant for it, the one that began last."""
    here = [one for one in places.of_node(node, now_ms, now_ms + 1) if one.site in places.sites]
    terminals = {one.door for one in here if one.barrier is None}
    begun = []
    for question in questions:
        if question.asked_from is None:
            continue
        meant = terminals & set(question.asked_at) if question.asked_at else terminals
        if not (meant or node in question.asked_at):
            continue
        timezone = places.sites[here[0].site].timezone if here else "UTC"
        start_ms = local_midnight_ms(question.asked_from, timezone)
        if start_ms <= now_ms:
            begun.append((start_ms, question))
    return max(begun, key=lambda one: one[0])[1] if begun else None
