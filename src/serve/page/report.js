// What training changed: the same queries before and after it.
import { ask, path } from "./api.js";
import { at, element, signed, tell } from "./dom.js";

let character = null;
let report = null;

function sentence({ statements, queries, delta_apc_before: before, delta_apc_after: after, difference: { mean, low, high } }) {
  const change = low > 0 ? "raised" : high < 0 ? "lowered" : "did not clearly change";
  return `Over ${queries} queries about ${statements} statements, training ${change} ΔAPC: from ${signed(before)} to ${signed(after)}, ` +
    `a difference of ${signed(mean)} (95 % interval ${signed(low)} to ${signed(high)}).`;
}

const change = ({ before, after }) => after.delta_apc - before.delta_apc;

function cell(label, { response, delta_apc }) {
  const made = element("td");
  made.dataset.label = label;
  made.append(element("p", response), element("p", `ΔAPC ${signed(delta_apc)}`, "hint"));
  return made;
}

function row(one) {
  const made = element("tr");
  const query = element("th", one.query);
  query.scope = "row";
  const difference = element("td", signed(change(one)), change(one) < 0 ? "contradicted" : "honoured");
  difference.dataset.label = "Change";
  made.append(query, cell("Before", one.before), cell("After", one.after), difference);
  return made;
}

function draw() {
  const { summary, stale, queries } = report;
  const none = `${character.id} was never trained, so there is nothing to report. Training begins under Statements.`;
  at("summary").textContent = summary ? sentence(summary) : none;
  at("report-stale").hidden = !stale || !summary;
  at("queries").hidden = !queries.length;
  const way = Number(at("order").value);
  at("rows").replaceChildren(...[...queries].sort((one, other) => way * (change(one) - change(other))).map(row));
}

export function open(own) {
  character = own;
  report = { summary: null, stale: false, queries: [] };
  at("summary").textContent = "";
  at("queries").hidden = at("report-stale").hidden = true;
  if (!at("view-report").hidden) show();
}

export async function show() {
  const own = character;
  if (!own) return;
  try {
    const answer = await ask(path(own.id, "report"));
    if (own !== character) return;
    report = answer;
    draw();
  } catch (error) {
    if (own === character) tell(error.message, true);
  }
}

at("order").addEventListener("change", draw);
