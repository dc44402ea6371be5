"""What the recipe's scripts share: importable modules, shell snippets and job drivers."""
