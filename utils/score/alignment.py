"""Alignments of references and hypotheses by jiwer, and their display in the style of NIST's sclite."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jiwer


class Alignment(NamedTuple):
    """The units (words or characters) of an utterance's reference and hypothesis, and jiwer's alignment of them."""

    reference: list[str]
    hypothesis: list[str]
    chunks: list[jiwer.AlignmentChunk]

    def pairs(self) -> Iterator[tuple[str | None, str | None]]:
        """Aligned pairs of reference and hypothesis units; None is the missing side of an insertion or deletion."""
        for chunk in self.chunks:
            reference = self.reference[chunk.ref_start_idx:chunk.ref_end_idx]
            hypothesis = self.hypothesis[chunk.hyp_start_idx:chunk.hyp_end_idx]
            length = max(len(reference), len(hypothesis))
            nothing: list[str | None] = [None] * length
            yield from zip(reference or nothing, hypothesis or nothing, strict=True)

    def counts(self) -> tuple[int, int, int, int]:
        """Numbers of substitutions, deletions, insertions and units of the reference."""
        found = {"equal": 0, "substitute": 0, "delete": 0, "insert": 0}
        for chunk in self.chunks:
            found[chunk.type] += max(chunk.ref_end_idx - chunk.ref_start_idx, chunk.hyp_end_idx - chunk.hyp_start_idx)
        return found["substitute"], found["delete"], found["insert"], len(self.reference)


def align(references: Sequence[list[str]], hypotheses: Sequence[list[str]]) -> list[Alignment]:
    """jiwer's alignment of every utterance. Either side may be empty; units must contain no white space."""
    different = [index for index, pair in enumerate(zip(references, hypotheses, strict=True)) if pair[0] != pair[1]]
    aligned = [Alignment(units, units, [jiwer.AlignmentChunk("equal", 0, len(units), 0, len(units))] if units else [])
               for units in references]
    if different:
        out = jiwer.process_words([" ".join(references[index]) for index in different],
                                  [" ".join(hypotheses[index]) for index in different])
        for index, chunks in zip(different, out.alignments, strict=True):
            aligned[index] = Alignment(references[index], hypotheses[index], chunks)
    return aligned


def show(key: str, alignment: Alignment) -> str:
    """An utterance as sclite prints it: REF, HYP and Eval lines, ``***`` for a missing unit, S, D or I below errors.

    Case is kept, as with sclite's option -s. East Asian characters count as two columns wide.
    """
    lines: tuple[list[str], list[str], list[str]] = ["REF: "], ["HYP: "], ["Eval:"]
    for reference, hypothesis in alignment.pairs():
        mark = "D" if hypothesis is None else "I" if reference is None else " " if reference == hypothesis else "S"
        width = max(1, *(_width(unit or "") for unit in (reference, hypothesis)))  # CER's units may be marks
        for line, unit in zip(lines, (reference or "*" * width, hypothesis or "*" * width, mark), strict=True):
            line.append(unit + " " * (width - _width(unit)))
    substitutions, deletions, insertions, length = alignment.counts()
    hits = length - substitutions - deletions
    return "\n".join([f"id: ({key})", f"Scores: (#C #S #D #I) {hits} {substitutions} {deletions} {insertions}",
                      *(" ".join(line).rstrip() for line in lines)])


def _width(text: str) -> int:
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.category(char) in ("Mn", "Me", "Cf") else
               1 + (unicodedata.east_asian_width(char) in "WF") for char in text)
