"""Every request passes here: requirements, authenticate, authorize, audit, failures."""
