"""The names that other people type, and the floors they stand on."""

import ast
import subprocess
import sys
from pathlib import Path

import printobs
from examples.demo.processes import inherited

SOURCE = Path(printobs.__file__).parent
FLOORS = {"core": 0, "signals": 1, "integrations": 2, "assembly": 3, "testing": 3}


def test_every_public_name_is_there_and_no_other() -> None:
    for name in printobs.__all__:
        assert getattr(printobs, name) is not None
    assert set(printobs.__all__) <= set(dir(printobs))
    assert not hasattr(printobs, "misspelt")


def imports(path: Path) -> list[str]:
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return [name for name in found if name.partition(".")[0] == "printobs"]


def test_a_module_imports_from_floors_below_its_own_only() -> None:
    wrong, seen = [], 0
    for path in SOURCE.glob("*/*.py"):
        floor = path.parent.name
        for name in imports(path):
            seen += 1
            parts = name.split(".")
            there = parts[1] if len(parts) > 1 else ""
            sibling = there == floor == "integrations" and (
                path.stem.partition("_")[0] != (parts[2] if len(parts) > 2 else "").partition("_")[0]
            )
            if there not in FLOORS or FLOORS[there] > FLOORS[floor] or sibling:
                wrong.append(f"{floor}/{path.name} imports {name}")
    assert wrong == []
    assert seen > 50


BARE = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        root = name.partition(".")[0]
        if root in {"escpos", "starlette", "websockets", "structlog", "prometheus_client", "wrapt", "PIL", "google"} \
                or name.startswith(("opentelemetry.sdk", "opentelemetry.instrumentation", "opentelemetry.exporter")):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocked())
import printobs
class Wire:
    def write(self, data): self.sent = data
    def read(self, timeout): return b""
printobs.configure(service_name="till").shutdown()
printobs.instrument()
bar = printobs.register(Wire(), name="bar")
with printobs.correlation("order-1"), printobs.print_job(bar) as job:
    bar.write(b"hello")
    assert "order-1" in printobs.inject("{}")
with printobs.message('{"baggage":"correlation.id=order-2"}'):
    assert printobs.correlation_id() == "order-2"
printobs.uninstrument()
print(job.outcome, job.correlation_id)
"""


def test_a_bare_install_works_without_an_sdk() -> None:
    done = subprocess.run([sys.executable, "-c", BARE], capture_output=True, text=True, check=False)
    assert done.stdout == "written order-1\n", done.stderr
    assert "Traceback" not in done.stderr


def run(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**inherited(), **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_instrument_works_before_and_after_the_libraries_are_imported_and_is_undone() -> None:
    libraries = (
        "from escpos.printer import Network; import websockets.asyncio.client as c; "
        "from starlette.applications import Starlette"
    )
    for order in (f"printobs.instrument(); {libraries}", f"{libraries}; printobs.instrument()"):
        code = f"""
import printobs
{order}
printobs.instrument()
def watched():
    return [hasattr(Network._raw, "__wrapped__"), "printobs" in c.ClientProtocol.__module__,
            hasattr(Starlette.__call__, "__wrapped__")]
assert watched() == [True, True, True], watched()
printobs.uninstrument()
assert watched() == [False, False, False], watched()
printobs.instrument()
assert watched() == [True, True, True], watched()
"""
        run(code)


def test_a_library_that_is_imported_after_uninstrument_is_left_as_it_is() -> None:
    code = """
import printobs, sys
printobs.instrument()
printobs.uninstrument()
assert "escpos" not in sys.modules
from escpos.printer import Network
print(hasattr(Network._raw, "__wrapped__"))
printobs.instrument()
print(hasattr(Network._raw, "__wrapped__"))
"""
    assert run(code) == "False\nTrue\n"


def test_without_wrapt_what_is_installed_is_imported_and_instrumented_at_once() -> None:
    code = """
