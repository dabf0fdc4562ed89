// A character's training: starting, following and stopping it.
import { ask, path } from "./api.js";
import { at, tell } from "./dom.js";

const [train, stop, bar] = ["train", "stop", "training-progress"].map(at);

let character = null;
/** Called when a training has ended. */
let ended = null;
let run = null;
let isAllowed = false;
let timer = null;

function time(seconds) {
  const [minutes, rest] = [Math.floor(seconds / 60), Math.round(seconds % 60)];
  return minutes ? `${minutes} min ${rest} s` : `${rest} s`;
}

function outcome() {
  if (run.state === "failed") return `The last training failed: ${run.message ?? "the server does not say why"}`;
  return { done: `The last training was done in ${time(run.seconds)}.`, stopped: "The last training was stopped." }[run.state] ?? "";
}

function hint() {
  if (!isAllowed) return "Save or discard the changes before a training.";
  if (!character.trained) return `${character.id} has no adapter yet: training makes one from the statements.`;
  if (character.stale) return "The adapter does not know the statements as they are now.";
  return "The adapter was trained on these statements.";
}

function draw() {
  const isRunning = run?.state === "running";
  const used = document.activeElement;
  at("training-hint").textContent = hint();
  at("training-run").hidden = !isRunning;
  stop.hidden = !character.editable;
  train.hidden = isRunning || !character.editable;
  train.textContent = character.trained ? "Train again" : "Train";
  train.disabled = !isAllowed || !run;
  at("training-end").textContent = run ? outcome() : "";
  at("training-end").className = run?.state === "failed" ? "error" : "hint";
  at("training-notes").textContent = (run?.notes ?? []).join("\n");
  if (isRunning) progress();
  // Who used a button that is no longer there goes on with the other.
  if (used === train && isRunning) stop.focus();
  if (used === stop && !isRunning) train.focus();
}

function progress() {
  const { label, done, total, unit, seconds } = run;
  at("training-label").textContent = label ?? "Beginning";
  if (total) [bar.max, bar.value] = [total, done];
  else bar.removeAttribute("value");
  at("training-count").textContent = [total && `${done} of ${total} ${unit}`, time(seconds)].filter(Boolean).join(", ");
}

function take(answer) {
  const before = run;
  run = answer;
  draw();
  clearTimeout(timer);
  if (run.state === "running") {
    if (run.label && run.label !== before?.label) tell(`Training: ${run.label}`);
    if (!document.hidden) timer = setTimeout(poll, 1000);
  } else if (before?.state === "running") {
    tell(outcome(), run.state === "failed");
    ended();
  }
}

async function asking(body, method) {
  const own = character.id;
  try {
    const answer = await ask(path(own, "train"), body, method);
    if (own === character.id) take(answer);
  } catch (error) {
    if (own !== character.id) return;
    tell(error.message, true);
    // A server that is busy or away for a moment is asked again, and so is one that trains already.
    clearTimeout(timer);
    const isAway = run?.state === "running" && !(error.status < 500);
    if (error.status === 409 || isAway) timer = setTimeout(poll, 3000);
  }
}

const poll = () => character && asking();

/** The character as it is now, and whether its training may begin: nothing is unsaved. */
export function allow(own, is) {
  [character, isAllowed] = [own, is];
  draw();
}

/** Follows the training of a character, also one that runs already. */
export function follow(own, whenEnded) {
  [character, ended, run] = [own, whenEnded, null];
  draw();
  poll();
}

train.addEventListener("click", () => asking({}));
stop.addEventListener("click", () => {
  tell("The training stops soon.");
  asking(undefined, "DELETE");
});
document.addEventListener("visibilitychange", () => {
  clearTimeout(timer);
  if (!document.hidden) poll();
});
