"""Differences between `doorstep form replay` and JavaRosa that are decided, with the reason."""


def explain(form, script, difference, ours, theirs):
    """The reason of a difference (kind, place, ours, theirs); None when there is none."""
    return None
