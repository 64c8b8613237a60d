"""Expressions of rules: the subset of PromQL that is evaluated here, and what a rule needs.

The subset, each as Prometheus 2.42 means it:

- selectors of a metric, by name or by matchers (=, !=, =~, !~), with `offset` into the past; ranges of them, `[5m]`,
  closed at both ends
- numbers; + - * / % ^ and a sign; == != > < >= <=, with `bool` too; and, or, unless
- matching by on() or ignoring(), with group_left() and group_right()
- rate, increase, delta, deriv, predict_linear; avg_over_time, min_over_time, max_over_time, sum_over_time,
  count_over_time, quantile_over_time, stddev_over_time; absent, absent_over_time
- sum, avg, min, max, count, quantile, stddev over series, by() or without()

Anything else is refused with its name and its text; a real Prometheus (`stability.rules.reference`) knows all of it.
A negative offset looks into the future and is refused for that.
"""

from __future__ import annotations

__all__ = [
    "AGGREGATIONS",
    "BINARY",
    "DEEPEST",
    "LONGEST",
    "OVER_TIME",
    "check_expression",
    "children_of",
    "guards_of",
    "looks_ahead",
    "metric_of",
    "metrics_of",
    "operator_of",
    "parse",
    "selector_key",
    "selectors_of",
    "tree_of",
    "written",
]

import re
from collections.abc import Iterator
from functools import lru_cache
from os import PathLike

import promql_parser as promql

from stability.schema import ContractError, nearest

LONGEST = 4_000  # characters: the longest of the 1,155 rules of awesome-prometheus-alerts has some hundreds
DEEPEST = 60  # levels of nesting; the parser itself gives up far beyond
OVER_TIME = frozenset(
    f"{name}_over_time" for name in ("avg", "min", "max", "sum", "count", "quantile", "stddev", "absent")
) - {"absent_over_time"}
_RANGES = OVER_TIME | {"rate", "increase", "delta", "deriv", "predict_linear", "absent_over_time"}
FUNCTIONS = _RANGES | {"absent"}
AGGREGATIONS = frozenset({"sum", "avg", "min", "max", "count", "quantile", "stddev"})
BINARY = frozenset({"+", "-", "*", "/", "%", "^", "==", "!=", ">", "<", ">=", "<=", "and", "or", "unless"})
# The parser reads Prometheus 3, too, which takes a text for a name and a number for seconds.
_TEXT = re.compile(r"""\"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`|#[^\n]*""")
_NEWER = re.compile(r'[{,(]\s*""|\[\s*[\d.]+\s*\]|\boffset\s+-?[\d.]+(?![\w.])', re.I)
_PATTERNS = (promql.MatchOp.Re, promql.MatchOp.NotRe)
REMEDY = "write it with the subset that stability.rules.expressions lists, or have it evaluated by a Prometheus"


def check_expression(expr: str, *, file: str | PathLike | None = None, row: int | None = None) -> None:
    """Look whether an expression is PromQL, and of the subset that is evaluated here.

    Parameters
    ----------
    expr : str
        PromQL.
    file : str or path, optional
        Where it stands, for errors.
    row : int, optional
        Its line there.

    Raises
    ------
    ContractError
        If it is not PromQL (with the parser's words), too long or too deep, or holds something outside of the subset
        (with its name and its text).

    Examples
    --------
    >>> check_expression("rate(http_server_errors_total[5m]) > 0.1")
    >>> check_expression("topk(3, up) > 0")
    Traceback (most recent call last):
    ...
    stability.schema.ContractError: expected an expression of the subset, got topk: 'topk(3, up)'. ...
    """
    try:
        parse(expr)
    except ContractError as error:
        if file is None:
            raise
        raise ContractError(
            error.problem, file=file, row=row, expected=error.expected, got=error.got, remedy=error.remedy
        ) from None


