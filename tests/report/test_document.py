"""The document's fields are there, its sums agree, and each energy is events times price."""

import json
import math

import numpy as np
import pytest

from adderhw.cost.energy import load_table
from adderhw.cost.events import KINDS, Event
from adderhw.errors import AdderHwError, CostError
from tests.report.example import document, layers


@pytest.fixture(scope="module")
def doc():
    return document()


def priced(totals):
    """{table: pJ} without the tables that price no such network."""
    return {table: whole for table, whole in totals["energy_pj"].items() if whole is not None}


def test_the_document_is_plain_json(doc):
    assert json.loads(json.dumps(doc)) == doc


def test_totals_are_the_sum_of_the_layers(doc):
    for name, count in doc["totals"]["events"].items():
        assert count == sum(layer["events"].get(name, 0) for layer in doc["layers"])
    for name, count in doc["totals"]["paper"].items():
        assert count == sum(layer["paper"][name] for layer in doc["layers"])
    for table, whole in doc["totals"]["energy_pj"].items():
        assert whole == pytest.approx(sum(layer["energy_pj"][table] for layer in doc["layers"]))


def test_every_energy_is_events_times_price(doc):
    for totals in (*doc["layers"], doc["totals"], *doc["baselines"].values()):
        for table, whole in priced(totals).items():
            prices = doc["price_basis"][table]
            terms = [count * prices[name]["picojoule"] for name, count in totals["events"].items()]
            assert whole == pytest.approx(math.fsum(terms))


def test_causes_share_the_whole_energy(doc):
    for totals in (doc["totals"], *doc["baselines"].values()):
        for table, whole in priced(totals).items():
            assert sum(totals["energy_by_cause"][table].values()) == pytest.approx(whole)


def test_the_adder_layers_by_hand(doc):
    taps = 144 * 64 + 144 * 32
    by_cause = doc["totals"]["energy_by_cause"]["horowitz45"]
    assert by_cause["adder layers"] == pytest.approx(taps * (0.03 + 0.0325 + 0.05))
    assert doc["totals"]["paper"] == {"mul": 27 * 64 + 320, "add": 2 * taps + 27 * 64 + 320, "xnor": 0}
    cnn = doc["baselines"]["cnn"]
    assert cnn["events"]["mul:8"] == taps + 27 * 64 + 320
    assert cnn["accumulator_bits"] == [24, 24]
    assert doc["baselines"]["bnn"]["paper"]["xnor"] == taps
    ratio = doc["ratios"]["horowitz45"]
    assert ratio["adder_layers_cnn_over_ann"] == pytest.approx((0.2 + 0.075) / 0.1125)
    assert ratio["basis"] == (
        "Horowitz 2014; 45 nm, 0.9 V; accumulators ANN 16 bit, CNN 24 bit; arithmetic only, no memory"
    )


def test_the_basis_of_each_price_is_told(doc):
    bases = doc["price_basis"]["horowitz45"]
    assert bases["mul:8"] == {"picojoule": 0.2, "basis": "point"}
    assert bases["sub:8"]["basis"] == "derived"
    assert {Event.parse(name).kind for name in bases} <= set(KINDS)


def test_a_network_without_adders_has_no_adder_ratio():
    only_macs = [result for result in layers() if result.work.kind == "mac"]
    ratio = document(layers=only_macs)["ratios"]["qtools45"]
    assert ratio["cnn_over_ann"] == 1
    assert ratio["adder_layers_cnn_over_ann"] is None


def test_a_rival_without_a_price_has_null_and_the_reason(doc):
    rival = doc["baselines"]["float32"]
    assert rival["energy_pj"]["aladdin40"] is rival["energy_by_cause"]["aladdin40"] is None
    assert doc["comparison"]["unpriced"]["float32"]["aladdin40"].startswith("aladdin40: found event fmul:32, expected")


def test_the_network_itself_must_have_every_price(tmp_path):
    path = tmp_path / "adds.toml"
    path.write_text(
        'name = "adds"\ntitle = "Adds"\nsource = "x"\nnode_nm = 1\nvoltage = "x"\nunit = "pJ"\n'
        '[kinds.add]\nformula = { linear = 1.0, quadratic = 0 }\nrange = [1, 64]\nreason = "x"\n'
    )
    with pytest.raises(CostError, match=r"adds: found event (mul|sub):8, expected one of the kinds add"):
        document(tables=[load_table(path)])


def test_a_pe_is_the_hardware_of_one_tap(doc):
    adder = doc["layers"][1]["pe_area_um2"]
    assert adder["horowitz45"] == pytest.approx(36 + (36 + 31 / 8) + 67)
    assert adder["aladdin40"] == pytest.approx(278 * (8 + 9 + 16) / 32)
    assert adder["qtools45"] is None
    assert doc["layers"][2]["pe_area_um2"]["horowitz45"] is None


def test_the_hard_wired_networks_say_where_their_constants_come_from(doc):
    words = doc["baselines"]["cnn_wired"]["assumptions"]
    assert (
        "this network's own integer weights, zero point subtracted, 25.0 % of them 0, 1.25 signed digits each" in words
    )
    assert (
        "the CNN of a file, 25.0 %" in document(cnn_source="the CNN of a file")["baselines"]["cnn_wired"]["assumptions"]
    )


def test_numpy_numbers_become_plain_ones():
    accuracy = {"top1": np.float64(0.5), "top5": None, "correct": np.int64(1), "count": 2}
    assert document(accuracy=accuracy)["accuracy"] == {"top1": 0.5, "top5": None, "correct": 1, "count": 2}


def test_accuracy_and_check_may_be_missing():
    doc = document(accuracy=None, check=None, command=None)
    assert doc["accuracy"] is doc["check"] is doc["command"] is None


def test_a_missing_field_is_one_line():
    with pytest.raises(AdderHwError, match=r"^report: data: missing split, count$"):
        document(data={"name": "digits"})


def test_a_number_that_is_not_finite_is_refused():
    timing = {"threads": 1, "images": 0, "seconds": 0.0, "images_per_second": math.inf, "compile_seconds": 0.0}
    with pytest.raises(AdderHwError, match="report: found a number that is not finite"):
        document(timing=timing)


@pytest.mark.parametrize("names", [[], ["qtools45", "qtools45"]])
def test_tables_are_one_or_more_and_distinct(names):
    with pytest.raises(AdderHwError, match=r"report: tables: found .*, expected one or more, each name once"):
        document(tables=[load_table(name) for name in names])
