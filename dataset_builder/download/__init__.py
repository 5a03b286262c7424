"""Getting the data: PhysioNet's datasets over HTTP, resumed, verified and kept private."""

from dataset_builder.download.catalogue import dataset_names
from dataset_builder.download.credentials import Credentials
from dataset_builder.download.fetch import Downloaded, download
from dataset_builder.download.server import Patience

__all__ = ["Credentials", "Downloaded", "Patience", "dataset_names", "download"]
