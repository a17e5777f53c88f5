"""Words that explain themselves."""

from __future__ import annotations

import pytest

from picasso.web.glossary import TERMS, glossed, term


def test_the_first_of_each_word_is_explained() -> None:
    found = str(glossed("A logit behind a softmax; other logits, and LOGIT too."))
    assert found.count("<dfn") == 2
    assert f'aria-description="{TERMS["softmax"]}">softmax</dfn>' in found
    assert found.endswith("; other logits, and LOGIT too.")


def test_the_longer_word_counts_and_words_stay_whole() -> None:
    found = str(glossed("Integrated gradients of proseeded seeds"))
    assert ">Integrated gradients</dfn>" in found
    assert ">seeds</dfn>" in found
    assert found.count("<dfn") == 2


def test_what_a_stranger_wrote_is_text() -> None:
    assert "<script>" not in glossed("<script>logit</script>") + term("<script>", '"<script>"')


def test_a_word_without_a_meaning_is_an_error() -> None:
    with pytest.raises(KeyError):
        term("unheard of")


def test_meanings_are_sentences() -> None:
    assert all(meaning[0].isupper() and meaning.endswith(".") for meaning in TERMS.values())
