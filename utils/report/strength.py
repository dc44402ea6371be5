"""The part of reports on the share of its trained weight at which an adapter is used."""

from __future__ import annotations

from pathlib import Path

from utils.model.strength import read_strength
from utils.report.sentences import TITLES, significance


def strength_rows(exp_dir: Path) -> list[list[str]]:
    """The shares that were tried: scores on dev, and on each forget set with the base model's; header first.

    Returns:
        Empty if none were tried.
    """
    record = read_strength(exp_dir)
    if not record.get("trials"):
        return []
    first = record["trials"][0]
    header = ["share", *(f"{record['dev_set']} {TITLES[metric]}" for metric in first["dev"]),
              *(f"{one['set']} {TITLES[one['metric']]} (base {one['base']:.1f})" for one in first["forget"])]
    rows = [[f"{trial['share']:g}" + (" (used)" if trial["share"] == record["strength"] else ""),
             *(f"{value:.1f}" for value in trial["dev"].values()),
             *(f"{one['value']:.1f}, {significance(one['p_value'])}" for one in trial["forget"])]
            for trial in record["trials"]]
    return [header, *rows]


def strength_sentence(exp_dir: Path) -> str:
    """At what share the adapter is used, and by which rule; empty if it is used as it was trained."""
    record = read_strength(exp_dir)
    if not record:
        return ""
    chosen = f"The adapter is used at {record['strength']:g} of its trained weight"
    return f"{chosen}. Rule: {record['rule']}." if "rule" in record else f"{chosen}."
