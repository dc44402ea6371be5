"""The corpora of this recipe: what reports and model cards say of them."""

from __future__ import annotations

from typing import NamedTuple


class KnownCorpus(NamedTuple):
    """What a corpus is, with what its figures cannot show, and the licence of its data."""

    description: str
    licence: str


KNOWN_CORPORA = {  # by --corpus-name
    "prompts": KnownCorpus("telephone prompts: Asterisk's core sounds 1.6.1; one voice speaks each language, in "
                           "training and test alike", "CC BY-SA 3.0 and CC BY 3.0"),
    "fillets": KnownCorpus("dialogues of the game Fish Fillets NG; two actors speak most of each language, in training "
                           "and test alike, and no scene is in both", "GPL-2 or later"),
    "librispeech": KnownCorpus("LibriSpeech", "CC BY 4.0"),
    "aishell": KnownCorpus("AISHELL-1", "Apache 2.0"),
    "fleurs": KnownCorpus("FLEURS", "CC BY 4.0"),
    "covost2": KnownCorpus("CoVoST 2 on Common Voice 4", "CC0"),
}


def known_corpus(name: str) -> KnownCorpus:
    """The corpus of a name; of one that is not known here, the name alone."""
    return KNOWN_CORPORA.get(name, KnownCorpus(name, ""))
