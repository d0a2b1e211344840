// A dashboard's JSON and what Prometheus answered, drawn by Grafana's own components where it publishes them.
import { createRoot } from "react-dom/client";
import { firstValueFrom } from "rxjs";
import {
  applyFieldOverrides,
  createTheme,
  type DataFrame,
  dateTime,
  EventBusSrv,
  FieldConfigOptionsRegistry,
  type FieldConfigSource,
  FieldType,
  getDisplayValueAlignmentFactors,
  getFieldDisplayValues,
  standardTransformers,
  standardTransformersRegistry,
  ThemeContext,
  toDataFrame,
  transformDataFrame,
} from "@grafana/data";
import {
  BarGauge,
  BigValue,
  GlobalStyles,
  PanelChrome,
  PanelContextProvider,
  Table,
  TimeSeries,
  VizRepeater,
} from "@grafana/ui";

const CELL = 30; // Grafana's grid: 24 columns, rows of 30 pixels, 8 between them
const GAP = 8;
const theme = createTheme({ colors: { mode: "light" } });
const plain = (text: string) => text;

type Json = any;
type Answer = { target: Json; step: number; seconds: number; series: Json[] };

// What a panel has unless it says something else: in Grafana its plugin says it, which is a part of the server.
const DEFAULTS: Record<string, Json> = {
  timeseries: {
    color: { mode: "palette-classic" },
    custom: { drawStyle: "line", lineInterpolation: "linear", pointSize: 5, axisPlacement: "auto", spanNulls: false },
  },
  table: { custom: { align: "auto", cellOptions: { type: "auto" } } },
};
const LINES = "drawStyle lineInterpolation lineWidth fillOpacity pointSize showPoints spanNulls";
const AXES = "axisPlacement axisSoftMax thresholdsStyle";
const CUSTOM = `${LINES} ${AXES} minWidth align cellOptions inspect`.split(" ");
const STANDARD = "unit min max decimals noValue displayName color thresholds mappings".split(" ");

function option(id: string, path: string, isCustom: boolean): Json {
  return { id, path, name: id, isCustom, process: (value: Json) => value, shouldApply: () => true, settings: {} };
}
const registry: Json = new FieldConfigOptionsRegistry(() => [
  ...STANDARD.map((name) => option(name, name, false)),
  ...CUSTOM.map((name) => option(`custom.${name}`, name, true)),
]);
standardTransformersRegistry.setInit(() =>
  [standardTransformers.mergeTransformer, standardTransformers.organizeFieldsTransformer].map(
    (each): Json => ({ id: each.id, name: each.name, transformation: each, editor: () => null }),
  ),
);

// What a panel asks for and nobody here knows would be left out without a word.
function known({ defaults, overrides }: Json): void {
  const { custom, ...standard } = defaults;
  const asked = [...Object.keys(standard), ...Object.keys(custom ?? {}).map((name) => `custom.${name}`)];
  asked.push(...overrides.flatMap(({ properties }: Json) => properties.map(({ id }: Json) => id)));
  const missing = asked.filter((id) => !registry.getIfExists(id));
  if (missing.length) throw new Error(`not known here: ${missing}`);
}

// As Grafana's data source for Prometheus makes them of the same answers: a label that is not there is empty.
function legend(format: string, metric: Record<string, string>): string {
  return format.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, label) => metric[label] ?? "");
}

function gaps(values: [number, string][], step: number): [number, string | null][] {
  return values.flatMap(([at, number], place) => {
    const missing = place > 0 && at - values[place - 1][0] > step;
    return missing ? [[at - step, null], [at, number]] : [[at, number]];
  });
}

function lines({ target, step, series }: Answer): DataFrame[] {
  return series.map(({ metric, value, values }) => {
    const samples = values ? gaps(values, step) : [value];
    return toDataFrame({
      refId: target.refId,
      fields: [
        { name: "Time", type: FieldType.time, values: samples.map(([at]) => at * 1000) },
        {
          name: "Value",
          type: FieldType.number,
          labels: metric,
          config: { displayNameFromDS: legend(target.legendFormat, metric) },
          values: samples.map(([, number]) => (number === null ? null : Number(number))),
        },
      ],
    });
  });
}

function rows({ target, series }: Answer): DataFrame {
  const labels = [...new Set(series.flatMap(({ metric }) => Object.keys(metric)))].sort();
  return toDataFrame({
    refId: target.refId,
    fields: [
      { name: "Time", type: FieldType.time, values: series.map(({ value }) => value[0] * 1000) },
      ...labels.map((name) => ({
        name,
        type: FieldType.string,
        values: series.map(({ metric }) => metric[name] ?? ""),
      })),
      { name: `Value #${target.refId}`, type: FieldType.number, values: series.map(({ value }) => Number(value[1])) },
    ],
  });
}

// JSON has no -Infinity: there it is null, and Grafana puts it back when it loads a dashboard.
function unbounded(value: Json): Json {
  if (Array.isArray(value)) return value.map(unbounded);
  if (value === null || typeof value !== "object") return value;
  const found = Object.fromEntries(Object.entries(value).map(([key, each]) => [key, unbounded(each)]));
  return "color" in found && found.value === null ? { ...found, value: -Infinity } : found;
}

