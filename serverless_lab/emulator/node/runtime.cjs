'use strict';
/**
 * The Node.js runtime of an execution environment: loads the handler, asks the Runtime API for events, answers.
 *
 * Started as `node runtime.cjs <handler>`. It stands where AWS's aws-lambda-nodejs-runtime-interface-client stands, which
 * is built from C++ sources by a tool chain that few machines have; docs/decisions has the note. What handlers and logs
 * see of it is AWS's: the context, callbacks, error shapes, the console's format.
 * documented: https://docs.aws.amazon.com/lambda/latest/dg/nodejs-handler.html, nodejs-context.html, nodejs-logging.html,
 * nodejs-exceptions.html, runtimes-api.html.
 */
const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');
const { format } = require('node:util');
const { pathToFileURL } = require('node:url');

const API = process.env.AWS_LAMBDA_RUNTIME_API;
const LOG_FD = Number(process.env._LAMBDA_TELEMETRY_LOG_FD);
const ASKING_FD = Number(process.env._LAB_ASKING_FD);
const JSON_LOG = process.env.AWS_LAMBDA_LOG_FORMAT === 'JSON';
const TASK_ROOT = process.env.LAMBDA_TASK_ROOT;
delete process.env._LAMBDA_TELEMETRY_LOG_FD;
delete process.env._LAB_ASKING_FD;

const TEXT_FRAME = 0xa55a0003;
const EXIT_CODE_OF_FAILED_INIT = 1;
const EXIT_CODE_OF_UNHANDLED_REJECTION = 128;
const EXIT_CODE_OF_UNCAUGHT_EXCEPTION = 129;
const LEVELS = { TRACE: 1, DEBUG: 2, INFO: 3, WARN: 4, ERROR: 5, FATAL: 6 };
const LOWEST_LEVEL = JSON_LOG ? LEVELS[(process.env.AWS_LAMBDA_LOG_LEVEL || 'INFO').toUpperCase()] || LEVELS.INFO : 0;

let currentRequestId;

// The log ------------------------------------------------------------------------------------------------------

/** Write one log event, however many lines it has: type, length, microseconds since 1970, then the text. */
function emit(text) {
  const body = Buffer.from(text, 'utf8');
  const frame = Buffer.alloc(16 + body.length);
  frame.writeUInt32BE(TEXT_FRAME, 0);
  frame.writeUInt32BE(body.length, 4);
  frame.writeBigUInt64BE(BigInt(Date.now()) * 1000n, 8);
  body.copy(frame, 16);
  for (let at = 0; at < frame.length; ) {
    try {
      at += fs.writeSync(LOG_FD, frame, at);
    } catch (error) {
      if (error.code !== 'EAGAIN') return;
    }
  }
}

function log(level, args) {
  if (LEVELS[level] < LOWEST_LEVEL) return;
  const timestamp = new Date().toISOString();
  if (!JSON_LOG) {
    emit(`${timestamp}\t${currentRequestId}\t${level}\t${format(...args)}\n`);
    return;
  }
  const entry = { timestamp, level, requestId: currentRequestId };
  const error = args.find((value) => value instanceof Error);
  if (args.length === 1 && typeof args[0] !== 'string' && !error) {
    entry.message = args[0];
  } else {
    entry.message = format(...args);
    if (error) {
      entry.errorType = error.name;
      entry.errorMessage = error.message;
      entry.stackTrace = lines(error);
    }
  }
  let text;
  try {
    text = JSON.stringify(entry, (_, value) => (typeof value === 'bigint' ? value.toString() : value));
  } catch {
    text = JSON.stringify({ ...entry, message: format(...args) });
  }
  emit(`${text}\n`);
}

const METHODS = { log: 'INFO', info: 'INFO', debug: 'DEBUG', trace: 'TRACE', warn: 'WARN', error: 'ERROR' };
for (const [name, level] of Object.entries(METHODS)) console[name] = (...args) => log(level, args);
console.fatal = (...args) => log('FATAL', args);

// Errors -------------------------------------------------------------------------------------------------------

class RuntimeError extends Error {
  constructor(name, message, stack) {
    super(message);
    this.name = name;
    if (stack) this.stack = stack;
  }
}

function lines(error) {
  return String(error.stack || `${error.name}: ${error.message}`).split('\n');
}

function isError(value) {
  return value instanceof Error || Object.prototype.toString.call(value) === '[object Error]';
}

/** As the Runtime API is told, and with it the caller. */
function asResponse(error) {
  if (!isError(error)) return { errorType: typeof error, errorMessage: String(error), trace: [] };
  return { errorType: error.name, errorMessage: error.message, trace: lines(error) };
}

function asShown(error) {
  return { errorType: error.name, errorMessage: error.message, stack: lines(error) };
}

