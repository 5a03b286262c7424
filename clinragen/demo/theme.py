"""How the page looks and behaves in the browser: a quiet theme, a style sheet and a script, all of them our own.

Needs gradio: imported only where a page is served.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import gradio as gr

from clinragen.demo.attention_map import attention_style
from clinragen.demo.what_if import what_if_style

RESOURCES = files("clinragen.demo") / "resources"
_FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica", "Arial", "sans-serif")
_FIXED = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")


def quiet_theme() -> Any:
    """The theme: no font, picture or script of another machine, and contrasts of at least 4.5 to 1."""
    theme = gr.themes.Base(
        primary_hue="teal",
        neutral_hue="slate",
        radius_size="sm",
        spacing_size="md",
        font=_FONTS,
        font_mono=_FIXED,
    )
    return theme.set(
        body_background_fill="#f4f6f8",
        body_background_fill_dark="#10151b",
        body_text_color="#1b2128",
        body_text_color_dark="#e7ebf0",
        body_text_color_subdued="#505a66",
        body_text_color_subdued_dark="#a9b3bf",
        block_background_fill="#ffffff",
        block_background_fill_dark="#171d24",
        block_border_color="#d0d7de",
        block_border_color_dark="#38414b",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_label_border_width="0px",
        block_label_border_width_dark="0px",
        block_label_text_color="#3c4650",
        block_label_text_color_dark="#c3ccd6",
        block_title_text_color="#3c4650",
        block_title_text_color_dark="#c3ccd6",
        block_info_text_color="#505a66",
        block_info_text_color_dark="#a9b3bf",
        input_background_fill="#ffffff",
        input_background_fill_dark="#10151b",
        input_border_width="1px",
        input_border_width_dark="1px",
        input_border_color="#7a8591",
        input_border_color_dark="#7b8794",
        input_border_color_focus="#0f766e",
        input_border_color_focus_dark="#5eead4",
        input_placeholder_color="#5b6570",
        input_placeholder_color_dark="#a9b3bf",
        button_primary_background_fill="#0f766e",
        button_primary_background_fill_dark="#0f766e",
        button_primary_background_fill_hover="#115e59",
        button_primary_background_fill_hover_dark="#115e59",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#ffffff",
        button_secondary_background_fill="#e8ecf0",
        button_secondary_background_fill_dark="#2a3139",
        button_secondary_text_color="#1b2128",
        button_secondary_text_color_dark="#e7ebf0",
        link_text_color="#0b57b0",
        link_text_color_dark="#86b8ff",
    )


def _style(name: str) -> str:
    return (RESOURCES / name).read_text(encoding="utf-8")


def looks() -> dict[str, Any]:
    """The settings of `gradio.mount_gradio_app` for the look and the script of the page."""
    script = (RESOURCES / "page.js").read_text(encoding="utf-8")
    return {
        "theme": quiet_theme(),
        "css": "\n".join([what_if_style(), attention_style(), *map(_style, ("page.css", "tabs.css"))]),
        "head": f"<script>{script}</script>",
    }
