"""Prompt, retrieval or fine-tune? Every strategy over one labelled suite, side by side, with the evidence to decide.

    import thirdlever

    run = thirdlever.run("transactions", ["null", "rag:k=20"], limit=200)
    run.summary  # a pandas DataFrame, one row per candidate

Everything that a strategy, an eval or a notebook needs is here. Heavy libraries (torch, pandas, inspect_ai) are
imported by the first call that needs them.
"""

from thirdlever.analysis.run import Run, load
from thirdlever.answers.answer import Answer, Grade, Label, Text
from thirdlever.answers.judge import Judge
from thirdlever.answers.number import Number
from thirdlever.answers.reading import Reading, Status
from thirdlever.answers.rules import (
    Checks,
    Rule,
    at_least,
    at_most,
    ends_with,
    is_json,
    matches,
    must,
    must_not,
    not_matches,
    same,
    starts_with,
)
from thirdlever.answers.sets import Labels
from thirdlever.answers.structured import Json
from thirdlever.core import errors
from thirdlever.core.errors import StrategyError, SuiteError, ThirdleverError, need, require
from thirdlever.core.store import Artefact, Store
from thirdlever.evaluation.ask import Choice, Threshold, choose, choose_threshold
from thirdlever.evaluation.search import Optimised, optimise
from thirdlever.finetune.conversations import conversations
from thirdlever.finetune.distill import Lesson, invent, teach
from thirdlever.finetune.managed import tune as tune_managed
from thirdlever.finetune.settings import Settings
from thirdlever.finetune.tune import Tuned, tune
from thirdlever.models.base import BaseModel
from thirdlever.models.registry import resolve
from thirdlever.prompting.frame import CONFIDENCE, Context, Retrieved, Worked, ask, demonstration, messages, reply
from thirdlever.retrieval.chunking import passages
from thirdlever.retrieval.demonstrations import pick, read_examples
from thirdlever.retrieval.embedders import EMBEDDER, embed, embed_once
from thirdlever.retrieval.gold import holds_answer
from thirdlever.retrieval.index import Hits, Index, Query, Search, index, require_vectors
from thirdlever.runner.check import check
from thirdlever.runner.runner import run
from thirdlever.strategies.contract import Deployment, Found, Prepare, SetupCost, Tuning, add_setups, strategy
from thirdlever.strategies.specs import parse
from thirdlever.suites.suite import Document, Item, Split, Suite, load_suite, suite

__all__ = [  # noqa: RUF022 - sorted within four groups
    # The contract: what a strategy and an eval are made of.
    "BaseModel",
    "Context",
    "Deployment",
    "Document",
    "Found",
    "Item",
    "Prepare",
    "Retrieved",
    "SetupCost",
    "Split",
    "Store",
    "StrategyError",
    "Suite",
    "SuiteError",
    "ThirdleverError",
    "Tuning",
    "Worked",
    "errors",
    "load_suite",
    "strategy",
    "suite",
    # Answer kinds: what a right answer is, how it is read and graded.
    "Answer",
    "Checks",
    "Json",
    "Judge",
    "Label",
    "Labels",
    "Number",
    "Rule",
    "Text",
    "at_least",
    "at_most",
    "ends_with",
    "is_json",
    "matches",
    "must",
    "must_not",
    "not_matches",
    "same",
    "starts_with",
    # Helpers: what a strategy may call.
    "CONFIDENCE",
    "EMBEDDER",
    "Query",
    "Search",
    "Settings",
    "add_setups",
    "ask",
    "check",
    "choose",
    "choose_threshold",
    "conversations",
    "demonstration",
    "embed",
    "embed_once",
    "holds_answer",
    "index",
    "invent",
    "load",
    "messages",
    "need",
    "optimise",
    "parse",
    "passages",
    "pick",
    "read_examples",
    "reply",
    "require",
    "require_vectors",
    "resolve",
    "run",
    "teach",
    "tune",
    "tune_managed",
    # Results: what the helpers return.
    "Artefact",
    "Choice",
    "Grade",
    "Hits",
    "Index",
    "Lesson",
    "Optimised",
    "Reading",
    "Run",
    "Status",
    "Threshold",
    "Tuned",
]