/** As the log shows it: the error's own properties too. */
function asLogged(error) {
  if (!isError(error)) return JSON.stringify(asResponse(error));
  const shown = { errorType: error.name || 'UnknownError', errorMessage: error.message || 'Unknown Error' };
  for (const name of Object.keys(error)) if (!['name', 'message'].includes(name)) shown[name] = error[name];
  shown.stack = lines(error);
  try {
    return JSON.stringify(shown, (_, value) => (isError(value) && value !== error ? asShown(value) : value));
  } catch {
    return JSON.stringify({ errorType: shown.errorType, errorMessage: shown.errorMessage, stack: shown.stack });
  }
}

function logFailure(title, error) {
  if (JSON_LOG) log('ERROR', [error]);
  else emit(`${new Date().toISOString()}\t${currentRequestId}\tERROR\t${title} \t${asLogged(error)}\n`);
}

// The Runtime API ----------------------------------------------------------------------------------------------

const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
const [HOST, PORT] = API.split(':');

function call(method, route, body, headers) {
  return new Promise((resolve, reject) => {
    const options = { host: HOST, port: PORT, method, path: `/2018-06-01/runtime/${route}`, agent, headers };
    const request = http.request(options, (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('end', () => resolve({ headers: response.headers, body: Buffer.concat(chunks) }));
      response.on('error', reject);
    });
    request.on('error', reject);
    request.end(body);
  });
}

function post(route, text, errorType) {
  const body = Buffer.from(text, 'utf8');
  const headers = { 'Content-Type': 'application/json', 'Content-Length': body.length };
  if (errorType) headers['Lambda-Runtime-Function-Error-Type'] = errorType;
  return call('POST', route, body, headers);
}

function tellFailure(error) {
  const shape = asResponse(error);
  const route = currentRequestId === undefined ? 'init/error' : `invocation/${currentRequestId}/error`;
  return post(route, JSON.stringify(shape), shape.errorType);
}

// The handler --------------------------------------------------------------------------------------------------

function isModule(file) {
  for (let folder = path.dirname(file); ; folder = path.dirname(folder)) {
    const description = path.join(folder, 'package.json');
    if (fs.existsSync(description)) {
      try {
        return JSON.parse(fs.readFileSync(description, 'utf8')).type === 'module';
      } catch {
        return false;
      }
    }
    if (folder === path.dirname(folder)) return false;
  }
}

async function loadModule(stem) {
  if (fs.existsSync(`${stem}.js`)) {
    return isModule(`${stem}.js`) ? import(pathToFileURL(`${stem}.js`).href) : require(`${stem}.js`);
  }
  if (fs.existsSync(`${stem}.mjs`)) return import(pathToFileURL(`${stem}.mjs`).href);
  if (fs.existsSync(`${stem}.cjs`)) return require(`${stem}.cjs`);
  return require(stem);
}

async function loadHandler(text) {
  const folder = path.dirname(text);
  const match = /^([^.]*)\.(.*)$/.exec(path.basename(text));
  if (text.includes('..')) {
    const message = `'${text}' is not a valid handler name. Use absolute paths when specifying root directories in handler names.`;
    throw new RuntimeError('Runtime.MalformedHandlerName', message);
  }
  if (!match || !match[2]) throw new RuntimeError('Runtime.MalformedHandlerName', 'Bad handler');
  const [, name, property] = match;
  let module;
  try {
    module = await loadModule(path.resolve(TASK_ROOT, folder, name));
  } catch (error) {
    if (isError(error) && error.code === 'MODULE_NOT_FOUND') {
      // The module that was asked for is named as the function's configuration names it.
      const stem = path.resolve(TASK_ROOT, folder, name);
      const message = String(error.message).replace(`'${stem}'`, `'${path.join(folder, name)}'`);
      throw new RuntimeError('Runtime.ImportModuleError', `Error: ${message}`);
    }
    if (isError(error) && error.code === 'ERR_MODULE_NOT_FOUND') {
      throw new RuntimeError('Runtime.ImportModuleError', `Error [ERR_MODULE_NOT_FOUND]: ${error.message}`);
    }
    if (error instanceof SyntaxError) {
      throw new RuntimeError('Runtime.UserCodeSyntaxError', `SyntaxError: ${error.message}`, error.stack);
    }
    throw error;
  }
  let handler = module;
  for (const part of property.split('.')) handler = handler === undefined || handler === null ? undefined : handler[part];
  if (!handler && module.default) {
    handler = property.split('.').reduce((value, part) => (value ? value[part] : undefined), module.default);
  }
  if (!handler) throw new RuntimeError('Runtime.HandlerNotFound', `${text} is undefined or not exported`);
  if (typeof handler !== 'function') throw new RuntimeError('Runtime.HandlerNotFound', `${text} is not a function`);
  return handler;
}

/** How long the function has left: the emulator knows, whose time is not the host's. */
function remainingTime(deadlineMs) {
  try {
    fs.writeSync(ASKING_FD, '?');
    const answer = Buffer.alloc(8);
    if (fs.readSync(ASKING_FD, answer, 0, 8, null) === 8) return Math.max(0, Math.trunc(answer.readDoubleBE(0)));
  } catch {
    // Nobody answers: the deadline in the host's time is what is left.
  }
  return deadlineMs - Date.now();
}

