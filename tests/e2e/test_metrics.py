"""Metrics of real processes."""

import socket

from dev.service import serving


def test_a_worker_whose_metrics_port_is_in_use_ends_with_one_line():
    with serving(api=False) as service, socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        worker = service.start_worker(WORKER_METRICS_PORT=port)
        assert worker.wait_exit() == 2
        (line,) = service.stack.output(worker.name).splitlines()
        assert line.startswith(f"Configuration error: WORKER_METRICS_PORT: can't listen on 127.0.0.1:{port}")
