"""Runs ZigZag's mapping search on a network and reads back its operations, energies and cycles."""

import contextlib
import io
import logging
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from adderhw.errors import AdderHwError

SEARCH_DEPTH = 6  # ZigZag's loop prime factor limit: more finds better orders and takes longer


class Searched(NamedTuple):
    """What ZigZag found for one layer: multiply-accumulates, picojoules of array and memories, cycles."""

    macs: int
    array_pj: float
    memory_pj: float
    cycles: float


def check_installed():
    """Raises AdderHwError where zigzag-dse is not installed."""
    if find_spec("zigzag") is None:
        raise AdderHwError("zigzag: found no such package, expected it installed: pip install adderhw[zigzag]")


def search(model, hardware, mapping, *, depth=SEARCH_DEPTH):
    """{node name: Searched} of a ModelProto on a hardware and mapping (see zigzag_files), least energy first.

    Raises AdderHwError where ZigZag is not installed or finds no mapping.
    """
    check_installed()
    import onnx
    import yaml

    with tempfile.TemporaryDirectory() as folder, quiet():
        paths = {name: str(Path(folder) / name) for name in ("model.onnx", "hardware.yaml", "mapping.yaml", "out")}
        onnx.save(model, paths["model.onnx"])
        for name, content in (("hardware.yaml", hardware), ("mapping.yaml", mapping)):
            Path(paths[name]).write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        return _run(paths, depth)


def _run(paths, depth):
    """ZigZag's own pipeline (zigzag.api) without its plots, which fail where a layer has no loop left to order."""
    from zigzag.mapping.temporal_mapping import TemporalMappingType
    from zigzag.stages.evaluation.cost_model_evaluation import CostModelStage
    from zigzag.stages.main import MainStage
    from zigzag.stages.mapping.spatial_mapping_generation import SpatialMappingGeneratorStage
    from zigzag.stages.mapping.temporal_mapping_generator_stage import TemporalMappingGeneratorStage
    from zigzag.stages.parser.accelerator_parser import AcceleratorParserStage
    from zigzag.stages.parser.onnx_model_parser import ONNXModelParserStage
    from zigzag.stages.results.reduce_stages import MinimalEnergyStage, SumStage
    from zigzag.stages.workload_iterator import WorkloadStage

    stages = [
        ONNXModelParserStage, AcceleratorParserStage, SumStage, WorkloadStage, MinimalEnergyStage,
        SpatialMappingGeneratorStage, MinimalEnergyStage, TemporalMappingGeneratorStage, CostModelStage,
    ]  # fmt: skip
    search_space = MainStage(
        list_of_callables=stages, workload=paths["model.onnx"], accelerator=paths["hardware.yaml"],
        mapping=paths["mapping.yaml"], dump_folder=paths["out"], loma_lpf_limit=depth, loma_show_progress_bar=False,
        nb_mappings_generated=1, enable_mix_spatial_mapping_generation=False,
        access_same_data_considered_as_no_access=True, temporal_mapping_type=TemporalMappingType.UNEVEN,
    )  # fmt: skip
    try:
        ((_, layers),) = search_space.run()
    except Exception as error:  # ZigZag raises what it likes, AssertionErrors for most
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise AdderHwError(f"zigzag: found no mapping ({reason}), expected one for every layer") from error
    return {found.layer.name: _searched(found) for found, _ in layers}


def _searched(found):
    return Searched(
        int(found.layer.total_mac_count), float(found.mac_energy), float(found.mem_energy), float(found.latency_total2)
    )


@contextlib.contextmanager
def quiet():
    """Without ZigZag's log lines and prints."""
    logging.disable(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(logging.NOTSET)
