"""The JSON schema lets good files pass, and stops what an editor can see is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from trio_router.core.config import RouterConfig, config_schema, file_shape, parse_config
from trio_router.core.config.shape import all_keys

SCHEMA = config_schema()
GOOD = """
x-gpu: &gpu {weight: 2}
router:
  port: ${PORT:-9000}
  dialect: ${DIALECT:-opaque}
  host: 127.0.0.1
  status_on_stream_port: true
  replicas:
    - http://a:8000
    - ${URL:-http://b}
    - {<<: *gpu, url: http://c, max_sessions: auto, presets: [wan]}
    - {url: http://d, name: null, max_sessions: 4}
  health_check: {path: /healthz, interval_seconds: 500ms, timeout_seconds: 0.2, failure_threshold: 1}
  timeouts: {close_seconds: 2m, connect_seconds: 1.5}
  limits: {hold_bytes: 16MiB, replay_bytes: 0, max_sessions: null}
  affinity: {cookie: c, secret: 0123456789abcdef}
  streams: [{path: /a, dialect: opaque}]
  shutdown:
  ejection: {}
"""


def errors(text: str) -> list[str]:
    return [error.json_path for error in Draft202012Validator(SCHEMA).iter_errors(yaml.safe_load(text))]


def test_it_is_a_schema_and_good_files_pass() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    json.dumps(SCHEMA)
    parse_config(GOOD)
    assert errors(GOOD) == []
    assert errors("router: {replicas: [http://a], affinity: {cookie: c, secret_file: /run/key}}") == []


def test_what_is_dumped_passes() -> None:
    assert errors(yaml.safe_dump(file_shape(RouterConfig.model_validate({"replicas": [{"url": "http://a"}]})))) == []


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("{}", "$"),
        ("router: {}", "$.router"),
        ("router: {replicas: []}", "$.router.replicas"),
        ("router: {replicas: [a]}", "$.router.replicas[0]"),
        ("router: {replicas: [{urll: http://a}]}", "$.router.replicas[0]"),
        ("router: {replicas: [http://a], prot: 1}", "$.router"),
        ("router: {replicas: [http://a], failure_threshold: 1}", "$.router"),
        ("router: {replicas: [http://a], port: many}", "$.router.port"),
        ("router: {replicas: [http://a], dialect: [opaque]}", "$.router.dialect"),
        ("router: {replicas: [http://a], health_check: {path: x}}", "$.router.health_check"),
        ("router: {replicas: [http://a], timeouts: {close_seconds: 5MiB}}", "$.router.timeouts"),
        ("router: {replicas: [http://a], limits: {hold_bytes: 5s}}", "$.router.limits"),
        ("router: {replicas: [http://a], affinity: {secret: 0123456789abcdef, secret_file: a}}", "$.router.affinity"),
        ("router: {replicas: [http://a]}\nrest: 1", "$"),
    ],
)
def test_what_is_wrong_does_not(text: str, path: str) -> None:
    assert errors(text) == [path]


def test_it_knows_every_key() -> None:
    keys: Any = SCHEMA["properties"]["router"]["properties"]
    known = {("router", key) for key in keys}
    known |= {("router.health_check", key) for key in keys["health_check"]["anyOf"][0]["properties"]}
    for key, schema in keys.items():
        branches = [*schema.get("anyOf", []), *schema.get("items", {}).get("anyOf", [schema.get("items", {})])]
        for ref in [branch["$ref"] for branch in branches if "$ref" in branch]:
            block = f"router.{key}[]" if "items" in schema else f"router.{key}"
            known |= {(block, inner) for inner in SCHEMA["$defs"][ref.removeprefix("#/$defs/")]["properties"]}
    assert known == {(block, key) for key, block in all_keys()}
