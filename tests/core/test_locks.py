"""A lock that a finaliser and a fork leave usable."""

import os
import threading
import time

import pytest

from printobs.core.locks import Lock

LOCK = Lock()


def test_it_keeps_other_threads_out_and_may_be_taken_again_by_its_own() -> None:
    order: list[str] = []

    def other() -> None:
        with LOCK:
            order.append("other")

    with LOCK, LOCK:
        thread = threading.Thread(target=other)
        thread.start()
        time.sleep(0.05)
        order.append("own")
    thread.join()
    assert order == ["own", "other"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_child_finds_it_open_whoever_held_it() -> None:
    held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with LOCK:
            held.set()
            let_go.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    child = os.fork()
    if child == 0:
        with LOCK:
            os._exit(0)
    deadline = time.monotonic() + 5
    while not (ended := os.waitpid(child, os.WNOHANG))[0] and time.monotonic() < deadline:
        time.sleep(0.01)
    let_go.set()
    holder.join()
    if not ended[0]:
        os.kill(child, 9)
        os.waitpid(child, 0)
    assert ended == (child, 0), "the child waits for a lock that nobody holds"
