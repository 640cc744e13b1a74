"""Prints docs/fidelity.md."""

from tests.fidelity.table import page, rows

if __name__ == "__main__":
    print(page(rows()), end="")
