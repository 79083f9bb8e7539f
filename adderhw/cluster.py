"""Runs one function over many tasks on a Dask cluster; a worker that dies loses nothing, and each task counts once."""

import pickle
import secrets
from itertools import islice

from adderhw import __version__
from adderhw.errors import AdderHwError, ClusterError

SECONDS_TO_CONNECT = 20
TASKS_PER_THREAD = 3  # in flight: enough that no worker waits, few enough that their data fits


def on_cluster(address, function, shared, tasks):
    """Yields (index, function(shared, task)) as tasks are done, in any order, each index once.

    address: of a Dask scheduler, 'tcp://host:8786'. function: of a module that the workers have. shared: sent once a
    worker. tasks: an iterable, taken only as fast as the cluster works. An error of the function is raised here.
    Raises AdderHwError without distributed, a scheduler or a worker, ClusterError where the cluster is lost.
    """
    distributed = _distributed()
    with _client(distributed, address) as client:
        try:
            yield from _run(distributed, client, function, shared, tasks)
        except distributed.KilledWorker as error:
            raise ClusterError(
                f"scheduler {address}: {error.last_worker}: a task ended its workers again and again"
            ) from None
        except (distributed.CancelledError, distributed.comm.CommClosedError, OSError) as error:
            raise ClusterError(f"scheduler {address}: lost ({type(error).__name__}: {error})") from None


def _run(distributed, client, function, shared, tasks):
    numbered, name = iter(enumerate(tasks)), secrets.token_hex(8)
    held = client.submit(unpacked, packed(shared), key=f"adderhw-{name}-shared")

    def submitted(count):
        for index, task in islice(numbered, count):
            yield client.submit(function, held, task, key=f"adderhw-{name}-{index}", pure=False)

    threads = sum(worker["nthreads"] for worker in client.scheduler_info(n_workers=-1)["workers"].values())
    running = distributed.as_completed(submitted(TASKS_PER_THREAD * max(threads, 1)), loop=client.loop)
    for future in running:
        yield int(future.key.rpartition("-")[2]), future.result()
        future.release()
        for more in submitted(1):
            running.add(more)


def packed(shared):
    """Bytes of what all tasks share, with the caller's version."""
    return pickle.dumps((__version__, shared))


def unpacked(data):
    """What `packed` was given, on a worker; raises AdderHwError where the worker has another version."""
    version, shared = pickle.loads(data)
    if version != __version__:
        raise AdderHwError(f"worker: found adderhw {__version__}, expected {version} as the caller has")
    return shared


def _client(distributed, address):
    """A connected client; raises AdderHwError where no scheduler answers or no worker comes."""
    client = None
    try:
        client = distributed.Client(address, timeout=SECONDS_TO_CONNECT, set_as_default=False)
        client.wait_for_workers(1, timeout=SECONDS_TO_CONNECT)
    except (OSError, ValueError, TimeoutError) as error:
        if client is not None:
            client.close()
        reason = " ".join(str(error).split()) or type(error).__name__
        raise AdderHwError(f"scheduler {address}: found {reason}, expected a Dask scheduler with a worker") from None
    return client


def _distributed():
    try:
        import distributed
    except ImportError:
        raise AdderHwError("scheduler: found no distributed, expected it: pip install adderhw[dask]") from None
    return distributed
