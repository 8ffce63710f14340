// Classifies pictures with onnxruntime-web. Every address is relative: the folder works offline.

const TOP = 5;
// Larger photographs are scaled to this many pixels first: the graph takes 12 bytes and more of
// memory for each.
const MOST_PIXELS = 4e6;
// A function that returns a vector of 128 bits: valid only where there is SIMD.
const SIMD = [
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15,
  253, 98, 11,
];

const OPTIONS = {
  executionProviders: ["wasm"],
  // Weights of 2 and 4 bits stay as they are in memory: each is widened when it is used, not all of
  // them when the file is loaded.
  extra: { optimization: { disable_specified_optimizers: "ConstantFolding" } },
};

const element = (id) => document.getElementById(id);
let ort, session, about;
let last = Promise.resolve();

function say(text, isError = false) {
  element("status").textContent = text;
  element("status").classList.toggle("error", isError);
}

function hasSimd() {
  return typeof WebAssembly === "object" && WebAssembly.validate(new Uint8Array(SIMD));
}

async function fetchWhole(name) {
  const answer = await fetch(name);
  if (!answer.ok) throw new Error(`${name}: the server answers ${answer.status}`);
  return answer;
}

async function start() {
  if (!hasSimd()) throw new Error("This browser has no WebAssembly SIMD; a newer one is needed.");
  say("Loading the model …");
  about = await (await fetchWhole("model.json")).json();
  const size = (about.bytes / 1e6).toFixed(1);
  document.title = element("name").textContent = about.name;
  element("about").textContent = `${about.bits}, ${size} MB, ${about.classes.length} classes`;
  ort = await import("./ort/ort.wasm.min.mjs");
  ort.env.wasm.wasmPaths = new URL("ort/", document.baseURI).href;
  // Threads share memory, which browsers allow only to isolated pages.
  const threads = Math.min(4, navigator.hardwareConcurrency || 1);
  ort.env.wasm.numThreads = self.crossOriginIsolated ? threads : 1;
  const model = new Uint8Array(await (await fetchWhole("model.onnx")).arrayBuffer());
  session = await ort.InferenceSession.create(model, OPTIONS);
  say("Ready.");
}

// uint8 (1, height, width, 3) of a file with a picture. Colors are taken as they are stored, as
// Pillow does.
async function pixels(file) {
  const options = { colorSpaceConversion: "none", premultiplyAlpha: "none" };
  let bitmap = await createImageBitmap(file, options);
  const scale = Math.sqrt(MOST_PIXELS / (bitmap.width * bitmap.height));
  if (scale < 1) {
    const resizeWidth = Math.max(1, Math.round(scale * bitmap.width));
    const resizeHeight = Math.max(1, Math.round(scale * bitmap.height));
    const whole = bitmap;
    const resized = { ...options, resizeWidth, resizeHeight, resizeQuality: "high" };
    bitmap = await createImageBitmap(whole, resized);
    whole.close();
  }
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d");
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const rgba = context.getImageData(0, 0, width, height).data;
  const rgb = new Uint8Array(3 * width * height);
  for (let from = 0, to = 0; to < rgb.length; from += 4, to += 3) {
    rgb[to] = rgba[from];
    rgb[to + 1] = rgba[from + 1];
    rgb[to + 2] = rgba[from + 2];
  }
  return new ort.Tensor("uint8", rgb, [1, height, width, 3]);
}

// { logits, milliseconds } of a file with a picture.
export async function classify(file) {
  await ready;
  let images;
  try {
    images = await pixels(file);
  } catch {
    throw new Error(`${file.name || "This"} is not a picture that this browser can read.`);
  }
  const began = performance.now();
  const outputs = await session.run({ [session.inputNames[0]]: images });
  const output = outputs[session.outputNames[0]];
  const logits = Array.from(output.data);
  output.dispose();
  return { logits, milliseconds: performance.now() - began };
}

function show(logits) {
  const highest = Math.max(...logits);
  const powers = logits.map((x) => Math.exp(x - highest));
  const total = powers.reduce((a, b) => a + b);
  const order = powers.map((_, i) => i).sort((a, b) => powers[b] - powers[a]);
  const rows = order.slice(0, TOP).map((i) => {
    const row = document.createElement("li");
    const percent = (100 * powers[i]) / total;
    const [name, value, bar] = ["span", "span", "i"].map((tag) => document.createElement(tag));
    name.textContent = about.classes[i];
    value.textContent = `${percent.toFixed(1)} %`;
    bar.style.width = `${percent}%`;
    row.dataset.index = i;
    row.append(name, value, bar);
    return row;
  });
  element("results").replaceChildren(...rows);
}

async function open(file) {
  if (!file) return;
  const picture = element("picture");
  URL.revokeObjectURL(picture.src);
  picture.hidden = true;
  element("results").replaceChildren();
  say("Classifying …");
  try {
    const { logits, milliseconds } = await classify(file);
    picture.src = URL.createObjectURL(file);
    picture.alt = file.name;
    picture.hidden = false;
    show(logits);
    say(`${milliseconds.toFixed(0)} ms`);
  } catch (error) {
    say(error.message, true);
  }
}

// One picture at a time, in their order.
function enqueue(file) {
  last = last.then(() => open(file));
}

const drop = element("drop");
for (const type of ["dragover", "drop"]) {
  document.addEventListener(type, (event) => event.preventDefault());
}
document.addEventListener("dragover", () => drop.classList.add("over"));
document.addEventListener("dragleave", () => drop.classList.remove("over"));
document.addEventListener("drop", (event) => {
  drop.classList.remove("over");
  enqueue(event.dataTransfer.files[0]);
});
element("file").addEventListener("change", (event) => enqueue(event.target.files[0]));

export const ready = start();
ready.catch((error) => {
  element("file").disabled = true;
  say(error.message, true);
});
