"""The agent's log: a line a record, and never a flood."""

from __future__ import annotations

import json
import logging

from agent.logs import BURST, WINDOW_S, JsonLines, Repeats, TextLines


def record(message: str, level: int = logging.WARNING, created: float = 1_800_000_000.25, line: int = 1):
    made = logging.LogRecord("agent.x", level, "x.py", line, message, (), None)
    made.created = created
    return made


def test_a_record_is_one_line_of_text_whatever_a_client_sent():
    line = TextLines().format(record("GET /\r\n2027 info forged"))
    assert line == "2027-01-15T08:00:00.250Z warning agent.x: GET /\\r\\n2027 info forged"


def test_a_record_is_one_object_of_json():
    found = json.loads(JsonLines().format(record('a "quoted"\nword')))
    assert found == {
        "time": "2027-01-15T08:00:00.250Z",
        "level": "warning",
        "logger": "agent.x",
        "message": 'a "quoted"\nword',
    }


def test_one_place_cannot_fill_the_log_and_others_still_speak():
    repeats = Repeats()
    passed = [repeats.filter(record(f"token {n}", created=1000.0 + n / 100)) for n in range(500)]
    assert passed == [True] * BURST + [False] * (500 - BURST)
    assert repeats.filter(record("elsewhere", created=1001.0, line=2))
    assert repeats.filter(record("chatter", logging.INFO, created=1001.0))
    assert repeats.filter(record("later", created=1000.0 + WINDOW_S))
    assert repeats.filter(record("the clock was set back", created=10.0))
