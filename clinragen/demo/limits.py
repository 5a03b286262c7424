"""How much the page takes. A patient's data are far below; what is above is refused in words, not cut."""

LARGEST_FILE = 2**20
"""Bytes of an uploaded CSV; how many rows it may have is the reader's to say (`resources/lab_csv.yaml`)."""
LARGEST_BODY = 2**22
"""Bytes of any request: the longest note that the model takes, in any script."""
