"""A run as JUnit XML: a case a section, and one for the verdict of the whole."""

import re
from xml.etree import ElementTree as ET

from lucy_core.judging.result import HeldError, Outcome, RunResult
from lucy_core.visible import visible_throughout

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 can't carry, and logs do."""


def _text(text: str) -> str:
    return _FORBIDDEN.sub("�", text)


def _case(suite: ET.Element, name: str, class_name: str, seconds: float) -> ET.Element:
    attributes = {"name": _text(name), "classname": class_name, "time": f"{seconds:.3f}"}
    return ET.SubElement(suite, "testcase", attributes)


def _failure(case: ET.Element, tag: str, kind: str, message: str) -> None:
    first = message.splitlines()[0] if message else kind
    ET.SubElement(case, tag, {"type": kind, "message": _text(first)}).text = _text(message)


def _fail_by(case: ET.Element, errors: list[HeldError]) -> None:
    message = "\n\n".join(f"[{error.at:.1f} s] {error.severity}: {error.said}" for error in errors)
    _failure(case, "failure", errors[0].kind if errors else "failed", message or "see the run's verdict")


def junit(result: RunResult) -> bytes:
    """Write a run as one test suite. Control characters are shown: CI may print what is in it."""
    result = visible_throughout(result)
    class_name = f"lucy.{result.engine}.{result.scenario}"
    suite = ET.Element("testsuite", {"name": class_name, "timestamp": result.started, "time": f"{result.seconds:.3f}"})
    properties = ET.SubElement(suite, "properties")
    facts = {"run_id": result.run_id, "run_directory": result.directory, "outcome": result.outcome.value}
    for name, value in (facts | result.options).items():
        ET.SubElement(properties, "property", {"name": name, "value": _text(value)})
    for section in result.sections:
        case = _case(suite, section.name, class_name, section.seconds)
        if section.outcome != "passed":
            _fail_by(case, [error for error in result.errors if error.inside == section.id])
    whole = _case(suite, result.scenario, class_name, result.seconds)
    if result.outcome is Outcome.FAILED:
        _fail_by(whole, [error for error in result.errors if not error.inside] or list(result.errors))
    elif result.outcome is not Outcome.PASSED:
        message = "\n\n".join(error.said for error in result.errors) or result.outcome.value
        _failure(whole, "error", result.outcome.value, message)
    malformed = [f"{row.node} {line}" for row in result.ledger for line in row.malformed_lines]
    if malformed:
        ET.SubElement(whole, "system-out").text = _text("\n".join(f"malformed: {line}" for line in malformed))
    if result.traceback:
        ET.SubElement(whole, "system-err").text = _text(result.traceback)
    cases = suite.findall("testcase")
    suite.set("tests", str(len(cases)))
    suite.set("failures", str(sum(case.find("failure") is not None for case in cases)))
    suite.set("errors", str(sum(case.find("error") is not None for case in cases)))
    suites = ET.Element("testsuites")
    suites.append(suite)
    ET.indent(suites)
    return b'<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(suites, encoding="unicode").encode()