@lru_cache(maxsize=1024)
def parse(expr: str) -> promql.Expr:
    """Parse an expression of the subset.

    Parameters
    ----------
    expr : str
        PromQL.

    Returns
    -------
    promql_parser.Expr
        The tree, of which every node has been looked at.

    Raises
    ------
    ContractError
        As `check_expression`.
    """
    tree = tree_of(expr)
    _check(tree, 1)
    if _NEWER.search(_TEXT.sub(lambda found: "" if found[0].startswith("#") else '""', expr)):
        remedy = "write names without quotes and durations with their units"
        raise ContractError(expected="PromQL that Prometheus 2 reads, too", got=repr(expr), remedy=remedy)
    return tree


def tree_of(expr: str) -> promql.Expr:
    """Parse an expression, of the subset or not: for those that a real Prometheus evaluates.

    Raises
    ------
    ContractError
        If it is not PromQL, too long or too deep.
    """
    if len(expr) > LONGEST:
        raise ContractError(expected=f"an expression of at most {LONGEST:,} characters", got=f"{len(expr):,}")
    try:
        tree = promql.parse(expr)
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        raise ContractError(expected="PromQL", got=f"{expr!r}: {error}", remedy="mend the expression") from None
    level, depth = [tree], 0
    while level:
        level, depth = [child for node in level for child in children_of(node)], depth + 1
        if depth > DEEPEST:
            raise _too_deep()
    return tree


def looks_ahead(node: promql.Expr) -> bool:
    """Whether an expression may read samples later than the moment that it is evaluated at, or is bound to one moment.

    Examples
    --------
    >>> looks_ahead(tree_of("up offset -5m")), looks_ahead(tree_of("max_over_time(up[5m:1m] @ end())"))
    (True, True)
    >>> looks_ahead(tree_of("topk(1, up offset 5m)"))
    False
    """
    at, offset = getattr(node, "at", None), getattr(node, "offset", None)
    if at is not None or (offset is not None and offset.total_seconds() < 0):
        return True
    return any(looks_ahead(child) for child in children_of(node))


def written(node: promql.Expr) -> str:
    """Write a node as a person would.

    Examples
    --------
    >>> written(parse('rate(up{job="a"}[5m]) > bool 3'))
    'rate(up{job="a"}[5m]) > bool 3'
    >>> written(parse("up / up"))
    'up / up'
    """
    text = re.sub(r"([\w:])\{\}", r"\1", str(node))
    return re.sub(r" +", " ", text) if '"' not in text else text


def selectors_of(expr: str, *, guarded: bool = True) -> list[promql.VectorSelector]:
    """List the selectors of an expression, in the order in which they stand, each once.

    Parameters
    ----------
    expr : str
        PromQL of the subset.
    guarded : bool
        Also those inside absent() and absent_over_time(), which ask whether a metric is there.
    """
    found: dict[tuple, promql.VectorSelector] = {}
    for node in _walk(parse(expr), guarded):
        if isinstance(node, promql.VectorSelector):
            found.setdefault(selector_key(node), node)
    return list(found.values())


def selector_key(node: promql.VectorSelector) -> tuple:
    """Tell selectors apart by what they select; not by their text, which loses what is escaped."""
    return node.name, tuple((one.name, str(one.op), one.value) for one in node.matchers.matchers)


def metrics_of(expr: str, *, guarded: bool = True) -> list[str]:
    """Name the metrics of an expression, in the order in which they stand.

    Parameters
    ----------
    expr : str
        PromQL of the subset.
    guarded : bool
        Also those that stand only inside absent() and absent_over_time().

    Returns
    -------
    list of str
        Each once; a metric that is selected by a pattern of names has none.

    Examples
    --------
    >>> metrics_of("rate(errors_total[5m]) / rate(requests_total[5m]) > 0.1 or absent(up)")
    ['errors_total', 'requests_total', 'up']
    >>> metrics_of("errors_total > 1 or absent(up)", guarded=False)
    ['errors_total']
    """
    names = (metric_of(node) for node in selectors_of(expr, guarded=guarded))
    return list(dict.fromkeys(name for name in names if name))


