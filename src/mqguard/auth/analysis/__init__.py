"""What policies mean as a whole: decided exactly, for every request there can be, by the rules of `auth.decide`."""
