"""Answers to the lines of the verdict vectors, computed by this code (see `tools/answer_vectors.py`)."""
