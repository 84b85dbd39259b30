"""Which door a barrier stands at, and when: a later entry takes over, for the barrier and for the door."""

import datetime as dt

import pytest

from footfall_gateway.places import PASSERS_BY, Placement, Places, Site, local_midnight_ms

LAB, BUS = Site("lab", "Lab", "Europe/Berlin"), Site("bus", "Bus", "Europe/Berlin")


def doors_at(places: Places, node: str, utc_ms: int) -> set[tuple[str, str]]:
    return {(one.site, one.door) for one in places.of_node(node, utc_ms, utc_ms + 1)}


def test_a_barrier_that_moves_counts_for_its_new_door_from_then_on() -> None:
    places = Places(
        [LAB, BUS], [Placement("lab", "main", "n", 0, 100), Placement("bus", "door", "n", 0, 200)]
    )
    assert [doors_at(places, "n", at) for at in (99, 100, 199, 200)] == [
        set(), {("lab", "main")}, {("lab", "main")}, {("bus", "door")},
    ]  # fmt: skip


def test_a_door_with_a_new_node_leaves_the_old_one() -> None:
    places = Places([LAB], [Placement("lab", "main", "old", 0, 0), Placement("lab", "main", "new", 0, 200)])
    assert doors_at(places, "old", 199) == {("lab", "main")}
    assert doors_at(places, "old", 200) == set()
    assert doors_at(places, "new", 199) == set()
    assert {one.node for one in places.of_door("lab", "main", 100, 300)} == {"old", "new"}


def test_entries_of_one_door_and_day_stand_side_by_side() -> None:
    places = Places([LAB], [Placement("lab", "main", "n", 0), Placement("lab", "main", "n", 1)])
    assert {one.barrier for one in places.of_door("lab", "main", 0, 1)} == {0, 1}


def test_passers_by_and_door_of_one_id_do_not_replace_each_other_but_a_barrier_has_one_role_at_a_time() -> (
    None
):
    door = Placement("lab", "main", "n", 0, 0)
    beside = Placement("lab", "main", "n", 1, 50, role=PASSERS_BY)
    changed = Placement("lab", "main", "n", 0, 100, role=PASSERS_BY)
    places = Places([LAB], [door, beside])
    assert {one.barrier for one in places.of_door("lab", "main", 60, 61)} == {0, 1}
    assert places.compared_doors("lab", "main", 60, 61) == ["main"]
    places = Places([LAB], [door, changed])
    assert [one.role for one in places.of_door("lab", "main", 99, 100)] == ["door"]
    assert [one.role for one in places.of_door("lab", "main", 100, 101)] == ["passers-by"]
    assert places.compared_doors("lab", "main", 100, 101) == []


def test_people_outside_are_compared_with_every_door_unless_they_have_the_id_of_one() -> None:
    doors = [Placement("lab", "a", "n", 0), Placement("lab", "b", "n", 1), Placement("bus", "c", "m", 0)]
    outside = [
        Placement("lab", "street", "n", 2, role=PASSERS_BY),
        Placement("lab", "b", "n", 3, role=PASSERS_BY),
    ]
    terminal = Placement("lab", "t", "n", None)
    places = Places([LAB, BUS], [*doors, *outside, terminal])
    assert places.passersby_places("lab") == {"street", "b"}
    assert places.passersby_places("bus") == set()
    assert places.compared_doors("lab", "street", 0, 1) == ["a", "b"]
    assert places.compared_doors("lab", "b", 0, 1) == ["b"]


def test_buttons_and_a_barrier_of_one_door_do_not_replace_each_other() -> None:
    places = Places([LAB], [Placement("lab", "main", "n", 0, 0), Placement("lab", "main", "t", None, 50)])
    assert doors_at(places, "n", 60) == doors_at(places, "t", 60) == {("lab", "main")}


@pytest.mark.parametrize(
    ("sites", "entries", "said"),
    [
        ([LAB], [Placement("bus", "door", "n", 0)], 'site "bus", which is not described'),
        (
            [LAB],
            [Placement("lab", "a", "n", 0), Placement("lab", "b", "n", 0)],
            "two doors from the same day on",
        ),
        ([Site("x", "X", "Europe/Atlantis")], [], "is not a time zone"),
        ([Site("x", "X", "../etc/passwd")], [], "is not a time zone"),
    ],
)
def test_entries_that_contradict_each_other_are_refused_in_one_line(
    sites: list[Site], entries: list[Placement], said: str
) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        Places(sites, entries)
    assert "\n" not in str(refused.value)


def test_the_fingerprint_changes_with_what_the_buckets_depend_on_only() -> None:
    def fingerprint(**changed: object) -> str:
        return Places(
            [LAB], [Placement(**({"site": "lab", "door": "a", "node": "n", "barrier": 0} | changed))]
        ).fingerprint  # type: ignore[arg-type]

    same = Places([Site("lab", "Another name", "Europe/Berlin", 5)], [Placement("lab", "a", "n", 0)])
    assert fingerprint() == same.fingerprint
    assert (
        len(
            {
                fingerprint(),
                fingerprint(door="b"),
                fingerprint(valid_from_ms=5),
                fingerprint(calibrate_in=1.1),
            }
        )
        == 4
    )


def test_midnight_is_local() -> None:
    moment = dt.datetime(2026, 7, 1, tzinfo=dt.UTC).timestamp() * 1000 - 2 * 3_600_000
    assert local_midnight_ms(dt.date(2026, 7, 1), "Europe/Berlin") == moment
