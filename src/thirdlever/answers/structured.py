"""JSON answers: an object with given keys, or by a JSON schema; compared field by field."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

from thirdlever.answers.answer import Grade, refuse_text, stable_repr
from thirdlever.answers.reading import SHOWN, UNFINISHED, Reading, find_object, spoken, unread
from thirdlever.core.errors import SuiteError
from thirdlever.core.mistakes import misuse
from thirdlever.core.text import clipped

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from jsonschema.protocols import Validator
    from pydantic import BaseModel


Schema: TypeAlias = "Mapping[str, Any]"
Value: TypeAlias = "str | int | float | bool | list[Any] | dict[str, Any] | None"  # of a field

_SHOWN_FIELDS = 4  # in a reason
_DEEPEST = 64  # levels of a value; schemas in use have fewer than ten
_PLAIN_KEY = re.compile(r'[^.\[\]"]+')
_STEP = re.compile(r'\[(\d+)\]|\[("(?:\\.|[^"\\])*")\]|\.?([^.\[\]"]+)')


@dataclass(frozen=True)
class Json:
    """A JSON object; right if every field equals the target's.

    A field is a value inside the object, named by its path: `priority`, `order.id`, `items[0].sku`. A field that is
    missing equals one that is null.

    Attributes:
        keys: that the object must have. Those that `schema` requires, if left out.
        name: what the prompt calls the answer.
        max_tokens: of a right answer, at most.
        schema: a JSON schema, or a pydantic model; answers are validated, and models can be restricted to it. If left
            out, any value of the keys is valid.
        coerce: whether "123" equals 123, and "true" equals true.
        tolerance: largest difference of two numbers that are equal.
        partial: whether the score is the F1 of the fields, and an object that lacks keys is read.
    """

    keys: tuple[str, ...] = ()
    name: str = "JSON"
    max_tokens: int = 256
    choices: tuple[str, ...] = field(default=(), init=False)
    schema: Any = field(default=None, kw_only=True, repr=False, hash=False)  # a mapping, once made
    coerce: bool = field(default=False, kw_only=True, repr=False)
    tolerance: float = field(default=0.0, kw_only=True, repr=False)
    partial: bool = field(default=False, kw_only=True, repr=False)

    def __post_init__(self) -> None:
        """Complete the keys from the schema, or the schema from the keys.

        Raises:
            SuiteError: neither is given, or the schema is not one of an object.
        """
        refuse_text("Json", self.keys)
        keys: object = self.keys
        if isinstance(keys, type | dict):
            message = f"Json({getattr(keys, '__name__', '{…}')}) takes the keys; write Json(schema=…)"
            raise misuse(message, SuiteError)
        schema = _open(self.keys) if self.schema is None else as_schema(self.schema)
        required = schema.get("required") or schema["properties"]
        object.__setattr__(self, "keys", tuple(self.keys) or tuple(required))
        object.__setattr__(self, "schema", schema)
        if not self.keys or (unknown := set(self.keys) - set(schema["properties"])):
            what = f"has no property {min(unknown)!r}" if self.keys else "has no properties"
            message = f"Json: the schema {what}; write Json((KEY, KEY)) or Json(schema=SCHEMA)"
            raise misuse(message, SuiteError)

    def __repr__(self) -> str:
        """Leave out newer arguments where they are not used: suites measured before them keep their hash."""
        shown = stable_repr(self)
        return shown if self._validates else shown.replace(f", schema={self.schema!r}", "")

    @property
    def _validates(self) -> bool:
        """Whether a schema was stated."""
        return bool(self.schema != _open(self.keys))

    def describe(self) -> str:
        """Name the keys, or state the schema."""
        if not self._validates:
            return f"Answer with one JSON object that has the keys {', '.join(self.keys)} and nothing else."
        return f"Answer with one JSON object by this schema and nothing else: {outline(self.schema)}"

    def read(self, completion: str, *, cut_off: bool = False) -> Reading:
        """The last complete object that has the keys, in canonical form; wrappers are removed, slips repaired.

        The reason says what was removed and repaired, and which fields the schema does not allow.
        """
        text = spoken(completion)
        if text is None:
            return Reading(None, "cut_off", UNFINISHED)
        found = find_object(text, self.keys)
        if found is None and self.partial:
            found = next((one for key in self._names if (one := find_object(text, [key]))), None)
        if found is None or _deeper(found.value, _DEEPEST):
            wanted = f"no complete JSON object with {', '.join(self.keys)} found in: {text[:SHOWN]!r}"
            return unread(text, wanted, cut_off=cut_off)
        kept = _known(found.value, self.schema if self._validates else _open(self._names))
        reason = "; ".join(filter(None, [found.how, self.invalid(kept)]))
        return Reading(json.dumps(kept, ensure_ascii=False), "answered", reason)

    def grade(self, value: str, target: str) -> Grade:
        """Right if all fields agree; otherwise the reason names those that do not."""
        got, wanted = self._fields(value), self._fields(target)
        pairs = self.pairs(value, target)
        wrong = [path for path, here, there, _ in pairs if not self.same(here, there)]
        if not wrong:
            return Grade(1.0, "every field equals the target's")
        reasons = [f"{path}: {self._difference(got, wanted, path)}" for path in wrong[:_SHOWN_FIELDS]]
        more = [f"{len(wrong) - _SHOWN_FIELDS} more"] if len(wrong) > _SHOWN_FIELDS else []
        # A null in one and nothing in the other is a field of both.
        sizes = [(path in got or there is None) + (path in wanted or here is None) for path, here, there, _ in pairs]
        f1 = 2 * (len(pairs) - len(wrong)) / sum(sizes)
        return Grade(f1 if self.partial else 0.0, "; ".join([*reasons, *more]))

    def pairs(self, value: str | None, target: str) -> list[tuple[str, Value, Value, bool]]:
        """Every field's path, its value in the answer and in the target, and whether the target has it.

        A field that is missing is null.
        """
        got, wanted = {} if value is None else self._fields(value), self._fields(target)
        return [(path, got.get(path), wanted.get(path), path in wanted) for path in {**wanted, **got}]

    def problem(self, target: str) -> str | None:
        """A target must be a JSON object with every key that the schema allows, and nothing else."""
        try:
            value = json.loads(target)
        except (ValueError, RecursionError) as error:
            reason = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else error
            return f"{clipped(target)} is not JSON ({reason}); expected an object with {self._expected}"
        if not isinstance(value, dict):
            return f"{clipped(target)} is not a JSON object; expected one with {self._expected}"
        missing = [key for key in self.keys if key not in value]
        if missing:
            return f"{clipped(target)} has no key {missing[0]!r}; expected {self._expected}"
        if fault := self.invalid(value):
            return f"{clipped(target)} does not follow the schema ({fault})"
        return None

    def parts(self, value: str) -> dict[str, str]:
        """Every field's value, as JSON, by its path."""
        return {path: json.dumps(inner, ensure_ascii=False) for path, inner in self._fields(value).items()}

    def join(self, parts: Mapping[str, str]) -> str:
        """The object with these fields."""
        made = unflattened({path: json.loads(inner) for path, inner in parts.items()})
        return json.dumps({**{key: None for key in self.keys if key not in made}, **made}, ensure_ascii=False)

    def same(self, got: Value, wanted: Value) -> bool:
        """Whether a field's value equals the target's."""
        if self.coerce:
            got, wanted = _coerced(got), _coerced(wanted)
        if _is_number(got) and _is_number(wanted):
            return got == wanted or abs(got - wanted) <= self.tolerance  # type: ignore[operator] # numbers
        return type(got) is type(wanted) and got == wanted

    def invalid(self, value: Mapping[str, Any]) -> str:
        """The fields that the schema does not allow, each with the reason; "" if it allows all."""
        faults = [f"{path}: {fault}" for path, fault in self._faults(value).items()]
        return "not valid: " + "; ".join(faults[:_SHOWN_FIELDS]) if faults else ""

    def faults(self, value: str) -> dict[str, str]:
        """Why the schema does not allow a field of an answer, by its path."""
        return self._faults(json.loads(value))

    def _faults(self, value: Mapping[str, Any]) -> dict[str, str]:
        if not self._validates:
            return {}
        found: dict[str, str] = {}
        for error in self._validator.iter_errors(value):
            if error.validator == "required":
                missing = [key for key in error.validator_value if key not in error.instance]
                found |= {path_of([*error.absolute_path, key]): "missing" for key in missing}
            else:
                found[path_of(error.absolute_path) or "the object"] = error.message[:SHOWN]
        return found

    @cached_property
    def _validator(self) -> Validator:
        from jsonschema import Draft202012Validator

        return Draft202012Validator(self.schema)

    @property
    def _names(self) -> tuple[str, ...]:
        """The keys, and the optional ones."""
        return tuple(self.schema["properties"])

    @property
    def _expected(self) -> str:
        return f"the key{'' if len(self.keys) == 1 else 's'} {', '.join(map(repr, self.keys))}"

    def _fields(self, value: str) -> dict[str, Value]:
        whole: dict[str, Any] = json.loads(value)
        return flattened({name: whole[name] for name in self._names if name in whole})

    def _difference(self, got: Mapping[str, Value], wanted: Mapping[str, Value], path: str) -> str:
        if path not in got:
            return f"expected {wanted[path]!r}, got nothing"
        if path not in wanted:
            return f"expected nothing, got {clipped(got[path])}"
        kinds = [_kind(one[path]) for one in (got, wanted)]
        typed = kinds[0] != kinds[1] and _coerced(got[path]) == _coerced(wanted[path])
        hint = f" (a {kinds[0]} instead of a {kinds[1]})" if typed else ""
        return f"expected {wanted[path]!r}, got {got[path]!r}{hint}"


