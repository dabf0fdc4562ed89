// Small parts of the page. Texts of models and people are only ever set as text, never as markup.
export const at = (id) => document.getElementById(id);

export function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

export function button(text, label, act) {
  const made = element("button", text);
  made.type = "button";
  made.setAttribute("aria-label", label);
  if (act) made.addEventListener("click", act);
  return made;
}

export function tell(text, isError = false) {
  at("status").textContent = text;
  at("status").classList.toggle("error", isError);
}

export const signed = (number) => (number < 0 ? "−" : "+") + Math.abs(number).toFixed(2);
