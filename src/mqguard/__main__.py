"""`python -m mqguard` is the `mqguard` command."""

from mqguard.cli.main import main

if __name__ == "__main__":
    main()