def _open(keys: Sequence[str]) -> dict[str, Any]:
    """The schema of an object whose keys have any plain value."""
    value = {"anyOf": [{"type": kind} for kind in ("string", "number", "boolean", "null")]}
    properties = dict.fromkeys(keys, value)
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def as_schema(stated: Schema | type[BaseModel]) -> dict[str, Any]:
    """A JSON schema of an object, without references, titles and defaults.

    Raises:
        SuiteError: it is none, is not one of an object, or refers to itself.
    """
    from jsonschema import Draft202012Validator, SchemaError
    from pydantic import BaseModel as Model

    if isinstance(stated, type) and issubclass(stated, Model):
        stated = stated.model_json_schema()
    if not hasattr(stated, "items"):
        message = (
            f"Json(schema={clipped(stated)}) is neither a JSON schema nor a pydantic model; write a dict or a class"
        )
        raise misuse(message, SuiteError)
    try:
        Draft202012Validator.check_schema(dict(stated))
    except SchemaError as error:
        message = f"Json: the schema is not valid ({clipped(error.message)} at {error.json_path}); correct it"
        raise misuse(message, SuiteError) from None
    schema: dict[str, Any] = _inlined(dict(stated), stated.get("$defs") or stated.get("definitions") or {}, ())
    if schema.get("type") != "object" or not isinstance(schema.get("properties"), dict):
        message = 'Json: the schema is not one of an object; write {"type": "object", "properties": {…}}'
        raise misuse(message, SuiteError)
    return schema


