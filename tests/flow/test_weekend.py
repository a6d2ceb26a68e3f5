"""The weekend without the ERP, as short as it can be; the whole one is a command of its own."""

from service.storage.database import Pool
from tests.weekend import Plan, most_in_a_second, out_of_order, spend

HOUR = Plan(orders=10, hours_down=1, rate_per_second=2, look_seconds=0.5)


async def test_after_an_hour_of_503_all_arrives_once_in_order_and_no_faster_than_the_rate(
    emptied: Pool,
) -> None:
    report = await spend(emptied, HOUR, lambda _text: None)

    assert report.is_good, report
    assert report.delivered == 20
    assert 12 <= report.probes <= 20  # after 15, 30, 60, 120 and 240 s, then every five minutes
    assert report.attempts_while_down - report.probes <= 6  # five that put the lane on hold
    assert report.most_in_a_second <= HOUR.rate_per_second + 1  # one may be longer on its way


def test_the_figures_notice_what_they_are_for() -> None:
    taken = [(0.0, "a", 1), (0.5, "b", 2), (0.9, "b", 1), (1.0, "a", 2), (1.0, "a", 2)]

    assert out_of_order(taken) == 3
    assert most_in_a_second([at for at, *_ in taken]) == 4
