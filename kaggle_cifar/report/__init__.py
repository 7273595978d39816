"""Runs to HTML pages: one a run, one for several, one table of all.

On disk: `runs/<name>/report.html`, `runs/index.html`, and the figures as PNGs.
"""
