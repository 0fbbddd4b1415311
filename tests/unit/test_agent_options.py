"""The agent's options: by flag, by variable, and what is refused before anything starts."""

from __future__ import annotations

import argparse

import pytest

from agent.config import OPTIONS, Address, AgentOptions, add_agent_arguments, parse_listen
from agent.server.service import check_authorization
from diagnostics.errors import UserError

SAMPLES = {
    "--root": ("/tree", "/tree"),
    "--node-name": ("n1", "n1"),
    "--interval": ("0.5", 0.5),
    "--socket": ("/tmp/s", "/tmp/s"),
    "--listen": ("10.0.0.7:9879", Address("10.0.0.7", 9879)),
    "--tls": ("off", False),
    "--tls-cert": ("/c", "/c"),
    "--tls-key": ("/k", "/k"),
    "--tokens-file": ("/t", "/t"),
    "--state-dir": ("/s", "/s"),
    "--kubeconfig": ("/kc", "/kc"),
    "--publish": ("off", "off"),
    "--verbs": ("off", "off"),
    "--anonymous-metrics": ("true", True),
    "--log-level": ("debug", "debug"),
    "--log-format": ("json", "json"),
}


def options(*argv: str, **environ: str) -> AgentOptions:
    parser = argparse.ArgumentParser()
    add_agent_arguments(parser)
    return AgentOptions.from_args(parser.parse_args(argv), environ)


def test_every_option_of_the_contract_is_there():
    assert [option.flag for option in OPTIONS] == list(SAMPLES)


def test_every_option_by_flag_and_by_variable():
    flags = [word for flag, (text, _) in SAMPLES.items() for word in ([flag] if "metrics" in flag else [flag, text])]
    environ = {option.variables[0]: SAMPLES[option.flag][0] for option in OPTIONS}
    assert options(*flags) == options(**environ)
    for option in OPTIONS:
        assert getattr(options(*flags), option.field) == SAMPLES[option.flag][1]


def test_a_flag_wins_over_its_variable_and_an_empty_variable_is_none():
    assert options("--interval", "2", RDMATOP_INTERVAL="5").interval == 2
    assert options(RDMATOP_INTERVAL="").interval == 1.0
    assert options(NODE_NAME="from-the-pod").node_name == "from-the-pod"
    assert options(NODE_NAME="from-the-pod", RDMATOP_NODE_NAME="ours").node_name == "ours"
    assert options() == AgentOptions()


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (":9879", Address("", 9879)),
        ("[::1]:0", Address("::1", 0)),
        ("127.0.0.1:80", Address("127.0.0.1", 80)),
        ("off", None),
    ],
)
def test_listen_addresses(text, address):
    assert parse_listen(text) == address


@pytest.mark.parametrize(
    ("argv", "names"),
    [
        (("--listen", "9879"), "--listen"),
        (("--listen", "::1:9879"), "brackets"),
        (("--listen", "example.com:1"), "example.com"),
        (("--listen", ":99999"), "--listen"),
        (("--listen", ":९"), "--listen"),
        (("--interval", "fast"), "--interval"),
        (("--interval", "nan"), "--interval"),
        (("--interval", "0.1"), "0.1"),
        (("--interval", "61"), "61"),
        (("--tls", "maybe"), "--tls"),
        (("--tls-cert", "/c"), "--tls-key"),
        (("--publish", "yes"), "--publish"),
        (("--log-format", "xml"), "--log-format"),
    ],
)
def test_what_is_wrong_is_named(argv, names):
    with pytest.raises(UserError, match=names) as error:
        options(*argv)
    assert error.value.code == 2


def test_a_wrong_variable_is_named_by_its_own_name():
    with pytest.raises(UserError, match="RDMATOP_TLS"):
        options(RDMATOP_TLS="maybe")


def test_nobody_listens_without_somebody_to_say_who_may_ask():
    with pytest.raises(UserError, match="tokens"):
        check_authorization(options("--listen", ":9879"), has_cluster=False)
    check_authorization(options("--listen", ":9879"), has_cluster=True)
    check_authorization(options("--listen", ":9879", "--anonymous-metrics"), has_cluster=False)
    check_authorization(options("--listen", ":9879", "--tokens-file", "/t"), has_cluster=False)
    check_authorization(options(), has_cluster=False)
