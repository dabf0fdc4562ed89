// The server's page in a real browser, dark, light and narrow: node page.mjs http://127.0.0.1:PORT [FOLDER for screenshots]
import assert from "node:assert";
import fs from "node:fs";
import axeCore from "axe-core";
import bundled from "@sparticuz/chromium";
import { chromium } from "playwright-core";

const [url, shots] = process.argv.slice(2);
for (const [name, colorScheme, width] of [["light", "light", 1200], ["dark", "dark", 1200], ["narrow", "light", 400]]) {
  const browser = await chromium.launch({ args: bundled.args, executablePath: await bundled.executablePath(), headless: true });
  const context = await browser.newContext({ colorScheme, viewport: { width, height: 800 }, bypassCSP: true });
  const page = await context.newPage();
  const errors = [];
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("request", (request) => {
    if (!request.url().startsWith(url) && !request.url().startsWith("data:")) errors.push(`asks ${request.url()}`);
  });
  await page.goto(url);
  await page.waitForSelector("#character option", { state: "attached" });
  // The keyboard alone: a message, a swipe, the next message.
  await page.focus("#message");
  await page.keyboard.type("Do you drink alcohol?");
  await page.keyboard.press("Enter");
  await page.waitForSelector(".assistant .tools", { timeout: 60_000 });
  await page.focus(".assistant .tools button");
  await page.keyboard.press("ArrowRight");
  assert.equal(await page.textContent(".assistant .tools span"), "2 of 3");
  assert.match(await page.textContent("#verdict"), /ΔAPC/);
  await page.fill("#message", "<b>And</b> where do you live?");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.querySelectorAll(".assistant").length === 2, null, { timeout: 60_000 });
  assert.equal(await page.locator(".user b").count(), 0, "what people write is no markup");
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "nothing is wider than the screen");
  await page.addScriptTag({ content: axeCore.source });
  const found = await page.evaluate(() => axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"] }));
  assert.deepEqual(found.violations.map((violation) => violation.id), []);
  assert.deepEqual(errors, []);
  if (shots) fs.writeFileSync(`${shots}/${name}.png`, await page.screenshot());
  // The bundled browser is one process: closing its context alone ends it.
  await browser.close().catch(() => {});
}
console.log("page ok: dark, light, narrow");
