"""A described accelerator as ZigZag reads it: its memories with prices by the access, its array and its loops.

ZigZag is L. Mei et al., "ZigZag: Enlarging Joint Architecture-Mapping Design Space Exploration for DNN Accelerators",
IEEE Transactions on Computers 70(8), 2021; the files are those of zigzag-dse 3.9.
"""

from adderhw.cost.accelerator import OPERANDS

OPERAND_NAMES = {"activations": "I1", "weights": "I2", "partial_sums": "O"}
LINKS = {"O": "O", "W": "I2", "I": "I1"}
DRAM_BITS = 10**12  # large enough for any network
# The loops that run over the rows (D1) and the columns (D2) of the array; a loop that is shorter leaves elements idle.
UNROLLED = {
    "weight_stationary": ("C", "K"),
    "output_stationary": ("OX", "K"),
    "row_stationary": ("C", "OY"),
}
UNROLLED_LINEAR = ("C", "K")


def hardware(accelerator, table, tap_pj, words):
    """The accelerator as a dict for ZigZag's YAML.

    table: the MemoryTable that prices it; DRAM at its low end. tap_pj: picojoules of one tap. words: {operand: bits}
    that the network stores. Buffers are as wide as the array, so that only the array and DRAM bound the time.
    """
    rows, columns = accelerator.rows, accelerator.columns
    memories = {}
    for operand in OPERANDS:
        bits = words[operand]
        entries = accelerator.weight_registers if operand == "weights" else 1
        memories[f"register_{operand}"] = _memory(entries * bits, bits, table.register_pj, [operand], [])
    for operand in OPERANDS:
        kib = accelerator.buffers_kib[operand]
        width = words[operand] * rows * columns
        price = table.buffer_pj_per_bit(kib)
        memories[f"buffer_{operand}"] = _memory(kib * 8192, width, price, [operand], ["D1", "D2"])
    low, _ = table.dram_pj_per_bit()
    memories["dram"] = _memory(DRAM_BITS, accelerator.dram_bits_per_cycle, low, OPERANDS, ["D1", "D2"])
    return {
        "name": accelerator.name,
        "memories": memories,
        "operational_array": {
            "unit_energy": float(tap_pj), "unit_area": 1.0, "dimensions": ["D1", "D2"], "sizes": [rows, columns]
        },
    }  # fmt: skip


def mapping(accelerator):
    """ZigZag's mapping file, as a list: which loops run over the array; the order of all others it searches."""
    rows, columns = accelerator.rows, accelerator.columns

    def unrolled(name, loops):
        down, across = loops
        spatial = {"D1": [f"{down}, {rows}"], "D2": [f"{across}, {columns}"]}
        return {"name": name, "spatial_mapping": spatial, "memory_operand_links": LINKS}

    linear = [unrolled(op, UNROLLED_LINEAR) for op in ("Gemm", "MatMul")]
    return [unrolled("default", UNROLLED[accelerator.dataflow]), *linear]


def _memory(size, width, pj_per_bit, operands, served):
    """One memory with a read and a write port of `width` bits."""
    names = [OPERAND_NAMES[operand] for operand in operands]
    reads = [f"{name}, {way}" for name in names for way in (("tl", "th") if name == "O" else ("tl",))]
    writes = [f"{name}, {way}" for name in names for way in (("fh", "fl") if name == "O" else ("fh",))]
    return {
        "size": int(size),
        "r_cost": pj_per_bit * width,
        "w_cost": pj_per_bit * width,
        "area": 0.0,
        "latency": 1,
        "operands": names,
        "ports": [_port("r_port_1", "read", width, reads), _port("w_port_1", "write", width, writes)],
        "served_dimensions": served,
    }


def _port(name, way, width, allocation):
    return {"name": name, "type": way, "bandwidth_min": width, "bandwidth_max": width, "allocation": allocation}
