// From an API Gateway proxy event to a checked analytics event, or to the reason why it is refused: what intake.py of
// ingest_event does, with the same limits, reasons and order. No I/O happens here.

import { randomUUID } from 'node:crypto';
import { asAttribute, ExactNumber, parse, sizeOf } from './exact_json.mjs';

const MAX_BODY_BYTES = 64 * 1024;
const MAX_USER_ID_BYTES = 256;
const MAX_EVENT_TYPE_BYTES = 128;
const MAX_DEPTH = 16;
const MAX_NUMBER_DIGITS = 38;
const SMALLEST_POWER = -128;
const LARGEST_POWER = 125;
const RETENTION_S = 90 * 24 * 3600;
const FIRST_MS = Date.parse('0001-01-01T00:00:00Z');
const LAST_MS = Date.UTC(9999, 11, 31, 23, 59, 59, 999);
const EVENT_ID = /^[A-Za-z0-9_-]{1,128}$/;
const CONTROL_CHARACTER = /[\x00-\x1f\x7f]/;
const ISO = /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?(Z|[+-]\d\d(?::?\d\d)?)?)?$/;

/** The event is the caller's mistake; the message is the reason they get. */
export class Refused extends Error {}

export const DEFAULT_SETTINGS = { earliestMs: Date.UTC(2015, 0, 1), maxFutureMs: 1440 * 60_000 };

/** Settings from the parameter's JSON. Throws when it is malformed. */
export function settingsFrom(text) {
  const data = JSON.parse(text);
  const earliestMs = isoMs(data.earliestTimestamp);
  const maxFutureMs = data.maxFutureMinutes * 60_000;
  if (earliestMs === null || !(maxFutureMs >= 0 && maxFutureMs <= 366 * 24 * 3600_000)) {
    throw new Error('the settings are malformed');
  }
  return { earliestMs, maxFutureMs };
}

/** {item in DynamoDB's form, eventId, body, rawKey}. `plan` and `settings` give what they are named after, if asked. */
export async function accept(apiEvent, plan, settings, nowMs) {
  const raw = rawBody(apiEvent);
  const body = parsed(raw);
  const userId = text(body, 'userId', MAX_USER_ID_BYTES);
  const eventType = text(body, 'eventType', MAX_EVENT_TYPE_BYTES);
  const eventId = eventIdOf(body.eventId);
  const properties = body.properties ?? Object.create(null);
  if (!isObject(properties)) throw new Refused('properties must be an object');
  checkStorable(properties);

  const known = (await plan())[eventType];
  const violations = violationsOf(known, properties);
  let occurredMs = nowMs;
  if (body.timestamp !== undefined && body.timestamp !== null) {
    const stated = timestamp(body.timestamp);
    const { earliestMs, maxFutureMs } = await settings();
    if (earliestMs <= stated && stated <= nowMs + maxFutureMs) occurredMs = stated;
    else violations.push('timestamp is outside the acceptance window');
  }
  const received = new Date(nowMs).toISOString();
  const occurred = new Date(occurredMs).toISOString();
  const item = {
    eventId,
    userId,
    eventType,
    category: known ? known.category : 'uncategorised',
    occurredAt: occurred,
    receivedAt: received,
    day: occurred.slice(0, 10),
    properties,
    violations,
    // DynamoDB's TTL reads epoch SECONDS; milliseconds would be a date some 50,000 years ahead: never deleted.
    expiresAt: Math.floor(nowMs / 1000) + RETENTION_S,
  };
  const attributes = Object.fromEntries(Object.entries(item).map(([name, value]) => [name, asAttribute(value)]));
  const { properties: _, ...rest } = item;
  return { eventId, attributes, rest, body: raw, rawKey: `events/${received.slice(0, 10).replaceAll('-', '/')}/${eventId}.json` };
}

function rawBody(apiEvent) {
  const body = isObject(apiEvent) ? apiEvent.body : undefined;
  if (body === undefined || body === null) throw new Refused('a JSON body is required');
  if (typeof body !== 'string') throw new Refused('the body must be text');
  let raw;
  if (apiEvent.isBase64Encoded) {
    if (body.length > (MAX_BODY_BYTES * 4) / 3 + 4) throw new Refused(`the body is larger than ${MAX_BODY_BYTES} bytes`);
    if (body.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(body)) throw new Refused('the body is not valid base64');
    raw = Buffer.from(body, 'base64');
  } else {
    if (!body.isWellFormed()) throw new Refused('the body is not valid Unicode');
    raw = Buffer.from(body, 'utf8');
  }
  if (raw.length > MAX_BODY_BYTES) throw new Refused(`the body is larger than ${MAX_BODY_BYTES} bytes`);
  return raw;
}

