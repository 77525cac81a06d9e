"""Text from untrusted peers, made safe for a terminal, a log or a page. Nothing else about text belongs here."""

from __future__ import annotations


def printable(text: str) -> str:
    """The same text with everything that is not printable spelled as an escape (``\\x1b``, ``\\u202e``).

    So nobody can colour, clear or forge an operator's terminal by what is logged of them: control characters (C0, DEL,
    C1), line separators, marks that reverse the direction of writing, halves of surrogate pairs.
    """
    if text.isprintable():
        return text
    return "".join(mark if mark.isprintable() else mark.encode("unicode_escape").decode("ascii") for mark in text)
