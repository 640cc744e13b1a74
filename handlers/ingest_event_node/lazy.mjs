// ingest-event on Node.js, lazy: the two clients of every event in the Init phase, the rest when it is needed, as in
// lazy.py of ingest_event. What is imported later is not even read before.

import { ingest, isWarmingPing, QUEUE_CONFIG, readPlan, readSettings, STORE_CONFIG } from './api.mjs';
import { putItem, putObject } from './stores.mjs';

const once = (make) => {
  let made;
  return () => (made ??= make());
};

const plan = once(readPlan);
const settings = once(async () => {
  const { GetParameterCommand, SSMClient } = await import('@aws-sdk/client-ssm');
  const ssm = new SSMClient(STORE_CONFIG);
  const getParameter = async (Name) => (await ssm.send(new GetParameterCommand({ Name }))).Parameter.Value;
  return readSettings(getParameter, process.env.SETTINGS_PARAMETER);
});
const queue = once(async () => {
  const { SendMessageCommand, SQSClient } = await import('@aws-sdk/client-sqs');
  const sqs = new SQSClient(QUEUE_CONFIG);
  return (text) => sqs.send(new SendMessageCommand({ QueueUrl: process.env.RETRY_QUEUE_URL, MessageBody: text }));
});

export const handler = async (event) => {
  if (isWarmingPing(event)) return { warmed: true };
  return ingest(event, plan, settings, { putItem, putObject, send: async (text) => (await queue())(text) });
};
