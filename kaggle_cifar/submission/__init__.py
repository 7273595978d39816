"""Probabilities to a scored submission: write the CSV, check it, record it, submit it once.

On disk: `submissions/<name>.csv` and its record `submissions/<name>.json`. A reserved folder in
`submissions` holds a note of each content that was sent.
"""
