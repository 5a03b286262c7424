"""The claim checker as a tool of its own: anyone's rationale is checked and shown as text, JSON or HTML.

- `check_text(text, patient, checking)`: a rationale with its checked sentences, as every `render_...` takes it.
"""

from clinragen.checking.checked import CheckedText, check_text

__all__ = ["CheckedText", "check_text"]
