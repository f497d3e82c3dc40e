"""The grammar of `q` (Drive API, "Search query terms and operators"), as far as anybody here uses it."""

import re

from discovery import Violation

TOKEN = re.compile(r"\s*('(?:[^'\\]|\\.)*'|!=|<=|>=|[=<>()]|[A-Za-z]+)")
# Terms, and the operators that each can have.
TERMS = {"name": ("=", "!=", "contains"), "mimeType": ("=", "!=", "contains"), "trashed": ("=", "!="), "starred": ("=", "!="), "modifiedTime": ("=", "!=", "<", "<=", ">", ">=")}


def tokens(text):
    found, at = [], 0
    text = text.strip()
    while at < len(text):
        match = TOKEN.match(text, at)
        if not match:
            raise Violation(f"q={text} at {at}")
        found.append(match.group(1))
        at = match.end()
    return found


def parse(text):
    """A function of a file."""
    rest = tokens(text)
    found = either(rest)
    if rest:
        raise Violation(f"q={text} ends in {rest}")
    return found


def either(rest):
    parts = [both(rest)]
    while rest[:1] == ["or"]:
        rest.pop(0)
        parts.append(both(rest))
    return lambda file: any(part(file) for part in parts)


def both(rest):
    parts = [term(rest)]
    while rest[:1] == ["and"]:
        rest.pop(0)
        parts.append(term(rest))
    return lambda file: all(part(file) for part in parts)


def literal(token):
    if token in ("true", "false"):
        return token == "true"
    if not token.startswith("'"):
        raise Violation(f"q has {token} in place of a value")
    if not re.fullmatch(r"'(?:[^'\\]|\\['\\])*'", token):
        raise Violation(f"q has an escape in {token} that there is not")
    return re.sub(r"\\(.)", r"\1", token[1:-1])


def term(rest):
    if not rest:
        raise Violation("q ends too early")
    token = rest.pop(0)
    if token == "(":
        inner = either(rest)
        if rest[:1] != [")"]:
            raise Violation("q has a parenthesis that is not closed")
        rest.pop(0)
        return inner
    if token == "not":
        inner = term(rest)
        return lambda file: not inner(file)
    if token.startswith("'"):
        if rest[:2] != ["in", "parents"]:
            raise Violation(f"q has {token} {rest[:2]}")
        del rest[:2]
        parent = literal(token)
        return lambda file: file.is_in(parent)
    if len(rest) < 2:
        raise Violation(f"q ends behind {token}")
    operator, value = rest.pop(0), literal(rest.pop(0))
    if operator not in TERMS.get(token, ()) or isinstance(value, bool) != (token in ("trashed", "starred")):
        raise Violation(f"q has {token} {operator} {value!r}")

    def holds(file):
        there = file.value(token)
        return {
            # Google knows no difference between upper and lower case here.
            "=": lambda: there == value or (token == "name" and there.lower() == value.lower()),
            "!=": lambda: there != value,
            "contains": lambda: there.lower().startswith(value.lower()),
            "<": lambda: there < value,
            "<=": lambda: there <= value,
            ">": lambda: there > value,
            ">=": lambda: there >= value,
        }[operator]()

    return holds
