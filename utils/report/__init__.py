"""RESULTS.md, results.json and report.html."""
