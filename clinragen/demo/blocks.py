"""gradio's page, with one place where errors become what the reader sees.

Needs gradio: imported only where a page is built.
"""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

import gradio as gr

from clinragen.demo.faults import log_fault
from modeling_clinragen.errors import ClinRaGenError

logger = logging.getLogger(__name__)

UNKNOWN = "the page could not do this; reload it and try again (the terminal of the page names the place)"


class Page(gr.Blocks):
    """A page whose events say what a user can cure, and nothing of its inside."""

    async def process_api(self, *arguments: Any, **settings: Any) -> dict[str, Any]:
        """Run one event.

        Raises:
            gradio.Error: The event failed. The message is a `ClinRaGenError`'s, or that of a `gradio.Error` which is
                meant for the reader (`print_exception=False`); any other error's is withheld.
        """
        with _ForTheReader():
            return await super().process_api(*arguments, **settings)


class _ForTheReader(AbstractContextManager[None]):
    """Turns every error into one that may be shown. gradio would print others, with whatever they quote."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, ClinRaGenError):
            raise gr.Error(str(error), print_exception=False) from None
        if not isinstance(error, Exception) or (isinstance(error, gr.Error) and not error.print_exception):
            return
        log_fault(logger, error)
        raise gr.Error(UNKNOWN, print_exception=False) from None
