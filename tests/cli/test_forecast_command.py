"""`backfeed forecast`: one document of scores, and one clear message for what it can not do."""

import json

from backfeed.cli.main import run

HEADER = "arrival,departure,energy_kwh,user_id\n"


def sessions_file(tmp_path, count):
    rows = [
        f"2026-03-{1 + n // 2:02}T0{8 + n % 2}:00Z,2026-03-{1 + n // 2:02}T1{5 + n % 3}:00Z,7,u{n % 2}"
        for n in range(count)
    ]
    path = tmp_path / "sessions.csv"
    path.write_text(HEADER + "\n".join(rows) + "\n")
    return path


def test_the_scores_of_a_file_are_one_document(tmp_path, capsys):
    path = sessions_file(tmp_path, 40)
    assert run(["forecast", str(path), "--folds", "2", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [each["cases"] for each in told["hourly"]] == ["all", "fold 1", "fold 2"]
    assert told["arrivals"][0]["count"] == 24
    assert told["hourly"][0]["count"] == sum(each["count"] for each in told["hourly"][1:])
    assert told["hourly"][0]["pinball_h"] < told["hourly"][0]["naive_pinball_h"]
    assert run(["forecast", str(path), "--folds", "2"]) == 0
    assert "fold 2" in capsys.readouterr().out


def test_what_can_not_be_scored_is_told(tmp_path, capsys):
    assert run(["forecast", str(sessions_file(tmp_path, 3)), "--learn-share", "1.5", "--folds", "0"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2
    (tmp_path / "none.csv").write_text(HEADER)
    assert run(["forecast", str(tmp_path / "none.csv")]) == 2
    assert "found none" in capsys.readouterr().err
