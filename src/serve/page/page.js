// The page: a character, and three views of it.
import { ask } from "./api.js";
import { at, element, tell } from "./dom.js";
import * as report from "./report.js";
import * as statements from "./statements.js";
import * as talk from "./talk.js";

const views = { talk, statements, report };
const tabs = Object.keys(views).map((name) => at(`tab-${name}`));
const picked = at("character");
/** The characters by their names, as the server told them last. */
const characters = new Map();
let open = null;

function select(tab) {
  for (const one of tabs) {
    const is = one === tab;
    one.setAttribute("aria-selected", is);
    one.tabIndex = is ? 0 : -1;
    at(one.getAttribute("aria-controls")).hidden = !is;
  }
  tab.focus();
  tell("");
  views[tab.id.slice("tab-".length)].show();
}

function pick() {
  open = picked.value;
  for (const view of Object.values(views)) view.open(characters.get(open));
}

for (const tab of tabs) {
  tab.addEventListener("click", () => select(tab));
  tab.addEventListener("keydown", ({ key }) => {
    const place = tabs.indexOf(tab);
    const next = { ArrowLeft: tabs.at(place - 1), ArrowRight: tabs[(place + 1) % tabs.length], Home: tabs[0], End: tabs.at(-1) }[key];
    if (next) select(next);
  });
}

picked.addEventListener("change", () => {
  if (!statements.isChanged() || confirm(`Discard the unsaved changes to the statements of ${open}?`)) pick();
  else picked.value = open;
});

document.addEventListener("character", ({ detail }) => {
  characters.set(detail.id, detail);
  if (!at("view-report").hidden) report.show();
});

try {
  const { data } = await ask("characters");
  for (const one of data) characters.set(one.id, one);
  picked.append(...data.map(({ id }) => element("option", id)));
  if (data.length) pick();
  at("message").focus();
} catch (error) {
  tell(error.message, true);
}
