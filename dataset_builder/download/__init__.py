"""Downloads PhysioNet's datasets over HTTP: resumed, verified and kept private."""

from dataset_builder.download.catalogue import dataset_names
from dataset_builder.download.credentials import Credentials
from dataset_builder.download.fetch import Downloaded, download

__all__ = ["Credentials", "Downloaded", "dataset_names", "download"]
