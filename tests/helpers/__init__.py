"""What several tests share: small data and runs, a stand-in for Kaggle, kills."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
