"""The shipped JSON Schema describes every field of a document, and files that are no such document are refused."""

import copy
import json

import jsonschema
import pytest

from adderhw.cost.energy import load_table
from adderhw.errors import AdderHwError
from adderhw.report.document import SCHEMA
from adderhw.report.reader import json_schema, read_document, read_earlier, read_sqnr
from adderhw.report.tables import write_json
from tests.report.example import document, full_document, layers

DATA = {"name": "digits", "split": "test", "count": 50}


def closed(schema):
    """The schema with no room for a field that it does not name."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(part) for key, part in schema.items()}
    if "properties" in found and "type" in found:
        found["additionalProperties"] = False
    return found


@pytest.mark.parametrize("make", [document, full_document])
def test_the_schema_names_every_field_and_every_type(make):
    schema = closed(json_schema())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(make(), schema)
    jsonschema.validate(make(accuracy=None, check=None, command=None), schema)


def saved(path, made):
    write_json(made, path)
    return path


def test_a_document_comes_back_as_it_was_written(tmp_path):
    made = full_document()
    assert read_document(saved(tmp_path / "a.json", made)) == made


def broken(change, make=document):
    made = copy.deepcopy(make())
    change(made)
    return made


def full_broken(change):
    return broken(change, full_document)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ([1], "found a JSON list, expected a document of python -m adderhw.simulate --json, schema 3"),
        ({"schema": 1, "tensors": []}, "found a JSON object of schema, tensors"),
        (broken(lambda made: made.update(schema=2)), "found schema 2, expected 3; run its command again"),
        (broken(lambda made: made.update(schema=SCHEMA + 1)), "found schema 4, expected 3"),
        (broken(lambda made: made["totals"].pop("paper")), "totals: found 'paper' is a required property"),
        (broken(lambda made: made["layers"][1].update(taps="9")), "layers.1.taps: found '9' is not of type"),
        (broken(lambda made: made["layers"][1].update(taps=-9)), "layers.1.taps: found -9 is less than"),
        (broken(lambda made: made["ratios"].pop("horowitz45")), "ratios: found no 'horowitz45', expected every table"),
        (
            broken(lambda made: made["layers"][1]["energy_pj"].pop("qtools45")),
            "layers.1.energy_pj: found no 'qtools45'",
        ),
        (broken(lambda made: made["accuracy"].update(count=0)), "accuracy: found 190 of 0 images right"),
        (full_broken(lambda made: made["network"].update(name="x")), "memory.networks: found no 'x', expected the"),
    ],
)
def test_other_documents_are_refused_in_one_line(found, words, tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(found))
    with pytest.raises(AdderHwError) as error:
        read_document(path)
    assert str(error.value).startswith(f"{path}: {words}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("content", "words"), [(None, "cannot read"), ("{", "found no JSON")])
def test_files_that_are_no_json_are_refused(content, words, tmp_path):
    path = tmp_path / "a.json"
    if content:
        path.write_text(content)
    with pytest.raises(AdderHwError, match=words):
        read_document(path)


def test_an_earlier_run_on_the_same_data_is_taken(tmp_path):
    earlier = read_earlier(saved(tmp_path / "a.json", document()), data=DATA, tables=["qtools45"])
    assert (earlier["path"], earlier["correct"], list(earlier["energy_pj"])) == ("ann.onnx", 190, ["qtools45"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"data": {"name": "cifar10", "split": "test", "count": 9}},
            "found a run on cifar10 test, expected digits test",
        ),
        ({"accuracy": None}, "found a run without labels"),
        ({"tables": [load_table("horowitz45")]}, "found energies by horowitz45, expected qtools45 too"),
    ],
)
def test_an_earlier_run_that_cannot_stand_beside_this_one_is_refused(changes, words, tmp_path):
    path = saved(tmp_path / "a.json", document(**changes))
    with pytest.raises(AdderHwError, match=words):
        read_earlier(path, data=DATA, tables=["qtools45"])


MODEL = {"path": "ann.onnx", "sha256": "0" * 64}


def comparison(**changes):
    files = {"integer_model": {"path": "b.onnx", "sha256": "0" * 64}, "float_model": {"path": "f.onnx", "sha256": "1"}}
    tensors = [{"node": layers()[1].work.name, "sqnr_db": 31.5}, {"node": "stem", "sqnr_db": None}]
    return {"schema": 1, **files, "data": {"name": "digits", "count": 8}, "tensors": tensors, **changes}


def test_noise_is_read_by_layer(tmp_path):
    path = tmp_path / "c.json"
    path.write_text(json.dumps(comparison()))
    section, ratios = read_sqnr(path, MODEL)
    assert ratios == {"block.adder1": 31.5, "stem": None}
    assert (section["float_model"], section["images"]) == ("f.onnx", 8)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (comparison(integer_model={"path": "b.onnx", "sha256": 0.5}), "found a JSON object of schema, integer_model"),
        (comparison(data={"name": "digits", "count": "8"}), "expected the JSON of python -m quant compare"),
        (comparison(tensors=[{"node": "stem", "sqnr_db": "31"}]), "expected the JSON of python -m quant compare"),
        (comparison(schema=2), "found schema 2, expected 1"),
        (comparison(integer_model={"path": "b.onnx", "sha256": "9" * 64}), "found a comparison of b.onnx"),
        ({"schema": 3}, "found a JSON object of schema, expected the JSON of python -m quant compare"),
        ([], "found a JSON list"),
    ],
)
def test_another_comparison_is_refused(found, words, tmp_path):
    path = tmp_path / "c.json"
    path.write_text(json.dumps(found))
    with pytest.raises(AdderHwError, match=words):
        read_sqnr(path, MODEL)


def test_a_run_that_cost_nothing_is_refused(tmp_path):
    changed = document()
    changed["totals"]["energy_pj"]["qtools45"] = 0.0
    path = saved(tmp_path / "a.json", changed)
    with pytest.raises(AdderHwError, match=r"a\.json: totals\.energy_pj\.qtools45: found 0\.0, expected picojoules"):
        read_document(path)
