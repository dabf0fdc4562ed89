// What the page asks of the server.
let key = null;

/** The path below v1 of a character, or of something of its. */
export const path = (id, ...below) => ["characters", encodeURIComponent(id), ...below].join("/");

/** The server's answer; an error has the status and the parameter that it is about. */
export async function ask(path, body, method = body ? "POST" : "GET") {
  const headers = { "content-type": "application/json" };
  if (key) headers.authorization = `Bearer ${key}`;
  const response = await fetch(`v1/${path}`, { method, headers, body: body && JSON.stringify(body) });
  if (response.status === 401 && (key = prompt("This server asks for its API key:"))) return ask(path, body, method);
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  const { message = `${response.status} ${response.statusText}`, param } = answer.error ?? {};
  throw Object.assign(new Error(message), { status: response.status, param });
}
