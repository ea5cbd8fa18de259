"""Names that commands, pipeline and packages share; importing them costs nothing."""

FINETUNED, FASTTEXT = DATASETS = ("finetuned", "fasttext")
"""Encoders that variants of one run are made with, and the store contents named after them."""
