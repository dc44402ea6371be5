"""What the recipe's scripts share: importable modules, shell snippets and job drivers. README.md names the rooms."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]  # of the repository
