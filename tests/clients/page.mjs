// The server's page in a real browser, light, dark and narrow: node page.mjs http://127.0.0.1:PORT [FOLDER for screenshots]
// The character, which must have been trained, is trained again, which takes as long as it took then.
import assert from "node:assert";
import fs from "node:fs";
import axeCore from "axe-core";
import bundled from "@sparticuz/chromium";
import { chromium } from "playwright-core";

const [url, shots] = process.argv.slice(2);
const statement = "Alice keeps a tame raven called Corvin.";
const second = 1000;

/** What a view looks like, and that nothing in it is out of reach. */
async function look(page, name) {
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "nothing is wider than the screen");
  await page.evaluate(axeCore.source);
  const found = await page.evaluate(() => axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] }));
  assert.deepEqual(found.violations.map(({ id, nodes }) => `${id}: ${nodes[0].html}`), [], name);
  if (shots) fs.writeFileSync(`${shots}/${name}.png`, await page.screenshot());
}

async function server(path) {
  return (await fetch(`${url.replace(/\/$/, "")}/v1/${path}`)).json();
}

const has = (page, selector, text, timeout = 60 * second) => page.locator(selector, { hasText: text }).waitFor({ timeout });
const replies = (page) => page.locator(".assistant:has(.tools)");

/** The keyboard alone: a message, a swipe, the next message. */
async function talks(page, { id, greeting }) {
  assert.equal(await page.locator(".turn").count(), greeting ? 1 : 0);
  if (greeting) assert.equal(await page.textContent(".turn.assistant"), greeting, "the character begins, and is not judged for it");
  const asked = page.waitForRequest("**/v1/chat/completions");
  await page.focus("#message");
  await page.keyboard.type("Do you drink alcohol?");
  await page.keyboard.press("Enter");
  const { model, messages } = (await asked).postDataJSON();
  const first = greeting ? [{ role: "assistant", content: greeting }] : [];
  assert.deepEqual([model, messages], [id, [...first, { role: "user", content: "Do you drink alcohol?" }]]);
  await replies(page).waitFor({ timeout: 60 * second });
  assert.equal(await page.locator("[aria-live] .turn").count(), 0, "the talk is not read out anew");
  assert.match(await page.textContent("#said"), /^1 of 3: ./);
  await replies(page).locator("button").first().focus();
  await page.keyboard.press("ArrowRight");
  assert.equal(await replies(page).locator(".tools span").textContent(), "2 of 3");
  assert.match(await page.textContent("#said"), /^2 of 3: ./);
  assert.match(await page.textContent("#verdict"), /ΔAPC/);
  await page.fill("#message", "<b>And</b> where do you live?");
  await page.keyboard.press("Enter");
  await replies(page).nth(1).waitFor({ timeout: 60 * second });
  assert.equal(await page.locator(".user b").count(), 0, "what people write is no markup");
}

/** A statement comes, is checked and saved, and goes again. */
async function edits(page, { id, statements }) {
  const path = `characters/${encodeURIComponent(id)}`;
  const fields = page.locator("#statements textarea");
  await page.waitForFunction((n) => document.querySelectorAll("#statements textarea").length === n, statements.length);
  assert.ok(await page.isDisabled("#save"), "there is nothing to save");
  await fields.last().focus();
  await page.keyboard.press("Enter");
  await page.keyboard.type(statement);
  assert.equal(await fields.last().getAttribute("aria-label"), `Statement ${statements.length + 1}`);
  await has(page, "#changed", "Unsaved");
  assert.ok(await page.isDisabled("#train"), "only what is saved is trained");
  await page.click("#check");
  await has(page, "#status", /finding|finds nothing/);
  await page.click("#save");
  await has(page, "#status", "Saved.");
  assert.deepEqual((await server(path)).statements, [...statements, statement]);
  assert.ok(await page.isDisabled("#save"));

  await page.click(`[aria-label="Remove statement ${statements.length + 1}"]`);
  await page.click("#undo");
  assert.equal(await page.textContent("#changed"), "", "what was removed is back");
  await page.keyboard.press("Enter");
  await page.keyboard.press("Backspace");
  assert.equal(await fields.count(), statements.length + 1, "an empty line goes by itself");
  await fields.first().fill("Something else.");
  page.once("dialog", (dialog) => dialog.accept());
  await page.click("#discard");
  assert.equal(await fields.first().inputValue(), statements[0]);

  await page.click(`[aria-label="Remove statement ${statements.length + 1}"]`);
  await page.click("#save");
  await page.waitForFunction(() => document.getElementById("save").disabled);
  assert.deepEqual((await server(path)).statements, statements);
}

