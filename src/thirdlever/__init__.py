"""Prompt, retrieval or fine-tune? Every strategy over one labelled suite, side by side, with the evidence to decide.

    import thirdlever

    run = thirdlever.run("transactions", ["null", "rag:k=20"], limit=200)
    run.summary  # a pandas DataFrame, one row a candidate

Nothing heavy is imported here: torch, pandas and inspect_ai come with the first call that needs them.
"""

# Imported now and not at first use: `run`, `strategy` and `suite` are functions here, and modules of the package, too.
# Python binds such a name to the module whenever that is first imported; after this, it has been.
from thirdlever import errors
from thirdlever.answer import Answer, Grade, Json, Label, Text
from thirdlever.choosing import Choice, choose
from thirdlever.embedder import embed, embed_once
from thirdlever.loading import load_suite, suite
from thirdlever.models.base import BaseModel
from thirdlever.prompting import Context, ask, demonstration, messages, reply
from thirdlever.retrieval import Index, index
from thirdlever.run import Run, load
from thirdlever.runner import run
from thirdlever.store import Store
from thirdlever.strategy import Deployment, Prepare, SetupCost, Tuning, strategy
from thirdlever.suite import Document, Item, Split, Suite

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
    "Prepare",
    "Run",
    "SetupCost",
    "Split",
    "Store",
    "Suite",
    "Text",
    "Tuning",
    "ask",
    "choose",
    "demonstration",
    "embed",
    "embed_once",
    "errors",
    "index",
    "load",
    "load_suite",
    "messages",
    "reply",
    "run",
    "strategy",
    "suite",
]
