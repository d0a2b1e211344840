"""The service tells who should be there: agents and printers that have been, until an operator retires them."""

import time
from pathlib import Path

from tests.examples.processes import Service, service, token
from tests.examples.scripted import Scripted
from tests.examples.test_service_care import version_1

PRINTERS = "/api/v1/printing/printers"
AGENTS = "/api/v1/printing/agents"
OPERATOR = token("boss", "operate")


def shown(till: Service) -> dict[str, float | None]:
    """1 or 0, or ``None`` where there is no series."""
    text = till.ask("GET", "/api/v1/metrics", bearer=token("prometheus", "metrics"))[1]["text"]

    def value(name: str, **labels: str) -> float | None:
        for line in text.splitlines():
            if line.startswith(f"{name}{{") and all(f'{label}="{said}"' in line for label, said in labels.items()):
                return float(line.rpartition(" ")[2])
        return None

    return {
        "pc": value("agent_connected", branch_name="mitte", agent_name="pc"),
        "kitchen": value("printer_served", branch_name="mitte", printer_name="kitchen"),
        "bar": value("printer_served", branch_name="mitte", printer_name="bar"),
    }


def test_when_an_agents_token_ends_is_shown_until_the_agent_is_expected_no_more() -> None:
    def ends(till: Service) -> float:
        text = till.ask("GET", "/api/v1/metrics", bearer=token("prometheus", "metrics"))[1]["text"]
        name = "security_credential_expiration_seconds"
        told = [line for line in text.splitlines() if line.startswith(name) and 'agent_name="pc"' in line]
        return float(told[0].rpartition(" ")[2]) if told else 0

    with service() as till:
        with Scripted(till, ["kitchen"]):
            assert 0 < ends(till) - time.time() < 3600
        till.until_metric("agent_connected", 0, branch_name="mitte")
        assert ends(till) > 0
        retire(till, f"{AGENTS}/mitte/pc")
        assert ends(till) == 0


def retire(till: Service, path: str, bearer: str = OPERATOR) -> tuple[int, str]:
    status, answer, _ = till.ask("POST", f"{path}/retire", bearer=bearer)
    return status, answer.get("detail", "")


def expected(till: Service) -> dict[str, bool]:
    printers = till.ask("GET", PRINTERS, bearer=OPERATOR)[1]["printers"]
    agents = till.ask("GET", AGENTS, bearer=OPERATOR)[1]["agents"]
    return {
        **{each["id"]: each["expected"] for each in printers},
        **{each["name"]: each["expected"] for each in agents},
    }


def test_who_has_been_there_is_expected_over_a_restart(tmp_path: Path) -> None:
    database = str(tmp_path / "service.db")
    with service(SERVICE_DATABASE=database) as till:
        assert shown(till) == {"pc": None, "kitchen": None, "bar": None}
        with Scripted(till, ["kitchen", "bar"]) as agent:
            assert shown(till) == {"pc": 1, "kitchen": 1, "bar": 1}
            again = agent.rejoin()
            assert shown(till) == {"pc": 1, "kitchen": 1, "bar": 1}
            again.close()
        till.until_metric("agent_connected", 0, branch_name="mitte")
        assert shown(till) == {"pc": 0, "kitchen": 0, "bar": 0}
    with service(SERVICE_DATABASE=database) as till:
        assert shown(till) == {"pc": 0, "kitchen": 0, "bar": 0}
        with Scripted(till, ["kitchen"], sequence=20):  # it no longer has the other one
            assert shown(till) == {"pc": 1, "kitchen": 1, "bar": 0}


def test_a_printer_that_is_refused_should_be_there_and_is_not() -> None:
    with service() as till:
        with Scripted(till, {"kitchen": "X4AB"}):
            pass
        with Scripted(till, {"kitchen": "X4AC"}, sequence=11) as agent:
            assert list(agent.refused) == ["kitchen"]
            assert shown(till) == {"pc": 1, "kitchen": 0, "bar": None}


def test_what_is_gone_for_good_is_expected_no_more_until_it_comes_back(tmp_path: Path) -> None:
    database = str(tmp_path / "service.db")
    with service(SERVICE_DATABASE=database) as till:
        with Scripted(till, ["kitchen", "bar"]):
            assert retire(till, f"{PRINTERS}/bar") == (
                409,
                "bar is served: take it out of its agent's configuration first",
            )
            assert retire(till, f"{AGENTS}/mitte/pc") == (409, "pc is connected: stop it first")
        till.until_metric("agent_connected", 0, branch_name="mitte")
        assert retire(till, f"{PRINTERS}/bar") == (200, "")
        assert shown(till) == {"pc": 0, "kitchen": 0, "bar": None}
        assert expected(till) == {"pc": True, "kitchen": True, "bar": False}
        assert retire(till, f"{AGENTS}/mitte/pc") == (200, "")
        assert shown(till) == {"pc": None, "kitchen": None, "bar": None}
    with service(SERVICE_DATABASE=database) as till:
        assert shown(till) == {"pc": None, "kitchen": None, "bar": None}
        assert expected(till) == {"pc": False, "kitchen": False, "bar": False}
        with Scripted(till, ["kitchen", "bar"], sequence=20):
            assert shown(till) == {"pc": 1, "kitchen": 1, "bar": 1}
            assert expected(till) == {"pc": True, "kitchen": True, "bar": True}


def test_who_may_not_or_names_nobody_retires_nothing() -> None:
    with service() as till, Scripted(till, ["kitchen"]):
        for path in (f"{PRINTERS}/kitchen", f"{AGENTS}/mitte/pc"):
            assert retire(till, path, bearer=token())[0] == 403
        assert retire(till, f"{PRINTERS}/nobodys")[0] == 404
        assert retire(till, f"{AGENTS}/mitte/nobody")[0] == 404
        assert retire(till, f"{AGENTS}/elsewhere/pc")[0] == 404


def test_the_printers_of_a_database_of_before_are_expected(tmp_path: Path) -> None:
    path = tmp_path / "service.db"
    version_1(path)
    with service(SERVICE_DATABASE=str(path)) as till:
        assert shown(till)["kitchen"] == 0
