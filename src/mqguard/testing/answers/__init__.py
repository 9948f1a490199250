"""Answers lines of the verdict vectors with this code's own outcomes (`tools/answer_vectors.py`)."""
