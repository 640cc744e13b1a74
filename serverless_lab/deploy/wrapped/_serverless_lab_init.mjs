// Added to this package by `lab deploy`, because the target prints no Init Duration.
//
// It loads the function's real handler, whose name is in LAB_HANDLER, measures that, and prints one JSON line for it,
// and one for the first invocation of this process. With LAB_WRAPPER_LINES=all there is a line for every invocation,
// and an init that fails does so in the first invocation: for targets whose logs tell neither apart. Nothing else of
// the function is changed but two headers of an API response that say who gave it.

const begun = performance.now();
const begunAtMs = Date.now();

const { randomBytes } = await import("node:crypto");
const { existsSync } = await import("node:fs");
const { createRequire } = await import("node:module");
const { dirname, isAbsolute, resolve } = await import("node:path");
const { fileURLToPath, pathToFileURL } = await import("node:url");

const REQUEST_ID_HEADER = "x-lab-request-id";
const ENVIRONMENT_ID_HEADER = "x-lab-environment-id";
const STREAMING = Symbol.for("aws.lambda.runtime.handler.streaming");

const name = process.env.LAB_HANDLER;
const tellsAll = process.env.LAB_WRAPPER_LINES === "all";
const initializationType = process.env.AWS_LAMBDA_INITIALIZATION_TYPE;
// Where a log stream is an environment, its name ends in the environment's id; else any that no other process has.
const ofStream = /\]([^\]]{32})$/.exec(process.env.AWS_LAMBDA_LOG_STREAM_NAME ?? "");
const environmentId = ofStream && !tellsAll ? ofStream[1] : randomBytes(16).toString("hex");

function tell(kind, record) {
  const line = {
    time: new Date().toISOString(),
    type: `serverless-lab.${kind}`,
    record: { ...record, lines: tellsAll ? "all" : "first" },
  };
  process.stdout.write(JSON.stringify(line) + "\n");
}

async function load() {
  // `folder/file.export`, where the export may be a path of names itself: the file's name ends at its first dot.
  const folder = name.slice(0, name.lastIndexOf("/") + 1);
  const [file, ...names] = name.slice(folder.length).split(".");
  const path = resolve(dirname(fileURLToPath(import.meta.url)), folder + file);
  const found = ["", ".js", ".mjs", ".cjs"].map((ending) => path + ending).find((candidate) => existsSync(candidate));
  const module = await loaded(found ?? folder + file); // else a package, of node_modules or a layer
  const at = (start) => names.reduce((value, key) => value?.[key], start);
  const target = at(module) ?? at(module.default);
  if (typeof target !== "function") throw new TypeError(`${name} is undefined or not exported`);
  return target;
}

async function loaded(path) {
  // What require can load is loaded by it, as the runtime does: a CommonJS module has names that import cannot see.
  if (!path.endsWith(".mjs")) {
    try {
      return createRequire(import.meta.url)(path);
    } catch (error) {
      if (error.code !== "ERR_REQUIRE_ESM" && error.code !== "ERR_REQUIRE_ASYNC_MODULE") throw error;
    }
  }
  return import(isAbsolute(path) ? pathToFileURL(path).href : path);
}

if (process.env._HANDLER !== undefined) process.env._HANDLER = name;
let target;
let failure;
try {
  target = await load();
} catch (error) {
  failure = error;
}
const initDurationMs = Math.round((performance.now() - begun) * 1000) / 1000;
const ended = performance.now();
tell("init", {
  environmentId,
  pid: process.pid,
  functionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
  functionVersion: process.env.AWS_LAMBDA_FUNCTION_VERSION,
  handler: name,
  initializationType,
  startedAtMs: begunAtMs,
  durationMs: initDurationMs,
  status: failure === undefined ? "success" : "error",
  errorType: failure === undefined ? undefined : (failure?.name ?? typeof failure),
});
if (failure !== undefined && !tellsAll) throw failure;

let sequence = 0;

function begin(context) {
  sequence += 1;
  const requestId = context?.awsRequestId;
  if (sequence === 1 || tellsAll) {
    const first = {
      initDurationMs,
      sinceInitMs: Math.round((performance.now() - ended) * 1000) / 1000,
      initStatus: failure === undefined ? "success" : "error",
      initializationType,
    };
    tell("invocation", { requestId, environmentId, sequence, ...(sequence === 1 ? first : {}) });
  }
  if (failure !== undefined) throw failure;
  return requestId;
}

// The response of an API, with the headers by which a client finds the log lines of its request.
function withIds(event, response, requestId) {
  if (!requestId || typeof event?.requestContext !== "object") return response;
  if (response === null || typeof response !== "object" || !("statusCode" in response)) return response;
  const headers = { ...response.headers, [REQUEST_ID_HEADER]: requestId, [ENVIRONMENT_ID_HEADER]: environmentId };
  return { ...response, headers };
}

function wrapped() {
  if (target?.[STREAMING] !== undefined) {
    // A response that streams has no headers to add to; its marks tell the runtime how to call it.
    return Object.assign(function (event, stream, context) {
      begin(context);
      return target(event, stream, context);
    }, Object.fromEntries(Object.getOwnPropertySymbols(target).map((mark) => [mark, target[mark]])));
  }
  // As many parameters as the function has: runtimes call a handler with three of them otherwise than one with two.
  if (target !== undefined && target.length >= 3) {
    return function (event, context, callback) {
      return call(event, context, callback);
    };
  }
  return function (event, context) {
    return call(event, context, arguments[2]);
  };
}

function call(event, context, callback) {
  const requestId = begin(context);
  const answer =
    callback && ((error, response) => callback(error, error ? response : withIds(event, response, requestId)));
  const result = target(event, context, answer);
  if (typeof result?.then === "function") return result.then((value) => withIds(event, value, requestId));
  return withIds(event, result, requestId);
}

export const handler = wrapped();