function parsed(raw) {
  let body;
  try {
    body = parse(new TextDecoder('utf-8', { fatal: true }).decode(raw));
  } catch {
    throw new Refused('the body is not JSON');
  }
  if (!isObject(body)) throw new Refused('the body must be a JSON object');
  return body;
}

function isObject(value) {
  return value !== null && typeof value === 'object' && !Array.isArray(value) && !(value instanceof ExactNumber);
}

function text(body, name, maxBytes) {
  const value = body[name];
  if (value === undefined || value === null) throw new Refused(`${name} is required`);
  if (typeof value !== 'string' || !value.trim()) throw new Refused(`${name} must be a non-empty string`);
  if (CONTROL_CHARACTER.test(value) || !value.isWellFormed()) {
    throw new Refused(`${name} has characters that cannot be stored`);
  }
  if (Buffer.byteLength(value) > maxBytes) throw new Refused(`${name} is longer than ${maxBytes} bytes`);
  return value;
}

function eventIdOf(value) {
  if (value === undefined || value === null) return randomUUID();
  if (typeof value !== 'string' || !EVENT_ID.test(value)) {
    throw new Refused('eventId must be 1 to 128 letters, digits, hyphens or underscores');
  }
  return value;
}

function timestamp(value) {
  let stated = null;
  if (value instanceof ExactNumber && /^-?\d+$/.test(value.text)) stated = Number(value.text);
  else if (typeof value === 'string') stated = isoMs(value);
  if (stated === null || !(stated >= FIRST_MS && stated <= LAST_MS)) {
    throw new Refused('timestamp must be an ISO 8601 date and time or epoch milliseconds');
  }
  return stated;
}

/** Epoch milliseconds of an ISO 8601 text, in UTC where it names no zone; null where it is none. */
function isoMs(value) {
  const found = typeof value === 'string' ? ISO.exec(value) : null;
  if (found === null) return null;
  const [, year, month, day, hour = '00', minute = '00', second = '00', fraction = '', zone = 'Z'] = found;
  const offset = zone === 'Z' ? 'Z' : zone.length === 3 ? `${zone}:00` : zone.replace(/^(...)(\d\d)$/, '$1:$2');
  const milliseconds = fraction.padEnd(3, '0').slice(0, 3);
  const ms = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}.${milliseconds}${offset}`);
  const calendar = new Date(`${year}-${month}-${day}T00:00:00Z`);
  // JavaScript takes the 31st of February for the 3rd of March.
  return Number.isNaN(ms) || calendar.getUTCDate() !== Number(day) ? null : ms;
}

/** Refuse what DynamoDB could not store, here and with a reason rather than there and with an error. */
function checkStorable(properties) {
  const pending = [[properties, 1]];
  while (pending.length > 0) {
    const [value, depth] = pending.pop();
    if (depth > MAX_DEPTH) throw new Refused(`properties are nested more than ${MAX_DEPTH} levels deep`);
    if (value instanceof ExactNumber) {
      const { digits, power } = sizeOf(value);
      if (digits > MAX_NUMBER_DIGITS || power < SMALLEST_POWER || power > LARGEST_POWER) {
        throw new Refused('properties have a number that cannot be stored exactly');
      }
    } else if (Array.isArray(value)) {
      for (const inner of value) pending.push([inner, depth + 1]);
    } else if (typeof value === 'string') {
      if (!value.isWellFormed()) throw new Refused('properties have text that is not valid Unicode');
    } else if (isObject(value)) {
      for (const [name, inner] of Object.entries(value)) {
        if (name === '') throw new Refused('properties must not have an empty name');
        if (!name.isWellFormed()) throw new Refused('properties have a name that is not valid Unicode');
        pending.push([inner, depth + 1]);
      }
    }
  }
}

/** What is wrong with an event by the plan, as sentences in the plan's order. */
function violationsOf(known, properties) {
  if (known === undefined) return ['event type is not in the tracking plan'];
  const found = [];
  for (const [name, [kind, required]] of Object.entries(known.properties)) {
    const value = properties[name];
    if (value === undefined || value === null) {
      if (required) found.push(`property ${name} is missing`);
    } else if (!isKind(kind, value)) found.push(`property ${name} is not a ${kind}`);
  }
  return found;
}

function isKind(kind, value) {
  if (kind === 'boolean') return typeof value === 'boolean';
  if (kind === 'number') return value instanceof ExactNumber;
  return typeof value === 'string';
}
