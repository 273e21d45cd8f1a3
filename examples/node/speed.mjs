// The greedy SPEED loop in JavaScript: drafts with the small model, checks with the large one, over the ONNX graphs
// of a bundle. The tokens are those of `tandem-export generate` at temperature 0.
//
//   node speed.mjs BUNDLE GAMMA COUNT TOKEN...      prints the prompt's continuation, a JSON list of token ids
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { InferenceSession, Tensor } from "onnxruntime-node";

const [bundle, gamma, count, ...prompt] = process.argv.slice(2).map((text, at) => (at ? Number(text) : text));
const graphs = JSON.parse(readFileSync(join(bundle, "manifest.json"), "utf8")).graphs;
const isOnnx = (graph) => "onnx" in graph.files;
const find = (role, width) => graphs.filter(isOnnx).filter((graph) => graph.role === role)
  .filter((graph) => width === undefined || graph.width === width).sort((a, b) => a.batch - b.batch)[0];
const sizeOf = (shape) => shape.reduce((product, size) => product * size, 1);
const empty = (shape) => new Tensor("float32", new Float32Array(sizeOf(shape)), shape);
const ints = (values, shape) => new Tensor("int32", Int32Array.from(values), shape);

// A graph with its caches `[B, K, S, H]`; graphs of one batch share them. Only row 0 is used.
class Step {
  static sessions = new Map();
  constructor(record, caches) { Object.assign(this, { record, caches }); }

  async run(tokens, start) {
    const { record, caches } = this, { batch } = record, width = record.width;
    if (!Step.sessions.has(record.name)) {
      const session = InferenceSession.create(join(bundle, record.files.onnx));
      Step.sessions.set(record.name, await session);
    }
    const session = Step.sessions.get(record.name);
    const block = new Array(batch * width).fill(0);
    tokens.forEach((token, at) => { block[at] = token; });
    const starts = new Array(batch).fill(0);
    starts[0] = start;
    const feeds = { tokens: ints(block, [batch, width]), start: ints(starts, [batch]) };
    for (const { name, shape } of record.state) {
      caches[name] ??= empty(shape);
      feeds[name] = caches[name];
    }
    const outputs = await session.run(feeds);
    for (const [name, rows] of Object.entries(outputs)) if (name.startsWith("rows.")) this.write(name, rows, start);
    return outputs.logits;
  }

  // Copies a block's new rows `[B, K, T, H]` to their places of row 0 of a cache `[B, K, S, H]`.
  write(output, rows, start) {
    const [batch, heads, width, size] = rows.dims, name = output.slice("rows.".length);
    const cache = (this.caches[name] ??= empty([batch, heads, places, size]));
    for (let head = 0; head < heads; head++) {
      const from = head * width * size, to = (head * places + start) * size;
      cache.data.set(rows.data.subarray(from, from + width * size), to);
    }
  }
}

// The likeliest token of row `at` of logits `[..., V]`.
function likeliest(logits, at) {
  const size = logits.dims.at(-1), values = logits.data.subarray(at * size, (at + 1) * size);
  return values.reduce((best, value, token) => (value > values[best] ? token : best), 0);
}

// The caches of the prompt's graph have one row; the rounds' may have more, of which the first is used.
async function prefill(tokens, caches) {
  const record = find("prefill"), row = {}, step = new Step(record, row);
  for (let at = 0; at < tokens.length; at += record.width) {
    // A chunk ends inside the cache: the last one may begin earlier, and runs some tokens again.
    const start = Math.min(at, places - record.width);
    await step.run(tokens.slice(start, start + record.width), start);
  }
  for (const [name, cache] of Object.entries(row)) caches[name]?.data.set(cache.data);
}

const caches = {};
const check = new Step(find("primary_block", gamma + 1), caches);
const places = check.record.state[0].shape[2];
const draft = new Step(find("drafter_step", 1), caches);
for (const { state } of [check.record, draft.record]) {
  for (const { name, shape } of state) caches[name] ??= empty(shape);
}
await prefill(prompt.slice(0, -1), caches);
const answer = [];
let last = prompt.at(-1), position = prompt.length - 1;
while (answer.length < count) {
  const drafts = [];
  while (drafts.length < Math.min(gamma, count - answer.length - 1)) {
    const token = drafts.at(-1) ?? last;
    drafts.push(likeliest(await draft.run([token], position + drafts.length), 0));
  }
  const logits = await check.run([last, ...drafts], position);
  const checked = [...drafts, null].map((_, at) => likeliest(logits, at));
  let kept = 0;
  while (kept < drafts.length && drafts[kept] === checked[kept]) kept++;
  const tokens = checked.slice(0, kept + 1);
  answer.push(...tokens);
  position += tokens.length;
  last = tokens.at(-1);
}
console.log(JSON.stringify(answer));