/** With one statement more a training is begun and stopped, begun again and followed to its end, also by a page that comes later. */
async function trains(page, name, { id, statements }) {
  const change = (statements) => fetch(`${url.replace(/\/$/, "")}/v1/characters/${id}`, { method: "PUT", body: JSON.stringify({ statements }) });
  await change([...statements, statement]);
  await page.reload();
  await page.click("#tab-statements");
  await has(page, "#training-hint", "does not know the statements");
  await page.click("#train");
  await page.locator("#training-progress").waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.id), "stop");
  await page.keyboard.press("Enter");
  await has(page, "#training-end", "stopped", 600 * second);
  await page.click("#train");
  await has(page, "#training-count", / of /, 600 * second);
  await page.reload();
  await page.click("#tab-statements");
  await has(page, "#training-count", / of /, 600 * second);
  await look(page, `${name}-training`);
  await has(page, "#training-end", /done|failed/, 3600 * second);
  assert.match(await page.textContent("#training-end"), /was done in/);
  await has(page, "#training-hint", "was trained on these statements");
  await change(statements);
}

async function reads(page, { id }) {
  const { summary, queries } = await server(`characters/${encodeURIComponent(id)}/report`);
  await has(page, "#summary", summary ? `${summary.queries} queries` : "never trained");
  assert.equal(await page.locator("#rows tr").count(), queries.length);
  if (!queries.length) return;
  await page.selectOption("#order", { label: "most improved first" });
  const best = Math.max(...queries.map(({ before, after }) => after.delta_apc - before.delta_apc));
  const change = await page.locator("#rows tr").first().locator("td").last().textContent();
  assert.equal(change.replace("−", "-"), (best < 0 ? "" : "+") + best.toFixed(2));
}

for (const [name, colorScheme, width] of [["light", "light", 1200], ["dark", "dark", 1200], ["narrow", "light", 360]]) {
  const browser = await chromium.launch({ args: bundled.args, executablePath: await bundled.executablePath(), headless: true });
  const context = await browser.newContext({ colorScheme, viewport: { width, height: 800 } });
  const page = await context.newPage();
  const errors = [];
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("request", (request) => {
    if (!request.url().startsWith(url) && !request.url().startsWith("data:")) errors.push(`asks ${request.url()}`);
  });
  await page.goto(url);
  await page.waitForSelector("#character option", { state: "attached" });
  const [character] = (await server("characters")).data;
  await talks(page, character);
  await look(page, `${name}-talk`);
  // The tabs have one stop, and the arrows go from one to the next.
  await page.focus("#tab-talk");
  await page.keyboard.press("ArrowRight");
  assert.equal(await page.evaluate(() => document.activeElement.id), "tab-statements");
  await edits(page, character);
  await look(page, `${name}-statements`);
  if (name === "light") await trains(page, name, character);
  await page.focus("#tab-statements");
  await page.keyboard.press("End");
  await reads(page, character);
  await look(page, `${name}-report`);
  assert.deepEqual(errors, []);
  // The bundled browser is one process: closing its context alone ends it.
  await browser.close().catch(() => {});
}
console.log("page ok: light, dark, narrow");
