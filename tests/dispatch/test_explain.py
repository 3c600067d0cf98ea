"""Every authority has its words."""

from backfeed.dispatch.authority import Authority
from backfeed.dispatch.explain import LANGUAGES, explain


def test_every_authority_is_explained_in_every_language_in_words_of_its_own():
    sentences = [explain(authority.word, language) for authority in Authority for language in LANGUAGES]
    assert all(sentences)
    assert len(set(sentences)) == len(sentences)
