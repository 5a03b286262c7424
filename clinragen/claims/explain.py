"""How the checker reads a text: its tokens, its statements and, with data, its claims, as lines for a person."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from clinragen.claims.check import Checking, check_rationale
from clinragen.claims.lexer import tokenize
from clinragen.claims.lexicon import load_lexicon
from clinragen.claims.parser import parse
from clinragen.claims.tokens import Token
from clinragen.claims.types import Claim, Quantity, Statement, When
from dataset_builder.contract.lab_series import LabSeries


def explain(text: str, checking: Checking, series: LabSeries | None = None, note: str | None = None) -> Iterator[str]:
    """Lines that show each step from text to verdict.

    Args:
        text: A rationale, or a sentence of one.
        checking: What it is checked by.
        series: The measurements; without them only tokens and statements are shown.
        note: The note; without it, quotations are unverifiable.
    """
    lexicon = load_lexicon(checking.vocabulary)
    tokens = tokenize(text, lexicon)
    statements = parse(tokens)
    yield from _section("tokens", (_token(token, text) for token in tokens))
    yield from _section("statements", (_statement(statement, text) for statement in statements))
    if series is not None:
        claims = check_rationale(text, series, note, range_set=checking.range_set, knowledge=checking.knowledge)
        yield from _section("claims", map(_claim, claims))


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    yield f"{title}:"
    yield from (f"  {line}" for line in lines)


def _token(token: Token, text: str) -> str:
    parts = [f"{token.kind:<14}{text[token.start : token.end]!r}"]
    if token.meaning is not None:
        parts += [token.meaning.word] if token.meaning.word else []
        parts += ["/".join(subject.variables) for subject in token.meaning.subjects]
    parts += [_quantity(number) for number in token.numbers]
    return "  ".join(parts)


def _statement(statement: Statement, text: str) -> str:
    predicate = statement.predicate
    numbers = (predicate.first, predicate.second, predicate.by)
    parts = ["/".join(statement.subject.variables), predicate.kind, predicate.word]
    parts += [_quantity(number) for number in numbers if number is not None]
    if statement.quantifier is not None:
        count, share = statement.quantifier.count, statement.quantifier.share
        amount = statement.quantifier.name or str(count if count is not None else share)
        parts.append(f"in {statement.quantifier.operator.replace('=', '', 1)}{amount} readings")
    parts += [_when(when) for when in statement.times]
    parts += [f"negation {statement.negation}"] if statement.negation else []
    parts += ["hedged"] if statement.hedged else []
    parts += [f"scope {statement.scope}"] if statement.scope != "now" else []
    return f"{text[slice(*statement.span)]!r}: {' '.join(part for part in parts if part)}"


def _claim(claim: Claim) -> str:
    return f"{claim.verdict:<14}{claim.kind:<12}{claim.variable or '-':<26}{claim.text!r}: {claim.evidence.reason}"


def _quantity(number: Quantity) -> str:
    value = f"{number.low:g}" if number.low == number.high else f"{number.low:g} to {number.high:g}"
    return f"{'about ' if number.approximate else ''}{value}{f' {number.unit}' if number.unit else ''}"


def _when(when: When) -> str:
    if when.kind == "window":
        return f"hours {when.first:g} to {when.last:g}"
    return f"{when.kind} {when.first:g}" if when.kind in ("from", "until", "at", "final") else when.kind
