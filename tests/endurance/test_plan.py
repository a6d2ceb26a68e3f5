from collections import Counter
from itertools import pairwise

from tests.endurance.plan import ROUND, WARM_SECONDS, Fault, strikes_of
from tests.endurance.proxy import Toxic

FIVE_MINUTES = 300.0
AN_HOUR = 3600.0


def test_one_seed_is_one_plan_and_another_is_another() -> None:
    plans = [strikes_of(seed, AN_HOUR, list(Fault)) for seed in (1, 1, 2)]

    assert plans[0] == plans[1] != plans[2]


def test_every_fault_strikes_within_the_first_round_and_none_while_another_lasts() -> None:
    strikes = strikes_of(5, AN_HOUR, list(Fault))
    first = Counter(strike.fault for strike in strikes[: sum(count for count, _ in ROUND.values())])

    assert first == {fault: count for fault, (count, _) in ROUND.items()}
    assert strikes[0].at_seconds == WARM_SECONDS
    for strike, following in pairwise(strikes):
        assert strike.at_seconds + strike.lasts_seconds < following.at_seconds
    assert strikes[-1].at_seconds + strikes[-1].lasts_seconds <= AN_HOUR


def test_an_hour_poisons_every_link_in_every_way() -> None:
    strikes = strikes_of(3, AN_HOUR, list(Fault))
    ways = {(strike.target, strike.how) for strike in strikes if strike.fault is Fault.LINK}

    everywhere = {
        (link, toxic)
        for link in ("provider", "erp", "postgres", "redis")
        for toxic in set(Toxic) - {Toxic.DUPLICATE}
    }
    assert ways == everywhere | {("provider", Toxic.DUPLICATE), ("erp", Toxic.DUPLICATE)}


def test_a_run_of_some_faults_has_no_other() -> None:
    chosen = [Fault.RECEIVER, Fault.LINK]

    assert {strike.fault for strike in strikes_of(1, FIVE_MINUTES, chosen)} == set(chosen)