function contextOf(headers, finish) {
  const { env } = process;
  const deadlineMs = Number(headers['lambda-runtime-deadline-ms']);
  const parsed = (name) => (headers[name] ? JSON.parse(headers[name]) : undefined);
  const context = {
    callbackWaitsForEmptyEventLoop: true,
    functionVersion: env.AWS_LAMBDA_FUNCTION_VERSION,
    functionName: env.AWS_LAMBDA_FUNCTION_NAME,
    memoryLimitInMB: env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: env.AWS_LAMBDA_LOG_STREAM_NAME,
    clientContext: parsed('lambda-runtime-client-context'),
    identity: parsed('lambda-runtime-cognito-identity'),
    invokedFunctionArn: headers['lambda-runtime-invoked-function-arn'],
    awsRequestId: headers['lambda-runtime-aws-request-id'],
    getRemainingTimeInMillis: () => remainingTime(deadlineMs),
  };
  const called = (error, result) => {
    if (context.callbackWaitsForEmptyEventLoop === false) setImmediate(finish, error, result);
    else atRest = () => finish(error, result);
  };
  context.done = called;
  context.succeed = (result) => called(null, result);
  context.fail = (error) => called(error === undefined || error === null ? 'handled' : error);
  return [context, called];
}

/** What is done when the event loop has nothing left to do. */
let atRest = null;
process.on('beforeExit', () => {
  const next = atRest;
  atRest = null;
  if (next) next();
});

async function invoke(handler, event, headers) {
  let context;
  const outcome = await new Promise((resolve) => {
    let over = false;
    const finish = (error, result) => {
      if (over) return;
      over = true;
      atRest = null;
      resolve({ error, result, failed: error !== undefined && error !== null });
    };
    const [made, called] = contextOf(headers, finish);
    context = made;
    atRest = () => finish(null, null);
    try {
      const result = handler(event, context, called);
      if (result && typeof result.then === 'function') {
        result.then(
          (value) => finish(null, value),
          (error) => finish(error === undefined || error === null ? new Error(String(error)) : error),
        );
      }
    } catch (error) {
      finish(error === undefined || error === null ? new Error(String(error)) : error);
    }
  });
  if (outcome.failed) {
    logFailure('Invoke Error', outcome.error);
    await tellFailure(outcome.error);
    return;
  }
  let text;
  try {
    text = JSON.stringify(outcome.result === undefined ? null : outcome.result);
  } catch (error) {
    const unserialisable = new RuntimeError('Runtime.UnserializableResponse', `Unable to stringify response body`);
    unserialisable.cause = error;
    logFailure('Invoke Error', unserialisable);
    await tellFailure(unserialisable);
    return;
  }
  await post(`invocation/${currentRequestId}/response`, text === undefined ? 'null' : text);
}

// From start to end --------------------------------------------------------------------------------------------

function endAfter(title, error, code) {
  logFailure(title, error);
  const ended = () => process.exit(code);
  tellFailure(error).then(ended, ended);
}

process.on('uncaughtException', (error) => {
  endAfter('Uncaught Exception', error, EXIT_CODE_OF_UNCAUGHT_EXCEPTION);
});

process.on('unhandledRejection', (reason, promise) => {
  const error = new RuntimeError('Runtime.UnhandledPromiseRejection', inspectReason(reason));
  error.reason = reason;
  error.promise = promise;
  endAfter('Unhandled Promise Rejection', error, EXIT_CODE_OF_UNHANDLED_REJECTION);
});

function inspectReason(reason) {
  return isError(reason) ? `${reason.name}: ${reason.message}` : String(reason);
}

globalThis.awslambda = {
  streamifyResponse() {
    throw new RuntimeError('Runtime.StreamingNotSupported', 'response streaming is not part of this runtime');
  },
};

async function main() {
  let handler;
  try {
    handler = await loadHandler(process.argv[2]);
  } catch (error) {
    logFailure('Uncaught Exception', error);
    try {
      await tellFailure(error);
    } finally {
      process.exit(EXIT_CODE_OF_FAILED_INIT);
    }
  }
  for (;;) {
    const next = await call('GET', 'invocation/next');
    currentRequestId = next.headers['lambda-runtime-aws-request-id'];
    if (currentRequestId === undefined) process.exit(0); // the emulator has ended
    const traceId = next.headers['lambda-runtime-trace-id'];
    if (traceId) process.env._X_AMZN_TRACE_ID = traceId;
    else delete process.env._X_AMZN_TRACE_ID;
    await invoke(handler, JSON.parse(next.body.toString('utf8')), next.headers);
  }
}

main().catch(() => process.exit(0)); // the Runtime API is gone, and with it the environment
