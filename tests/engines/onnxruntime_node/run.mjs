// Runs ONNX graphs: `node run.mjs JOB.json`. A job names each graph's file, its inputs (dtype, shape
// and a file of raw values) and a folder for the values of its outputs.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { InferenceSession, Tensor } from "onnxruntime-node";

const ARRAYS = { float32: Float32Array, int32: Int32Array };

function read({ dtype, shape, file }) {
  const bytes = readFileSync(file);
  const values = new ARRAYS[dtype](bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  return new Tensor(dtype, values, shape);
}

for (const { model, inputs, folder } of JSON.parse(readFileSync(process.argv[2], "utf8"))) {
  const session = await InferenceSession.create(model);
  const feeds = Object.fromEntries(Object.entries(inputs).map(([name, input]) => [name, read(input)]));
  for (const [name, { data }] of Object.entries(await session.run(feeds))) {
    writeFileSync(join(folder, name), Buffer.from(data.buffer, data.byteOffset, data.byteLength));
  }
}
