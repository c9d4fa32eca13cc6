"""`python -m mnist_arch`: the command, where its script is not on the path.

The one arrow from the library to the terminal.
"""

from mnist_arch_cli.app import app

if __name__ == "__main__":  # and not where a worker of a sweep imports the main module again
    app()
