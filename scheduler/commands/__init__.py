"""The command line, one module for each group of commands. Each command imports what it needs: --help is quick."""
