"""What the recipe's scripts share: importable modules, shell snippets and job drivers. README.md lists the folders."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]  # the repository's directory
