"""Which small changes of a source could be mistakes: each of them is one mutant."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_SWAPPED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
# What they are given is for people: wording, and the log.
_TELLS_PEOPLE = {"_", "gettext", "gettext_lazy", "gettext_noop", "ngettext", "ngettext_lazy"}


@dataclass(frozen=True, order=True)
class Mutant:
    """One change of one file: the bytes from `start` to `end` become `replacement`."""

    path: str
    line: int
    start: int
    end: int
    replacement: str
    change: str
    # The line of the statement around it, which tests run; 0 for what is run at import.
    statement: int

    def apply(self, source: bytes) -> bytes:
        """Return the file with the change in it."""
        return source[: self.start] + self.replacement.encode() + source[self.end :]


def find(path: Path) -> list[Mutant]:
    """Return every mutant of a file, or of all Python files below a folder.

    Comparisons, boolean operators, arithmetic and constants are changed, `not` is dropped,
    conditions are forced, what is returned becomes None, and calls, raises, attributes that
    are set, `break` and `continue` are taken out. Wording, log, annotations, decorators,
    imports and strings with a space in them stay as they are.
    """
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    return [mutant for file in files for mutant in _of_file(file)]


def _of_file(file: Path) -> Iterator[Mutant]:
    source = file.read_bytes()
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for node, new, statement in _changes(ast.parse(source)):
        start = starts[node.lineno - 1] + node.col_offset
        end = starts[node.end_lineno - 1] + node.end_col_offset
        # No line after it moves.
        written, ends = ast.unparse(new), "\n" * (node.end_lineno - node.lineno)
        old = " ".join(source[start:end].decode().split())
        yield Mutant(
            path=str(file),
            line=node.lineno,
            start=start,
            end=end,
            replacement=(f"({written}{ends})" if isinstance(new, ast.expr) else written + ends),
            change=f"{_short(old)} → {_short(written)}",
            statement=statement.lineno if statement else 0,
        )


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}…"


def _changes(
    node: ast.AST, statement: ast.stmt | None = None, *, is_in_function: bool = False
) -> Iterator[tuple[ast.AST, ast.AST, ast.stmt | None]]:
    """Give what can be changed, what it becomes, and the statement of a function around it."""
    if is_in_function and isinstance(node, ast.stmt):
        statement = node
    for old, new in _alternatives(node):
        yield old, new, statement
    is_in_function |= _runs_later(node)
    for child in _children(node):
        yield from _changes(child, statement, is_in_function=is_in_function)


def _runs_later(node: ast.AST) -> bool:
    """Say whether this is a function whose answers nobody keeps from the start on."""
    return isinstance(node, ast.FunctionDef) and not any(
        "cache" in ast.unparse(each) for each in node.decorator_list
    )


def _children(node: ast.AST) -> list[ast.AST]:
    match node:
        case ast.Import() | ast.ImportFrom() | ast.JoinedStr():
            return []
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
            body = node.body if isinstance(node.body, list) else [node.body]
            defaults = [*node.args.defaults, *node.args.kw_defaults]
            return [child for child in [*defaults, *body] if child is not None]
        case ast.ClassDef():
            return list(node.body)
        case ast.AnnAssign():
            return [node.value] if node.value else []
        case ast.Assign(targets=[ast.Name("__all__")]):
            return []
        case ast.Call() if _tells_people(node):
            return []
        case _:
            return list(ast.iter_child_nodes(node))


def _tells_people(call: ast.Call) -> bool:
    match call.func:
        case ast.Name(name):
            return name in _TELLS_PEOPLE
        case ast.Attribute(ast.Name("logger")):
            return True
        case _:
            return False


def _alternatives(node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Give what could stand there by mistake: each with the node it would replace."""
    for test in _conditions(node):
        yield test, ast.Constant(True)
        yield test, ast.Constant(False)
    if _is_dispensable(node):
        yield node, ast.Pass()
    match node:
        case ast.Compare(left, operators, right):
            for place, operator in enumerate(operators):
                others = [*operators[:place], _SWAPPED[type(operator)](), *operators[place + 1 :]]
                yield node, ast.Compare(left, others, right)
        case ast.BoolOp(operator, values):
            yield node, ast.BoolOp(_SWAPPED[type(operator)](), values)
        case ast.UnaryOp(ast.Not(), operand):
            yield node, operand
        case ast.BinOp(left, operator, right) if type(operator) in _SWAPPED:
            yield node, ast.BinOp(left, _SWAPPED[type(operator)](), right)
        case ast.Constant(value) if (other := _other_value(value)) is not None:
            yield node, ast.Constant(other)
        case ast.Return(value) if value and not isinstance(value, ast.Constant):
            yield node, ast.Return(ast.Constant(None))


def _conditions(node: ast.AST) -> list[ast.expr]:
    match node:
        case ast.If(test) | ast.IfExp(test):
            return [test]
        case ast.comprehension(ifs=tests):
            return tests
        case _:
            return []


def _is_dispensable(node: ast.AST) -> bool:
    """Say whether the code would still run without this statement."""
    match node:
        case ast.Expr(ast.Call() as call):
            return not _tells_people(call)
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            return True
        case _:
            return isinstance(
                node, ast.AugAssign | ast.Raise | ast.Break | ast.Continue | ast.Delete
            )


def _other_value(value: object) -> object:
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case str() if not re.search(r"\s", value):
            return f"{value}x"
        case _:
            return None
