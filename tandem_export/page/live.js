"use strict";
let running = null;
const element = (id) => document.getElementById(id);
const key = () => (element("key").value ? { Authorization: "Bearer " + element("key").value } : {});

async function describe() {
  const answer = await fetch("v1/models", { headers: key() });
  element("key-label").hidden = answer.status !== 401 && !element("key").value;
  if (!answer.ok) return;
  const model = (await answer.json()).data[0];
  element("model").textContent = model.id;
  const gammas = model.tandem.gammas.round.filter((gamma) => gamma > 0);
  element("gamma").max = Math.max(...gammas);
  element("gamma").value = model.tandem.gamma;
  element("tau").value = model.tandem.tau || 0.5;
  const router = model.tandem.gammas.round_router.length > 0;
  element("mode").querySelector('[value="router"]').disabled = !router;
  show();
}

function show() {
  const mode = element("mode").value;
  element("gamma").disabled = mode === "primary";
  element("tau").disabled = mode !== "router";
  element("gamma-value").textContent = element("gamma").value;
  element("tau-value").textContent = Number(element("tau").value).toFixed(2);
}

function body() {
  const mode = element("mode").value;
  const asked = { model: element("model").textContent, prompt: element("prompt").value, mode,
    max_tokens: Number(element("length").value), temperature: Number(element("temperature").value),
    stream: true, include_tokens: true };
  if (mode !== "primary") asked.gamma = Number(element("gamma").value);
  if (mode === "router") asked.tau = Number(element("tau").value);
  return JSON.stringify(asked);
}

async function generate() {
  running = new AbortController();
  element("error").textContent = "";
  clearPicture();
  const begin = performance.now();
  try {
    const headers = { "Content-Type": "application/json", ...key() };
    const answer = await fetch("v1/completions", { method: "POST", headers, body: body(), signal: running.signal });
    if (!answer.ok) throw new Error((await answer.json()).error.message);
    await read(answer.body.pipeThrough(new TextDecoderStream()).getReader(), begin);
  } catch (error) {
    if (error.name !== "AbortError") element("error").textContent = error.message;
  }
  running = null;
}

async function read(reader, begin) {
  let left = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const events = (left + value).split("\n\n");
    left = events.pop();
    for (const event of events) take(event.slice("data: ".length));
    drawNumbers((performance.now() - begin) / 1000);
  }
}

function take(event) {
  if (event === "[DONE]") return;
  const chunk = JSON.parse(event);
  if (chunk.error) throw new Error(chunk.error.message);
  for (const choice of chunk.choices) choice.tandem.forEach(drawRound);
}

element("form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (running) running.abort(); else generate();
});
element("stop").addEventListener("click", () => running && running.abort());
for (const id of ["gamma", "tau", "mode"]) element(id).addEventListener("input", show);
element("key").addEventListener("change", describe);
describe();
