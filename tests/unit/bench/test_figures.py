from tests.bench.peers.figures import compared, medians, table


def _round(p50: float, rate: float, errors: float = 0) -> dict[str, float]:
    return {"p50_c1_ms": p50, "p99_c1_ms": 3 * p50, "rate_c64": rate, "errors": errors}


def test_medians_take_the_middle_round_and_add_errors() -> None:
    found = medians([_round(1, 10, 1), _round(9, 90, 2), _round(2, 20)])
    assert found == {"p50_c1_ms": 2, "p99_c1_ms": 6, "rate_c64": 20, "errors": 3}


def test_ratios_are_taken_within_a_round_for_each_store() -> None:
    peer = [_round(2, 100), _round(20, 10), _round(4, 50)]
    fast = [_round(1, 400), _round(10, 40), _round(2, 200)]
    slow = [_round(4, 100), _round(40, 10), _round(8, 50)]
    found = compared(peer, {"process": fast, "power": slow})
    assert (found["process_p50_c1_ms_ratio"], found["process_rate_c64_ratio"]) == (0.5, 4)
    assert (found["power_p50_c1_ms_ratio"], found["power_rate_c64_ratio"]) == (2, 1)


def test_the_table_has_a_line_for_each_store_and_says_who_is_durable() -> None:
    slow = compared([_round(2, 100)], {"process": [_round(1, 400)], "power": [_round(4, 100)]})
    lines = table({"Yurt": _round(1, 400), "slow": slow}, {"Yurt": "yes", "slow": "no"}).splitlines()
    assert [line.rpartition("  ")[2] for line in lines[1:]] == ["yes", "no", "no"]
    assert [line.split()[5:8] for line in lines[2:]] == [["process", "0.50", "4.00"], ["power", "2.00", "1.00"]]
