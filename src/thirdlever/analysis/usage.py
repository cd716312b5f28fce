"""What requests and set-up used, what that costs, and bootstrap resamples that all candidates share."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from thirdlever.catalog.prices import Price, device_cost

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray


_DRAWS = 2000
# Beyond this many sources, they are drawn in random bundles. That leaves the width of an interval known to 2 %, and a
# million records take no longer than thousands.
_BUNDLES = 2000


class Bootstrap:
    """Resampled means over a run's items, drawn by source (an item's `group`, or the item alone).

    Every candidate gets the same resamples, so the draws of two candidates can be subtracted, and what both find long
    or hard cancels out.
    """

    def __init__(self, answers: pd.DataFrame) -> None:
        """Assign every item of the accuracy pass to a bundle of sources."""
        import pandas as pd

        item, self._items = pd.factorize(answers["item_id"], sort=True)
        self._bundle, self._bundles = _bundles(answers["group"], item, len(self._items))

    def means(self, items: pd.Series[Any], values: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """Means of each resample [draws], NaN where it holds none of the items; None with a single source.

        Args:
            items: the item id of each value.
            values: [rows].
        """
        import numpy as np
        import pandas as pd

        bundle = self._bundle[self._items.get_indexer(pd.Index(items))]
        above = np.bincount(bundle, weights=values, minlength=self._bundles)
        below = np.bincount(bundle, minlength=self._bundles)
        if (below > 0).sum() < 2:  # noqa: PLR2004 - one source has no spread
            return None
        with np.errstate(invalid="ignore"):
            draws: NDArray[np.float64] = (self._weights @ above) / (self._weights @ below)
        return draws

    @cached_property
    def _weights(self) -> NDArray[np.float64]:
        """How often each bundle is drawn [draws, bundles]; the same every time."""
        import numpy as np

        drawn = np.random.default_rng(0).integers(self._bundles, size=(_DRAWS, self._bundles))
        flat = (drawn + np.arange(_DRAWS)[:, None] * self._bundles).ravel()
        return np.bincount(flat, minlength=_DRAWS * self._bundles).reshape(_DRAWS, -1).astype(np.float64)


def _bundles(groups: pd.Series[Any], item: NDArray[np.int64], items: int) -> tuple[NDArray[np.int64], int]:
    """The bundle of each item [items], and the number of bundles."""
    import numpy as np
    import pandas as pd

    source = np.arange(items)
    _, first = np.unique(item, return_index=True)
    group = groups.iloc[first].fillna("").astype("object").to_numpy()
    named = group != ""
    source[named] = items + pd.factorize(group[named], sort=True)[0]
    _, source = np.unique(source, return_inverse=True)
    sources = int(source.max()) + 1 if items else 0
    if sources <= _BUNDLES:
        return source, sources
    return (np.random.default_rng(0).permutation(sources) % _BUNDLES)[source], _BUNDLES


def price_in(info: Mapping[str, Any], model: str | None) -> Price | None:
    """The price that a run used for a model's tokens; None if unknown."""
    stated = (info.get("prices") or {}).get(model)
    return stated if isinstance(stated, Price) or stated is None else Price.from_dict(stated)


def request_usd(records: pd.DataFrame, price: Price, *, from_cache: bool = True) -> NDArray[np.float64]:
    """Cost of each request's tokens [requests]; NaN where a count is missing.

    Args:
        records: the requests.
        price: of a token.
        from_cache: whether tokens read from the provider's cache cost less; False as if it had held none of them.
    """
    import numpy as np

    sent, cached, came = (numbers(records, name) for name in ("input_tokens", "cached_tokens", "output_tokens"))
    # Missing in older releases, and for providers without such a rate: those tokens count as other prompt tokens.
    written = numbers(records, "cache_write_tokens") if "cache_write_tokens" in records else np.zeros(len(records))
    return price.costs(sent, cached if from_cache else np.zeros(len(records)), came, np.nan_to_num(written))


def retrieving_usd(records: pd.DataFrame) -> NDArray[np.float64]:
    """What providers charge for each request's retrieval [requests]: 0 where none is recorded, NaN where unknown."""
    import numpy as np

    told = [name for name in ("retrieved", "search_s") if name in records]
    if not told or "retrieval_usd" not in records:  # of an early release
        return np.zeros(len(records))
    return np.where(records[told].notna().any(axis=1), numbers(records, "retrieval_usd"), 0.0)


def preparing_usd(
    setup: Mapping[str, Any], price: Price | None, usd_per_hour: float | None, utilisation: float
) -> float | None:
    """Cost of preparing a candidate, without people's work and labels; None if any part is unknown.

    Tokens computed by a local device are paid for by its time.

    Args:
        setup: a `SetupCost`, as in run.json.
        price: of the tokens of the model that was prepared.
        usd_per_hour: of the device.
        utilisation: share of the device's hours in which it serves requests.
    """
    seconds = setup["device_seconds"]
    # Earlier releases counted neither kind of cached tokens.
    names = ("input_tokens", "cached_tokens", "output_tokens", "cache_write_tokens")
    tokens = [setup.get(name, 0) for name in names]
    parts: list[float | None] = [setup["usd"]]
    if seconds:
        parts.append(device_cost(seconds, usd_per_hour, utilisation))
    if any(count != 0 for count in tokens) and (price or not seconds):  # an unknown count is not 0
        parts.append(price.cost_together(*tokens) if price else None)
    return total(parts)


def total(parts: Sequence[float | None]) -> float | None:
    """The sum; None if any part is unknown."""
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


def numbers(records: pd.DataFrame, name: str) -> NDArray[np.float64]:
    """A column as floats [rows]; NaN where missing."""
    import numpy as np

    return records[name].to_numpy(dtype=np.float64, na_value=np.nan)
