"""The memo as one HTML file: styles and figures inside, no script, nothing fetched."""

from __future__ import annotations

from functools import cache
from importlib.resources import files as resources
from typing import TYPE_CHECKING

from thirdlever.report.figures import files
from thirdlever.report.figures.gates import LOOKS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import jinja2

    from thirdlever.report.figures.style import Picture
    from thirdlever.report.memo_content import Memo

_TEMPLATES = resources("thirdlever.report") / "templates"


def render(memo: Memo, pictures: Sequence[Picture]) -> str:
    """The page."""
    from markupsafe import Markup

    drawn = {picture.name: (picture, [Markup(svg) for svg in files.inline(picture)]) for picture in pictures}  # noqa: S704 - ours
    return _template().render(
        memo=memo,
        pictures=drawn,
        signs={verdict: sign for verdict, (sign, _) in LOOKS.items()},
        css=Markup((_TEMPLATES / "memo.css").read_text("utf-8")),  # noqa: S704 - ours
        colours=Markup(files.variables()),  # noqa: S704 - ours
    )


@cache
def _template() -> jinja2.Template:
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string((_TEMPLATES / "memo.html").read_text("utf-8"))
