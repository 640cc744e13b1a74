"""Scenarios: what is understood, what is refused and with which words, and the schema that says the same to editors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

import serverless_lab.scenario as scenario_module
from serverless_lab.errors import ScenarioError
from serverless_lab.load.arrivals import arrivals, planned_requests
from serverless_lab.located_yaml import duration_ms
from serverless_lab.scenario import (
    Law,
    Ramp,
    known_scenarios,
    load_scenario,
    parse_document,
    parse_scenario,
    with_request,
)

SCHEMA = json.loads(Path(scenario_module.__file__).with_name("scenario.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
MIX = "mix: [{request: GET /}]"
PHASE = "phases: [{duration: 1s, count: 3}]"


def test_the_bundled_scenarios_are_the_three_of_the_main_job(tmp_path: Path) -> None:
    """They are found from any directory, because they ship with lab."""
    known = known_scenarios(tmp_path)
    assert {"monday-spike", "smooth", "ab"} <= set(known)
    for name in known:
        assert load_scenario(name, tmp_path).name == name


def test_monday_spike_sends_500_in_a_minute_and_140_of_them_at_once() -> None:
    """Only simultaneous arrivals each need an environment of their own: 140 of 500 is the 28 % of the story."""
    spike = load_scenario("monday-spike")
    schedule = arrivals(spike)
    assert len(schedule) == 500
    assert sum(arrival.at_ms == 0 for arrival in schedule) == 140
    assert schedule[-1].at_ms <= 60_000
    assert spike.quiet_ms == 62 * 3_600_000
    assert spike.phases[0].law is Law.BURST


def test_smooth_sends_as_many_as_monday_spike_and_never_two_at_once() -> None:
    """The pair differs in how requests arrive and in nothing else."""
    smooth, spike = load_scenario("smooth"), load_scenario("monday-spike")
    times = [arrival.at_ms for arrival in arrivals(smooth)]
    assert len(times) == 500 == len(set(times))
    assert smooth.mix == spike.mix


def test_ab_is_a_closed_model_of_100_clients_and_10000_requests() -> None:
    ab = load_scenario("ab")
    assert (ab.model, ab.clients, ab.requests) == ("closed", 100, 10_000)
    assert planned_requests(ab, []) == 10_000


def test_a_local_scenario_comes_before_the_bundled_one_of_its_name(tmp_path: Path) -> None:
    """A user adapts `smooth` by copying it, without learning another name."""
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "smooth.yaml").write_text(f"{PHASE}\n{MIX}\n")
    (tmp_path / "mine.yaml").write_text(f"{PHASE}\n{MIX}\n")
    assert len(arrivals(load_scenario("smooth", tmp_path))) == 3
    assert load_scenario("./mine.yaml", tmp_path).name == "mine"


@pytest.mark.parametrize("name", ["monday-spikes", "./nowhere.yaml"])
def test_an_unknown_scenario_is_answered_with_those_there_are(name: str, tmp_path: Path) -> None:
    with pytest.raises(ScenarioError) as caught:
        load_scenario(name, tmp_path)
    assert name in caught.value.message
    assert caught.value.hint is not None
    for known in ("ab", "monday-spike", "smooth"):
        assert known in caught.value.hint
    if name == "monday-spikes":
        assert caught.value.hint.startswith("did you mean `monday-spike`?")


REFUSED = [
    # text, line, words in the message, words in the hint
    ("", None, "empty", ""),
    ("phases: [\n  {law: poisson", 2, "not YAML", "indentation"),
    ("phases:\n\t- law: poisson", 2, "not YAML", ""),
    (f"{MIX}\nphasse: []", 2, "unknown key `phasse`", "did you mean `phases`?"),
    (f"{PHASE}\n{MIX}\n{MIX}", 3, "given twice", "remove"),
    (PHASE, 1, "mix: is missing", "request: POST /events"),
    (MIX, 1, "phases: is missing", "clients"),
    (f"{MIX}\n{PHASE}\nclients: 3", 3, "belongs to a closed scenario", "phases"),
    (f"{MIX}\nclients: 3", 1, "requests: is missing", "closed"),
    (f"{MIX}\nclients: 30\nrequests: 3", 2, "30 clients cannot share 3", ""),
    (f"{MIX}\nclients: 3\nrequests: 3\nseed: one", 4, "whole number", ""),
    (f"{MIX}\nphases:\n- duration: 60\n  count: 3", 3, "must be a duration, not `60`", "60s"),
    (f"{MIX}\nphases:\n- duration: 0s\n  count: 3", 3, "longer than 0", ""),
    (f"{MIX}\nphases:\n- duration: 6s\n  count: 0", 4, "whole number from 1", ""),
    (f"{MIX}\nphases:\n- duration: 6s\n  count: 3\n  rate: 3", 3, "needs either `count` or `rate`", ""),
    (f"{MIX}\nphases:\n- duration: 6s\n  rate: -3", 4, "phases[0].rate: must be a number above 0", ""),
    (f"{MIX}\nphases:\n- duration: 6s\n  rate: {{from: 0, to: 0}}", 4, "sends nothing", ""),
    (f"{MIX}\nphases:\n- duration: 6s\n  rate: {{from: 0}}", 4, "rate.to: is missing", ""),
    (f"{MIX}\nphases:\n- duration: 90d\n  rate: 300", 3, "more than 5,000,000", ""),
    (
        f"{MIX}\nphases:\n- law: brust\n  count: 3",
        3,
        "unknown law `brust`",
        "did you mean `burst`? laws: poisson, uniform, burst",
    ),
    (f"{MIX}\nphases:\n- law: burst\n  count: 3\n  duration: 3s", 5, "has no duration", ""),
    (f"{MIX}\nphases:\n- law: burst\n  rate: 3", 4, "needs `count`", ""),
    (f"{MIX}\nphases:\n- duration: 3s\n  count: 3\n  time_constant: 1s", 5, "time constant", ""),
    (f"{MIX}\nphases:\n- law: front-loaded\n  duration: 3s\n  count: 3", 3, "time_constant: is missing", ""),
    (f"{MIX}\nphases:\n- {{name: a, duration: 3s, count: 3}}\n- {{name: a, duration: 3s, count: 3}}", 4, "two ph", ""),
    (f"{PHASE}\nmix: []", 2, "at least one item", ""),
    (f"{PHASE}\nmix:\n- request: FETCH /x", 3, "not a method and a path", "POST /events"),
    (f"{PHASE}\nmix:\n- request: GET /users/{{user}}", 3, "`{user}` is not among `values`", "none"),
    (f"{PHASE}\nmix:\n- request: GET /\n  expect: 20", 4, "whole number from 100 to 599", ""),
    (f"{PHASE}\nmix:\n- request: GET /\n  headers: {{'a b': c}}", 4, "not a header", ""),
    (f'{PHASE}\nmix:\n- request: GET /\n  headers: {{a: "b\\r\\nc: d"}}', 4, "not a header", ""),
    (f"{PHASE}\nmix:\n- request: GET /\n  body: {{$uid: true}}", 4, "unknown generator `$uid`", "`$uuid`"),
    (f"{PHASE}\nmix:\n- request: GET /\n  body: {{$int: [3, 1]}}", 4, "[lowest, highest]", ""),
    (f"{PHASE}\nmix:\n- request: GET /\n  body: {{$int: [1, 2], other: 1}}", 4, "stand alone", ""),
    (f"{PHASE}\nmix:\n- request: GET /\n  body: {{$value: user}}", 4, "is not among `values`", ""),
    (f"{PHASE}\nmix:\n- request: GET /\n  body: {{a: .nan}}", 4, "JSON has no nan", ""),
    (f"{PHASE}\nmix:\n- session: a\n  steps: [{{think_time: 1s}}]", 4, "must send something", ""),
    (f"{PHASE}\nmix:\n- steps: [{{request: GET /}}]", 3, "session: is missing", ""),
    (f"{PHASE}\nmix:\n- session: a\n  steps: [{{request: GET /, weight: 2}}]", 4, "unknown key `weight`", ""),
    (
        f"{MIX[:-1]}, {{session: a, steps: [{{request: GET /}}, {{request: GET /}}]}}]\nclients: 1\nrequests: 1",
        1,
        "closed",
        "",
    ),
    ("a: &a [*a]", 1, "too many values", "alias"),
    ("[1, 2]", 1, "must be a mapping", ""),
]


@pytest.mark.parametrize(("text", "line", "message", "hint"), REFUSED, ids=[row[2] for row in REFUSED])
def test_what_cannot_be_meant_is_refused_with_file_line_and_a_way_out(
    text: str, line: int | None, message: str, hint: str
) -> None:
    with pytest.raises(ScenarioError) as caught:
        parse_scenario(text, "scenarios/broken.yaml")
    place = f"scenarios/broken.yaml:{line}: " if line else "scenarios/broken.yaml: "
    assert caught.value.message.startswith(place), caught.value.message
    assert message in caught.value.message
    assert caught.value.hint and hint in caught.value.hint


def test_a_phase_starts_where_the_one_before_ends_unless_it_says_otherwise() -> None:
    text = f"""
{MIX}
phases:
- {{duration: 10s, count: 3}}
- {{duration: 5s, rate: {{from: 1, to: 3}}}}
- {{start: 2s, law: burst, count: 4}}
"""
    first, second, third = parse_scenario(text, "x.yaml").phases
    assert (first.start_ms, second.start_ms, third.start_ms) == (0, 10_000, 2_000)
    assert second.rate == Ramp(1, 3) and second.expected == 10


@pytest.mark.parametrize(
    ("text", "ms"),
    [("500ms", 500), ("60s", 60_000), ("1h30m", 5_400_000), ("62h", 223_200_000), ("1.5 s", 1500), ("2d", 172_800_000)],
)
def test_durations_are_written_with_their_unit(text: str, ms: float) -> None:
    assert duration_ms(text) == ms


@pytest.mark.parametrize("text", ["60", "", "s", "60 parsecs", "-5s"])
def test_a_number_without_a_unit_is_no_duration(text: str) -> None:
    """60 what? Milliseconds and minutes are both plausible, so nothing is guessed."""
    assert duration_ms(text) is None


def test_a_request_given_by_the_user_replaces_the_mix_and_keeps_the_arrivals() -> None:
    """`--request 'GET /hello'` loads a user's own API in the shape of a bundled scenario."""
    spike = load_scenario("monday-spike")
    own = with_request(spike, "get /hello")
    assert [entry.name for entry in own.mix] == ["GET /hello"]
    assert [arrival.at_ms for arrival in arrivals(own)] == [arrival.at_ms for arrival in arrivals(spike)]
    assert with_request(spike, "PUT /x", body={"a": 1}).mix[0].steps[0].requests[0].body == {"a": 1}
    with pytest.raises(ScenarioError, match="not a request"):
        with_request(spike, "hello")


