"""Variants: what is understood, what is refused and with which words, and the schema that says the same to editors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from serverless_lab.compare import variants as variants_module
from serverless_lab.compare.variants import Peak, load_variants, parse_variants, varied
from serverless_lab.deploy.template import read_template
from serverless_lab.errors import ScenarioError
from serverless_lab.project import bundled
from serverless_lab.scenario import known_scenarios, load_scenario

SCHEMA = json.loads(Path(variants_module.__file__).with_name("variants.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
PAGE = Path(variants_module.__file__).parents[2] / "docs" / "comparing.md"

REFUSED = [
    ("", 0, "the file is empty"),
    ("variants: [", 1, "not YAML"),
    ("description: x", 1, "variants: is missing"),
    ("variants: []", 1, "at least one item"),
    ("variants: [{name: a}]\nvariant: x", 2, "unknown key `variant`"),
    ("variants: [{parameters: {A: 1}}]", 1, "variants[0].name: is missing"),
    ("variants: [{name: a/b}]", 1, "cannot name a folder"),
    ("variants:\n- name: a\n- name: a", 3, "two variants are called `a`"),
    ("variants: [{name: a, parameters: [x]}]", 1, "must be a mapping"),
    ("variants: [{name: a, parameters: {P: [1]}}]", 1, "must be text or a number"),
    ("variants: [{name: a, parameters: {P: {}}}]", 1, "must not be empty"),
    ("variants: [{name: a, parameters: {P: {$peek: 1}}}]", 1, "unknown key `$peek`"),
    ("variants: [{name: a, parameters: {P: {$peak: 0}}}]", 1, "above 0"),
    ("variants:\n- name: a\n  scenario: {seed: 4}", 3, "unknown key `seed`"),
    ("variants: [{name: a, idle_lifetime: soon}]", 1, "must be a duration"),
    ("variants: [{name: a, idle_lifetime: 0s}]", 1, "longer than 0"),
    ("variants: [{name: a, provisioned_hours_per_month: 744}]", 1, "a month has 720 hours"),
    ("variants: [{name: a}]\nbaseline: b", 2, "there is no variant `b`"),
    ("variants: [{name: a}]\nsensitivity: {variant: a}", 2, "sensitivity.idle_lifetime: is missing"),
    ("variants: [{name: a}]\nsensitivity: {variant: b, idle_lifetime: [5m]}", 2, "there is no variant `b`"),
    ("variants: [{name: a}]\nsensitivity: {variant: a, idle_lifetime: [5m], repeat: 0}", 2, "whole number from 1"),
]


@pytest.mark.parametrize(("text", "line", "words"), REFUSED, ids=[row[2] for row in REFUSED])
def test_what_cannot_be_meant_is_refused_with_its_line(text: str, line: int, words: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        parse_variants(text, "mine.yaml")
    place = f"mine.yaml:{line}: " if line else "mine.yaml: "
    assert refused.value.message.startswith(place)
    assert words in refused.value.message
    assert refused.value.hint


def test_the_bundled_variants_fit_the_bundled_template_and_every_bundled_scenario() -> None:
    found = load_variants(None, Path.cwd())
    template = read_template(bundled("handlers", "template.yaml"))
    assert found.baseline == "baseline"
    for variant in found.variants:
        plain = {name: "7" if isinstance(value, Peak) else value for name, value in variant.parameters.items()}
        template.parameter_values(plain)
        for path in known_scenarios().values():
            varied(load_scenario(str(path)), variant)


def test_a_file_of_variants_is_no_scenario_though_it_lies_among_them() -> None:
    assert "mitigations" not in known_scenarios()
    assert bundled("scenarios", "mitigations.yaml").is_file()


def test_a_variant_changes_keys_of_the_scenario_and_leaves_the_others() -> None:
    scenario = load_scenario("monday-spike")
    found = parse_variants("variants: [{name: a, scenario: {quiet: 1h}}]", "x.yaml").variants[0]
    changed = varied(scenario, found)
    assert (changed.quiet_ms, changed.phases, changed.name) == (3_600_000, scenario.phases, scenario.name)


def test_a_changed_scenario_that_is_none_is_refused_by_the_variants_name() -> None:
    found = parse_variants("variants: [{name: broken, scenario: {phases: []}}]", "x.yaml").variants[0]
    with pytest.raises(ScenarioError, match="variant `broken`"):
        varied(load_scenario("smooth"), found)


def test_numbers_and_truths_become_the_text_that_parameters_are() -> None:
    text = "variants: [{name: a, parameters: {N: 5, B: true, T: lazy, P: {$peak: 1.1}}}]"
    assert parse_variants(text, "x").variants[0].parameters == {"N": "5", "B": "true", "T": "lazy", "P": Peak(1.1)}


def test_only_keeps_the_baseline_and_refuses_a_name_that_is_not_there() -> None:
    found = load_variants(None, Path.cwd())
    assert [variant.name for variant in found.only(["lazy"]).variants] == ["baseline", "lazy"]
    assert found.only(["lazy"]).sensitivity is None
    with pytest.raises(ScenarioError) as refused:
        found.only(["layz"])
    assert "did you mean `lazy`?" in str(refused.value.hint)


# The schema

ONLY_THE_PARSER = ("not YAML", "two variants", "there is no variant", "empty")


@pytest.mark.parametrize("text", [row[0] for row in REFUSED if not any(word in row[2] for word in ONLY_THE_PARSER)])
def test_the_schema_refuses_what_the_parser_refuses(text: str) -> None:
    """An editor that knows the schema marks the mistake while it is typed."""
    assert not VALIDATOR.is_valid(yaml.safe_load(text))


def test_the_schema_takes_the_bundled_file_and_has_the_parsers_keys() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    VALIDATOR.validate(yaml.safe_load(bundled("scenarios", "mitigations.yaml").read_text()))

    def keys(node: dict[str, Any]) -> set[str]:
        return set(node["properties"])

    assert keys(SCHEMA) == set(variants_module.TOP_KEYS)
    assert keys(SCHEMA["$defs"]["variant"]) == set(variants_module.VARIANT_KEYS)
    assert keys(SCHEMA["$defs"]["sensitivity"]) == set(variants_module.SENSITIVITY_KEYS)
    changed = keys(SCHEMA["$defs"]["variant"]["properties"]["scenario"])
    assert changed == set(variants_module.SCENARIO_KEYS) - set(variants_module.NOT_OVERRIDDEN)


def test_every_key_is_explained_in_the_documentation() -> None:
    page = PAGE.read_text()
    keys = (*variants_module.TOP_KEYS, *variants_module.VARIANT_KEYS, *variants_module.SENSITIVITY_KEYS)
    assert [key for key in (*keys, variants_module.PEAK) if f"`{key}`" not in page] == []


def test_the_examples_of_the_documentation_are_variants() -> None:
    examples = [block.split("```")[0] for block in PAGE.read_text().split("```yaml\n")[1:]]
    assert examples
    for number, example in enumerate(examples):
        parse_variants(example, f"example-{number}.yaml")
        VALIDATOR.validate(yaml.safe_load(example))
