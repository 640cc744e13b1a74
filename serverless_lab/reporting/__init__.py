"""How results look: tables.py for the terminal. It knows the results and nothing of how they came to be."""
