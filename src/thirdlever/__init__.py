"""Prompt, retrieval or fine-tune? Every strategy over one labelled suite, side by side, with the evidence to decide.

    import thirdlever

    run = thirdlever.run("transactions", ["null", "rag:k=20"], limit=200)
    run.summary  # a pandas DataFrame, one row a candidate

Nothing heavy is imported here: torch, pandas and inspect_ai come with the first call that needs them.
"""

# Imported now and not at first use: `run`, `strategy` and `suite` are functions here, and modules of the package, too.
# Python binds such a name to the module whenever that is first imported; after this, it has been.
from thirdlever.analysis.run import Run, load
from thirdlever.answers.answer import Answer, Grade, Json, Label, Text
from thirdlever.core import errors
from thirdlever.core.store import Store
from thirdlever.evaluation.ask import Choice, choose
from thirdlever.finetune.distill import Lesson, invent, teach
from thirdlever.finetune.settings import Settings
from thirdlever.finetune.tune import Tuned, tune
from thirdlever.models.base import BaseModel
from thirdlever.models.registry import resolve
from thirdlever.prompting.frame import Context, ask, demonstration, messages, reply
from thirdlever.retrieval.embedder import embed, embed_once
from thirdlever.retrieval.index import Index, index
from thirdlever.runner.runner import run
from thirdlever.strategies.contract import Deployment, Prepare, SetupCost, Tuning, add_setups, strategy
from thirdlever.strategies.specs import parse
from thirdlever.suites.suite import Document, Item, Split, Suite, load_suite, suite

__all__ = [
    "Answer",
    "BaseModel",
    "Choice",
    "Context",
    "Deployment",
    "Document",
    "Grade",
    "Index",
    "Item",
    "Json",
    "Label",
    "Lesson",
    "Prepare",
    "Run",
    "Settings",
    "SetupCost",
    "Split",
    "Store",
    "Suite",
    "Text",
    "Tuned",
    "Tuning",
    "add_setups",
    "ask",
    "choose",
    "demonstration",
    "embed",
    "embed_once",
    "errors",
    "index",
    "invent",
    "load",
    "load_suite",
    "messages",
    "parse",
    "reply",
    "resolve",
    "run",
    "strategy",
    "suite",
    "teach",
    "tune",
]
