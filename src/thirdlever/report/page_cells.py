"""The records as a matrix: for each candidate one cell an item, with a request in it for every repeat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

# One letter a cell; the page's own code knows them.
RIGHT, PARTLY, WRONG, UNREADABLE, FAILED, NOT_ASKED = "rpwuf-"

_ALONE = "alone_s"
_SHOWN = (
    *("prediction", "score", "reason", "completion", "stop_reason", "error", "prompt_hash"),
    *("input_tokens", "cached_tokens", "output_tokens", "latency_s", "retrieval_s", "ttft_s", "device_s"),
)


class Cells:
    """The accuracy pass of a run.

    Attributes:
        items: ids, in the order in which they were first asked.
        targets: of the items.
        slices: of the items, "" where none.
        epochs: repeats of an item.
    """

    def __init__(self, records: pd.DataFrame) -> None:
        """Take the records of a run with at least one answer."""
        answers = records[records["phase"] == "accuracy"]
        about = answers.drop_duplicates("item_id")
        self.items: list[str] = about["item_id"].to_list()
        self.targets: list[str] = about["target"].fillna("").to_list()
        self.slices: list[str] = about["slice"].fillna("").to_list()
        self.epochs = int(answers["epoch"].max())
        self._answers = dict(tuple(answers.groupby("candidate", sort=False)))
        self._nobody = answers.iloc[:0]
        probe = records[(records["phase"] == "latency") & records["error"].isna() & ~records["cold"].astype(bool)]
        self._alone = {name: own.groupby("item_id")["latency_s"].first() for name, own in probe.groupby("candidate")}

    def requests(self, candidate: str) -> pd.DataFrame:
        """A candidate's requests, the repeats of the first item first; one that was not made is missing throughout.

        `alone_s` is the same item's latency in the serial probe, where it was timed.
        """
        import pandas as pd

        every = pd.MultiIndex.from_product([self.items, range(1, self.epochs + 1)], names=["item_id", "epoch"])
        own = self._answers.get(candidate, self._nobody).drop_duplicates(["item_id", "epoch"], keep="last")
        frame = own.set_index(["item_id", "epoch"])[list(_SHOWN)].assign(asked=True).reindex(every)
        frame["asked"] = frame["asked"].eq(other=True)
        timed = self._alone.get(candidate, pd.Series(dtype="float64"))
        frame[_ALONE] = timed.reindex(frame.index.get_level_values("item_id")).to_numpy()
        return frame

    def outcomes(self, requests: pd.DataFrame) -> str:
        """One letter an item, from what `requests` returns. Repeats that differ are partly right."""
        import numpy as np

        def table(column: Any) -> Any:  # noqa: ANN401 - arrays of any type
            return np.asarray(column).reshape(len(self.items), self.epochs)

        asked = table(requests["asked"])
        score = np.where(asked, table(requests["score"].fillna(0.0)), 0.0).sum(1) / np.maximum(asked.sum(1), 1)
        failed = table(requests["error"].notna()).any(1)
        unread = (table(requests["prediction"].isna()) & asked).any(1)
        letters = np.select(
            [~asked.any(1), score >= 1 - 1e-9, score > 0, failed, unread],  # 1e-9: a mean of ones may fall short
            [NOT_ASKED, RIGHT, PARTLY, FAILED, UNREADABLE],
            WRONG,
        )
        return "".join(letters)


def details(requests: pd.DataFrame) -> Mapping[str, list[Any]]:
    """What a cell tells besides its texts: columns of JSON values, null where unknown."""
    columns: dict[str, list[Any]] = {}
    for name in ("input_tokens", "cached_tokens", "output_tokens"):
        columns[name] = [None if missing else int(value) for value, missing in _known(requests[name])]
    for name in ("latency_s", "retrieval_s", "ttft_s", "device_s", _ALONE, "score"):
        columns[name] = [None if missing else float(f"{value:.4g}") for value, missing in _known(requests[name])]
    columns["stop_reason"] = texts(requests["stop_reason"])
    columns["asked"] = [int(asked) for asked in requests["asked"]]
    return columns


def texts(column: pd.Series[Any]) -> list[Any]:
    """The column's strings; None where missing."""
    return [None if missing else value for value, missing in _known(column)]


def _known(column: pd.Series[Any]) -> zip[tuple[Any, bool]]:
    return zip(column, column.isna(), strict=True)
