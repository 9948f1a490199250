"""The composition root: builds what a command asks for from its configuration."""