import sys
sys.modules["wrapt"] = None
import printobs
printobs.instrument()
print("escpos.escpos" in sys.modules, "websockets" in sys.modules, "structlog" in sys.modules)
from escpos.printer import Network
import websockets.asyncio.client as c
print(hasattr(Network._raw, "__wrapped__"), "printobs" in c.ClientProtocol.__module__)
printobs.uninstrument()
print(hasattr(Network._raw, "__wrapped__"), "printobs" in c.ClientProtocol.__module__)
"""
    assert run(code) == "True True True\nTrue True\nFalse False\n"


def test_a_name_whose_extra_is_missing_says_which_to_install() -> None:
    code = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name == "{missing}":
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocked())
import printobs
try:
    printobs.{name}
except ImportError as error:
    print(type(error).__name__, error.name, error)
"""
    for name, missing, said in (
        ("TelemetryMiddleware", "starlette", "needs 'starlette': install printobs[asgi]"),
        ("metrics_app", "prometheus_client", "needs 'prometheus_client': install printobs[prometheus]"),
        ("testing.OtlpSink", "google.protobuf", "needs 'google.protobuf': install printobs[testing]"),
    ):
        assert run(code.format(name=name, missing=missing)) == f"ImportError {missing} printobs.{name} {said}\n"
    # What every install has, and printobs' own modules, are in no extra.
    for name, missing in (("message", "opentelemetry"), ("metrics_app", "printobs.core.conventions")):
        assert run(code.format(name=name, missing=missing)) == (
            f"ModuleNotFoundError {missing} No module named {missing!r}\n"
        )


def test_opentelemetry_instrument_finds_the_entry_points() -> None:
    code = """
from importlib.metadata import entry_points
names = sorted(e.name for e in entry_points(group="opentelemetry_instrumentor") if e.name.startswith("printobs"))
for name in names:
    [entry] = entry_points(group="opentelemetry_instrumentor", name=name)
    entry.load()().instrument(skip_dep_check=True)
from escpos.printer import Network
print(names, hasattr(Network._raw, "__wrapped__"))
"""
    names = [f"printobs_{each}" for each in ("correlation", "escpos", "starlette", "structlog", "websockets")]
    assert run(code) == f"{names} True\n"


def test_each_instrumentor_can_be_used_by_hand_and_undone() -> None:
    code = """
import logging
import websockets.asyncio.client as c
from escpos.printer import Network
from opentelemetry.sdk.trace import TracerProvider
from printobs import correlation
from printobs.assembly.instrumentors import CorrelationInstrumentor, EscposInstrumentor, WebSocketsInstrumentor
call_handlers, kept = logging.Logger.callHandlers, TracerProvider()
def watched():
    return [hasattr(Network._raw, "__wrapped__"), "printobs" in c.ClientProtocol.__module__,
            logging.Logger.callHandlers is not call_handlers]
ours = [EscposInstrumentor(), WebSocketsInstrumentor(), CorrelationInstrumentor()]
for each in ours:
    each.instrument(tracer_provider=kept)
    print(*watched())
with correlation("order-1"):
    print(kept.get_tracer("mine").start_span("work").attributes["correlation.id"])
for each in ours:
    each.uninstrument()
    print(*watched())
"""
    assert run(code).splitlines() == [
        "True False False",
        "True True False",
        "True True True",
        "order-1",
        "False True True",
        "False False True",
        "False False False",
    ]


def test_configure_builds_what_is_missing_once_and_puts_the_id_on_every_span_and_record() -> None:
    code = """
import logging, printobs
from opentelemetry import trace
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
handle = printobs.configure(service_name="till")
assert printobs.configure() is handle
kept = InMemorySpanExporter()
trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(kept))
logging.basicConfig(format="%(correlation_id)s %(otelTraceID)s %(message)s")
with printobs.correlation("order-1"), trace.get_tracer("mine").start_as_current_span("work") as span:
    logging.getLogger("mine").warning("hello")
[done] = kept.get_finished_spans()
print(done.attributes["correlation.id"], done.resource.attributes["service.name"], handle.force_flush())
handle.shutdown()
"""
    assert run(code) == "order-1 till True\n"


def test_configure_leaves_the_applications_own_provider() -> None:
    code = """
import printobs
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
mine = TracerProvider()
trace.set_tracer_provider(mine)
handle = printobs.configure(service_name="till")
print(trace.get_tracer_provider() is mine, handle.tracer_provider, handle.meter_provider is not None)
"""
    assert run(code) == "True None True\n"
