"""Command line, one file per group of commands: parse options, call `admin` or `runtime`, print the result."""
