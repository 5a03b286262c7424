"""The tabs of the page, in order. To add one, write a file beside these and put its tab into the list."""

from clinragen.demo.tab import Tab
from clinragen.demo.tabs.about import ABOUT
from clinragen.demo.tabs.check_text import CHECK_TEXT
from clinragen.demo.tabs.explain import EXPLAIN
from clinragen.demo.tabs.quality import QUALITY

TABS: tuple[Tab, ...] = (EXPLAIN, CHECK_TEXT, QUALITY, ABOUT)

__all__ = ["TABS"]
