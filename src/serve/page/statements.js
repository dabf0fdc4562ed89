// The statements that a character is made of, one a line.
import { ask, path } from "./api.js";
import { at, button, element, tell } from "./dom.js";
import * as training from "./training.js";

const [lines, add, save, check, discard, undo] = ["statements", "add", "save", "check", "discard", "undo"].map(at);

/** The character as the server has it. */
let character = null;
/** What was removed: {place, text}, the last one last. */
let removed = [];
let isBusy = false;

const all = () => Array.from(lines.children);
const field = (line) => line.querySelector("textarea");
const isSame = (one, other) => JSON.stringify(one) === JSON.stringify(other);
const written = () => all().map((line) => field(line).value.trim()).filter(Boolean);

export const isChanged = () => character !== null && !isSame(written(), character.statements.map((one) => one.trim()));

function line(text) {
  const [made, box, area] = [element("li"), element("div", undefined, "grows"), element("textarea")];
  area.rows = 1;
  area.value = box.dataset.text = text;
  area.readOnly = !character.editable;
  box.append(area);
  made.append(box);
  if (character.editable) made.append(button("×", "Remove"));
  made.append(element("div", undefined, "notes"));
  return made;
}

/** Says something at a line: what a check found, or why it cannot be saved. */
function note(line, text, isError = false) {
  line.querySelector(".notes").append(element("p", text));
  if (isError) field(line).setAttribute("aria-invalid", "true");
}

function clear(line) {
  line.querySelector(".notes").replaceChildren();
  field(line).removeAttribute("aria-invalid");
}

/** Names the lines anew and tells what can be done. */
function refresh() {
  all().forEach((line, idx) => {
    const [area, notes] = [field(line), line.querySelector(".notes")];
    area.setAttribute("aria-label", `Statement ${idx + 1}`);
    line.querySelector("button")?.setAttribute("aria-label", `Remove statement ${idx + 1}`);
    notes.id = `notes-${idx + 1}`;
    if (notes.hasChildNodes()) area.setAttribute("aria-describedby", notes.id);
    else area.removeAttribute("aria-describedby");
  });
  const is = isChanged();
  at("changed").textContent = is ? "Unsaved changes" : "";
  at("tab-statements").textContent = is ? "Statements (unsaved)" : "Statements";
  at("read-only").hidden = character.editable;
  at("read-only").textContent = `These statements cannot be changed here: ${character.locked}.`;
  add.hidden = at("edit").hidden = !character.editable;
  save.disabled = discard.disabled = !is;
  undo.disabled = !removed.length;
  training.allow(character, !is);
}

function draw() {
  lines.replaceChildren(...character.statements.map(line));
  removed = [];
  refresh();
}

function insert(texts, before) {
  const made = texts.map(line);
  for (const one of made) lines.insertBefore(one, before);
  refresh();
  field(made.at(-1)).focus();
}

function remove(line) {
  const place = all().indexOf(line);
  const text = field(line).value.trim();
  if (text) removed.push({ place, text });
  line.remove();
  refresh();
  const next = all()[place] ?? lines.lastElementChild;
  (next ? field(next) : add).focus();
}

/** The character as the server has it now; what is being written stays. */
function take(own, sent) {
  const isKept = sent ? !isSame(written(), sent) : isChanged();
  character = own;
  document.dispatchEvent(new CustomEvent("character", { detail: own }));
  if (isKept || isSame(all().map((line) => field(line).value), own.statements)) refresh();
  else draw();
}

/** Sends the statements for something, blank lines left out; what is wrong with one stands at its line. */
async function sending(act) {
  if (isBusy) return;
  const own = character;
  for (const line of all()) {
    if (field(line).value.trim()) clear(line);
    else line.remove();
  }
  const [held, sent] = [all(), written()];
  isBusy = true;
  refresh();
  try {
    await act(own, sent, held);
  } catch (error) {
    const wrong = held[/^statements\[(\d+)\]/.exec(error.param)?.[1]];
    tell(error.message, true);
    if (wrong?.isConnected) {
      note(wrong, error.message, true);
      field(wrong).focus();
    }
  }
  isBusy = false;
  refresh();
}

save.addEventListener("click", () => sending(async (own, statements) => {
  const answer = await ask(path(own.id), { statements }, "PUT");
  if (own !== character) return;
  take(answer, statements);
  removed = [];
  tell("Saved.");
}));

check.addEventListener("click", () => sending(async (own, statements, held) => {
  const { findings } = await ask(path(own.id, "lint"), { statements });
  if (own !== character) return;
  for (const { statement, message } of findings) note(held[statement], message);
  const [first] = findings.map(({ statement }) => statement + 1).sort((one, other) => one - other);
  const count = findings.length === 1 ? "1 finding," : `${findings.length} findings, the first`;
  tell(findings.length ? `${count} at statement ${first}.` : "The check finds nothing.");
}));

discard.addEventListener("click", () => {
  if (!confirm(`Discard the changes to the statements of ${character.id}?`)) return;
  draw();
  tell("The changes are discarded.");
});

undo.addEventListener("click", () => {
  const { place, text } = removed.pop();
  insert([text], all()[place] ?? null);
});

add.addEventListener("click", () => insert([""], null));

lines.addEventListener("click", ({ target }) => target.closest("button") && remove(target.closest("li")));

lines.addEventListener("keydown", (event) => {
  const line = event.target.closest("li");
  if (!event.target.matches("textarea") || !character.editable || event.isComposing) return;
  if (event.key === "Enter") {
    event.preventDefault();
    insert([""], line.nextSibling);
  } else if (event.key === "Backspace" && !event.target.value) {
    event.preventDefault();
    const before = line.previousElementSibling;
    remove(line);
    if (before) field(before).focus();
  }
});

lines.addEventListener("input", ({ target }) => {
  const line = target.closest("li");
  // What is pasted may have several lines.
  const [first, ...more] = target.value.split(/\s*\n\s*/);
  if (more.length) target.value = first;
  target.parentElement.dataset.text = first;
  clear(line);
  if (more.length) insert(more, line.nextSibling);
  else refresh();
});

async function reload() {
  const own = character;
  try {
    const answer = await ask(path(own.id));
    if (own === character && !isBusy) take(answer);
  } catch (error) {
    tell(error.message, true);
  }
}

export function open(own) {
  character = own;
  draw();
  training.follow(own, reload);
}

/** The view is shown: others may have changed the character since. */
export function show() {
  if (character) reload();
}

addEventListener("beforeunload", (event) => isChanged() && event.preventDefault());
