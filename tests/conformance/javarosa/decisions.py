"""Differences between `doorstep form replay` and JavaRosa that are decided, with the reason.

Beside these, replay follows JavaRosa where a phone of ours wouldn't (client-core/src/form/session/collect.rs): answers that aren't
offered any more go when choices are looked at, changes inside an instance aren't seen by the other ones; and, with
`--javarosa-counts` only (the dialect's 1.3 has repeats grow and shrink with their count), counted repeats begin with one
instance and never shrink.
"""

import re

MAX = "1.4, min/max over blanks: right max (JavaRosa takes 4.9E-324 for the largest of negatives)"
COUNT = "1.4, absolute path inside its own repeat, count(/data/rep): all (JavaRosa counts the instance itself)"
CLOCK = "both ran at their own time"
INFINITE = "a whole-number question keeps Infinity as such (JavaRosa: 2147483647)"


def explain(rows, difference):
    """The reason of a difference (kind, place, ours, theirs) in a form of these rows; None when there is none."""
    kind, place, ours, theirs = difference
    if kind != "values":
        return None
    name = place.rsplit("/", 1)[-1]
    around = re.findall(r"/([^/\[]+)\[\d+\]", place)
    for row in (row for row in rows if row.get("name") == name):
        logic = f"{row.get('calculation', '')} {row.get('default', '')}"
        if row.get("type") == "start":
            return CLOCK
        if "max(" in logic and (theirs == "0" or theirs == "" or theirs == "4.9E-324"):
            return MAX
        if "min(" in logic and theirs == "1.7976931348623157E308":
            return MAX
        if any(f"count(${{{repeat}}})" in logic for repeat in around):
            return COUNT
        if "Infinity" in ours and theirs.lstrip("-") in ("2147483647", "2147483648"):
            return INFINITE
    return None
