// A talk with a character.
import { ask } from "./api.js";
import { at, button, element, signed, tell } from "./dom.js";

const [talk, verdict, message] = ["talk", "verdict", "message"].map(at);
const send = document.querySelector("#say button");

/** What was said: {role, content}, replies with {choices, chosen}. */
let turns = [];
/** Counts talks, so that a reply to an earlier one is told apart. */
let talks = 0;
let character = null;

function list(title, className, touched) {
  if (!touched.length) return [];
  const items = element("ul");
  for (const { statement, probability } of touched) {
    items.append(element("li", `${statement} (${Math.round(100 * probability)} %)`));
  }
  return [element("h2", title, className), items];
}

function judge(choice) {
  const apc = choice?.apc;
  if (!apc) {
    verdict.replaceChildren(element("p", "This reply was not judged.", "hint"));
    return;
  }
  const parts = [
    element("p", `ΔAPC ${signed(apc.delta_apc)}, the best of ${apc.sampled} first`),
    ...list("Honours", "honoured", apc.honoured),
    ...list("Misses", "missed", apc.missed),
    ...list("Contradicts", "contradicted", apc.contradicted),
  ];
  for (const [title, name, what] of [["Knows what you told", "honoured", "entailed"], ["Contradicts what you told", "contradicted", "contradicted"]]) {
    const told = (apc.established ?? []).filter((one) => one[what] >= 0.5);
    parts.push(...list(title, name, told.map((one) => ({ statement: one.statement, probability: one[what] }))));
  }
  if (parts.length === 1) parts.push(element("p", "It touches no statement.", "hint"));
  if (apc.dropped) parts.push(element("p", `The model no longer sees the first ${apc.dropped} exchanges.`, "hint"));
  verdict.replaceChildren(...parts);
}

/** A reply with the words marked that contradict a statement. */
function marked(choice) {
  const shown = element("span");
  const spans = (choice.apc?.contradicted ?? []).map((one) => one.words).filter(Boolean);
  const letters = Array.from(choice.message.content);
  letters.forEach((letter, place) => {
    const name = spans.some(([start, end]) => start <= place && place < end) ? "mark" : "span";
    const last = shown.lastElementChild;
    if (last?.localName === name) last.textContent += letter;
    else shown.append(element(name, letter));
  });
  return shown;
}

/** Has the reply read out that is new, and not the whole talk. */
function say({ choices, chosen, content }) {
  at("said").textContent = choices.length > 1 ? `${chosen + 1} of ${choices.length}: ${content}` : content;
}

function choose(turn, place) {
  turn.chosen = (place + turn.choices.length) % turn.choices.length;
  turn.content = turn.choices[turn.chosen].message.content;
  const label = document.activeElement?.getAttribute("aria-label");
  draw();
  say(turn);
  // The buttons are new; whoever used one goes on with it.
  Array.from(talk.querySelectorAll("button")).findLast((button) => button.getAttribute("aria-label") === label)?.focus();
}

function tools(turn, isLast) {
  const made = element("div", undefined, "tools");
  const { apc } = turn.choices[turn.chosen];
  if (isLast && turn.choices.length > 1) {
    made.append(
      button("←", "Previous choice", () => choose(turn, turn.chosen - 1)),
      element("span", `${turn.chosen + 1} of ${turn.choices.length}`),
      button("→", "Next choice", () => choose(turn, turn.chosen + 1)),
    );
  }
  if (apc) {
    const text = `ΔAPC ${signed(apc.delta_apc)}`;
    made.append(button(text, `${text}: show what it does with the statements`, () => judge(turn.choices[turn.chosen])));
  }
  if (isLast) made.append(button("Again", "Again: other replies to the same message", again));
  return made;
}

function draw() {
  const shown = turns.map((turn, idx) => {
    const box = element("article", undefined, `turn ${turn.role}`);
    box.setAttribute("aria-label", turn.role === "user" ? "You" : character.id);
    if (turn.choices) box.append(marked(turn.choices[turn.chosen]), tools(turn, idx === turns.length - 1));
    else box.textContent = turn.content;
    return box;
  });
  talk.replaceChildren(...shown);
  show();
  const last = turns.at(-1);
  if (last?.choices) judge(last.choices[last.chosen]);
}

async function reply(kept) {
  const [own, started] = [talks, performance.now()];
  send.disabled = true;
  tell(`${character.id} is replying.`);
  try {
    const answer = await ask("chat/completions", {
      model: character.id,
      n: Number(at("choices").value),
      messages: turns.map(({ role, content }) => ({ role, content })),
    });
    if (own !== talks) return;
    turns.push({ role: "assistant", content: answer.choices[0].message.content, choices: answer.choices, chosen: 0 });
    say(turns.at(-1));
    tell(`${answer.usage.completion_tokens} tokens in ${((performance.now() - started) / 1000).toFixed(1)} s`);
  } catch (error) {
    if (own !== talks) return;
    // Nothing is lost: the earlier reply is back, or the message to be sent again.
    if (kept) turns.push(kept);
    else message.value = [turns.pop().content, message.value].filter(Boolean).join("\n");
    tell(error.message, true);
  } finally {
    if (own === talks) {
      send.disabled = false;
      draw();
    }
  }
}

function again() {
  if (!send.disabled) reply(turns.pop());
}

function begin() {
  talks += 1;
  turns = character?.greeting ? [{ role: "assistant", content: character.greeting }] : [];
  send.disabled = false;
  at("said").textContent = "";
  tell("");
  verdict.replaceChildren(element("p", "Say something. Beside each reply stands which statements it honours, misses and contradicts.", "hint"));
  draw();
}

/** Begins a talk with a character. */
export function open(own) {
  character = own;
  begin();
}

/** The talk is in view: its end is what matters. */
export function show() {
  talk.scrollTop = talk.scrollHeight;
}

at("say").addEventListener("submit", (event) => {
  event.preventDefault();
  const content = message.value.trim();
  if (!content || !character || send.disabled) return;
  turns.push({ role: "user", content });
  message.value = "";
  draw();
  reply();
});
message.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    at("say").requestSubmit();
  }
});
document.addEventListener("keydown", (event) => {
  const last = turns.at(-1);
  const moves = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  const held = event.altKey || event.ctrlKey || event.metaKey || event.shiftKey;
  const isElsewhere = at("view-talk").hidden || event.target.closest("textarea, select, #verdict, [role=tablist]");
  if (moves && !held && !isElsewhere && last?.choices?.length > 1) choose(last, last.chosen + moves);
});
at("new").addEventListener("click", begin);
