"""What a candidate's requests used, from the records: the measured half of its cost, with its uncertainty.

One bootstrap serves every candidate: the same sources of items are drawn for all of them, so that the draws of two
candidates may be subtracted and the items that both find long, or hard, cancel out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from thirdlever.catalog.prices import Price, device_cost

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray


_DRAWS = 2000
# Beyond so many sources they are drawn in random bundles: the width of an interval is then known to 2 %, and a million
# records take no longer than thousands.
_BUNDLES = 2000


@dataclass(frozen=True, eq=False, kw_only=True)
class Usage:
    """Means over a candidate's accuracy pass.

    Attributes:
        unit: "usd" where tokens have a price; "device_s" where only device time is known.
        amount: mean over the requests that were answered, in `unit`; None when nothing was answered or reported.
        draws: bootstrap means of it [draws]; None with `amount`, or when there is one source alone.
        accuracy: mean score over items, failed requests 0; None without records.
        accuracy_draws: bootstrap means of it [draws], of the same resamples.
        requests: made in all phases.
        retrieves: whether its solver retrieves.
        asks: whether it asks a model at all.
        price: of its model's tokens.
        base_price: of the tokens of the model that it was prepared from.
    """

    unit: Literal["usd", "device_s"]
    amount: float | None
    draws: NDArray[np.float64] | None
    accuracy: float | None
    accuracy_draws: NDArray[np.float64] | None
    requests: int
    retrieves: bool
    asks: bool
    price: Price | None
    base_price: Price | None

    def usd_factor(self, usd_per_hour: float | None, utilisation: float) -> float | None:
        """USD for one of `unit`; None when the hourly rate of its device is unknown."""
        if self.unit == "usd":
            return 1.0
        return device_cost(1.0, usd_per_hour, utilisation)


def usage(records: pd.DataFrame, info: Mapping[str, Any]) -> dict[str, Usage]:
    """Every candidate's, in the order of run.json.

    Args:
        records: one row a request, in any order.
        info: run.json.
    """
    import numpy as np
    import pandas as pd

    answers = records[records["phase"] == "accuracy"]
    item, ids = pd.factorize(answers["item_id"], sort=True)
    bundle, bundles = _bundles(answers, item, len(ids))
    weights = _resamples(bundles)
    requests = records["candidate"].value_counts()
    rows = answers.groupby("candidate", sort=False).indices
    found: dict[str, Usage] = {}
    for candidate in info.get("candidates", ()):
        name = candidate["name"]
        at = rows.get(name, np.empty(0, dtype=np.int64))
        own = answers.iloc[at]
        price = price_in(info, candidate.get("model"))
        amounts = _amounts(own, price)
        known = ~np.isnan(amounts)
        mean = _Ratio(bundle[item[at]][known], amounts[known], np.ones(known.sum()), weights)
        score = own["score"].fillna(0.0).to_numpy(np.float64)
        asked = np.bincount(item[at], minlength=len(ids))
        hit = np.bincount(item[at], weights=score, minlength=len(ids))
        there = asked > 0
        quality = _Ratio(bundle[there], hit[there] / asked[there], np.ones(there.sum()), weights)
        found[name] = Usage(
            unit="usd" if price else "device_s",
            amount=mean.value,
            draws=mean.draws,
            accuracy=quality.value,
            accuracy_draws=quality.draws,
            requests=int(requests.get(name, 0)),
            retrieves=bool(own["retrieval_s"].notna().any()),
            asks=candidate.get("model") is not None,
            price=price,
            base_price=base_price_in(info, candidate),
        )
    return found


def price_in(info: Mapping[str, Any], model: str | None) -> Price | None:
    """The price that a run used for a model's tokens; None where there is none."""
    stated = (info.get("prices") or {}).get(model)
    return stated if isinstance(stated, Price) or stated is None else Price.from_dict(stated)


def base_price_in(info: Mapping[str, Any], candidate: Mapping[str, Any]) -> Price | None:
    """The price of the tokens that preparing a candidate took: a tuned one's base made them."""
    return price_in(info, candidate.get("base")) or price_in(info, candidate.get("model"))


