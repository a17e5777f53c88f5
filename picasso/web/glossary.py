"""Words that not everybody knows, and what they mean: pages explain them where they stand."""

from __future__ import annotations

import re

from markupsafe import Markup

TERMS = {
    "baseline": "The picture that counts as nothing to see; pixels are measured from it.",
    "bfloat16": "Numbers with about three digits: quicker to compute with than the usual seven.",
    "channel": "One of the maps that a layer hands on. Each tells where the layer found one pattern.",
    "convolution": "A layer that looks for the same small patterns everywhere in its input.",
    "deletion": "Hiding the strongest parts of a map first, and watching the class's score fall.",
    "fingerprint": "The first digits of a checksum of the model's files: the same only for the same model.",
    "float32": "Numbers with about seven digits, as networks usually compute.",
    "Grad-CAM": "Weighs a layer's channels by how much each would raise the class's score.",
    "gradient": "How fast a score would change if a pixel changed a little.",
    "insertion": "Showing the strongest parts of a map first, and watching the class's score rise.",
    "integrated gradients": "Gradients added up on the way from a baseline to the picture, "
    "so that the parts add up to the whole change of the score.",
    "logit": "The number that a network computes for a class before it is made a probability.",
    "parameters": "The numbers that were learnt in training.",
    "rank correlation": "How alike two maps order the pixels, from strongest to weakest: 1 the same, 0 unrelated.",
    "RISE": "Randomised Input Sampling for Explanation: what the picture's score is under many random masks.",
    "seed": "The number that chance starts from: the same seed gives the same result again.",
    "sigmoid": "Makes each number a probability of its own, between 0 and 1.",
    "SmoothGrad": "The mean of gradients of many noisy copies of the picture: less grain.",
    "softmax": "Makes the numbers of all classes probabilities that add up to 1.",
    "standard error": "How far a mean of random samples lies from the true one, typically.",
    "stride": "The step from one place of the hidden window to the next.",
}
_MEANINGS = {word.lower(): meaning for word, meaning in TERMS.items()}
_WORDS = re.compile(rf"\b({'|'.join(sorted(map(re.escape, TERMS), key=len, reverse=True))})s?\b", re.IGNORECASE)


def term(word: str, meaning: str | None = None) -> Markup:
    """A word that says what it means when pointed at, touched, or reached with the keyboard.

    Args:
        word: as it stands in its sentence.
        meaning: unless it is in `TERMS`.

    Raises:
        KeyError: the word has no meaning here.
    """
    meaning = meaning or _MEANINGS[word.lower()]
    return Markup('<dfn class="term" tabindex="0" aria-description="{1}">{0}</dfn>').format(word, meaning)


def glossed(text: str) -> Markup:
    """A text with the first of each of its `TERMS` explained."""
    parts, end, known = [], 0, set()
    for found in _WORDS.finditer(text):
        word = found[1].lower()
        if word not in known:
            known.add(word)
            parts += [Markup.escape(text[end : found.start()]), term(found[0], _MEANINGS[word])]
            end = found.end()
    return Markup("").join([*parts, Markup.escape(text[end:])])
