"""Small real files: a PDF with an outline, a scan, an encrypted PDF, Word documents."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def pdf(
    path: Path, pages: Sequence[Sequence[str]], *, outline: Sequence[tuple[str, int]] = (), title: str = ""
) -> Path:
    """Write a PDF whose pages have these lines; the outline has titles and the page, from 0, of each."""
    objects = [b"", b"", b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]  # 1: catalog, 2: pages, 3: font
    kids = []
    for lines in pages:
        shown = b" ".join(b"(" + line.encode("latin-1") + b") Tj T*" for line in lines)
        stream = b"BT /F1 11 Tf 14 TL 50 780 Td " + shown + b" ET"
        objects.append(b"<< /Length %d >>\nstream\n%b\nendstream" % (len(stream), stream))
        kids.append(len(objects) + 1)
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents %d 0 R"
            b" /Resources << /Font << /F1 3 0 R >> >> >>" % len(objects)
        )
    first = len(objects) + 2
    root = b""
    if outline:
        last = first + len(outline) - 1
        objects.append(b"<< /Type /Outlines /First %d 0 R /Last %d 0 R /Count %d >>" % (first, last, len(outline)))
        root = b" /Outlines %d 0 R" % (first - 1)
        for place, (name, page) in enumerate(outline):
            beside = (b" /Prev %d 0 R" % (first + place - 1)) * (place > 0)
            beside += (b" /Next %d 0 R" % (first + place + 1)) * (place < len(outline) - 1)
            objects.append(
                b"<< /Title (%b) /Parent %d 0 R /Dest [%d 0 R /Fit]%b >>"
                % (name.encode("latin-1"), first - 1, kids[page], beside)
            )
    objects.append(b"<< /Title (%b) >>" % title.encode("latin-1"))
    objects[0] = b"<< /Type /Catalog /Pages 2 0 R%b >>" % root
    listed = b" ".join(b"%d 0 R" % kid for kid in kids)
    objects[1] = b"<< /Type /Pages /Count %d /Kids [%b] >>" % (len(kids), listed)
    out, places = b"%PDF-1.7\n", []
    for number, content in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n%b" % (len(objects) + 1, table)
    out += b"trailer\n<< /Size %d /Root 1 0 R /Info %d 0 R >>\n" % (len(objects) + 1, len(objects))
    path.write_bytes(out + b"startxref\n%d\n%%%%EOF\n" % start)
    return path


def encrypted_pdf(path: Path) -> Path:
    """Write a PDF that asks for a password: its keys fit none."""
    pdf(path, [["secret"]])
    lock = b"/Encrypt << /Filter /Standard /V 1 /R 2 /P -4 /O <%b> /U <%b> >> /ID [<00> <00>] " % (
        b"11" * 32,
        b"22" * 32,
    )
    path.write_bytes(path.read_bytes().replace(b"trailer\n<< ", b"trailer\n<< " + lock))
    return path


def scan(path: Path, pages: int) -> Path:
    """Write a PDF whose pages are images."""
    from PIL import Image

    first, *rest = (Image.new("RGB", (40, 40), (number, 0, 0)) for number in range(pages))
    first.save(path, save_all=True, append_images=rest)
    return path


def docx(path: Path) -> Path:
    """Write a Word document with a title, headings, a list, a table and a picture."""
    import docx
    from PIL import Image

    picture = io.BytesIO()
    Image.new("RGB", (9, 9)).save(picture, "PNG")
    picture.seek(0)
    made = docx.Document()
    made.add_heading("Staff handbook", 0)
    made.add_heading("Leave", 1)
    made.add_paragraph("Everyone has 28 days.")
    made.add_heading("Parents", 2)
    made.add_paragraph("Ask early.", style="List Bullet")
    table = made.add_table(2, 2)
    for place, text in enumerate(("Site", "Opens | at", "Pike Lane", "8:15")):
        table.cell(place // 2, place % 2).text = text
    made.add_picture(picture)
    made.save(str(path))
    return path


def bomb(path: Path, size: int) -> Path:
    """Write a Word file whose text is of so many bytes when unpacked."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", b"a" * size)
    return path
