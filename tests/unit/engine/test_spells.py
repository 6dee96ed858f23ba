"""Spells: what goes on is told of once."""

from scheduler.engine.spells import Spells


def test_a_spell_lasts_as_long_as_it_is_seen_again_within_ten_minutes() -> None:
    at = [0.0]
    spells = Spells(lambda: at[0])
    told = []
    for at[0] in (0, 1, 600, 1_200, 1_801, 1_802):
        told.append(spells.begins("reports"))
    assert told == [True, False, False, False, True, False]


def test_each_has_a_spell_of_its_own_and_of_too_many_the_oldest_are_forgotten() -> None:
    spells = Spells(lambda: 0.0)
    assert all(spells.begins(f"source {number}") for number in range(1_001))
    assert not spells.begins("source 1")
    assert spells.begins("source 0")
