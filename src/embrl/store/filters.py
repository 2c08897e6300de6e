"""Filters of a search, as `price < 10 and in_stock`: parsed, checked, and applied.

An expression is read by Python's own parser and reduced to comparisons of a column with a value,
`in`, `and`, `or` and `not`; anything else is refused, so nothing of it is ever run.
"""

import ast
import dataclasses
import json
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from embrl.core.errors import SettingError, UnknownNameError

LONGEST = 4000
"""Characters of an expression, at most."""
DEEPEST = 40
"""Levels of an expression, at most."""

KINDS = {"number": float, "integer": int, "flag": bool, "text": str}
"""Kinds of columns, and the type of their values."""

Given: TypeAlias = str | Mapping[str, Any] | None
"""An expression, or conditions by column that must all hold: `{"price": {"<": 10}, "in_stock":
True, "country": ["DE", "FR"]}`. None or nothing: all rows."""

COMPARED: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_SIGNS: dict[type[ast.cmpop], str] = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
}
_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}


@dataclasses.dataclass(frozen=True)
class ColumnComparison:
    """A column compared with a value."""

    column: str
    sign: str
    value: Any

    def expression(self) -> str:
        return f"{self.column} {self.sign} {_literal(self.value)}"

    def mask(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        return COMPARED[self.sign](columns[self.column], self.value)


@dataclasses.dataclass(frozen=True)
class OneOf:
    """A column with one of several values."""

    column: str
    values: tuple[Any, ...]

    def expression(self) -> str:
        return f"{self.column} in [{', '.join(map(_literal, self.values))}]"

    def mask(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        column = columns[self.column]
        if isinstance(self.values[0], str):  # np.isin would sort texts
            return np.logical_or.reduce([column == value for value in self.values])
        return np.isin(column, self.values)


@dataclasses.dataclass(frozen=True)
class AllOrAny:
    """Conditions that must all hold, or any of them."""

    word: str
    """`and` or `or`."""
    parts: tuple["Condition", ...]

    def expression(self) -> str:
        return f" {self.word} ".join(f"({part.expression()})" for part in self.parts)

    def mask(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        join = np.logical_and if self.word == "and" else np.logical_or
        return join.reduce([part.mask(columns) for part in self.parts])


@dataclasses.dataclass(frozen=True)
class Negated:
    """A condition that must not hold."""

    part: "Condition"

    def expression(self) -> str:
        return f"not ({self.part.expression()})"

    def mask(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        return ~self.part.mask(columns)


Condition: TypeAlias = ColumnComparison | OneOf | AllOrAny | Negated


def parsed(
    given: Given, columns: Mapping[str, str], this: Mapping[str, Any] | None = None
) -> Condition | None:
    """Return a checked filter.

    Args:
        given: the filter; None, "" or {}: all rows.
        columns: kinds of columns by name (`KINDS`).
        this: values of the row that a search starts from, which `this.COLUMN` in an expression
            stands for.

    Raises:
        EmbrlError: it is no filter, has an unknown column, or compares a column with a value of
            another kind.
    """
    if not given:
        return None
    if isinstance(given, str):
        return _Reader(columns, this).read(given)
    if not isinstance(given, Mapping):
        raise SettingError("filter", "text or conditions by column", type(given).__name__)
    parts: list[Condition] = []
    for column, wanted in given.items():
        if isinstance(wanted, Mapping):
            for sign, value in wanted.items():
                if sign not in COMPARED:
                    raise UnknownNameError("comparison in filter", str(sign), COMPARED)
                parts.append(_compared(columns, column, sign, value))
        elif isinstance(wanted, list | tuple):
            parts.append(_one_of(columns, column, wanted))
        else:
            parts.append(_compared(columns, column, "==", wanted))
    return both(*parts)


def both(*parts: Condition | None) -> Condition | None:
    """Return the condition that all of these hold; None stands for all rows."""
    found = tuple(part for part in parts if part is not None)
    return AllOrAny("and", found) if len(found) > 1 else next(iter(found), None)


class _Reader:
    """Turns the syntax tree of an expression into conditions."""

    def __init__(self, columns: Mapping[str, str], this: Mapping[str, Any] | None) -> None:
        self.columns, self.this = columns, this

    def read(self, text: str) -> Condition:
        if len(text) > LONGEST:
            raise SettingError("filter", f"at most {LONGEST} characters", len(text))
        try:
            tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise self.refused(text) from error
        return self.condition(tree, DEEPEST)

    @staticmethod
    def refused(found: ast.AST | str) -> SettingError:
        said = found if isinstance(found, str) else ast.unparse(found)
        wanted = "comparisons of columns with values, joined by and, or, not"
        return SettingError("filter", wanted, repr(said), "as price < 10 and in_stock")

    def condition(self, node: ast.expr, depth: int) -> Condition:
        if not depth:
            raise SettingError("filter", f"at most {DEEPEST} levels deep", "more")
        match node:
            case ast.BoolOp(op=op, values=values):
                word = "and" if isinstance(op, ast.And) else "or"
                return AllOrAny(word, tuple(self.condition(each, depth - 1) for each in values))
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return Negated(self.condition(operand, depth - 1))
            case ast.Name(id=name):  # a flag alone
                return _compared(self.columns, name, "==", True)
            case ast.Compare(left=left, ops=ops, comparators=others):
                ends = [left, *others]
                steps = zip(ends, ops, others, strict=False)
                parts = tuple(self.comparison(one, op, other) for one, op, other in steps)
                return parts[0] if len(parts) == 1 else AllOrAny("and", parts)
        raise self.refused(node)

    def comparison(self, one: ast.expr, op: ast.cmpop, other: ast.expr) -> Condition:
        if isinstance(op, ast.In | ast.NotIn):
            if not isinstance(one, ast.Name) or not isinstance(other, ast.List | ast.Tuple):
                raise self.refused(other)
            found = _one_of(self.columns, one.id, [self.value(each) for each in other.elts])
            return found if isinstance(op, ast.In) else Negated(found)
        sign = _SIGNS.get(type(op))
        if sign is None:
            raise self.refused(ast.Compare(one, [op], [other]))
        if isinstance(one, ast.Name) and self.is_value(other):
            return _compared(self.columns, one.id, sign, self.value(other))
        if isinstance(other, ast.Name) and self.is_value(one):
            return _compared(self.columns, other.id, _FLIPPED[sign], self.value(one))
        raise self.refused(ast.Compare(one, [op], [other]))

    def is_value(self, node: ast.expr) -> bool:
        return not isinstance(node, ast.Name) or node.id in ("true", "false")

    def value(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=bool() | int() | float() | str() as value):
                return value
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
                return -value
            case ast.Name(id="true" | "false" as name):
                return name == "true"
            case ast.Attribute(value=ast.Name(id="this"), attr=name):
                if self.this is None:
                    raise SettingError(
                        "filter", "without this where a search has no row to start from",
                        f"this.{name}", "search by --like",
                    )  # fmt: skip
                if name not in self.this:
                    raise UnknownNameError("column in filter", name, self.this)
                return self.this[name]
        raise self.refused(node)


def _compared(columns: Mapping[str, str], column: Any, sign: str, value: Any) -> ColumnComparison:
    kind = _kind(columns, column)
    if kind in ("flag", "text") and sign not in ("==", "!="):
        raise SettingError(f"filter on {column}, a {kind},", "== or !=", sign)
    return ColumnComparison(column, sign, _checked(column, kind, value))


def _one_of(columns: Mapping[str, str], column: Any, values: Sequence[Any]) -> OneOf:
    kind = _kind(columns, column)
    if not 0 < len(values) <= LONGEST:
        raise SettingError(f"filter on {column}", f"1 to {LONGEST} values", len(values))
    return OneOf(column, tuple(_checked(column, kind, value) for value in values))


def _kind(columns: Mapping[str, str], column: Any) -> str:
    if column not in columns:
        raise UnknownNameError("column in filter", str(column), columns)
    return columns[column]


def _checked(column: str, kind: str, value: Any) -> Any:
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    fits = {
        "number": whole or isinstance(value, float | np.floating),
        "integer": whole or isinstance(value, float | np.floating),
        "flag": isinstance(value, bool | np.bool_),
        "text": isinstance(value, str),
    }[kind]
    large = fits and kind in ("number", "integer") and not math.isfinite(_as_float(value))
    large |= whole and not -(2**63) < value < 2**63
    odd = isinstance(value, str) and any(ord(sign) < 32 and sign not in "\n\r\t" for sign in value)
    if not fits or large or odd:
        words = {"text": "a text without control characters", "flag": "true or false"}
        wanted = words.get(kind, "a finite number")
        raise SettingError(f"filter on {column}", wanted, repr(value))
    return value.item() if isinstance(value, np.generic) else value


def _as_float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _literal(value: Any) -> str:
    return json.dumps(
        value, ensure_ascii=False
    )  # strings quoted, true and false, numbers as they are
