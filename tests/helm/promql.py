"""As much of PromQL as tells which metrics and labels an expression asks for."""

import re
from typing import NamedTuple

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_SELECTED = re.compile(r"([a-zA-Z_:][\w:]*)?\s*\{([^}]*)\}")
_MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
_GROUPED = re.compile(r"\b(by|on|ignoring|without|group_left|group_right)\s*\(([^)]*)\)")
_RANGE = re.compile(r"\[[^\]]*\]|\boffset\s+\w+")
_NAME = re.compile(r"(?<![\w.:])([a-zA-Z_:][\w:]*)(?![\w:]|\s*\()")
_WORDS = {"and", "or", "unless", "by", "on", "group_left", "group_right", "bool", "inf", "nan"}


class Asked(NamedTuple):
    """What an expression asks for.

    Attributes:
        metrics: name of each to the labels it is chosen by.
        grouped: labels that are kept or matched on.
    """

    metrics: dict[str, set[str]]
    grouped: set[str]


def asked(expression: str) -> Asked:
    """Take an expression apart."""
    text = _STRING.sub('""', expression)
    grouped = {
        label.strip()
        for _, labels in _GROUPED.findall(text)
        for label in labels.split(",")
        if label.strip()
    }
    metrics: dict[str, set[str]] = {}
    for name, matchers in _SELECTED.findall(text):
        metrics.setdefault(name, set()).update(_MATCHER.findall(matchers))
    rest = _GROUPED.sub(" ", _RANGE.sub(" ", re.sub(r"\{[^}]*\}", " ", text)))
    for name in _NAME.findall(rest):
        if name not in _WORDS:
            metrics.setdefault(name, set())
    return Asked(metrics, grouped)
