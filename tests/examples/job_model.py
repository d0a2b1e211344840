"""An explicit-state model of the life of a print job: every interleaving, with faults by a budget.

Service, agents, the wire between them and the printer are one immutable `World`; `steps` gives all that can happen
next. The service's and the agents' transitions are those of `examples.jobs.states`, by `advance`. What is not modelled:
a service whose database goes back in time, and a journal put back to a moment within the connection that it is used in
(nothing that the service has been told tells it from the journal that it knows).

`MUTANTS` break one rule each. That an agent starts no job that its journal knows is not among them: it is a second
line, which nothing here reaches. Use: ``python -m tests.examples.job_model [SCENARIO …]``; `DEEP` ones take minutes.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from examples.jobs.states import AGENT, SERVICE, Event, JournalEvent, JournalState, State, advance

MAX_SENT = 2  # the service's own is larger: it bounds the model

# What each breaks, by the scenario that shows it.
MUTANTS = {
    "requeue_on_timeout": ("faults", "the service queues a dispatched job again when its agent is silent"),
    "start_journalled_late": ("faults", "the agent writes first, and journals the start then"),
    "status_as_proof": ("faults", "a real-time status is taken for proof"),
    "stale_session": ("faults", "a job in hand outlives the connection that it came by"),
    "new_journal_trusted": ("journals", "a job that another journal does not know is queued again"),
    "old_journal_trusted": ("journals", "the sequence of the journal is not looked at"),
    "sequence_may_repeat": ("journals", "a journal whose sequence has not grown is trusted"),
    "blind_cancel": ("faults", "the service cancels a dispatched job without asking"),
    "cancel_refused_late": ("faults", "the agent says that a job is cancelled which it has started"),
    "expiry_called_failed": ("faults", "the service calls a dispatched job failed when its time is over"),
    "no_dispatch_check": ("faults", "what the hello says of started jobs is not looked at"),
    "interrupted_called_failed": ("faults", "an agent that finds a job started when it starts up calls it failed"),
    "blip_unseen": ("faults", "a printer that lost its power in the middle of a job confirms its second half"),
    "reassigned_requeued": ("agents", "a job is queued again when its printer is given to another agent"),
    "claim_not_refused": ("agents", "a second agent may claim the printer, and what it does not know is queued again"),
    "reprint_unmarked": ("reprint", "a reprint carries no mark"),
    "reprint_while_open": ("reprint", "a reprint is made of a job that has no outcome yet, and called its only copy"),
    "evidence_changes_outcome": ("faults", "proof that comes late makes an unknown job confirmed"),
    "result_taken_twice": ("faults", "a result is taken for a job that has an outcome"),
}


class Job(NamedTuple):
    """A job, as the service has it (``svc`` … ``partial``) and in truth (``inked`` …)."""

    svc: State = State.QUEUED
    to: int = 0  # the journal that it was dispatched to
    sent: int = 0
    asked: bool = False  # the agent is to be asked to cancel it
    wish: bool = False  # a person wants it cancelled
    over: bool = False  # its time is
    partial: bool = False
    marked: bool = False
    evidence: bool = False
    starts: int = 0
    inked: int = 0  # attempts with anything on paper, a bit each
    whole: bool = False


class Agent(NamedTuple):
    """An agent: ``hand`` is 1 for a job of this connection, 2 for one of an earlier one; ``doing`` is a job, or -1."""

    journal: int
    up: bool = True
    connected: bool = False
    sequence: int = 0
    entries: tuple[tuple[JournalState, str], ...] = ((JournalState.ABSENT, ""),)
    hand: tuple[int, ...] = (0,)
    doing: int = -1
    wrote: int = 0  # 0 nothing, 1 a part, 2 all
    backup: tuple[int, int, tuple[tuple[JournalState, str], ...]] | None = None


class Budget(NamedTuple):
    """How often each fault may happen. ``cut`` counts kills of the service too: both lose what is on the wire."""

    kill: int = 0
    cut: int = 0
    half_open: int = 0
    lose: int = 0
    back_up: int = 0
    restore: int = 0
    power: int = 0
    expire: int = 0
    cancel: int = 0
    reassign: int = 0
    reprint: int = 0


# The steps that each is.
FAULTS = {
    "kill": "KILL",
    "cut": "CUT",
    "half_open": "HALF OPEN",
    "lose": "LOSE",
    "back_up": "BACK UP",
    "restore": "RESTORE",
    "power": "POWER",
    "expire": "TIME",
    "cancel": "a person CANCELS",
    "reassign": "an operator REASSIGNS",
    "reprint": "service: reprint",
}


class World(NamedTuple):
    """Everything."""

    jobs: tuple[Job, ...]
    agents: tuple[Agent, ...]
    budget: Budget
    owner: int = 0  # which agent may claim the printer
    session: int = -1  # which agent the service talks to, as far as it knows
    seen: tuple[tuple[int, int], ...] = ((0, 0), (0, 0))  # journal and sequence at each agent's last hello
    down: tuple[tuple[str, int], ...] = ()
    up: tuple[tuple[str, int, str], ...] = ()
    buffer: tuple[int, int, int] | None = None  # job, attempt, amount: 1 a part, 2 all
    reply: int = -1  # of which job the printer's response waits to be read
    intact: bool = True  # no power was lost since the attempt began


@dataclass(frozen=True)
class Scenario:
    """Which faults together, on how many agents; ``proof``: whether the printer can prove that it has printed."""

    budget: Budget
    agents: int = 1
    proof: bool = True


SCENARIOS = {
    "faults": Scenario(Budget(kill=1, cut=1, half_open=1, power=1, expire=1, cancel=1)),
    "restarts": Scenario(Budget(kill=2, cut=2, expire=1, cancel=1)),
    "journals": Scenario(Budget(kill=1, cut=1, lose=1, back_up=1, restore=1, expire=1)),
    "agents": Scenario(Budget(kill=1, cut=1, half_open=1, reassign=1, expire=1), agents=2),
    "reprint": Scenario(Budget(kill=1, cut=1, power=1, reprint=1)),
    "no proof": Scenario(Budget(kill=1, cut=1, lose=1, power=1, expire=1), proof=False),
}
# More at a time: minutes, and not part of the tests.
DEEP = {
    "deep faults": Scenario(Budget(kill=2, cut=1, half_open=1, lose=1, power=1, expire=1, cancel=1)),
    "deep agents": Scenario(Budget(kill=1, cut=1, half_open=1, lose=1, reassign=1, expire=1, cancel=1), agents=2),
    "deep reprint": Scenario(Budget(kill=1, cut=1, power=1, expire=1, cancel=1, reprint=1)),
}

Step = tuple[str, World]


def start(scenario: Scenario) -> World:
    """One job, accepted and durable; nobody is connected."""
    return World((Job(),), tuple(Agent(100 * number + 1) for number in range(scenario.agents)), scenario.budget)


def steps(world: World, scenario: Scenario, mutant: str) -> Iterator[Step]:
    """Everything that can happen next."""
    for index, job in enumerate(world.jobs):
        yield from _service(world, index, job, mutant)
    yield from _wire(world, mutant)
    for number, agent in enumerate(world.agents):
        yield from _agent(world, number, agent, scenario, mutant)
        if agent.up and not agent.connected:
            yield from _hello(world, number, agent, mutant)
    if world.buffer is not None:
        yield "paper comes out", _printed(world, mutant)
    yield from _faults(world, scenario, mutant)


# -- the service -----------------------------------------------------------------------------------------------------


def _service(world: World, index: int, job: Job, mutant: str) -> Iterator[Step]:
    if job.svc is State.QUEUED:
        if job.over:
            yield "service: expired", _happened(world, index, Event.EXPIRED)
        elif job.wish:
            yield "service: cancelled", _happened(world, index, Event.CANCELLED)
        elif world.session >= 0 and not any(each.svc is State.DISPATCHED for each in world.jobs):
            agent = world.agents[world.session]
            sent = _happened(world, index, Event.SENT, to=world.seen[world.session][0], sent=job.sent + 1)
            reached = agent.connected  # else the connection is dead, and the service does not know it
            yield "service: dispatch", sent._replace(down=(*sent.down, ("print", index))) if reached else sent
    elif job.svc is State.DISPATCHED:
        if job.wish and mutant == "blind_cancel":
            yield "service: cancels blindly", _happened(world, index, Event.CANCELLED)
        elif job.wish and not job.asked:
            asked = _job(world, index, asked=True)
            reached = world.session >= 0 and world.agents[world.session].connected
            yield "service: asks", asked._replace(down=(*asked.down, ("cancel", index))) if reached else asked
        if job.over:
            lost = _happened(world, index, Event.AGENT_LOST)
            if mutant == "expiry_called_failed":
                lost = _job(world, index, svc=State.FAILED)
            yield "service: gives up", lost
        if mutant == "requeue_on_timeout" and world.session < 0:
            yield "service: queues again", _happened(world, index, Event.ABSENT)
    over = job.svc is State.UNKNOWN or (mutant == "reprint_while_open" and job.svc is State.DISPATCHED)
    if over and not job.marked and world.budget.reprint and len(world.jobs) == 1:
        marked = mutant not in ("reprint_unmarked", "reprint_while_open")
        more = [each._replace(entries=(*each.entries, _NEW), hand=(*each.hand, 0)) for each in world.agents]
        yield (
            "service: reprint",
            world._replace(
                jobs=(*world.jobs, Job(marked=marked)), agents=tuple(more), budget=world.budget._replace(reprint=0)
            ),
        )


_NEW = (JournalState.ABSENT, "")


def _happened(world: World, index: int, event: Event, **more: object) -> World:
    return _job(world, index, svc=advance(SERVICE, world.jobs[index].svc, event), **more)


def _job(world: World, index: int, **changes: object) -> World:
    jobs = list(world.jobs)
    jobs[index] = jobs[index]._replace(**changes)  # type: ignore[arg-type]
    return world._replace(jobs=tuple(jobs))


def _hello(world: World, number: int, agent: Agent, mutant: str) -> Iterator[Step]:
    """An agent connects, says hello and is reconciled; the service does that in one transaction."""
    sequence = agent.sequence + (1 if agent.backup is not None or world.budget.back_up else 0)
    agent = agent._replace(connected=True, sequence=sequence, hand=_stale(agent, mutant))
    claims = number != world.owner
    if claims:
        if mutant != "claim_not_refused":
            return
        world = world._replace(owner=number)
    journal, before = world.seen[number]
    gone_back = journal == agent.journal and (
        sequence < before if mutant == "sequence_may_repeat" else sequence <= before and before > 0
    )
    if mutant == "old_journal_trusted":
        gone_back = False
    if world.session >= 0 and world.session != number:  # whoever was served is sent away
        world = _set_agent(world, world.session, connected=False, hand=_stale(world.agents[world.session], mutant))
    seen = list(world.seen)
    seen[number] = (agent.journal, sequence)
    world = _put(world, number, agent)._replace(session=number, seen=tuple(seen), down=(), up=())
    for index, job in enumerate(world.jobs):
        if job.svc is not State.DISPATCHED:
            continue
        absent = agent.entries[index][0] is JournalState.ABSENT
        if mutant == "no_dispatch_check":
            absent = agent.entries[index][0] is not JournalState.DONE
        trusted = job.to == agent.journal and not gone_back
        if mutant == "new_journal_trusted":
            trusted = True
        if not trusted and not claims:
            world = _happened(world, index, Event.JOURNAL_LOST)
        elif absent:
            event = Event.CANCELLED if job.asked else Event.ABSENT
            if job.sent >= MAX_SENT and not job.asked:
                event = Event.UNDELIVERABLE
            world = _happened(world, index, event)
    yield f"agent {number}: hello", world


def _stale(agent: Agent, mutant: str) -> tuple[int, ...]:
    return tuple(2 if hand and mutant == "stale_session" else 0 for hand in agent.hand)


# -- the wire --------------------------------------------------------------------------------------------------------


def _wire(world: World, mutant: str) -> Iterator[Step]:
    if world.down and world.session >= 0:
        (what, index), number = world.down[0], world.session
        yield f"agent {number} reads {what}", _told(world._replace(down=world.down[1:]), number, what, index, mutant)
    if world.up and world.session >= 0:
        (what, index, value) = world.up[0]
        yield f"service reads {what} {value}", _heard(world._replace(up=world.up[1:]), what, index, value, mutant)


def _told(world: World, number: int, what: str, index: int, mutant: str) -> World:
    agent = world.agents[number]
    state, outcome = agent.entries[index]
    if what == "print":
        if state is JournalState.ABSENT:
            return _set_agent(world, number, hand=_with(agent.hand, index, 1))
        return _say(world, "done", index, outcome) if state is JournalState.DONE else world
    if what == "cancel":
        if state is JournalState.ABSENT or mutant == "cancel_refused_late":
            return _say(_set_agent(world, number, hand=_with(agent.hand, index, 0)), "cancelled", index, "yes")
        return _say(world, "cancelled", index, "no")
    if state is JournalState.DONE:  # settled
        settled = advance(AGENT, state, JournalEvent.SETTLED)
        return _set_agent(world, number, entries=_with(agent.entries, index, (settled, "")))
    return world


def _heard(world: World, what: str, index: int, value: str, mutant: str) -> World:
    job = world.jobs[index]
    if what == "done":
        if job.svc is State.DISPATCHED and job.to == world.seen[world.session][0]:
            world = _happened(world, index, Event(value.rstrip("*")), partial=value.endswith("*"))
        elif mutant == "result_taken_twice" and job.svc.final:
            world = _job(world, index, svc=State(value.rstrip("*")))
        if world.agents[world.session].connected:
            world = world._replace(down=(*world.down, ("settled", index)))
    elif what == "cancelled":
        if job.svc is State.DISPATCHED and job.asked and value == "yes":
            world = _happened(world, index, Event.CANCELLED)
        elif value == "no":
            world = _job(world, index, wish=False, asked=False)
    elif job.svc is State.UNKNOWN:  # evidence
        world = _job(world, index, evidence=True)
        if mutant == "evidence_changes_outcome":
            world = _job(world, index, svc=State.CONFIRMED)
    return world


def _say(world: World, what: str, index: int, value: str) -> World:
    return world._replace(up=(*world.up, (what, index, value)))


def _with(values: tuple, index: int, value: object) -> tuple:  # type: ignore[type-arg]
    return (*values[:index], value, *values[index + 1 :])


# -- the agents ------------------------------------------------------------------------------------------------------


def _agent(world: World, number: int, agent: Agent, scenario: Scenario, mutant: str) -> Iterator[Step]:
    name = f"agent {number}"
    if not agent.up:
        entries = list(agent.entries)
        for index, (state, _) in enumerate(entries):
            if state is JournalState.STARTED:
                outcome = "failed" if mutant == "interrupted_called_failed" else "unknown"
                entries[index] = (advance(AGENT, state, JournalEvent.INTERRUPTED), outcome)
        yield f"{name} starts up", _set_agent(world, number, up=True, entries=tuple(entries))
        return
    if agent.doing < 0:
        for index, hand in enumerate(agent.hand):
            known = agent.entries[index][0] is not JournalState.ABSENT
            if not hand or (hand != 1 and mutant != "stale_session") or known:
                continue
            yield f"{name} refuses", _ended(world, number, index, "failed", JournalEvent.REFUSED)
            if not world.jobs[index].over:
                yield f"{name} starts", _begun(world, number, index, mutant)
    else:
        yield from _writing(world, number, agent, scenario, mutant)
    if agent.connected and world.session == number:
        for index, (state, outcome) in enumerate(agent.entries):
            if state is JournalState.DONE and not any(each[:2] == ("done", index) for each in world.up):
                if ("settled", index) not in world.down:
                    yield f"{name} tells", _say(world, "done", index, outcome)
                job = world.jobs[index]
                late = outcome == "unknown" and world.reply == index and not job.evidence
                if late and not any(each[0] == "evidence" for each in world.up):
                    yield f"{name} has late proof", _say(world, "evidence", index, "")


def _begun(world: World, number: int, index: int, mutant: str) -> World:
    """The start is durable; not one byte has left."""
    agent, job = world.agents[number], world.jobs[index]
    entries = agent.entries
    if mutant != "start_journalled_late":
        entries = _with(entries, index, (advance(AGENT, entries[index][0], JournalEvent.STARTED), ""))
    world = _settle_buffer(world)
    world = _job(world, index, starts=job.starts + 1)
    hand = _with(agent.hand, index, 0)
    world = _set_agent(world, number, entries=entries, hand=hand, doing=index, wrote=0)
    return world._replace(reply=-1, intact=True)


def _settle_buffer(world: World) -> World:
    """What an earlier attempt has left in the printer comes out before the next one, if power stays."""
    return _printed(world, "") if world.buffer is not None else world


def _writing(world: World, number: int, agent: Agent, scenario: Scenario, mutant: str) -> Iterator[Step]:
    index, name = agent.doing, f"agent {number}"
    attempt = world.jobs[index].starts
    if mutant == "start_journalled_late" and agent.entries[index][0] is JournalState.ABSENT and agent.wrote:
        started = advance(AGENT, JournalState.ABSENT, JournalEvent.STARTED)
        entries = _with(agent.entries, index, (started, ""))
        yield f"{name} journals late", _set_agent(world, number, entries=entries)
        return
    if agent.wrote == 0:
        part = _set_agent(world, number, wrote=1)
        yield f"{name} writes a part", part._replace(buffer=(index, attempt, 1))
    if agent.wrote == 1:
        whole = _set_agent(world, number, wrote=2)
        yield f"{name} writes the rest", whole._replace(buffer=(index, attempt, 2))
    if agent.wrote < 2 and not world.intact and agent.entries[index][0] is not JournalState.ABSENT:
        partial = "failed*" if agent.wrote else "failed"
        yield f"{name} cannot write", _ended(world, number, index, partial, JournalEvent.ENDED)
    if agent.wrote == 2:
        if not scenario.proof:
            yield f"{name} has written", _ended(world, number, index, "written", JournalEvent.ENDED)
            return
        if world.reply == index or mutant == "status_as_proof":
            yield f"{name} has proof", _ended(world, number, index, "confirmed", JournalEvent.ENDED)
        yield f"{name} gives up", _ended(world, number, index, "unknown", JournalEvent.ENDED)


def _ended(world: World, number: int, index: int, outcome: str, event: JournalEvent) -> World:
    agent = world.agents[number]
    done = advance(AGENT, agent.entries[index][0], event)
    return _set_agent(
        world,
        number,
        entries=_with(agent.entries, index, (done, outcome)),
        hand=_with(agent.hand, index, 0),
        doing=-1,
        wrote=0,
    )


def _set_agent(world: World, number: int, **changes: object) -> World:
    return _put(world, number, world.agents[number]._replace(**changes))  # type: ignore[arg-type]


def _put(world: World, number: int, agent: Agent) -> World:
    return world._replace(agents=_with(world.agents, number, agent))


# -- the printer, and faults -----------------------------------------------------------------------------------------


def _printed(world: World, mutant: str) -> World:
    assert world.buffer is not None
    index, attempt, amount = world.buffer
    job = world.jobs[index]
    whole = amount == 2 and world.intact
    world = _job(world, index, inked=job.inked | 1 << attempt, whole=job.whole or whole)
    answers = amount == 2 and (world.intact or mutant == "blip_unseen")
    return world._replace(buffer=None, reply=index if answers else world.reply)


def _faults(world: World, scenario: Scenario, mutant: str) -> Iterator[Step]:
    budget = world.budget

    def use(name: str) -> Budget:
        return budget._replace(**{name: getattr(budget, name) - 1})

    if budget.cut and world.session >= 0:
        yield "CUT, or the service killed", _gone(world, world.session, mutant)._replace(budget=use("cut"))
    for number, agent in enumerate(world.agents):
        dead = {"up": False, "connected": False, "hand": (0,) * len(agent.hand), "doing": -1, "wrote": 0}
        if budget.half_open and agent.connected and world.session == number:
            half = _set_agent(world, number, connected=False, hand=_stale(agent, mutant))
            yield f"HALF OPEN: agent {number}", half._replace(budget=use("half_open"), down=())
        if budget.kill and agent.up:
            killed = _set_agent(_gone(world, number, mutant), number, **dead)
            yield f"KILL agent {number}", killed._replace(budget=use("kill"))
        if budget.lose:
            fresh = Agent(agent.journal + 1, entries=(_NEW,) * len(agent.entries), hand=agent.hand)
            lost = _set_agent(_put(_gone(world, number, mutant), number, fresh), number, **dead)
            yield f"LOSE journal {number}", lost._replace(budget=use("lose"))
        if budget.back_up and not agent.connected:
            backup = (agent.journal, agent.sequence, agent.entries)
            yield f"BACK UP journal {number}", _set_agent(world, number, backup=backup)._replace(budget=use("back_up"))
        if budget.restore and agent.backup is not None:
            journal, sequence, entries = agent.backup
            back = {"journal": journal, "sequence": sequence, "entries": entries}
            restored = _set_agent(_gone(world, number, mutant), number, **dead, **back)
            yield f"RESTORE journal {number}", restored._replace(budget=use("restore"))
    if budget.power:
        yield "POWER of the printer", world._replace(budget=use("power"), buffer=None, reply=-1, intact=False)
    for index, job in enumerate(world.jobs):
        if budget.expire and not job.over:
            yield "TIME passes", _job(world, index, over=True)._replace(budget=use("expire"))
        if budget.cancel and not job.wish:
            yield "a person CANCELS", _job(world, index, wish=True)._replace(budget=use("cancel"))
    if budget.reassign:
        yield "an operator REASSIGNS", _reassigned(world, mutant)._replace(budget=use("reassign"))


def _gone(world: World, number: int, mutant: str) -> World:
    """The connection of an agent is gone, on both ends."""
    agent = world.agents[number]
    if agent.connected:
        world = _set_agent(world, number, connected=False, hand=_stale(agent, mutant))
    return world._replace(session=-1, down=(), up=()) if world.session == number else world


def _reassigned(world: World, mutant: str) -> World:
    if world.session >= 0:
        world = _gone(world, world.session, mutant)
    for index, job in enumerate(world.jobs):
        if job.svc is State.DISPATCHED:
            event = Event.ABSENT if mutant == "reassigned_requeued" else Event.JOURNAL_LOST
            world = _happened(world, index, event)
    return world._replace(owner=1 - world.owner)


# -- the check -------------------------------------------------------------------------------------------------------


def wrong(world: World, before: World) -> str:
    """Which promise is broken; empty where none is."""
    unmarked = 0
    for index, job in enumerate(world.jobs):
        copies = job.inked.bit_count()
        if not job.marked:
            unmarked += copies
        if job.svc is State.CONFIRMED and not job.whole:
            return "confirmed, and not on paper"
        if job.svc is State.CANCELLED and copies:
            return "cancelled, and on paper"
        if job.svc is State.FAILED and (job.whole or (copies and not job.partial)):
            return "failed, and on paper"
        if copies > 1:
            return "one job on paper twice"
        if index < len(before.jobs) and before.jobs[index].svc.final and before.jobs[index].svc is not job.svc:
            return "the outcome has changed"
    return "a second copy without a mark" if unmarked > 1 else ""


@dataclass(frozen=True)
class Result:
    """What was found: how many worlds there are, and which promise is broken by which way, if any is."""

    worlds: int
    broken: str = ""
    way: tuple[str, ...] = ()
    stuck: int = 0
    seen: frozenset[str] = frozenset()  # names of all steps that were taken


def explore(scenario: Scenario, mutant: str = "") -> Result:
    """Every world that can be reached, until a promise is broken; then, which of them have no way to an outcome."""
    first = start(scenario)
    came: dict[World, tuple[World, str] | None] = {first: None}
    before: dict[World, list[World]] = {}
    todo = deque([first])
    taken: set[str] = set()
    while todo:
        world = todo.popleft()
        for name, after in steps(world, scenario, mutant):
            taken.add(name)
            broken = wrong(after, world)
            if broken:
                way, at = [name], world
                while (step := came[at]) is not None:
                    at, name = step
                    way.append(name)
                return Result(len(came), broken, tuple(reversed(way)), seen=frozenset(taken))
            before.setdefault(after, []).append(world)
            if after not in came:
                came[after] = (world, name)
                todo.append(after)
    good = {world for world in came if all(job.svc.final for job in world.jobs)}
    open_ = list(good)
    while open_:
        for world in before.get(open_.pop(), ()):
            if world not in good:
                good.add(world)
                open_.append(world)
    return Result(len(came), stuck=len(came) - len(good), seen=frozenset(taken))


def main(names: list[str]) -> None:
    """Print how many worlds each scenario has, and how each mutant is caught."""
    for name, scenario in (SCENARIOS | DEEP).items():
        if name in (names or SCENARIOS):
            began = time.monotonic()
            result = explore(scenario)
            seconds = time.monotonic() - began
            print(f"{name}: {result.worlds} worlds, {result.stuck} stuck, {seconds:.1f} s {result.broken}")
            print("   ", "; ".join(result.way))
    for mutant, (name, what) in MUTANTS.items() if not names else ():
        result = explore(SCENARIOS[name], mutant)
        print(f"{mutant} ({what}): {result.broken or 'NOT CAUGHT'}, after {result.worlds} worlds")
        print("   ", "; ".join(result.way))


if __name__ == "__main__":
    main(sys.argv[1:])
