"""Policies as a whole: rights, differences and problems, decided exactly for every possible request."""
