"""The tabs of the page, in order. To add one, write a file beside these and put its tab into the list."""

from clinragen.demo.tab import Tab
from clinragen.demo.tabs.explain import EXPLAIN

TABS: tuple[Tab, ...] = (EXPLAIN,)

__all__ = ["TABS"]