def request_usd(records: pd.DataFrame, price: Price) -> NDArray[np.float64]:
    """Each request's tokens in money [requests]; NaN where a count is missing."""
    import numpy as np

    sent, cached, came = (_column(records, name) for name in ("input_tokens", "cached_tokens", "output_tokens"))
    # A run of an earlier release, or a provider without such a rate: they count as other prompt tokens.
    written = _column(records, "cache_write_tokens") if "cache_write_tokens" in records else np.zeros(len(records))
    return price.costs(sent, cached, came, np.nan_to_num(written))


def preparing_usd(
    setup: Mapping[str, Any], price: Price | None, usd_per_hour: float | None, utilisation: float
) -> float | None:
    """What preparing a candidate cost, people's work and labels apart; None when a part of it is unknown.

    Tokens that a local device computed are paid for by its time.

    Args:
        setup: a `SetupCost` as run.json holds it.
        price: of the tokens of the model that it was prepared for.
        usd_per_hour: of the device.
        utilisation: share of the device's paid hours that are of use.
    """
    seconds = setup["device_seconds"]
    sent, came = setup["input_tokens"], setup["output_tokens"]
    parts: list[float | None] = [setup["usd"]]
    if seconds:
        parts.append(device_cost(seconds, usd_per_hour, utilisation))
    if (sent or came) and (price or not seconds):
        parts.append(price.cost(sent, 0, came) if price else None)
    return total(parts)


def total(parts: Sequence[float | None]) -> float | None:
    """The sum; unknown when a part is."""
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


class _Ratio:
    """A mean over rows and its bootstrap means: sum of values / sum of counts, over drawn bundles."""

    def __init__(
        self,
        bundle: NDArray[np.int64],
        values: NDArray[np.float64],
        counts: NDArray[np.float64],
        weights: NDArray[np.float64],
    ) -> None:
        import numpy as np

        size = weights.shape[1]
        above = np.bincount(bundle, weights=values, minlength=size)
        below = np.bincount(bundle, weights=counts, minlength=size)
        self.value: float | None = float(above.sum() / below.sum()) if len(values) else None
        self.draws: NDArray[np.float64] | None = None
        if (below > 0).sum() > 1:
            with np.errstate(invalid="ignore"):  # a draw that holds none of its items says nothing: NaN
                self.draws = (weights @ above) / (weights @ below)


def _amounts(own: pd.DataFrame, price: Price | None) -> NDArray[np.float64]:
    """USD or device seconds of each request [requests]; NaN where it failed or did not say."""
    import numpy as np

    amounts = request_usd(own, price) if price else _column(own, "device_s")
    return np.where(own["error"].notna(), np.nan, amounts)


def _bundles(answers: pd.DataFrame, item: NDArray[np.int64], items: int) -> tuple[NDArray[np.int64], int]:
    """By item, the bundle of sources that it is drawn with [items]; and how many bundles there are."""
    import numpy as np
    import pandas as pd

    source = np.arange(items)
    if "group" in answers:
        _, first = np.unique(item, return_index=True)
        group = answers["group"].iloc[first].fillna("").astype("object").to_numpy()
        named = group != ""
        code, _ = pd.factorize(group[named], sort=True)
        source[named] = items + code
    _, source = np.unique(source, return_inverse=True)
    sources = int(source.max()) + 1 if items else 0
    if sources <= _BUNDLES:
        return source, sources
    return (np.random.default_rng(0).permutation(sources) % _BUNDLES)[source], _BUNDLES


def _resamples(bundles: int) -> NDArray[np.float64]:
    """How often each bundle is drawn [draws, bundles]; the same every time."""
    import numpy as np

    drawn = np.random.default_rng(0).integers(bundles, size=(_DRAWS, bundles)) if bundles else np.empty((_DRAWS, 0))
    flat = (drawn + np.arange(_DRAWS)[:, None] * bundles).astype(np.int64).ravel()
    return np.bincount(flat, minlength=_DRAWS * bundles).reshape(_DRAWS, bundles).astype(np.float64)


def _column(records: pd.DataFrame, name: str) -> NDArray[np.float64]:
    import numpy as np

    return records[name].to_numpy(dtype=np.float64, na_value=np.nan)
