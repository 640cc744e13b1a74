// POST /events: what ingest-event answers, in either init style.

import { readFile } from 'node:fs/promises';
import { accept, DEFAULT_SETTINGS, Refused, settingsFrom } from './intake.mjs';

// As in stores.py: both stores at their slowest and then the queue must end before the function's 5 s do.
export const STORE_CONFIG = { maxAttempts: 2, requestHandler: { connectionTimeout: 300, requestTimeout: 1200 } };
export const QUEUE_CONFIG = { maxAttempts: 1, requestHandler: { connectionTimeout: 300, requestTimeout: 600 } };

export const isWarmingPing = (event) => event?.source === 'warming';

export async function readPlan() {
  return JSON.parse(await readFile(new URL('./tracking_plan.json', import.meta.url), 'utf8'));
}

/** The settings in parameter `name`; the default ones, with a line in the log, when it cannot be read. */
export async function readSettings(getParameter, name) {
  try {
    return settingsFrom(await getParameter(name));
  } catch (error) {
    say({ level: 'WARN', message: 'default settings are used', parameter: name, why: String(error) });
    return DEFAULT_SETTINGS;
  }
}

/** The API Gateway proxy response. `plan`, `settings` and `stores` give what they are named after, when asked. */
export async function ingest(event, plan, settings, stores) {
  let accepted;
  try {
    accepted = await accept(event, plan, settings, Date.now());
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return answer(400, { error: 'invalid event', reason: error.message });
  }
  const { eventId } = accepted;
  try {
    return answer(202, { eventId, status: await save(accepted, stores) });
  } catch (error) {
    say({ level: 'ERROR', message: 'lost', eventId, why: String(error) });
    return answer(503, { error: 'the event could not be stored', eventId });
  }
}

/** Write to table and bucket in parallel; what they refuse goes to the queue. Throws when the queue refuses it too. */
async function save(accepted, stores) {
  const writes = { table: stores.putItem(accepted), bucket: stores.putObject(accepted) };
  const missing = {};
  for (const [store, write] of Object.entries(writes)) {
    try {
      await write;
    } catch (error) {
      // A client that got no answer sends its eventId again: the first write counts, the second is no failure.
      if (error.name !== 'ConditionalCheckFailedException') missing[store] = String(error);
    }
  }
  if (Object.keys(missing).length === 0) return 'stored';
  say({ level: 'WARN', message: 'queued', eventId: accepted.eventId, failures: missing });
  await stores.send(message(accepted, Object.keys(missing).sort()));
  return 'queued';
}

// ASCII, because SQS refuses some characters that JSON allows.
function message({ rawKey, rest, body }, missing) {
  const text = JSON.stringify({ missing, rawKey, item: rest, body: body.toString('utf8') });
  return text.replace(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

function say(line) {
  console.log(JSON.stringify(line));
}

function answer(statusCode, body) {
  return { statusCode, headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) };
}
