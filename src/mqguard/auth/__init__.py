"""Who you are and what you may do: users, signatures, policies, verdicts. Pure."""
