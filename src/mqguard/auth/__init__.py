"""Users, signatures, policies and decisions: pure code without I/O."""
