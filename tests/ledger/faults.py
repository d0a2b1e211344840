"""What may befall a job's way to paper. Each strikes at once, and is undone soon after, or when all is to be well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.ledger.run import Printer, Run
from tests.ledger.stage import Desktop, Ticket

EXPIRY: Final = 1.0  # seconds that a job has whose time is to run out; the least that the service takes


@dataclass(slots=True)
class Scene:
    """Whom a fault strikes: a job, its printer and its agent."""

    run: Run
    printer: Printer
    desktop: Desktop
    ticket: Ticket


def _agent_killed(scene: Scene) -> None:
    scene.desktop.kill()
    scene.run.undo(scene.run.dice.uniform(0.0, 0.6), scene.desktop.start)


def _agent_hangs(scene: Scene) -> None:
    if (child := scene.desktop.child) is not None:
        child.pause()
        scene.run.undo(scene.run.dice.uniform(0.2, 5.0), child.resume)


def _journal_lost(scene: Scene) -> None:
    scene.desktop.kill()
    scene.desktop.lost = True
    scene.run.undo(scene.run.dice.uniform(0.0, 0.6), scene.desktop.start)


def _service_killed(scene: Scene) -> None:
    scene.run.lane.kill_service()
    scene.run.undo(scene.run.dice.uniform(0.0, 0.5), scene.run.lane.start_service)


def _power(scene: Scene) -> None:
    scene.printer.paper.power_off()
    scene.run.undo(scene.run.dice.uniform(0.05, 1.0), scene.printer.paper.power_on)


def _reset(scene: Scene) -> None:
    scene.printer.paper.reset()


def _paper_end(scene: Scene) -> None:
    scene.printer.paper.paper_out(after_dots=scene.run.dice.choice([None, scene.run.dice.randint(0, 300)]))
    scene.run.undo(scene.run.dice.uniform(0.1, 2.5), scene.printer.paper.paper_in)


def _stopped(scene: Scene) -> None:
    paper = scene.printer.paper
    what = scene.run.dice.choice(["cover", "offline", "cutter", "mechanical", "overheated", "unrecoverable"])
    scene.run.note(f"it is {what}")
    end: Callable[[], None] = paper.recover
    match what:
        case "cover":
            paper.cover_open()
            end = paper.cover_close
        case "offline":
            paper.offline()
            end = paper.online
        case "cutter":
            paper.cutter_error(at_next_cut=True)
        case "mechanical":
            paper.mechanical_error()
        case "overheated":
            paper.overheated()
        case "unrecoverable":
            paper.unrecoverable_error()

            def end() -> None:
                if paper.unrecoverable:
                    paper.power_off()
                    paper.power_on()

    scene.run.undo(scene.run.dice.uniform(0.1, 2.5), end)


def _mute(scene: Scene) -> None:
    scene.printer.paper.mute()
    scene.run.undo(scene.run.dice.uniform(0.1, 2.5), scene.printer.paper.unmute)


def _garbage(scene: Scene) -> None:
    scene.printer.paper.garbage_replies()
    scene.run.undo(scene.run.dice.uniform(0.1, 2.5), scene.printer.paper.unmute)


def _slow(scene: Scene) -> None:
    paper = scene.printer.paper
    paper.slow(scene.run.dice.choice([200.0, 1000.0]))
    scene.run.undo(scene.run.dice.uniform(0.3, 2.5), lambda: paper.slow(None))


def _cut(scene: Scene) -> None:
    scene.desktop.proxy.cut()


def _half_open(scene: Scene) -> None:
    scene.desktop.proxy.half_open()


def _delayed(scene: Scene) -> None:
    scene.desktop.proxy.stall(scene.run.dice.uniform(0.1, 1.0))


def _retried(scene: Scene) -> None:
    def again() -> None:
        if scene.ticket.id and not scene.ticket.reprint_of:
            scene.run.till.submit(scene.ticket)

    scene.run.spawn(again)


def _cancelled(scene: Scene) -> None:
    def cancel() -> None:
        if scene.run.wait(lambda: bool(scene.ticket.id), 2):
            status = scene.run.till.cancel(scene.ticket)
            scene.run.note(f"cancel of {scene.ticket.number}: {status}")

    scene.run.spawn(cancel)


def _expired(scene: Scene) -> None:
    """Its time runs out here: nothing is carried until it has."""
    scene.desktop.proxy.stall(EXPIRY + 0.3)


FAULTS: Final[dict[str, Callable[[Scene], None]]] = {
    "agent killed": _agent_killed,
    "agent hangs": _agent_hangs,
    "journal lost": _journal_lost,
    "service killed": _service_killed,
    "printer power": _power,
    "printer reset": _reset,
    "paper end": _paper_end,
    "printer stops": _stopped,
    "printer mute": _mute,
    "garbage": _garbage,
    "printer slow": _slow,
    "websocket cut": _cut,
    "half-open": _half_open,
    "delayed": _delayed,
    "retried": _retried,
    "cancelled": _cancelled,
    "expired": _expired,
}
