"""Tables 1 to 3 are read off the things themselves."""

from pathlib import Path

import pytest

from petcast.pairs import Pairs
from petcast.study.makeup import table_1, table_2, table_3
from petcast.study.protocol import PROTOCOLS, divide


def test_table_1_equals_the_papers_row_by_row() -> None:
    records = table_1().records
    assert len(records) == 16
    assert {record["equal"] for record in records} == {"yes"}
    assert sum(int(str(record["parameters"])) for record in records) == 22_129_107
    assert {(record["kernel"], record["stride"], record["padding"]) for record in records} == {
        (4, 2, 1)
    }


@pytest.mark.slow
def test_table_2_equals_the_papers_but_for_its_own_rounding() -> None:
    records = table_2(["U-Net", "Cas-UNet", "Stage10"]).records
    assert [record["parameters"] for record in records] == [54_413_955, 108_827_910, 221_291_070]
    assert [record["equal"] for record in records] == ["yes", "no", "yes"]


def test_table_3_counts_every_slice_once_a_protocol(tiny_pairs: Path, tmp_path: Path) -> None:
    pairs = Pairs.open(tiny_pairs)
    divisions = {p: divide(pairs, p, tmp_path / p) for p in PROTOCOLS}
    table = table_3(divisions)
    whole = [record for record in table.records if record["diagnosis"] == "all"]
    held = sum(study.slices for study in pairs.studies())
    for protocol in PROTOCOLS:
        own = [record for record in whole if record["protocol"] == protocol]
        assert [record["paper_pairs"] for record in own] == [400, 0, 64]
        assert sum(int(str(record["pairs"])) for record in own) == held
    assert [line.name for line in table.lines] == ["train", "validation", "test", "total"]
    patients = str(len({study.patient for study in pairs.studies()}))
    total = [cell.text for cell in table.lines[-1].cells]
    assert total == ["464", patients, str(held), patients, str(held)]  # in both parts, still one
