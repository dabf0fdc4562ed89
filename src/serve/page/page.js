// A talk with a character. Texts of models and people are only ever set as text, never as markup.
const at = (id) => document.getElementById(id);
const [talk, verdict, status, message] = ["talk", "verdict", "status", "message"].map(at);
const send = document.querySelector("#say button");

/** What was said: {role, content}, replies with {choices, chosen}. */
let turns = [];
let key = null;

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function tell(text, isError = false) {
  status.textContent = text;
  status.classList.toggle("error", isError);
}

async function ask(path, body) {
  const headers = { "content-type": "application/json" };
  if (key) headers.authorization = `Bearer ${key}`;
  const options = body ? { method: "POST", headers, body: JSON.stringify(body) } : { headers };
  const response = await fetch(`v1/${path}`, options);
  if (response.status === 401 && (key = prompt("This server asks for its API key:"))) return ask(path, body);
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error?.message ?? response.statusText);
  return answer;
}

const signed = (number) => (number < 0 ? "−" : "+") + Math.abs(number).toFixed(2);

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

function choose(turn, place) {
  turn.chosen = (place + turn.choices.length) % turn.choices.length;
  turn.content = turn.choices[turn.chosen].message.content;
  const label = document.activeElement?.getAttribute("aria-label");
  show();
  // The buttons are new; whoever used one goes on with it.
  Array.from(talk.querySelectorAll("button")).findLast((button) => button.getAttribute("aria-label") === label)?.focus();
}

function show() {
  const shown = turns.map((turn, idx) => {
    const box = element("article", undefined, `turn ${turn.role}`);
    box.setAttribute("aria-label", turn.role === "user" ? "You" : at("character").value);
    if (!turn.choices) {
      box.textContent = turn.content;
      return box;
    }
    const isLast = idx === turns.length - 1;
    const choice = turn.choices[turn.chosen];
    box.append(marked(choice));
    const tools = element("div", undefined, "tools");
    const button = (text, label, act) => {
      const made = element("button", text);
      made.type = "button";
      made.setAttribute("aria-label", label);
      made.addEventListener("click", act);
      tools.append(made);
    };
    if (isLast && turn.choices.length > 1) {
      button("←", "Previous choice", () => choose(turn, turn.chosen - 1));
      tools.append(element("span", `${turn.chosen + 1} of ${turn.choices.length}`));
      button("→", "Next choice", () => choose(turn, turn.chosen + 1));
    }
    if (choice.apc) button(`ΔAPC ${signed(choice.apc.delta_apc)}`, `ΔAPC ${signed(choice.apc.delta_apc)}: show what it does with the statements`, () => judge(choice));
    if (isLast) button("Again", "Again: other replies to the same message", again);
    box.append(tools);
    return box;
  });
  talk.replaceChildren(...shown);
  talk.scrollTop = talk.scrollHeight;
  const last = turns.at(-1);
  if (last?.choices) judge(last.choices[last.chosen]);
}

/** Counts talks, so that a reply to an earlier one is told apart. */
let talks = 0;

async function reply(kept) {
  const [own, name, started] = [talks, at("character").value, performance.now()];
  send.disabled = true;
  tell(`${name} is replying.`);
  try {
    const answer = await ask("chat/completions", {
      model: name,
      n: Number(at("choices").value),
      messages: turns.map(({ role, content }) => ({ role, content })),
    });
    if (own !== talks) return;
    turns.push({ role: "assistant", content: answer.choices[0].message.content, choices: answer.choices, chosen: 0 });
    tell(`${answer.usage.completion_tokens} tokens in ${((performance.now() - started) / 1000).toFixed(1)} s`);
  } catch (error) {
    if (own !== talks) return;
    // Nothing is lost: the earlier reply is back, or the message to be sent again.
    if (kept) turns.push(kept);
    else message.value ||= turns.pop().content;
    tell(String(error.message), true);
  } finally {
    if (own === talks) {
      send.disabled = false;
      show();
    }
  }
}

function again() {
  if (!send.disabled) reply(turns.pop());
}

at("say").addEventListener("submit", (event) => {
  event.preventDefault();
  const content = message.value.trim();
  if (!content || send.disabled) return;
  turns.push({ role: "user", content });
  message.value = "";
  show();
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
  const isElsewhere = event.target.closest("textarea, select, #verdict");
  if (moves && !held && !isElsewhere && last?.choices?.length > 1) choose(last, last.chosen + moves);
});
function begin() {
  talks += 1;
  turns = [];
  send.disabled = false;
  tell("");
  verdict.replaceChildren(element("p", "Say something. Beside each reply stands which statements it honours, misses and contradicts.", "hint"));
  show();
}
at("new").addEventListener("click", begin);
at("character").addEventListener("change", begin);

try {
  const { data } = await ask("characters");
  at("character").append(...data.map(({ id }) => element("option", id)));
  message.focus();
} catch (error) {
  tell(String(error.message), true);
}
