"""The release gate as JUnit XML, which every CI server shows: one test case a check.

A check that fails is a failure. One that is open is an error, for it must not look green. One that is held to nothing
is skipped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from thirdlever.core.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thirdlever.lifecycle.checks import Check
    from thirdlever.lifecycle.regress import Regression

_TAGS = {"FAIL": "failure", "INCONCLUSIVE": "error", None: "skipped"}


def to_xml(found: Regression) -> str:
    """The document, with its declaration."""
    root = ET.Element("testsuites", name=printable(f"thirdlever regress {found.suite}"))
    for result in found.results:
        models = f": {result.old} -> {result.new}" if result.new else ""
        name = printable(f"{result.candidate}{models}")
        checks = result.checks
        suite = ET.SubElement(
            root,
            "testsuite",
            name=name,
            tests=str(len(checks)),
            failures=_count(checks, "FAIL"),
            errors=_count(checks, "INCONCLUSIVE"),
            skipped=_count(checks, None),
            time="0",
        )
        for check in checks:
            _case(suite, check, name)
    ET.indent(root)
    document: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return f"{document.decode()}\n"


def _case(suite: ET.Element, check: Check, of: str) -> None:
    case = ET.SubElement(suite, "testcase", classname=of, name=printable(check.name), time="0")
    tag = _TAGS.get(check.verdict)
    if tag is not None:
        told = ET.SubElement(case, tag, message=printable(check.reason))
        if tag != "skipped":
            told.set("type", str(check.verdict))


def _count(checks: Sequence[Check], verdict: str | None) -> str:
    return str(sum(check.verdict == verdict for check in checks))
