"""The ``router.admin`` block: off by default, never open to strangers, tokens that cannot be guessed and are never shown."""

from __future__ import annotations

import pytest

from trio_router.core.config import RouterConfig, config_schema, file_shape, parse_config
from trio_router.core.errors import ConfigError

LONG = "0123456789abcdef"


def admin(block: str, **files: str) -> RouterConfig:
    return parse_config(f"router: {{replicas: [http://a], admin: {{{block}}}}}", read_file=files.__getitem__)


def problems(block: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        admin(block)
    return caught.value.problems


def test_it_is_off_unless_a_port_or_a_socket_is_named() -> None:
    assert not parse_config("router: {replicas: [http://a]}").admin.enabled
    assert not admin("").admin.enabled
    assert admin("port: 9001").admin.enabled
    assert admin("socket: /run/router.sock").admin.enabled


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_on_loopback_and_on_a_socket_no_token_is_needed(host: str) -> None:
    assert admin(f"port: 0, host: '{host}', socket: /x").admin.host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "router.internal"])
def test_elsewhere_a_token_is_needed(host: str) -> None:
    text = f"router.admin.tokens: {host} is not a loopback address: list at least one token"
    assert [
        line.replace("router.admin: tokens", "router.admin.tokens") for line in problems(f"port: 1, host: '{host}'")
    ] == [text]
    assert admin(f"port: 1, host: '{host}', tokens: [{{name: a, token: {LONG}, role: viewer}}]").admin.tokens


def test_a_short_token_is_refused_and_not_shown() -> None:
    (found,) = problems("port: 1, tokens: [{name: a, token: hunter2, role: viewer}]")
    assert found.startswith("router.admin.tokens[0].token: ")
    assert "16" in found
    assert "hunter2" not in found


def test_a_token_with_a_space_cannot_be_sent() -> None:
    (found,) = problems(f"port: 1, tokens: [{{name: a, token: '{LONG} {LONG}', role: viewer}}]")
    assert found == "router.admin.tokens[0].token: must consist of printable ASCII characters without spaces"


def test_a_token_without_a_token_is_told() -> None:
    (found,) = problems("port: 1, tokens: [{name: a, role: viewer}]")
    assert found == "router.admin.tokens[0]: give token, or token_file"


def test_a_token_may_stand_in_a_file_of_its_own() -> None:
    config = admin("port: 1, tokens: [{name: a, token_file: here, role: operator}]", here=LONG + "\n")
    assert config.admin.tokens[0].token == LONG


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        (
            f"[{{name: a, token: {LONG}, role: viewer}}, {{name: a, token: {LONG}2, role: viewer}}]",
            "Duplicate name 'a'",
        ),
        (
            f"[{{name: a, token: {LONG}, role: viewer}}, {{name: b, token: {LONG}, role: viewer}}]",
            "two names have the same token",
        ),
    ],
)
def test_names_and_tokens_are_distinct(tokens: str, text: str) -> None:
    (found,) = problems(f"port: 1, tokens: {tokens}")
    assert text in found


def test_an_unknown_role_is_told_with_those_that_there_are() -> None:
    (found,) = problems(f"port: 1, tokens: [{{name: a, token: {LONG}, role: boss}}]")
    assert found == "router.admin.tokens[0].role: input should be 'viewer' or 'operator' (got 'boss')"


def test_tokens_are_hidden_where_a_configuration_is_shown() -> None:
    config = admin(f"port: 1, tokens: [{{name: a, token: {LONG}, role: viewer}}]")
    assert LONG not in repr(config)
    assert file_shape(config)["router"]["admin"]["tokens"] == [{"name": "a", "token": "***", "role": "viewer"}]


def test_the_admin_port_is_none_of_the_others() -> None:
    with pytest.raises(ConfigError, match=r"admin.port must differ from port and status_port"):
        parse_config("router: {replicas: [http://a], port: 9000, admin: {port: 9000}}")


def test_the_schema_knows_the_block() -> None:
    keys = config_schema()["$defs"]["AdminToken"]["properties"]
    assert set(keys) == {"name", "token", "token_file", "role"}
