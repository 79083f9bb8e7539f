"""The simulator on a Dask cluster: the same document, also when a worker dies; no cluster is one line."""

import pytest

from adderhw import cluster as adderhw_cluster
from adderhw import inference
from adderhw.errors import AdderHwError
from adderhw.simulation import simulate
from tests.clusters import cluster

pytest.importorskip("distributed")
NARROW = {"accumulator_bits": 14, "overflow": "wrap"}


def stable(document):
    """The document without what differs from run to run."""
    return {key: value for key, value in document.items() if key not in ("timing", "command")}


def test_a_cluster_whose_worker_dies_gives_the_same_document(tmp_path, monkeypatch):
    monkeypatch.setattr(inference, "CLUSTER_IMAGES", 32)
    steps = []
    with cluster(tmp_path) as (address, workers):

        def progress(done, total):
            steps.append((done, total))
            if len(steps) == 2:
                workers[0].kill()

        found = simulate(scheduler=address, progress=progress, **NARROW)
    assert workers[0].poll() is not None
    assert len(steps) == 12
    assert steps[-1] == (355, 355)
    assert stable(found) == stable(simulate(threads=1, **NARROW))
    assert found["accuracy"]["count"] == 355


def test_no_scheduler_is_one_line(monkeypatch):
    monkeypatch.setattr(adderhw_cluster, "SECONDS_TO_CONNECT", 1)
    with pytest.raises(
        AdderHwError, match=r"scheduler tcp://127\.0\.0\.1:9: found .*, expected a Dask scheduler"
    ) as error:
        simulate(scheduler="tcp://127.0.0.1:9", limit=1)
    assert "\n" not in str(error.value)


def test_a_worker_of_another_version_is_refused(monkeypatch):
    packed = adderhw_cluster.packed("shared")
    assert adderhw_cluster.unpacked(packed) == "shared"
    monkeypatch.setattr(adderhw_cluster, "__version__", "9.9")
    with pytest.raises(AdderHwError, match=r"worker: found adderhw 9\.9, expected 0\."):
        adderhw_cluster.unpacked(packed)


@pytest.mark.parametrize("option", [{"check": "ort"}, {"threads": 1}, {"trace": "t"}])
def test_options_of_this_machine_are_refused_with_a_scheduler(option):
    with pytest.raises(AdderHwError, match="scheduler: found --check, --trace or --threads with it"):
        simulate(scheduler="tcp://127.0.0.1:9", limit=1, **option)
