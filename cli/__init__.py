"""The terminal of mnist-arch: commands, tables, live displays and exit codes."""