def guards_of(expr: str) -> list[str]:
    """Name the metrics of which an expression asks whether they are there: those inside absent(), absent_over_time().

    Parameters
    ----------
    expr : str
        PromQL of the subset.

    Examples
    --------
    >>> guards_of("errors_total > 1 or absent(up) or absent_over_time(errors_total[5m])")
    ['up', 'errors_total']
    """
    calls = (node for node in _walk(parse(expr), True) if isinstance(node, promql.Call) and _asks(node))
    names = (metric_of(node) for call in calls for node in _walk(call, True) if isinstance(node, promql.VectorSelector))
    return list(dict.fromkeys(name for name in names if name))


def metric_of(node: promql.VectorSelector) -> str | None:
    """Name of the metric that a selector selects; None where it is a pattern."""
    if node.name:
        return node.name
    equal = (m.value for m in node.matchers.matchers if m.name == "__name__" and m.op == promql.MatchOp.Equal)
    return next(equal, None)


def operator_of(node: promql.BinaryExpr | promql.AggregateExpr) -> str:
    """Name of an operator, such as '+' or 'sum'."""
    return str(node.op).strip().lower()


def children_of(node: promql.Expr) -> list[promql.Expr]:
    """List the expressions that a node is made of."""
    if isinstance(node, promql.BinaryExpr):
        return [node.lhs, node.rhs]
    if isinstance(node, promql.Call):
        return list(node.args)
    if isinstance(node, promql.MatrixSelector):
        return [node.vector_selector]
    if isinstance(node, promql.AggregateExpr):
        return [node.expr] if node.param is None else [node.param, node.expr]
    if isinstance(node, promql.ParenExpr | promql.UnaryExpr | promql.SubqueryExpr):
        return [node.expr]
    return []


def _walk(node: promql.Expr, guarded: bool) -> Iterator[promql.Expr]:
    yield node
    if not guarded and isinstance(node, promql.Call) and _asks(node):
        return
    for child in children_of(node):
        yield from _walk(child, guarded)


def _asks(call: promql.Call) -> bool:
    return call.func.name in ("absent", "absent_over_time")


def _check(node: promql.Expr, depth: int) -> None:
    if depth > DEEPEST:
        raise _too_deep()
    if isinstance(node, promql.SubqueryExpr):
        raise _outside("a subquery", node)
    if isinstance(node, promql.StringLiteral):
        raise _outside("a text", node)
    if isinstance(node, promql.Call) and node.func.name not in FUNCTIONS:
        raise _outside(f"{node.func.name}()", node, nearest(node.func.name, FUNCTIONS))
    if isinstance(node, promql.AggregateExpr) and operator_of(node) not in AGGREGATIONS:
        raise _outside(operator_of(node), node)
    if isinstance(node, promql.BinaryExpr):
        _check_binary(node)
    if isinstance(node, promql.VectorSelector):
        _check_selector(node)
    for child in children_of(node):
        _check(child, depth + 1)


def _check_binary(node: promql.BinaryExpr) -> None:
    if operator_of(node) not in BINARY:
        raise _outside(operator_of(node), node)
    fill = getattr(node.modifier, "fill_values", None)
    if fill is not None and (fill.lhs is not None or fill.rhs is not None):
        raise _outside("fill()", node)


def _check_selector(node: promql.VectorSelector) -> None:
    if node.at is not None:
        raise _outside("the @ modifier", node)
    if node.matchers.or_matchers:
        raise _outside("'or' between matchers", node)
    if any("(?<" in one.value for one in node.matchers.matchers if one.op in _PATTERNS):
        raise _outside("a named group", node)
    if node.offset is not None and node.offset.total_seconds() < 0:
        raise _outside("a negative offset, which looks into the future", node)


def _outside(name: str, node: promql.Expr, near: str = "") -> ContractError:
    remedy = f"{near}; or {REMEDY}" if near else REMEDY
    return ContractError(expected="an expression of the subset", got=f"{name}: {written(node)!r}", remedy=remedy)


def _too_deep() -> ContractError:
    return ContractError(
        expected=f"an expression of at most {DEEPEST} levels", got="a deeper one", remedy="write it flatter"
    )
