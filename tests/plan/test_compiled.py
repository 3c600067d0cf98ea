"""What is compiled at the first call says so, once, and leaves no old caches."""

from backfeed.plan.compiled import first_call


def room_at(folder, text):
    """Write a room of one file that compiles functions."""
    folder.mkdir(exist_ok=True)
    (folder / "kernel.py").write_text(f"from backfeed.plan.compiled import compiled\n{text}\n")
    return folder


def test_the_first_call_is_announced_and_later_ones_are_not(tmp_path, capsys):
    room = room_at(tmp_path / "room", "A = 1")
    with first_call("the room", room):
        pass
    assert "compiling the room" in capsys.readouterr().err
    with first_call("the room", room):
        pass
    assert not capsys.readouterr().err


def test_caches_of_older_sources_are_dropped(tmp_path):
    room = room_at(tmp_path / "room", "A = 1")
    old = room / "__pycache__" / "compiled-0123456789abcdef"
    old.mkdir(parents=True)
    with first_call("the room", room):
        assert old.exists()
    left = list((room / "__pycache__").iterdir())
    assert len(left) == 1
    assert (left[0] / "complete").exists()
