"""The command line: one file per command group; parse, call `admin` or `runtime`, render."""
