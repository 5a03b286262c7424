"""Passages of medical text about each disease and each variable: from PubMed, Wikipedia and local corpora."""
