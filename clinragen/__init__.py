"""ClinRaGen's public face: importing it makes transformers' Auto classes know the model."""

from clinragen.registration import register_with_transformers

__version__ = "0.1.0"

register_with_transformers()