def test_a_scenario_and_its_document_mean_the_same() -> None:
    """The load process and the run's manifest get the document, not the file."""
    for name in known_scenarios():
        loaded = load_scenario(name)
        document = json.loads(json.dumps(loaded.document))
        assert parse_document(document, loaded.source) == loaded


def test_times_and_dates_in_a_body_stay_text() -> None:
    """YAML 1.1 would make a date object of one and the number 750 of the other."""
    text = f"{PHASE}\nmix: [{{request: POST /, body: {{day: 2025-01-06, at: 12:30}}}}]"
    assert parse_scenario(text, "x").mix[0].steps[0].requests[0].body == {"day": "2025-01-06", "at": "12:30"}


# The schema


def test_the_bundled_scenarios_satisfy_the_published_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    for path in known_scenarios().values():
        VALIDATOR.validate(yaml.safe_load(path.read_text()))


def test_the_schema_has_the_keys_that_the_parser_has() -> None:
    definitions = SCHEMA["$defs"]

    def keys(node: dict[str, Any]) -> set[str]:
        return set(node["properties"])

    steps = definitions["session"]["properties"]["steps"]["items"]["anyOf"]
    assert keys(SCHEMA) == set(scenario_module.SCENARIO_KEYS)
    assert keys(definitions["phase"]) == set(scenario_module.PHASE_KEYS)
    assert keys(definitions["rate"]["anyOf"][1]) == set(scenario_module.RAMP_KEYS)
    assert keys(definitions["entry"]) == set(scenario_module.ENTRY_KEYS)
    assert keys(definitions["request"]) == set(scenario_module.REQUEST_KEYS)
    assert keys(definitions["session"]) == set(scenario_module.SESSION_KEYS)
    assert keys(steps[1]) == set(scenario_module.PAUSE_KEYS)
    assert keys(steps[2]) == set(scenario_module.PARALLEL_KEYS)
    assert keys(definitions["generator"]) == set(scenario_module.GENERATORS)
    assert definitions["phase"]["properties"]["law"]["enum"] == list(Law)
    assert definitions["generator"]["properties"]["$now"]["enum"] == list(scenario_module.NOW_FORMATS)


