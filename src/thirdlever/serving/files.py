"""Uploaded and result files: each its content and, once that is whole, its description beside it."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Literal

from openai.types import FileObject

from thirdlever.core import files
from thirdlever.serving import ids
from thirdlever.serving.errors import ApiError

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO


@dataclass(frozen=True)
class Files:
    """A folder of them."""

    root: Path

    def add(
        self,
        content: BinaryIO,
        *,
        filename: str,
        purpose: Literal["fine-tune", "fine-tune-results"],
        name: str | None = None,
    ) -> FileObject:
        """Keep a file.

        Args:
            content: read to its end.
            filename: as its owner calls it; never part of a path.
            purpose: uploads are "fine-tune", results "fine-tune-results".
            name: its id; the same again replaces it.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        name = name or ids.new("file")
        partial = self.root / f".{name}.partial"
        try:
            with partial.open("wb") as file:
                shutil.copyfileobj(content, file)
            partial.replace(self._content(name))
        finally:
            partial.unlink(missing_ok=True)
        described = FileObject(
            id=name,
            object="file",
            bytes=self._content(name).stat().st_size,
            created_at=int(time.time()),
            filename=filename,
            purpose=purpose,
            status="processed",
        )
        files.write(self._description(name), described.to_json().encode())
        return described

    def all(self) -> list[FileObject]:
        """Oldest first."""
        return [FileObject.model_validate_json(path.read_bytes()) for path in sorted(self.root.glob("file-*.json"))]

    def get(self, name: str) -> FileObject:
        """One file's description.

        Raises:
            ApiError: 404.
        """
        if not ids.is_a("file", name) or not self._description(name).is_file():
            message = f"No such File object: {name}"
            raise ApiError(message, status=HTTPStatus.NOT_FOUND, param="id")
        return FileObject.model_validate_json(self._description(name).read_bytes())

    def path(self, name: str) -> Path:
        """Where the content is.

        Raises:
            ApiError: 404.
        """
        self.get(name)
        return self._content(name)

    def delete(self, name: str) -> None:
        """Forget a file; jobs keep their own copies.

        Raises:
            ApiError: 404.
        """
        self.get(name)
        self._description(name).unlink()
        self._content(name).unlink()

    def _content(self, name: str) -> Path:
        return self.root / f"{name}.content"

    def _description(self, name: str) -> Path:
        return self.root / f"{name}.json"