def _inlined(node: Any, definitions: Mapping[str, Any], inside: tuple[str, ...]) -> Any:  # noqa: ANN401 - JSON
    """A schema with its references resolved: not every provider, and no grammar, resolves them."""
    if isinstance(node, list):
        return [_inlined(each, definitions, inside) for each in node]
    if not isinstance(node, dict):
        return node
    if isinstance(reference := node.get("$ref"), str):
        name = reference.rpartition("/")[2]
        if name in inside or name not in definitions:
            fault = "refers to itself" if name in inside else f"has no definition {name!r}"
            message = f"Json: the schema {fault}; write out the levels that answers have"
            raise misuse(message, SuiteError)
        return _inlined(definitions[name], definitions, (*inside, name))
    return {
        # Below `properties`, names are the user's own: a field may be called "title".
        name: {key: _inlined(each, definitions, inside) for key, each in value.items()}
        if name == "properties"
        else value
        if name in {"enum", "const"}
        else _inlined(value, definitions, inside)
        for name, value in node.items()
        if name not in {"$defs", "definitions", "title", "default"}
    }


def outline(schema: Schema) -> str:
    """A schema in one line, as a prompt states it.

    >>> outline({"type": "object", "properties": {"size": {"enum": ["S", "M"]}, "n": {"type": "integer"}}})
    '{"size": "S" | "M", "n": integer}'
    """
    match schema:
        case {"enum": [*choices]} | {"const": choices}:
            values = choices if isinstance(choices, list) else [choices]
            return " | ".join(json.dumps(each, ensure_ascii=False) for each in values)
        case {"anyOf": several} | {"oneOf": several}:
            return " | ".join(map(outline, several))
        case {"type": "object", "properties": properties}:
            fields = (f"{json.dumps(name, ensure_ascii=False)}: {outline(each)}" for name, each in properties.items())
            return f"{{{', '.join(fields)}}}"
        case {"type": "array", "items": items}:
            return f"[{outline(items)}, …]"
        case {"type": list(kinds)}:
            return " | ".join(kinds)
    return str(schema.get("type", "any value"))


