"""Gates and comparisons as JUnit XML, which CI services show beside test results."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from serverless_lab.coldstarts.gates import FAILED, UNTOLD

if TYPE_CHECKING:
    from serverless_lab.coldstarts.judgement import Judgement

# What XML 1.0 has no place for, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(judgement: Judgement) -> str:
    """One test case per gate and function, and one per function beside the baseline.

    A gate that cannot be told is an error, a failed one a failure; a regression is a failure where it counts as one,
    and output of a test that passed otherwise.
    """
    suite = ElementTree.Element("testsuite", name="lab coldstarts")
    counts = {"tests": 0, "failures": 0, "errors": 0}

    def case(classname: str, name: str, sentence: str, outcome: str | None) -> None:
        counts["tests"] += 1
        element = ElementTree.SubElement(suite, "testcase", classname=_clean(classname), name=_clean(name), time="0")
        if outcome is None:
            ElementTree.SubElement(element, "system-out").text = _clean(sentence)
            return
        counts[f"{outcome}s"] += 1
        ElementTree.SubElement(element, outcome, message=_clean(sentence)).text = _clean(sentence)

    for verdict in judgement.verdicts:
        name = verdict.gate.text if verdict.function is None else f"{verdict.gate.text} [{verdict.function}]"
        case("gates", name, verdict.sentence, {FAILED: "failure", UNTOLD: "error"}.get(verdict.outcome))
    if judgement.comparison is not None:
        counted = judgement.regressions if judgement.fail_on_regression else ()
        for function in judgement.comparison.functions:
            case("baseline", function.function, function.sentence, "failure" if function in counted else None)
        reason = judgement.comparison.not_comparable()
        if judgement.fail_on_regression and reason is not None:
            case("baseline", judgement.comparison.source, reason, "error")
    for key, value in counts.items():
        suite.set(key, str(value))
    suites = ElementTree.Element("testsuites", {key: str(value) for key, value in counts.items()})
    suites.append(suite)
    ElementTree.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suites, encoding="unicode") + "\n"


def _clean(text: str) -> str:
    return _NOT_XML.sub("�", text)
