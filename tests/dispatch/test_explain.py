"""Every authority has its words."""

from backfeed.dispatch.authority import Authority
from backfeed.dispatch.explain import LANGUAGES, UNCONFIRMED, explain


def test_every_reason_is_explained_in_every_language_in_words_of_its_own():
    reasons = [*(authority.word for authority in Authority), UNCONFIRMED]
    sentences = [explain(reason, language) for reason in reasons for language in LANGUAGES]
    assert all(sentences)
    assert len(set(sentences)) == len(sentences)