def _known(value: Any, schema: Schema) -> Any:  # noqa: ANN401 - JSON
    """A value without the keys that the schema does not have, in its order."""
    for each in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        if "properties" in each or "items" in each:
            return _known(value, each)
    if isinstance(value, dict) and (properties := schema.get("properties")):
        return {name: _known(value[name], each) for name, each in properties.items() if name in value}
    if isinstance(value, list) and isinstance(items := schema.get("items"), dict):
        return [_known(each, items) for each in value]
    return value


def flattened(value: Mapping[str, Any]) -> dict[str, Value]:
    """The fields of an object by their paths; an empty object or array is a field.

    >>> flattened({"order": {"id": 7}, "items": [{"sku": "A"}, {"sku": "B"}], "note": None})
    {'order.id': 7, 'items[0].sku': 'A', 'items[1].sku': 'B', 'note': None}
    """
    return {path_of(steps): inner for steps, inner in _leaves(value)}


def _leaves(value: Mapping[str, Any]) -> Iterator[tuple[list[str | int], Value]]:
    left: list[tuple[list[str | int], Any]] = [([], value)]
    while left:
        steps, inner = left.pop()
        if steps and (not isinstance(inner, dict | list) or not inner):
            yield steps, inner
        else:
            below = inner.items() if isinstance(inner, dict) else enumerate(inner)
            left += [([*steps, step], each) for step, each in below][::-1]


def path_of(steps: Iterator[str | int] | Sequence[str | int]) -> str:
    """A field's path.

    >>> path_of(["items", 0, "unit price", "a.b"])
    'items[0].unit price["a.b"]'
    """
    path = ""
    for step in steps:
        if isinstance(step, int):
            path += f"[{step}]"
        elif _PLAIN_KEY.fullmatch(step):
            path += f".{step}" if path else step
        else:
            path += f"[{json.dumps(step, ensure_ascii=False)}]"
    return path


def unflattened(parts: Mapping[str, Value]) -> dict[str, Any]:
    """The object with these fields; the inverse of `flattened`.

    >>> unflattened({"order.id": 7, "items[0].sku": "A", "items[1].sku": "B"})
    {'order': {'id': 7}, 'items': [{'sku': 'A'}, {'sku': 'B'}]}
    """
    tree: dict[str | int, Any] = {}
    for path, inner in parts.items():
        steps = [int(at) if at else json.loads(quoted) if quoted else key for at, quoted, key in _STEP.findall(path)]
        node = tree
        for step in steps[:-1]:
            below = node.get(step)
            if not isinstance(below, dict):
                below = node[step] = {}
            node = below
        node.setdefault(steps[-1], inner)
    return {str(key): _arrays(each) for key, each in tree.items()}


def _arrays(node: Any) -> Any:  # noqa: ANN401 - JSON
    """Make lists of those objects whose keys are numbers."""
    if not isinstance(node, dict) or not node:
        return node
    if all(isinstance(key, int) for key in node):
        return [_arrays(node[at]) for at in sorted(node)]
    return {str(key): _arrays(each) for key, each in node.items()}


def _deeper(value: object, levels: int) -> bool:
    """Whether a value has more levels than that."""
    level: list[Any] = [value]
    for _ in range(levels):
        level = [
            each
            for one in level
            if isinstance(one, dict | list)
            for each in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return False
    return True


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _kind(value: Value) -> str:
    names = {bool: "boolean", int: "number", float: "number", str: "string", list: "list", dict: "object"}
    return names.get(type(value), "null")


def _coerced(value: Value) -> Value:
    """A string that reads as a number, true or false, as that."""
    if not isinstance(value, str):
        return value
    try:
        read = json.loads(value)
    except (ValueError, RecursionError):
        return value.strip()
    return read if isinstance(read, int | float) else value.strip()