# What a schema cannot say: sums, order of numbers, names defined elsewhere, YAML itself.
ONLY_THE_PARSER = (
    "not YAML",
    "given twice",
    "too many values",
    "cannot share",
    "more than",
    "longer than 0",
    "sends nothing",
    "two ph",
    "not among `values`",
    "[lowest, highest]",
    "not a header",
    "JSON has no",
    "must send something",
    "closed",
)


@pytest.mark.parametrize("text", [row[0] for row in REFUSED if not any(word in row[2] for word in ONLY_THE_PARSER)])
def test_the_schema_refuses_what_the_parser_refuses(text: str) -> None:
    """An editor that knows the schema marks the mistake while it is typed."""
    assert not VALIDATOR.is_valid(yaml.safe_load(text))


def test_every_key_is_explained_in_the_documentation() -> None:
    page = (Path(scenario_module.__file__).parents[1] / "docs" / "scenarios.md").read_text()
    keys = (
        *scenario_module.SCENARIO_KEYS, *scenario_module.PHASE_KEYS, *scenario_module.ENTRY_KEYS,
        *scenario_module.SESSION_KEYS, *scenario_module.PAUSE_KEYS, *scenario_module.PARALLEL_KEYS,
        *scenario_module.GENERATORS, *Law,
    )  # fmt: skip
    assert [key for key in keys if f"`{key}`" not in page] == []


def test_the_examples_of_the_documentation_are_scenarios() -> None:
    page = (Path(scenario_module.__file__).parents[1] / "docs" / "scenarios.md").read_text()
    examples = [block.split("```")[0] for block in page.split("```yaml\n")[1:]]
    assert len(examples) >= 3
    for number, example in enumerate(examples):
        parse_scenario(example, f"example-{number}.yaml")
        VALIDATOR.validate(yaml.safe_load(example))
