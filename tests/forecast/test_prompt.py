"""Whom to ask: shares start at the average and follow the driver's own record."""

from backfeed.forecast.prompt import PromptRecord


def test_who_never_answers_is_expected_to_answer_less_and_less() -> None:
    record = PromptRecord()
    shares = []
    for _ in range(6):
        record.asked("mute")
        record.asked("eager")
        record.answered("eager")
        shares.append(record.answer_share("mute"))
    assert shares == sorted(shares, reverse=True)
    assert record.answer_share("mute") < 0.3 < record.answer_share("new") < 0.7 < record.answer_share("eager")


def test_who_breaks_his_word_is_expected_to_break_it_again() -> None:
    record = PromptRecord()
    for _ in range(6):
        record.departed("loose", kept=False)
        record.departed("firm", kept=True)
    assert record.kept_share("loose") < 0.4 < record.kept_share("new") < 0.7 < record.kept_share("firm")