async function frames(panel: Json, answers: Answer[], fieldConfig: FieldConfigSource): Promise<DataFrame[]> {
  const told = panel.type === "table" ? answers.map(rows) : answers.flatMap(lines);
  const data = await firstValueFrom(transformDataFrame(panel.transformations ?? [], told));
  const how = { fieldConfig, fieldConfigRegistry: registry, replaceVariables: plain, theme, timeZone: "utc" };
  return applyFieldOverrides({ data, ...how });
}

function Drawing({ panel, data, fieldConfig, range, width, height }: Json) {
  const { type, options } = panel;
  const size = { width, height };
  if (type === "timeseries") {
    const drawn = { frames: data, timeRange: range, timeZone: "utc", legend: options.legend, options };
    return <TimeSeries {...size} {...drawn} />;
  }
  if (type === "table") {
    return <Table {...size} data={data[0]} fieldConfig={fieldConfig} />;
  }
  const how = { fieldConfig, reduceOptions: options.reduceOptions, replaceVariables: plain, theme, timeZone: "utc" };
  const all: Json = {
    ...size,
    getValues: () => getFieldDisplayValues({ ...how, data }),
    getAlignmentFactors: getDisplayValueAlignmentFactors,
    source: data,
    renderCounter: 0,
  };
  if (type === "stat") {
    const one = ({ value, ...more }: Json) => (
      <BigValue {...more} {...options} value={value.display} textMode="auto" theme={theme} />
    );
    return <VizRepeater {...all} orientation="auto" autoGrid renderValue={one} />;
  }
  if (type === "bargauge") {
    const { orientation, displayMode } = options;
    const one = ({ value, ...more }: Json) => {
      const display = value.view?.getFieldDisplayProcessor(value.colIndex);
      const looks = { displayMode, display, field: value.field, itemSpacing: 10, showUnfilled: true, theme };
      return <BarGauge {...more} {...looks} value={value.display} />;
    };
    const bar = { itemSpacing: 10, minVizWidth: 8, minVizHeight: 16, maxVizHeight: 300 };
    return <VizRepeater {...all} {...bar} orientation={orientation} renderValue={one} />;
  }
  const kind = { gauge: "A gauge", piechart: "A pie chart", "state-timeline": "A state timeline" }[type as string];
  const { border, text } = theme.colors;
  const box = { border: `1px dashed ${border.strong}`, color: text.secondary };
  return (
    <div style={{ ...box, height, display: "grid", placeItems: "center" }}>{kind}: only Grafana's server draws it.</div>
  );
}

const context: Json = { eventsScope: "page", eventBus: new EventBusSrv() };

function Page({ dashboard, drawn }: Json) {
  const across = (window.innerWidth - GAP) / 24;
  const place = ({ x, y, w, h }: Json) => ({
    position: "absolute" as const,
    left: GAP + x * across,
    top: 48 + y * (CELL + GAP),
    width: w * across - GAP,
    height: h * (CELL + GAP) - GAP,
  });
  return (
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <PanelContextProvider value={context}>
        <h3 style={{ padding: "10px 8px" }}>{dashboard.title}</h3>
        {drawn.map(({ panel, ...more }: Json) => {
          const at = place(panel.gridPos);
          if (panel.type === "row") {
            return (
              <h5 key={panel.id} style={{ ...at, lineHeight: `${CELL}px` }}>
                {panel.title}
              </h5>
            );
          }
          return (
            <div key={panel.id} style={at}>
              <PanelChrome title={panel.title} description={panel.description} width={at.width} height={at.height}>
                {(width, height) => <Drawing panel={panel} width={width} height={height} {...more} />}
              </PanelChrome>
            </div>
          );
        })}
      </PanelContextProvider>
    </ThemeContext.Provider>
  );
}

async function main() {
  const { dashboard, answers, end } = await (await fetch("/answers.json")).json();
  const drawn = [];
  for (const panel of dashboard.panels) {
    if (panel.type === "row") {
      drawn.push({ panel });
      continue;
    }
    const own = unbounded(panel.fieldConfig);
    known(own);
    const usual = DEFAULTS[panel.type] ?? {};
    const fieldConfig = {
      defaults: { ...usual, ...own.defaults, custom: { ...usual.custom, ...own.defaults.custom } },
      overrides: own.overrides,
    };
    const asked: Answer[] = answers[panel.id];
    const [from, to] = [dateTime((end - asked[0].seconds) * 1000), dateTime(end * 1000)];
    const range = { from, to, raw: { from, to } };
    drawn.push({ panel, fieldConfig, range, data: await frames(panel, asked, fieldConfig) });
  }
  createRoot(document.getElementById("page")!).render(<Page dashboard={dashboard} drawn={drawn} />);
  const bottom = Math.max(...dashboard.panels.map(({ gridPos }: Json) => gridPos.y + gridPos.h));
  (window as Json).drawn = 48 + bottom * (CELL + GAP);
}

main().catch((fault) => {
  (window as Json).failed = true;
  console.error(String(fault.stack ?? fault));
});
