"""How a completion is read: its status, refusals, unfinished answers, JSON objects, and the label that it settles on.

Reasoning is removed before reading: what a chain of thought mentions is not an answer, and one that was cut off has no
answer yet (huggingface/lighteval#513 and #869, EleutherAI/lm-evaluation-harness#2682). A short refusal is told apart
from a wrong answer. The text itself is kept in the records.
"""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from thirdlever.answers.names import negates

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from thirdlever.answers.names import LabelNames, Mention


Status: TypeAlias = Literal["answered", "unparsed", "refused", "cut_off", "failed"]

UNFINISHED = "reasoning not finished"
SHOWN = 80  # characters of a completion in a reason
_SHORT = 400  # characters: a longer text that begins like a refusal goes on to say something else

_REASONING = re.compile(r"<(/?)(?:think|thinking|thought|reasoning)>", re.IGNORECASE)
# Left over from chat templates, which a server did not remove.
_TEMPLATE = re.compile(r"<\|[^<>|\n]{0,40}\|>|</?s>|<(?:end|start)_of_turn>|\[/?INST\]")
# Written in text without a meaning: a byte order mark, zero-width spaces, direction marks.
_INVISIBLE = dict.fromkeys([0xFEFF, 0x200B, 0x200E, 0x200F, *range(0x202A, 0x202F), 0x2060])
_REFUSAL = re.compile(
    r"\W*(?:(?:(?:i'm|i am|we're|we are)\s+(?:very |so |really )?sorry|sorry|i apologi[sz]e|my apologies|unfortunately"
    r"|as an ai(?: \w+){0,3})\b[^.\n]{0,60}?[,.;]?\s+(?:but |however,? )?)?"
    r"(?:i|we)(?:'m| am|'re| are)?\s*(?:can ?not|can't|won't|will not|unable to|not able to|must decline|decline to)"
    r"(?:\s+\w+){0,2}?\s*(?:assist|help|comply|fulfil|provide|answer|respond|classify|categori[sz]e|label|engage|continue"
    r"|process|discuss|support|do (?:that|this|so)|with (?:that|this))\b"
    r"|\W*(?:es tut mir leid|entschuldigung|leider)\b[^.\n]{0,60}?\b(?:kann|darf) (?:ich|nicht)"
    r"|\W*ich (?:kann|darf) (?:dabei|ihnen|dir|das|diese\w*)\b[^.\n]{0,60}?\bnicht\b"
    r"|\W*(?:lo siento|je suis désolé\w*|désolé\w*)\b[^\n]{0,60}?\b(?:no puedo|ne peux pas)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a completion says.

    Attributes:
        value: the answer, in the form that is compared with the target; None if there is none.
        status: "answered" if there is one. Otherwise why not: "unparsed", "refused", "cut_off" (generation ended before
            the answer) or "failed" (the request did).
        reason: how it was read, or why it was not, for the reader of a report; "" if the completion is the answer.
    """

    value: str | None
    status: Status
    reason: str


def spoken(completion: str) -> str | None:
    r"""The completion without reasoning and remains of a chat template; None if its reasoning is not finished.

    Text before a closing tag is reasoning even without an opening one, which chat templates put into the prompt.

    >>> spoken("<think>shipping? no.</think>\nrefund")
    'refund'
    >>> spoken("shipping? no.</think>refund"), spoken("<think>never closed, shipping")
    ('refund', None)
    """
    text = _TEMPLATE.sub("", completion if completion.isascii() else completion.translate(_INVISIBLE))
    kept, start, depth = [], 0, 0
    for tag in _REASONING.finditer(text):
        if not tag[1]:
            kept += [text[start : tag.start()]] if not depth else []
            depth += 1
        elif depth:
            depth -= 1
        else:
            kept.clear()
        start = tag.end()
    return None if depth else unicodedata.normalize("NFC", "".join([*kept, text[start:]])).strip()


def refusal(text: str) -> re.Match[str] | None:
    """The words of a text in which its author declines; None if it is not a short refusal."""
    return _REFUSAL.match(text.replace("’", "'")) if len(text) <= _SHORT else None


def unread(text: str, reason: str, *, cut_off: bool) -> Reading:
    """The reading of a text without an answer.

    Args:
        text: the completion without reasoning.
        reason: what is missing.
        cut_off: whether generation ended at its limit.
    """
    if refusal(text):
        return Reading(None, "refused", f"the model refused: {text[:SHOWN]!r}")
    if cut_off:
        return Reading(None, "cut_off", f"cut off: {reason}" if text else "cut off before any text")
    return Reading(None, "unparsed", reason if text else "the completion is empty")


def marked(text: str, name: str) -> str | None:
    r"""What follows the last line that begins with "Answer:" or the answer's name; None if there is no such line.

    >>> marked("It is in France.\nAnswer: Paris", "City")
    'Paris'
    """
    marker = rf"^\W{{0,4}}(?:(?:the )?(?:final )?answer|{re.escape(name)})\W{{0,4}}[:：][*_\s]*"
    begins = list(re.finditer(marker, text, re.IGNORECASE | re.MULTILINE))
    return text[begins[-1].end() :].strip() if begins else None


_JSON = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class FoundObject:
    """An object that has the keys.

    Attributes:
        value: the object.
        how: what was done to find it; "" if nothing.
    """

    value: dict[str, Any]
    how: str


def find_object(text: str, keys: Sequence[str]) -> FoundObject | None:
    """The last complete object with the keys; None if there is none.

    A model that corrects itself writes the better object later, and one that repeats the format writes it before.

    >>> find_object('{"a": 1} or rather {"result": {"a": 2}}', ["a"])
    FoundObject(value={'a': 2}, how="unwrapped from 'result'")
    """
    found = None
    for value, how in _objects(text):
        path = _path(value, keys)
        if path is not None:
            wrapped = [f"unwrapped from {'.'.join(map(str, path))!r}"] if path else []
            inner: Any = value
            for step in path:
                inner = inner[step]
            found = FoundObject(inner, "; ".join([*how, *wrapped]))
    return found


def _objects(text: str) -> Iterator[tuple[Any, list[str]]]:
    """Every outermost object of a text that has an end, and how it was repaired."""
    ends = _ends(text)
    at = text.find("{")
    while at >= 0:
        try:
            value, end = _JSON.raw_decode(text, at)
        except (ValueError, RecursionError):
            end = ends.get(at, at)
            if end > at:
                yield _repaired(text[at:end]), ["repaired"]
        else:
            yield value, []
        at = text.find("{", max(end, at + 1))


def _ends(text: str) -> dict[int, int]:
    """Where each brace's partner ends, by where it opens; an object that was cut off has none."""
    ends: dict[int, int] = {}
    opened: list[int] = []
    for at, character in enumerate(text):
        if character == "{":
            opened.append(at)
        elif character == "}" and opened:
            ends[opened.pop()] = at + 1
    return ends


def _repaired(text: str) -> Any:  # noqa: ANN401 - JSON
    """What was meant by an object with single quotes, trailing commas, comments or the like."""
    from json_repair import repair_json

    try:
        return repair_json(text, return_objects=True, skip_json_loads=True)
    except (ValueError, RecursionError):
        return None


def _path(value: Any, keys: Sequence[str]) -> list[str | int] | None:  # noqa: ANN401 - JSON
    """The way to the last object with the keys inside a value; [] if it is the value itself, None if there is none."""
    if isinstance(value, dict) and all(key in value for key in keys):
        return []
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return next(([step, *path] for step, own in [*inner][::-1] if (path := _path(own, keys)) is not None), None)


_FENCE = re.compile(r"^[ \t]*```[\w-]*[ \t]*$", re.MULTILINE)
_LATEX = re.compile(r"\\(?:text|math)\w*\s*\{([^{}\n]*)\}")
_BOXED = re.compile(r"\\boxed\s*\{([^{}\n]*)\}|\\boxed\s*(\S+)")
_ANSWER_TAG = re.compile(r"<(?:final_)?answer>", re.IGNORECASE)
_TAG = re.compile(r"</?[A-Za-z][\w:-]{0,30}(?: [^<>\n]{0,60})?/?>")

_WORDS = (
    *("answer", "label", "category", "class", "classification", "prediction", "output", "response", "result", "intent"),
    *("sentiment", "topic", "verdict", "conclusion", "decision", "choice", "option", "tag"),
    *("antwort", "kategorie", "klasse", "ergebnis", "réponse", "catégorie", "respuesta", "categoría", "risposta"),
    *("resposta", "答案", "回答", "类别", "分类", "答え", "정답"),
)
_DECORATION = " \t\"'*_`~()"
# What makes a marker of a word such as "answer".
_SEPARATOR = re.compile(
    rf"[{_DECORATION}]{{0,6}}"
    r"(?:(?P<colon>[:：→]|[=-]>|=)|(?<![^\W_])(?:is|(?:would|should|must) be|ist|lautet|es|est)(?!\w)[ \t]*:?|[是为は])"
)
_EXPLAINS = re.compile(
    r"(?:reason\w*|explan\w*|explication|rationale|justif\w*|analysis|notes?|because|step|thoughts?|confidence|score"
    r"|comment|evidence|hint|begründung|erklärung|grund|raison|razón)\b",
    re.IGNORECASE,
)
_FIELD = re.compile(r"[\W_]{0,6}(\w[\w '’/()-]{0,40}?)[\"'*_`\s]{0,6}[:：](?!//)")
_MOST_WORDS = 4  # in the name of a field
_ITEM = re.compile(r"(?:[-*•–]|\(?(?:\d{1,2}|[A-Za-z])[.)])\s+\S")
_SENTENCE = re.compile(r"(?<=[.!?;。！？])\s*")
# What may follow a label that begins a line, as in "B) because A is wrong" and "refund: not about shipping".
_GOES_ON = re.compile(r"[\"'*_`\s]*(?:[).\]:：(–—-]|,?\s*(?:because|since|as|weil|denn|da|car|porque)\b)")
# "No, there is …" answers with its first word, even if a label such as "no" comes again.
_PLAIN = {"yes", "no", "true", "false", "ja", "nein", "oui", "non", "sí", "si"}
_PLAIN_GOES_ON = re.compile(rf"\s*,|{_GOES_ON.pattern}")

Named: TypeAlias = "tuple[str, ...]"


@dataclass(frozen=True, slots=True)
class Marked:
    """What follows a marker such as "Answer:".

    Attributes:
        labels: named there, without the negated ones.
        clear: whether it is, or begins with, the one label.
        colon: whether the marker is one by its form, and not a sentence with "is".
        line: the number of its line, from 0.
    """

    labels: Named
    clear: bool
    colon: bool
    line: int


@dataclass(frozen=True, slots=True)
class Marker:
    """A marker in a line: where it begins, where it ends, and whether it is one by its form."""

    start: int
    end: int
    colon: bool


def conclude(text: str, names: LabelNames, name: str, *, cut_off: bool, negated_is_other: bool) -> Reading:
    r"""Find the label that a completion settles on.

    The order of trust, and the public threads that it comes from:

    1.  The whole completion is a label. Quotes, emphasis, code fences, `$…$`, `\text{…}`, tags and end marks are
        decoration (UKGovernmentBEIS/inspect_ai#5145: 254 of 792 answers were right and wrapped in `$…$`).
    2.  An explicit "answer:", "final answer is", "<name>:", `\boxed{…}` or JSON key that a label follows. The last one
        counts: models restate the format and hedge before (openai/simple-evals#33, modelscope/evalscope#1597,
        inspect_ai#721, #3024). One that no label follows, as in "Answer: this is hard", does not count.
    3.  The first line is a label. The prompt asks for the label alone, so a model that begins with one has answered;
        what follows is a comment on it. That is why it comes before any later line.
    4.  The last line is a label.
    5.  A sentence such as "the answer is probably B", the last one.
    6.  The last line that names exactly one label, which is where reasoning without tags ends (groq/openbench#97).
    7.  The only label in the text.

    Two labels without any of these are no answer, and neither is a label that is negated (tweeteval's `offensive` and
    `not-offensive`): never the opposite class.

    A local model without a stop sign goes on after its answer and invents the next examples, in the form of the
    prompt: "refund\nText: my parcel is late\nCategory: shipping". Rule 2 would read the invention. So the
    completion ends, for all rules, where a line "Something: …" that is neither an answer nor an explanation follows
    a line that is an answer.

    Rules 5 to 7 leave out lists of several labels, which restate the options, and lines such as "Transaction: …"
    and "Explanation: …", whose text is not the answer. Where generation ended at its limit, they leave out the
    last, unfinished sentence, which may be going to say the opposite, and no rule takes a label that may be the
    beginning of a longer one.

    Args:
        text: the completion without reasoning.
        names: the labels.
        name: of the answer, as the prompt has it.
        cut_off: whether generation ended at its limit.
        negated_is_other: whether, of two labels, a negated one means the other.
    """
    cleaned = _cleaned(text)
    whole = names.exact(cleaned) if cleaned else None
    if whole is not None:
        return _answered(whole, "", cleaned, names, cut_off=cut_off)
    lines = _Lines([line.strip() for line in cleaned.splitlines() if line.strip()], names, name)
    stated = lines.stated(cut_off=cut_off)
    if stated is not None:
        return _answered(*stated, cleaned, names, cut_off=cut_off)
    if (declined := refusal(text)) and not any(each.end <= declined.end() for each in names.mentions(text)):
        return unread(text, "", cut_off=cut_off)
    prose = _Prose(lines, names, cut_off=cut_off)
    if prose.label is not None:
        return Reading(prose.label, "answered", prose.where)
    if negated_is_other and (opposite := prose.opposite):
        return Reading(opposite, "answered", f"the other label is negated in: {text[:SHOWN]!r}")
    missing = "finished sentence names a label" if cut_off else "label found"
    return unread(text, prose.problem or f"no {missing} in: {text[:SHOWN]!r}", cut_off=cut_off)


def _cleaned(text: str) -> str:
    """The text without fences, markup and LaTeX around words."""
    if "<" in text:
        text = _TAG.sub(" ", _ANSWER_TAG.sub("\nanswer: ", text))
    if "\\" in text:
        text = _BOXED.sub(lambda box: f"\nanswer: {box[1] or box[2]}\n", _LATEX.sub(r"\1", text))
    return (_FENCE.sub("", text) if "```" in text else text).strip()


class _Lines:
    """The lines of a completion, without the next example that a model invents after its answer: rules 2 to 5."""

    def __init__(self, lines: Sequence[str], names: LabelNames, name: str) -> None:
        """Find the labels that lines are, and the markers."""
        self._names = names
        text = "\n".join(lines).lower()
        self._words = [word for word in {name.lower(), *_WORDS} if word and word in text]  # few texts have any
        self.lines: list[str] = []
        self.exact: list[str | None] = []  # the label that a line is
        self._markers: list[list[Marker]] = []
        answered = False
        for line in lines:
            if answered and (field := self.field(line)) and not _EXPLAINS.match(field):
                break
            label, found = names.exact(line), self._find(line)
            self.lines.append(line)
            self.exact.append(label)
            self._markers.append(found)
            answered = answered or label is not None or any(names.exact(line[each.end :]) for each in found[-1:])

    def field(self, line: str) -> str | None:
        """The name of the field that a line fills, such as "Transaction"; None if it is an answer, or no field."""
        found = _FIELD.match(line)
        if found is None or len(found[1].split()) > _MOST_WORDS or self._names.mentions(found[1]):
            return None
        return None if self._find(found[0]) else found[1]

    def stated(self, *, cut_off: bool) -> tuple[str, str] | None:
        """The label that the completion states, and where."""
        alone = [self._alone(at) for at in range(len(self.lines))]
        first = alone[0] if alone else None
        marked = list(self._marked())
        clear = [each for each in marked if each.clear and (each.colon or first is None)]
        if clear:
            return clear[-1].labels[0], "read after its marker"
        if first is not None:
            return first, "read from the first line"
        if alone and alone[-1] is not None:
            return alone[-1], "read from the last line"
        finished = [each for each in marked if not (cut_off and each.line == len(self.lines) - 1)]
        if finished and len(finished[-1].labels) == 1:
            return finished[-1].labels[0], "read after its marker"
        return None

    def _alone(self, at: int) -> str | None:
        """The label that a line is, unless a line beside it is another one: a list restates the options."""
        beside = {self.exact[near] for near in (at - 1, at + 1) if 0 <= near < len(self.exact)}
        return None if beside - {self.exact[at], None} else self.exact[at]

    def _find(self, line: str) -> list[Marker]:
        """Every marker in a line: a word such as "answer" before a colon or "is"."""
        found: list[Marker] = []
        lowered = line.replace("İ", "I").lower() if self._words else ""  # as long as the line
        for word in self._words:
            at = lowered.find(word)
            while at >= 0:
                separator = _SEPARATOR.match(line, at + len(word))
                if separator and not (word.isascii() and lowered[max(0, at - 1) : at].isalnum()):
                    found.append(Marker(at, separator.end(), separator["colon"] is not None))
                at = lowered.find(word, at + 1)
        return sorted(found, key=lambda marker: marker.start)

    def _marked(self) -> Iterator[Marked]:
        """What follows every marker that is followed by a label, in order."""
        for at, line in enumerate(self.lines):
            for marker in self._markers[at]:
                value, before = line[marker.end :].strip(), line[: marker.end]
                if not value.strip(_DECORATION) and at + 1 < len(self.lines):  # "Answer:" on a line of its own
                    value, before = self.lines[at + 1], ""
                labels, clear = _settled(_quoted(value), self._names, before)
                if labels:
                    yield Marked(labels, clear, marker.colon, at)


def _quoted(value: str) -> str:
    """Of a JSON string and what follows it, the string."""
    quote = value[:1]
    end = value.find(quote, 1) if quote in {'"', "'"} else -1
    return value[:end].strip(quote) if end > 0 else value


def _settled(value: str, names: LabelNames, before: str) -> tuple[Named, bool]:
    """The labels that a marker's value names, in its first sentence that names any; and whether it begins with one."""
    label = names.exact(value)
    if label is not None:
        return ((), False) if negates(before.casefold()) else ((label,), True)
    for sentence in _SENTENCE.split(value):
        mentions = names.mentions(sentence, before)
        if not mentions:
            continue
        lead = _leading(sentence, mentions)
        if lead is not None:
            return (lead,), True
        question = sentence.rstrip().endswith("?")
        return (() if question else _distinct(mentions)), False
    return (), False


def _leading(line: str, mentions: Sequence[Mention]) -> str | None:
    """The label that a line begins with, where what follows only explains it."""
    first = mentions[0]
    if first.negated or re.search(r"\w", line[: first.start]):
        return None
    rest = line[first.end :]
    if not re.search(r"\w", rest):
        return first.label
    gap = (_PLAIN_GOES_ON if first.label.casefold() in _PLAIN else _GOES_ON).match(rest)
    if gap is None or any(_listed(line, first, other, gap[0]) for other in mentions if other.label != first.label):
        return None
    return first.label


def _listed(line: str, first: Mention, other: Mention, gap: str) -> bool:
    """Whether another label follows at once, or has the same sign after it: "refund - shipping", "A) x B) y"."""
    at_once = not gap[-1].isalpha() and not re.search(r"\w", line[first.end + len(gap) : other.start])
    return at_once or line[first.end : first.end + 1] == line[other.end : other.end + 1] != ""


def _distinct(mentions: Sequence[Mention]) -> Named:
    return tuple(dict.fromkeys(mention.label for mention in mentions if not mention.negated))


# Answers that are implied: rules 6 and 7


class _Prose:
    """What lines name in passing."""

    def __init__(self, lines: _Lines, names: LabelNames, *, cut_off: bool) -> None:
        """Find every label."""
        self._names = names
        texts, unfinished = _finished(lines.lines) if cut_off else (lines.lines, "")
        mentions = [names.mentions(text) for text in texts]
        begun = names.mentions(unfinished)
        self._negated = sorted({mention.label for line in [*mentions, begun] for mention in line if mention.negated})
        self._all = tuple(dict.fromkeys(label for line in [*mentions, begun] for label in _distinct(line)))
        self._unfinished = _distinct(begun)
        leads = [_leading(text, found) if found else None for text, found in zip(texts, mentions, strict=True)]
        self._lines = [self._named(*each, lines) for each in zip(texts, mentions, leads, strict=True)]
        items = [at for at, text in enumerate(texts) if leads[at] or (self._lines[at] and _ITEM.match(text))]
        if len({self._lines[at] for at in items}) > 1:  # a list restates the options
            for at in items:
                self._lines[at] = ()

    def _named(self, text: str, found: Sequence[Mention], lead: str | None, lines: _Lines) -> Named:
        if lead is not None:
            return (lead,)
        if not found or lines.field(text) is None:
            return _distinct(found)
        label = self._names.exact(text.partition(":")[2])  # "Grade: A"
        return () if label is None else (label,)

    @property
    def label(self) -> str | None:
        """The label of the last line that names exactly one; None if the text takes it back or goes on with another."""
        label = next((named[0] for named in reversed(self._lines) if len(named) == 1), None)
        return None if label in self._negated or set(self._unfinished) - {label} else label

    @property
    def where(self) -> str:
        """Where the label stands."""
        return f"read from the {'only label in the text' if len(self._all) == 1 else 'last line that names one label'}"

    @property
    def opposite(self) -> str | None:
        """Of two labels, the other of the one that the text negates; None if it names one, or negates both."""
        others = set(self._names.labels).difference(self._negated)
        return others.pop() if len(self._names.labels) == 2 and len(others) == 1 and not self._all else None  # noqa: PLR2004

    @property
    def problem(self) -> str | None:
        """Why these lines have no answer; None if they name no label."""
        if len(self._all) > 1:
            number = "two" if len(self._all) == 2 else str(len(self._all))  # noqa: PLR2004 - spelled out
            return f"{number} labels named: {', '.join(self._all)}"
        if self._negated:
            return f"negated: {', '.join(self._negated)}"
        return f"named in passing: {self._all[0]}" if self._all else None


def _finished(lines: Sequence[str]) -> tuple[list[str], str]:
    """The lines without the last sentence, and that sentence, which was cut off."""
    if not lines:
        return [], ""
    *sentences, unfinished = _SENTENCE.split(lines[-1])
    return [*lines[:-1], " ".join(sentences)], unfinished


def _answered(label: str, reason: str, text: str, names: LabelNames, *, cut_off: bool) -> Reading:
    """The label, unless it may be the beginning of a longer one."""
    longer = names.longer(label) if cut_off else None
    if longer is not None and _ends_in(text, label, names):
        return unread(text, f"{label!r} may be the beginning of {longer!r}", cut_off=True)
    return Reading(label, "answered", reason)


def _ends_in(text: str, label: str, names: LabelNames) -> bool:
    """Whether a label is the last that a text names, and nothing shows that it is complete."""
    line = text.splitlines()[-1]
    mentions = names.mentions(line)
    return names.exact(line) == label or (bool(mentions) and mentions[-1].label == label and line[-1].isalnum())
