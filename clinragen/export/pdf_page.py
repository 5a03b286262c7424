"""Pages of running text, as the PDF of an answer needs them. Needs fpdf2: imported only where a PDF is made."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import matplotlib
from fpdf import FPDF
from fpdf.enums import XPos, YPos
from fpdf.fonts import TTFFont

FAMILY = "DejaVu"
# matplotlib brings this family along, which has Latin, Greek, Cyrillic, and mathematical signs.
FILES = {"": "DejaVuSans.ttf", "B": "DejaVuSans-Bold.ttf"}
INK, QUIET = (27, 33, 40), (80, 90, 102)
MARGIN = 15.0
"""Millimetres."""
SIZE, SMALL = 9.0, 7.0
"""Points."""
LEADING = 0.46
"""Millimetres of a line for each point of its letters."""

Colour = tuple[int, int, int]


class Page(FPDF):
    """A document that is written from top to bottom, page after page.

    Args:
        title: In the document's properties and its outline.
        footer: At the end of every page, before its number.
        moment: The document's date.
    """

    def __init__(self, title: str, footer: str, moment: datetime) -> None:
        super().__init__(format="A4")
        self._footer = footer
        folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
        for style, name in FILES.items():
            self.add_font(FAMILY, style, folder / name)
        self._known = frozenset.intersection(
            *(frozenset(font.cmap) for font in self.fonts.values() if isinstance(font, TTFFont))
        )
        self.set_margins(MARGIN, MARGIN)
        # Text begins where lines and charts do.
        self.c_margin = 0
        self.set_auto_page_break(True, MARGIN + 4)
        self.alias_nb_pages()
        self.set_title(title)
        self.set_lang("en")
        self.set_producer("ClinRaGen")
        self.set_creation_date(moment)
        self.add_page()

    def footer(self) -> None:
        """The last line of a page; called by the library."""
        self.set_y(-MARGIN)
        self.pen(SMALL, colour=QUIET)
        self.cell(0, SMALL * LEADING, f"{self._footer} Page {self.page_no()} of {{nb}}")

    def pen(self, size: float, *, bold: bool = False, colour: Colour = INK) -> None:
        """Set the letters, in points, of what is written next."""
        self.set_font(FAMILY, "B" if bold else "", size)
        self.set_text_color(*colour)

    def known(self, text: str) -> str:
        """The text with characters that the letters lack written as their numbers: `[U+5FC3]`."""
        return "".join(
            letter if ord(letter) in self._known or letter == "\n" else f"[U+{ord(letter):04X}]" for letter in text
        )

    def heading(self, text: str, level: int) -> None:
        """A heading, which keeps room for some lines below it."""
        size = {1: 15.0, 2: 11.0}[level]
        if self.will_page_break(size * LEADING + 14):
            self.add_page()
        self.ln(0 if level == 1 else 2.5)
        self.pen(size, bold=True)
        self.multi_cell(0, size * LEADING, self.known(text), align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.ln(0.8)

    def paragraph(
        self,
        text: str,
        *,
        indent: float = 0,
        label: str = "",
        room: float = 0,
        bold: bool = False,
        small: bool = False,
        quiet: bool = False,
        colour: Colour | None = None,
    ) -> None:
        """A paragraph.

        Args:
            text: What it says.
            indent: Millimetres from the margin.
            label: Words that stand before it, bold.
            room: Millimetres that these have for themselves.
            bold, small, quiet: How it is written.
            colour: Of the label, or without one of the text.
        """
        size = SMALL if small else SIZE
        height = size * LEADING
        if label:
            self.ln(0.8)
            if self.will_page_break(height):
                self.add_page()
            self.pen(size, bold=True, colour=colour or INK)
            self.cell(room, height, self.known(label), new_x=XPos.LMARGIN, new_y=YPos.TOP)
            indent, colour = indent + room, None
        self.pen(size, bold=bold, colour=colour or (QUIET if quiet else INK))
        self.set_x(MARGIN + indent)
        self.multi_cell(0, height, self.known(text), align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.ln(0.3)

    def content(self) -> bytes:
        """The whole file."""
        return bytes(self.output())
